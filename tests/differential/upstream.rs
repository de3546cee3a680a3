//! Debian's docker-registry (distribution 2.8) with notifications of its own.

use std::io::BufReader;
use std::process::{Child, Command, Stdio};

use axum::extract::Request;
use axum::routing::get;
use http::{StatusCode, header};
use tokio::net::TcpListener;

use crate::certificate::Certificate;

/// A docker-registry process, ended with the test.
pub(crate) struct Upstream {
    process: Child,
    pub(crate) url: String,
    pub(crate) folder: tempfile::TempDir,
}

impl Upstream {
    /// Posts to `webhook`, and speaks TLS if it has a certificate. Takes every
    /// token, as long as there is one, and sends clients to the token service
    /// for it.
    pub(crate) async fn start(webhook: u16, certificate: Option<&Certificate>) -> Self {
        let (scheme, tls) = match certificate {
            None => ("http", String::new()),
            Some(Certificate {
                certificate, key, ..
            }) => (
                "https",
                format!(", tls: {{certificate: {certificate:?}, key: {key:?}}}"),
            ),
        };
        let tokens = token_service().await;
        let folder = tempfile::tempdir().unwrap();
        let storage = folder.path().join("storage");
        let config = format!(
            "version: 0.1
log: {{level: info}}
storage:
  filesystem: {{rootdirectory: '{}'}}
  delete: {{enabled: true}}
http: {{addr: '127.0.0.1:0'{tls}}}
auth: {{silly: {{realm: 'http://127.0.0.1:{tokens}/token', service: registry}}}}
notifications:
  events: {{includereferences: true}}
  endpoints:
  - {{name: a, url: 'http://127.0.0.1:{webhook}/', timeout: 5s, threshold: 10, backoff: 1s}}
",
            storage.display()
        );
        let file = folder.path().join("config.yml");
        std::fs::write(&file, config).unwrap();
        let mut process = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}", crate::missing("docker-registry", &error)));
        let log = BufReader::new(process.stderr.take().unwrap());
        let address = tokio::task::spawn_blocking(|| address(log)).await.unwrap();
        Self {
            process,
            url: format!("{scheme}://{address}"),
            folder,
        }
    }
}

/// Where it listens; the rest of the log is read, so that it can go on.
fn address(log: impl std::io::BufRead + Send + 'static) -> String {
    let mut lines = log.lines();
    let mut before = String::new();
    for line in lines.by_ref().map(Result::unwrap) {
        if let Some((_, rest)) = line.split_once("listening on ") {
            let end = rest.find(['"', ',']).unwrap();
            let address = rest[..end].to_owned();
            std::thread::spawn(move || lines.for_each(drop));
            return address;
        }
        before = before + &line + "\n";
    }
    panic!("docker-registry has ended:\n{before}");
}

impl Drop for Upstream {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Gives a token to who has a name and a password; the port that it is on.
async fn token_service() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let token = async |request: Request| match request.headers().get(header::AUTHORIZATION) {
        Some(given) if given == "Basic c2lsbHk6c2VjcmV0" => {
            (StatusCode::OK, r#"{"token":"a.token.of-the-service"}"#)
        }
        _ => (StatusCode::UNAUTHORIZED, "{}"),
    };
    let router = axum::Router::new().route("/token", get(token));
    tokio::spawn(axum::serve(listener, router).into_future());
    port
}
