//! The senders that are compared: [`Sender`].

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::runtime::{Builder, Runtime};
use tower_registry_notifications::endpoint::Batch;
use tower_registry_notifications::event::{
    Action, Descriptor, Event, RequestRecord, SharedEvent, SourceRecord,
};
use tower_registry_notifications::sink::Sink as _;
use tower_registry_notifications::{Endpoint, Format, Notifier};

/// All senders. The others are compared with the first.
pub(crate) const NAMES: [&str; 9] = [
    "socket",
    "hyper, current-thread",
    "hyper, multi-thread",
    "pooled, current-thread",
    "pooled, multi-thread",
    "notifier, current-thread",
    "notifier, multi-thread",
    "batches, current-thread",
    "batches, multi-thread",
];

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const TYPE: &str = "application/vnd.docker.distribution.events.v2+json";
const AGENT: &str = "tower-registry-notifications/0.1.0";
/// Number of events in a batch.
const BATCH: usize = 100;

/// A sender with its connection.
pub(crate) enum Sender {
    Socket(TcpStream, Vec<u8>),
    Hyper(Runtime, SendRequest<Full<Bytes>>, Bytes),
    Pooled(
        Runtime,
        Box<Client<HttpConnector, Full<Bytes>>>,
        String,
        Bytes,
    ),
    Notifier(Runtime, Notifier, Vec<SharedEvent>),
}

impl Sender {
    /// Opens the connection, so that the first round does not include it.
    pub(crate) fn new(name: &str, receiver: SocketAddr) -> Self {
        let url = format!("http://{receiver}/events");
        let body = || event().to_bytes(Format::V2);
        let (kind, runtime) = name.split_once(", ").unwrap_or((name, ""));
        let mut sender = match kind {
            "socket" => {
                let stream = TcpStream::connect(receiver).expect("the receiver");
                stream.set_nodelay(true).expect("no delay");
                Self::Socket(stream, bytes(receiver, &body()))
            }
            "hyper" => {
                let runtime = self::runtime(runtime);
                let sender = runtime.block_on(connect(receiver));
                Self::Hyper(runtime, sender, body())
            }
            "pooled" => {
                let mut connector = HttpConnector::new();
                connector.set_nodelay(true);
                let client = Client::builder(TokioExecutor::new())
                    .http1_title_case_headers(true)
                    .build(connector);
                Self::Pooled(self::runtime(runtime), Box::new(client), url, body())
            }
            "notifier" => notifier(self::runtime(runtime), url, 1),
            "batches" => notifier(self::runtime(runtime), url, BATCH),
            _ => panic!("no sender {name}"),
        };
        sender.send(1);
        sender
    }

    /// Sends this many events and returns the time that it took.
    pub(crate) fn send(&mut self, events: usize) -> Duration {
        match self {
            Self::Socket(stream, request) => {
                let (start, mut buffer) = (Instant::now(), [0; 8 << 10]);
                for _ in 0..events {
                    stream.write_all(request).expect("sent");
                    let read = stream.read(&mut buffer).expect("a response");
                    assert!(buffer[..read].starts_with(b"HTTP/1.1 200"));
                }
                start.elapsed()
            }
            Self::Hyper(runtime, sender, body) => runtime.block_on(async {
                let start = Instant::now();
                for _ in 0..events {
                    let request = request("/events", body.clone());
                    sender.ready().await.expect("ready");
                    let response = sender.send_request(request).await.expect("a response");
                    assert_eq!(response.status(), 200);
                    response.into_body().collect().await.expect("a body");
                }
                start.elapsed()
            }),
            Self::Pooled(runtime, client, url, body) => {
                let (client, url, body) = (client.clone(), url.clone(), body.clone());
                // In a task, like the worker of an endpoint.
                let sent = runtime.spawn(async move {
                    let start = Instant::now();
                    for _ in 0..events {
                        let request = request(&url, body.clone());
                        let response = client.request(request).await.expect("a response");
                        assert_eq!(response.status(), 200);
                        response.into_body().collect().await.expect("a body");
                    }
                    start.elapsed()
                });
                runtime.block_on(sent).expect("sent")
            }
            Self::Notifier(runtime, notifier, written) => {
                written.resize_with(events.max(written.len()), event);
                let written = &written[..events];
                runtime.block_on(deliver(notifier, written))
            }
        }
    }
}

fn runtime(name: &str) -> Runtime {
    let mut builder = match name {
        "current-thread" => Builder::new_current_thread(),
        "multi-thread" => Builder::new_multi_thread(),
        _ => panic!("no runtime {name}"),
    };
    builder
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

async fn connect(receiver: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = tokio::net::TcpStream::connect(receiver).await;
    let stream = stream.expect("the receiver");
    stream.set_nodelay(true).expect("no delay");
    let mut builder = hyper::client::conn::http1::Builder::new();
    builder.title_case_headers(true);
    let connected = builder.handshake(TokioIo::new(stream)).await;
    let (sender, connection) = connected.expect("a connection");
    tokio::spawn(connection);
    sender
}

fn notifier(runtime: Runtime, url: String, batch: usize) -> Sender {
    let endpoint = Endpoint::new("e", url)
        .batch(Batch::of(batch))
        .queue_events(usize::MAX)
        .queue_bytes(usize::MAX);
    let inside = runtime.enter();
    let notifier = Notifier::builder().endpoint(endpoint).build();
    drop(inside);
    Sender::Notifier(runtime, notifier.expect("a notifier"), Vec::new())
}

/// Writes the events and waits until the last one is delivered.
async fn deliver(notifier: &Notifier, events: &[SharedEvent]) -> Duration {
    let sink = notifier.sink();
    let successes = || notifier.status().endpoints[0].successes;
    let wanted = successes() + events.len() as u64;
    let start = Instant::now();
    for event in events {
        sink.write(event).await.expect("accepted");
    }
    // Nothing tells of the last delivery. Looking once in a millisecond costs
    // less than 1% and is 1 ms late at most.
    while successes() < wanted {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    start.elapsed()
}

/// A pull of a blob.
fn event() -> SharedEvent {
    let mut event = Event::new(Action::Pull);
    event.target.descriptor = Descriptor::new("application/octet-stream", DIGEST, 31_357_624);
    event.target.repository = "library/debian".into();
    event.target.url = format!("https://registry.example.com/v2/library/debian/blobs/{DIGEST}");
    event.request = RequestRecord::new("6df24a34-0959-4923-81ca-14f09767db19", "GET");
    event.request.addr = "192.0.2.11:42961".into();
    event.request.host = "registry.example.com".into();
    event.request.user_agent = "containers/5.32.2 (github.com/containers/image)".into();
    event.source = SourceRecord::new("registry.example.com:5000");
    event.into()
}

fn request(url: &str, body: Bytes) -> Request<Full<Bytes>> {
    Request::post(url)
        .header("content-type", TYPE)
        .header("user-agent", AGENT)
        .header("host", "127.0.0.1:65535")
        .body(Full::new(body))
        .expect("a request")
}

/// Returns the bytes of the same request.
fn bytes(receiver: SocketAddr, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST /events HTTP/1.1\r\nContent-Type: {TYPE}\r\nUser-Agent: {AGENT}\r\n\
         Host: {receiver}\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}
