//! The proxy example as a program: what its options make of it, from its first
//! line to its last.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "../../common/mod.rs"]
mod common;
#[path = "../example.rs"]
mod example;
mod operator;
mod setup;

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tower_registry_notifications::event::Envelope;

const MINUTE: Duration = Duration::from_secs(60);
const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The program, built as this test was.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| crate::example::built("proxy"));

struct Program {
    process: Child,
    log: BufReader<std::process::ChildStderr>,
    out: BufReader<std::process::ChildStdout>,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        Self::with(&[], arguments)
    }

    /// Starts it with these variables of the environment.
    fn with(environment: &[(&str, &str)], arguments: &[&str]) -> Self {
        let mut command = Command::new(&*PROGRAM);
        for (name, _) in std::env::vars() {
            if name.to_uppercase().ends_with("_PROXY") || name.starts_with("REGISTRY_") {
                command.env_remove(name);
            }
        }
        let mut process = command
            .args(arguments)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(process.stderr.take().unwrap());
        let out = BufReader::new(process.stdout.take().unwrap());
        Self { process, log, out }
    }

    /// The next line of the log.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.log.read_line(&mut line).unwrap();
        line
    }

    /// The next line on stdout.
    fn printed(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line
    }

    /// The address in the next line, which begins so.
    fn address(&mut self, start: &str) -> String {
        let line = self.line();
        let rest = line.strip_prefix(start).unwrap_or_else(|| panic!("{line}"));
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':');
        let address = rest[..end.unwrap()].trim_end_matches('.');
        address.to_owned()
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args([name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end. Returns whether all went well, and what was said last.
    fn end(&mut self) -> (bool, String) {
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).unwrap();
        (self.process.wait().unwrap().success(), rest)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A registry that answers a GET of anything but `/v2/` when it may, and all else at
/// once.
async fn registry(arrived: mpsc::Sender<()>, go: Arc<tokio::sync::Semaphore>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (arrived, go) = (arrived.clone(), go.clone());
            let answer = hyper::service::service_fn(move |request: Request<Incoming>| {
                let (arrived, go) = (arrived.clone(), go.clone());
                async move {
                    if request.method() == Method::GET && !request.uri().path().ends_with("/v2/") {
                        arrived.send(()).await.unwrap();
                        go.acquire().await.unwrap().forget();
                    }
                    let response = Response::builder()
                        .header("content-type", "application/octet-stream")
                        .header("docker-content-digest", DIGEST);
                    Ok::<_, Infallible>(response.body(Full::<Bytes>::default()).unwrap())
                }
            });
            tokio::spawn(async move {
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                // A client that hangs up is no concern of the test.
                let _ = server.serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    });
    url
}

async fn send(method: Method, url: String) -> (u16, String) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let request = Request::builder().method(method).uri(url);
    let request = request.body(Full::<Bytes>::default()).unwrap();
    let answer = tokio::time::timeout(MINUTE, client.request(request)).await;
    let (head, body) = answer.expect("no answer").unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (
        head.status.as_u16(),
        String::from_utf8(body.to_vec()).unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_prints_events_until_it_is_stopped() {
    let (receiver, mut received) = common::receiver(Box::new(|_| Response::builder())).await;
    let (arrived, mut arrival) = mpsc::channel(1);
    let go = Arc::new(tokio::sync::Semaphore::new(0));
    let upstream = registry(arrived, go.clone()).await;
    let endpoint = format!("http://127.0.0.1:{receiver}/events");
    let any = "127.0.0.1:0";
    let mut program = Program::start(&[
        "--upstream",
        &upstream,
        "--endpoint",
        &endpoint,
        "--listen",
        any,
        "--page",
        any,
        "--format",
        "v1",
    ]);
    let metrics = program.address("Page on http://");
    let address = program.address("Listening on ");
    let blob = format!("http://{address}/v2/team/app/blobs/{DIGEST}");
    let mut event = async || {
        let received = tokio::time::timeout(MINUTE, received.recv()).await;
        let received = received.expect("no event").unwrap();
        assert_eq!(
            received.headers["content-type"],
            "application/vnd.docker.distribution.events.v1+json"
        );
        let mut envelope: Envelope = serde_json::from_slice(&received.body).unwrap();
        envelope.events.remove(0)
    };

    assert_eq!(send(Method::HEAD, blob.clone()).await.0, 200);
    let told = event().await;
    assert_eq!(
        (&*told.request.method, &*told.source.addr),
        ("HEAD", &*address)
    );
    assert_eq!(told.request.host, address);
    let (_, text) = send(Method::GET, format!("http://{metrics}/metrics")).await;
    assert!(
        text.contains(r#"registry_notifications_events_total{type="Events""#),
        "{text}"
    );
    let (_, status) = send(Method::GET, format!("http://{metrics}/debug/notifications")).await;
    assert!(status.contains(r#""name":"endpoint-1""#), "{status}");

    // A request that is under way ends, and so does the delivery of its event.
    let under_way = tokio::spawn(send(Method::GET, blob));
    arrival.recv().await.unwrap();
    program.signal("-TERM");
    go.add_permits(1);
    assert_eq!(under_way.await.unwrap().0, 200);
    assert_eq!(event().await.request.method, "GET");
    let ended = tokio::task::spawn_blocking(move || program.end())
        .await
        .unwrap();
    let (success, said) = ended;
    // Whether the request is worth a line depends on how long it took.
    let said = said.replace(
        "Waiting for requests to finish, Ctrl-C again to stop now.\n",
        "",
    );
    let said = said.replace("Waiting for 1 event, Ctrl-C again to stop now.\n", "");
    assert_eq!((success, &*said), (true, "All events were delivered.\n"));
}

#[test]
fn errors_are_on_one_line() {
    for (arguments, wanted) in [
        (
            &["--listen", "127.0.0.1:0"][..],
            "proxy: --upstream URL is needed (try --help)\n",
        ),
        (
            &[
                "--upstream",
                "http://r",
                "--listen",
                "127.0.0.1:0",
                "--endpoint",
                "ftp://u:secret@r",
            ],
            "proxy: endpoint",
        ),
        (
            &[
                "--upstream",
                "http://r",
                "--listen",
                "127.0.0.1:0",
                "--tls-cert",
                "/no",
                "--tls-key",
                "/no",
            ],
            "proxy: /no: ",
        ),
    ] {
        let (success, said) = Program::start(arguments).end();
        assert!(!success && said.starts_with(wanted), "{said}");
        assert!(
            said.lines().count() == 1 && !said.contains("secret"),
            "{said}"
        );
    }
}
