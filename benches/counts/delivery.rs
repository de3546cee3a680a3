//! Deliveries, from the write of an event to the receiver's response.

use std::future::ready;
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tower::{BoxError, service_fn};
use tower_registry_notifications::endpoint::Batch;
use tower_registry_notifications::event::SharedEvent;
use tower_registry_notifications::sink::Sink;
use tower_registry_notifications::{Endpoint, Notifier};

use super::Path;
use super::common::events::{accepted, encoded};

/// Number of events in a batch.
const BATCH: usize = 100;

pub(crate) fn paths() -> Vec<Path> {
    let (_, event) = encoded().into_iter().next().expect("the event of a pull");
    let mut paths = Vec::new();
    for (name, batch) in [("single", 1), ("batch-100", BATCH)] {
        let delivered = Arc::new(Notify::new());
        let endpoint = Endpoint::new("e", "http://receiver").client(client(delivered.clone()));
        let scene = Setup::new(endpoint.batch(Batch::of(batch)), delivered);
        let event = event.clone();
        paths.push(Path::new(format!("delivery/{name}"), move || {
            scene.deliver(&event, batch)
        }));
    }
    let delivered = Arc::new(Notify::new());
    let endpoint = Endpoint::new("e", receiver(delivered.clone()));
    let scene = Setup::new(endpoint, delivered);
    paths.push(Path::new("delivery/connection", move || {
        scene.deliver(&event, 1)
    }));
    paths
}

/// An endpoint, and what its receiver tells of each request.
struct Setup {
    runtime: Runtime,
    sink: Arc<dyn Sink>,
    _notifier: Notifier,
    delivered: Arc<Notify>,
}

impl Setup {
    fn new(endpoint: Endpoint, delivered: Arc<Notify>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().expect("a runtime");
        let inside = runtime.enter();
        let notifier = Notifier::builder().endpoint(endpoint).build();
        drop(inside);
        let notifier = notifier.expect("a notifier");
        Self {
            runtime,
            sink: notifier.sink(),
            _notifier: notifier,
            delivered,
        }
    }

    fn deliver(&self, event: &SharedEvent, events: usize) {
        for _ in 0..events {
            accepted(self.sink.write(black_box(event)));
        }
        self.runtime.block_on(self.delivered.notified());
    }
}

/// Returns a client that costs nothing itself.
fn client(
    delivered: Arc<Notify>,
) -> impl tower::Service<
    Request<Bytes>,
    Response = Response<Full<Bytes>>,
    Error = BoxError,
    Future: Send,
> + Clone
+ Send
+ 'static {
    service_fn(move |_: Request<Bytes>| {
        delivered.notify_one();
        ready(Ok(Response::new(Full::default())))
    })
}

/// Starts a receiver in a thread of its own, whose work is not counted. Returns its
/// URL.
fn receiver(delivered: Arc<Notify>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            receive(stream, &delivered);
        }
    });
    format!("http://{address}/events")
}

/// Answers requests that end with the bytes that an envelope ends with.
fn receive(mut stream: TcpStream, delivered: &Notify) {
    let (mut buffer, mut filled) = (vec![0; 64 << 10], 0);
    while let Ok(read @ 1..) = stream.read(&mut buffer[filled..]) {
        filled += read;
        if !buffer[..filled].ends_with(b"]\n}") {
            continue;
        }
        filled = 0;
        let response = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(response).expect("written");
        delivered.notify_one();
    }
}
