//! Debian's docker-registry (distribution 2.8) with notifications of its own.

// No test uses all of it.
#![allow(dead_code)]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::get;
use http::{Method, StatusCode, header};
use tokio::net::TcpListener;

use crate::certificate::Certificate;
use crate::common::logged_address;
use crate::front::MINUTE;
use crate::registry_client::TestClient;

/// Returns the message of a test that fails because a program is missing.
pub(crate) fn missing(program: &str, error: &std::io::Error) -> String {
    format!("cannot run {program}: {error}. This test needs it: apt-get install {program}")
}

/// A docker-registry process, ended with the test.
pub(crate) struct Upstream {
    process: Child,
    pub(crate) url: String,
    pub(crate) folder: tempfile::TempDir,
    access_log: Arc<Mutex<Vec<Logged>>>,
}

/// A request in the access log.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    /// Method, target and version.
    pub(crate) request: String,
    pub(crate) status: u16,
    referer: String,
    pub(crate) agent: String,
}

impl Logged {
    /// Reads a line in the combined format, which ends in
    /// `"<request>" <status> <size> "<referer>" "<user agent>"`.
    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.rsplitn(5, '"').skip(1);
        let agent = parts.next()?.to_owned();
        let referer = parts.nth(1)?.to_owned();
        let (before, numbers) = parts.next()?.rsplit_once('"')?;
        let (_, request) = before.split_once('"')?;
        Some(Self {
            request: request.to_owned(),
            status: numbers.split_whitespace().next()?.parse().ok()?,
            referer,
            agent,
        })
    }
}

/// Returns the name of a deliberate difference between the registry's notifications and the
/// layer's events: the registry reports an action although it responded with this status.
pub(crate) fn deliberate_difference(action: &str, status: u16) -> Option<&'static str> {
    match (action, status) {
        ("pull", 304 | 412 | 416) => Some("pull of a blob answered 304, 412 or 416"),
        ("pull", 400 | 404) => Some("pull of a manifest that was then refused"),
        ("push", 500) => Some("push whose tagging failed"),
        _ => None,
    }
}

/// The configuration of a registry.
#[derive(Clone, Copy, Default)]
pub(crate) struct Setup<'a> {
    /// The port that notifications are posted to.
    pub(crate) webhook: u16,
    /// The certificate, if the registry speaks TLS.
    pub(crate) certificate: Option<&'a Certificate>,
    /// Redirects the clients that ask for a blob to a server of its files.
    pub(crate) redirects: bool,
    /// Keeps everything in memory instead of in files.
    pub(crate) in_memory: bool,
}

impl Upstream {
    /// Starts a registry that accepts every token. It sends clients without one to the token
    /// service.
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
        let access_log = Arc::<Mutex<Vec<Logged>>>::default();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let log = access_log.clone();
        std::thread::spawn(move || {
            let lines = lines.map_while(Result::ok);
            let requests = lines.filter_map(|line| Logged::parse(&line));
            requests.for_each(|request| log.lock().unwrap().push(request));
        });
        let log = BufReader::new(process.stderr.take().unwrap());
        let address = tokio::task::spawn_blocking(|| logged_address(log))
            .await
            .unwrap();
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

    /// The requests in the access log, but for the first `skip`. One that
    /// `client` sends shows that all before it are there.
    pub(crate) async fn requests(&self, skip: usize, client: &TestClient) -> Vec<Logged> {
        static MARKS: AtomicUsize = AtomicUsize::new(0);
        let mark = format!("mark-{}", MARKS.fetch_add(1, Ordering::SeqCst));
        client
            .send(Method::GET, "/v2/", &[("referer", &mark)], "")
            .await;
        let deadline = tokio::time::Instant::now() + MINUTE;
        loop {
            let log = self.access_log.lock().unwrap()[skip..].to_vec();
            if log.iter().any(|it| it.referer == mark) {
                return log;
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

impl Drop for Upstream {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Serves the files below a folder, like a cloud storage. Returns its port.
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

/// Gives a token to every client with a name and a password. Returns its port.
async fn token_service() -> u16 {
    let token = async |request: Request| match request.headers().get(header::AUTHORIZATION) {
        Some(given) if given == "Basic c2lsbHk6c2VjcmV0" => {
            (StatusCode::OK, r#"{"token":"a.token.of-the-service"}"#)
        }
        _ => (StatusCode::UNAUTHORIZED, "{}"),
    };
    listen(Router::new().route("/token", get(token))).await
}
