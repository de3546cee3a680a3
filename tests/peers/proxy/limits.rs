//! What clients of the proxy can use up.

use std::net::SocketAddr;
use std::time::Duration;

use examples::serve::{self, Limits};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::common::captured::Captured;
use crate::stage::*;

const HEAD: Duration = Duration::from_secs(60);
const IDLE: Duration = Duration::from_secs(120);

/// A proxy with these limits; its registry answers `answer` after `delay`.
async fn limited(limits: Limits, delay: Duration) -> SocketAddr {
    let upstream = upstream(None, move |_: Request<Incoming>| async move {
        tokio::time::sleep(delay).await;
        Response::new(full("answer"))
    });
    let upstream = format!("http://{}", upstream.await);
    let settings = examples::proxy::ProxySettings {
        timeout: FOREVER,
        ..settings(&upstream)
    };
    let (service, _) = service(&settings);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let never = std::future::pending::<()>();
    tokio::spawn(serve::serve(listener, None, service, limits, never));
    address
}

fn limits() -> Limits {
    Limits {
        connections: 1_000,
        head: HEAD,
        idle: IDLE,
    }
}

/// Waits until the proxy ends a connection.
async fn ended(mut stream: TcpStream) {
    let mut rest = Vec::new();
    // It may be reset.
    let _ = stream.read_to_end(&mut rest).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_ended() {
    let address = limited(limits(), Duration::ZERO).await;
    for begun in ["", "G", "GET / HTTP/1.1\r\nhost: r\r\n"] {
        let start = Instant::now();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        ended(stream).await;
        let took = start.elapsed();
        assert!(took >= HEAD && took <= IDLE + HEAD, "{begun:?}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_requests_is_ended() {
    let address = limited(limits(), Duration::ZERO).await;
    let start = Instant::now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET /v2/ HTTP/1.1\r\nhost: r\r\n\r\n")
        .await
        .unwrap();
    ended(stream).await;
    let took = start.elapsed();
    assert!(took >= HEAD && took <= IDLE + HEAD, "HTTP/1.1: {took:?}");

    let start = Instant::now();
    let stream = TcpStream::connect(address).await.unwrap();
    let executor = TokioExecutor::new();
    let handshake = hyper::client::conn::http2::handshake(executor, TokioIo::new(stream));
    let (mut client, connection) = handshake.await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get(format!("http://{address}/v2/"));
    let answer = client.send_request(request.body(full("")).unwrap()).await;
    assert_eq!(read(answer.unwrap()).await.body(), "answer");
    // The client keeps it open.
    let _ended = connection.await.unwrap();
    drop(client);
    let took = start.elapsed();
    assert!(took >= IDLE && took <= 2 * IDLE, "HTTP/2: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_takes_its_time_costs_no_connection() {
    let address = limited(limits(), IDLE / 2).await;
    for _ in 0..3 {
        let answer = send(get(address, "/v2/")).await;
        assert_eq!(answer.body(), "answer");
    }
}

#[tokio::test]
async fn connections_above_the_limit_wait_and_the_log_says_so() {
    let (captured, _guard) = Captured::all();
    let address = limited(
        Limits {
            connections: 1,
            ..limits()
        },
        Duration::ZERO,
    )
    .await;
    const REQUEST: &[u8] = b"GET /v2/ HTTP/1.1\r\nhost: r\r\n\r\n";
    let mut first = TcpStream::connect(address).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    second.write_all(REQUEST).await.unwrap();
    for _ in 0..3 {
        first.write_all(REQUEST).await.unwrap();
        let mut some = [0; 1024];
        assert!(first.read(&mut some).await.unwrap() > 0);
    }
    let mut some = [0; 1024];
    let nothing = second.try_read(&mut some).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    drop(first);
    assert!(second.read(&mut some).await.unwrap() > 0);

    let lines: Vec<_> = captured.lines().into_iter().map(|line| line.text).collect();
    let said = |it: &&String| it.contains("1 connections are open, as many as --max-connections");
    assert_eq!(lines.iter().filter(said).count(), 1, "{lines:?}");
}

/// More connections than tokio can count, and longer than any process lives.
#[tokio::test]
async fn the_largest_limits_are_taken() {
    let limits = Limits {
        connections: usize::MAX,
        head: HEAD,
        idle: Duration::from_secs(u32::MAX.into()),
    };
    let address = limited(limits, Duration::ZERO).await;
    assert_eq!(send(get(address, "/v2/")).await.status(), 200);
}
