//! Bodies stream both ways, at the pace of the slower side.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tower_registry_notifications::event::Action;

use crate::stage::*;

const FRAME: usize = 64 << 10;
const FRAMES: usize = 2048;
/// What the sockets' buffers and those of both ends of the proxy may hold.
const ON_THE_WAY: usize = 24 << 20;

/// 128 MiB, each frame made when there is room for it, and counted.
fn large(made: Arc<AtomicUsize>) -> Body {
    let frames = futures_util::stream::iter(0..FRAMES).map(move |n| {
        made.fetch_add(FRAME, Ordering::SeqCst);
        let byte = u8::try_from(n % 251).unwrap();
        Ok::<_, Infallible>(Frame::data(Bytes::from(vec![byte; FRAME])))
    });
    StreamBody::new(frames).map_err(Into::into).boxed_unsync()
}

/// Reads a body that `large` has made.
async fn drink<B: http_body::Body<Data = Bytes> + Unpin>(mut body: B) -> usize
where
    B::Error: std::fmt::Debug,
{
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let data = frame.unwrap().into_data().unwrap();
        for byte in &data {
            assert_eq!(usize::from(*byte), length / FRAME % 251);
            length += 1;
        }
    }
    length
}

/// Nothing moves any more: the paused clock goes on when all tasks wait.
async fn until_all_wait() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn an_upload_waits_for_the_registry() {
    let go = Arc::new(Semaphore::new(0));
    let gate = go.clone();
    let (address, mut events) = before(FOREVER, move |request: Request<_>| {
        let gate = gate.clone();
        async move {
            if request.method() == Method::HEAD {
                // The layer looks what size the blob has.
                return Response::new(full(""));
            }
            gate.acquire().await.unwrap().forget();
            assert_eq!(drink(request.into_body()).await, FRAME * FRAMES);
            let response = Response::builder().status(StatusCode::CREATED);
            let response = response.header("docker-content-digest", DIGEST);
            response.body(full("")).unwrap()
        }
    })
    .await;
    let made = Arc::new(AtomicUsize::new(0));
    let request = Request::put(format!("http://{address}{UPLOAD}?digest={DIGEST}"));
    let request = request.body(large(made.clone())).unwrap();
    let answer = tokio::spawn(send(request));
    until_all_wait().await;
    let on_the_way = made.load(Ordering::SeqCst);
    assert!(on_the_way > 0 && on_the_way < ON_THE_WAY, "{on_the_way}");
    go.add_permits(1);
    assert_eq!(answer.await.unwrap().status(), StatusCode::CREATED);
    assert_eq!(events.recv().await.unwrap().action(), Action::Push);
}

#[tokio::test(start_paused = true)]
async fn a_download_waits_for_the_client() {
    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    let (address, mut events) = before(FOREVER, move |_| {
        let body = large(count.clone());
        async move { Response::new(body) }
    })
    .await;
    let client = client(None, false);
    let answer = client.request(get(address, BLOB)).await.unwrap();
    until_all_wait().await;
    let on_the_way = made.load(Ordering::SeqCst);
    assert!(on_the_way > 0 && on_the_way < ON_THE_WAY, "{on_the_way}");
    assert!(events.try_recv().is_none(), "told before the last byte");
    assert_eq!(drink(answer.into_body()).await, FRAME * FRAMES);
    let event = events.recv().await.unwrap();
    assert_eq!(event.length(), (FRAME * FRAMES) as u64);
}

#[tokio::test]
async fn a_client_that_expects_100_continue_gets_it() {
    let (address, _events) = before(PATIENCE, async |request: Request<hyper::body::Incoming>| {
        if request.method() == Method::HEAD {
            // The layer looks what size the blob has.
            return Response::new(full(""));
        }
        assert!(!request.headers().contains_key("expect"));
        let body = request.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "hello");
        let response = Response::builder().status(StatusCode::CREATED);
        response.body(full("")).unwrap()
    })
    .await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "PUT {UPLOAD}?digest={DIGEST} HTTP/1.1\r\nhost: r\r\nexpect: 100-continue\r\n\
         content-length: 5\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

/// A client that hangs up takes its request to the upstream along.
#[tokio::test]
async fn a_client_that_hangs_up_ends_the_upload() {
    let ended = Arc::new(Semaphore::new(0));
    let end = ended.clone();
    let (address, mut events) = before(FOREVER, move |request: Request<hyper::body::Incoming>| {
        let end = end.clone();
        async move {
            let read = request.into_body().collect().await;
            assert!(read.is_err(), "half an upload looks like a whole one");
            end.add_permits(1);
            Response::new(full(""))
        }
    })
    .await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head =
        format!("PUT {UPLOAD}?digest={DIGEST} HTTP/1.1\r\nhost: r\r\ncontent-length: 5\r\n\r\nhe");
    stream.write_all(head.as_bytes()).await.unwrap();
    drop(stream);
    let waited = tokio::time::timeout(PATIENCE, ended.acquire()).await;
    waited.expect("the upload goes on").unwrap().forget();
    assert!(events.try_recv().is_none());
}
