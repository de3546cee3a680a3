//! Responses that are lost between registry and proxy: of a request that may
//! have changed the registry, the layer learns that nobody knows.

use std::net::SocketAddr;

use examples::proxy::{Proxy, ProxyBody};
use http::{Method, Request, Response, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tower_registry_notifications::layer::ResponseFacts;

use crate::stage::*;

const CHANGES: [Method; 4] = [Method::PUT, Method::POST, Method::PATCH, Method::DELETE];
const READS: [Method; 2] = [Method::GET, Method::HEAD];

fn forward(upstream: &str, method: &Method, body: Body) -> JoinHandle<Response<ProxyBody>> {
    let proxy = Proxy::new(&settings(upstream)).unwrap();
    let request = Request::builder().method(method).uri(MANIFEST);
    let response = proxy.forward(request.body(body).unwrap());
    tokio::spawn(async { response.await.unwrap() })
}

/// A body that the method may have.
fn body(method: &Method) -> Body {
    match *method {
        Method::PUT | Method::PATCH => full("content"),
        _ => full(""),
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Accepts a connection and reads the head of a request.
async fn request_head(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream
}

#[track_caller]
fn assert_lost(response: &Response<ProxyBody>, status: StatusCode, method: &Method, unknown: bool) {
    assert_eq!(response.status(), status, "{method}");
    let facts = response.extensions().get::<ResponseFacts>().cloned();
    let wanted = ResponseFacts::new().outcome_unknown(unknown);
    assert_eq!(facts, Some(wanted), "{method}");
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_the_outcome_of_a_change_unknown() {
    let (listener, address) = listen().await;
    for sent in [
        "",
        "HTTP/1.1 201 Cre",
        "HTTP/1.1 201 Created\r\nlocation: /v2",
    ] {
        for method in CHANGES.iter().chain(&READS) {
            let response = forward(&format!("http://{address}"), method, body(method));
            let mut stream = request_head(&listener).await;
            stream.write_all(sent.as_bytes()).await.unwrap();
            drop(stream);
            let response = response.await.unwrap();
            let unknown = CHANGES.contains(method);
            assert_lost(&response, StatusCode::BAD_GATEWAY, method, unknown);
        }
    }
}

#[tokio::test]
async fn a_request_that_was_sent_in_part_may_have_acted() {
    let (listener, address) = listen().await;
    let large = full(vec![0; 64 << 20]);
    let response = forward(&format!("http://{address}"), &Method::PUT, large);
    drop(request_head(&listener).await);
    let response = response.await.unwrap();
    assert_lost(&response, StatusCode::BAD_GATEWAY, &Method::PUT, true);
}

#[tokio::test]
async fn a_response_that_is_late_leaves_the_outcome_of_a_change_unknown() {
    let (listener, address) = listen().await;
    for method in CHANGES.iter().chain(&READS) {
        let response = forward(&format!("http://{address}"), method, body(method));
        let _silent = request_head(&listener).await;
        tokio::time::pause();
        let response = response.await.unwrap();
        tokio::time::resume();
        let unknown = CHANGES.contains(method);
        assert_lost(&response, StatusCode::GATEWAY_TIMEOUT, method, unknown);
    }
}

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_has_not_acted() {
    let (gone, address) = listen().await;
    drop(gone);
    for method in CHANGES.iter().chain(&READS) {
        let response = forward(&format!("http://{address}"), method, body(method));
        let response = response.await.unwrap();
        assert_lost(&response, StatusCode::BAD_GATEWAY, method, false);
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_agrees_on_no_tls_has_not_acted() {
    let (_silent, address) = listen().await;
    for method in CHANGES.iter().chain(&READS) {
        let response = forward(&format!("https://{address}"), method, body(method));
        let response = response.await.unwrap();
        assert_lost(&response, StatusCode::GATEWAY_TIMEOUT, method, false);
    }
}

#[tokio::test]
async fn of_a_response_of_the_registry_nothing_is_stated() {
    let (listener, address) = listen().await;
    for status in [201, 502, 504] {
        let response = forward(&format!("http://{address}"), &Method::PUT, full("x"));
        let mut stream = request_head(&listener).await;
        let head = format!("HTTP/1.1 {status} Status\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let response = response.await.unwrap();
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(response.status(), status);
        let facts = response.extensions().get::<ResponseFacts>();
        assert_eq!(facts, None, "{status}: the layer judges by it");
    }
}
