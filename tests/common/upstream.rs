//! Debian's docker-registry (distribution 2.8) with notifications of its own.

// Each test uses a part of it.
#![allow(dead_code)]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::get;
use http::{Method, StatusCode, header};
use tokio::net::TcpListener;

use crate::certificate::Certificate;
use crate::front::MINUTE;
use crate::registry_client::TestClient;

/// A test never passes without the programs that it is about.
pub(crate) fn missing(program: &str, error: &std::io::Error) -> String {
    format!("cannot run {program}: {error}. This test needs it: apt-get install {program}")
}

/// A docker-registry process, ended with the test.
pub(crate) struct Upstream {
    process: Child,
    pub(crate) url: String,
    pub(crate) folder: tempfile::TempDir,
    access_log: Arc<Mutex<Vec<String>>>,
}

/// How a registry is configured.
#[derive(Clone, Copy, Default)]
pub(crate) struct Setup<'a> {
    /// The port that notifications are posted to.
    pub(crate) webhook: u16,
    /// Speaks TLS if there is one.
    pub(crate) certificate: Option<&'a Certificate>,
    /// Redirects the clients that ask for a blob to a server of its files.
    pub(crate) redirects: bool,
    /// Keeps everything in memory instead of in files.
    pub(crate) in_memory: bool,
}

/// The last line of the access log that [`Upstream::requests_since`] waits for.
const MARK: &str = "access-log-mark";

impl Upstream {
    /// Starts a registry that takes every token, as long as there is one, and
    /// sends clients to the token service for it.
    pub(crate) async fn start(setup: Setup<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yml");
        std::fs::write(&file, config(setup, folder.path()).await).unwrap();
        let mut process = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}", missing("docker-registry", &error)));
        let access_log = Arc::<Mutex<Vec<String>>>::default();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let log = access_log.clone();
        std::thread::spawn(move || {
            let lines = lines.map_while(Result::ok);
            lines.for_each(|line| log.lock().unwrap().push(line));
        });
        let log = BufReader::new(process.stderr.take().unwrap());
        let address = tokio::task::spawn_blocking(|| address(log)).await.unwrap();
        let scheme = setup.certificate.map_or("http", |_| "https");
        Self {
            process,
            url: format!("{scheme}://{address}"),
            folder,
            access_log,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        let (_, port) = self.url.rsplit_once(':').unwrap();
        port.parse().unwrap()
    }

    /// Marks the access log with a request that `client` sends. The lines that
    /// were logged after the first `from`, and before the mark.
    pub(crate) async fn requests_since(&self, from: usize, client: &TestClient) -> Vec<String> {
        let mark = [("referer", MARK)];
        client.send(Method::GET, "/v2/", &mark, "").await;
        let deadline = tokio::time::Instant::now() + MINUTE;
        loop {
            let mut lines = self.access_log.lock().unwrap()[from..].to_vec();
            if lines.last().is_some_and(|line| line.contains(MARK)) {
                lines.pop();
                return lines;
            }
            assert!(tokio::time::Instant::now() < deadline, "nothing is logged");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn config(setup: Setup<'_>, folder: &Path) -> String {
    let storage = folder.join("storage");
    let driver = match setup.in_memory {
        true => "inmemory: {}".to_owned(),
        false => format!("filesystem: {{rootdirectory: '{}'}}", storage.display()),
    };
    let tls = setup.certificate.map(|it| {
        let (certificate, key) = (&it.certificate, &it.key);
        format!(", tls: {{certificate: {certificate:?}, key: {key:?}}}")
    });
    let middleware = match setup.redirects {
        true => {
            let port = file_server(storage).await;
            format!(
                "middleware: {{storage: [{{name: redirect, \
                 options: {{baseurl: 'http://127.0.0.1:{port}/'}}}}]}}"
            )
        }
        false => String::new(),
    };
    let (tokens, webhook) = (token_service().await, setup.webhook);
    format!(
        "version: 0.1
log: {{level: info, accesslog: {{disabled: false}}}}
storage:
  {driver}
  delete: {{enabled: true}}
{middleware}
http: {{addr: '127.0.0.1:0'{}}}
auth: {{silly: {{realm: 'http://127.0.0.1:{tokens}/token', service: registry}}}}
notifications:
  events: {{includereferences: true}}
  endpoints:
  - {{name: a, url: 'http://127.0.0.1:{webhook}/', timeout: 5s, threshold: 10, backoff: 1s}}
",
        tls.unwrap_or_default()
    )
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

/// Serves the files below a folder, as a storage in the cloud would; the port
/// that it is on.
async fn file_server(folder: PathBuf) -> u16 {
    let serve = async move |request: Request| {
        let path = request.uri().path().trim_start_matches('/');
        match std::fs::read(folder.join(path)) {
            Ok(content) => (StatusCode::OK, content),
            Err(_) => (StatusCode::NOT_FOUND, Vec::new()),
        }
    };
    listen(Router::new().fallback(get(serve))).await
}

async fn listen(router: Router) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(axum::serve(listener, router).into_future());
    port
}

/// Gives a token to who has a name and a password; the port that it is on.
async fn token_service() -> u16 {
    let token = async |request: Request| match request.headers().get(header::AUTHORIZATION) {
        Some(given) if given == "Basic c2lsbHk6c2VjcmV0" => {
            (StatusCode::OK, r#"{"token":"a.token.of-the-service"}"#)
        }
        _ => (StatusCode::UNAUTHORIZED, "{}"),
    };
    listen(Router::new().route("/token", get(token))).await
}
