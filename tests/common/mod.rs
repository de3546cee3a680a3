//! A webhook receiver on loopback.

// No test uses all of it.
#![allow(dead_code)]

pub(crate) mod captured;
pub(crate) mod raw;
pub(crate) mod scripted;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// A request that the receiver got.
#[derive(Debug)]
pub(crate) struct Received {
    /// The connection that it came on.
    pub(crate) peer: SocketAddr,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Answers the n-th request (from 0) with a status and headers.
pub(crate) type Answer = dyn Fn(usize) -> http::response::Builder + Send + Sync;

/// Starts a receiver on a free port. Returns the port, and a channel with the requests.
pub(crate) async fn receiver(answer: Box<Answer>) -> (u16, mpsc::UnboundedReceiver<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, received) = mpsc::unbounded_channel();
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let answer: Arc<Answer> = answer.into();
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let (sender, count, answer) = (sender.clone(), count.clone(), answer.clone());
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let (sender, count, answer) = (sender.clone(), count.clone(), answer.clone());
                async move {
                    let (parts, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    let n = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    // A test that has seen enough hangs up.
                    let _ = sender.send(Received {
                        peer,
                        path: parts.uri.to_string(),
                        headers: parts.headers,
                        body,
                    });
                    let answer = answer(n).body(Full::<Bytes>::default()).unwrap();
                    Ok::<Response<_>, Infallible>(answer)
                }
            });
            tokio::spawn(async move {
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (port, received)
}

/// A number that the environment may set.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => default,
    }
}

/// Returns the address that a docker-registry listens on, from its log. The rest of the log is
/// read in the background, because the registry blocks when the pipe is full.
pub(crate) fn logged_address(log: impl std::io::BufRead + Send + 'static) -> String {
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

/// Returns the requests that have arrived and were not taken yet.
pub(crate) fn arrived(received: &mut mpsc::UnboundedReceiver<Received>) -> Vec<Received> {
    std::iter::from_fn(|| received.try_recv().ok()).collect()
}
