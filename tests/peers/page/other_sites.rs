//! What other sites can read and change.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpListener;
use tower_registry_notifications::Endpoint;

use crate::chromium::Chromium;
use crate::common;
use crate::stage::{SECOND, Stage, request};

/// A page of another site, in the same browser.
async fn other_site() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = hyper::service::service_fn(async |_| {
                let response = Response::builder().header("content-type", "text/html");
                let response = response.body(Full::<Bytes>::from("<p>another site"));
                Ok::<_, Infallible>(response.unwrap())
            });
            tokio::spawn(async move {
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                // A browser that closes a connection is no concern of the test.
                let _ = server.serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn other_sites_neither_read_nor_change_anything() {
    let (port, _received) = common::receiver(Box::new(|_| Response::builder().status(422))).await;
    let url = format!("http://127.0.0.1:{port}/events");
    let stage = Stage::new(vec![Endpoint::new("scanner", url)], true).await;
    stage.push("v1", "alice").await;
    let mut browser = Chromium::start("rebound.example").await;
    browser.open(&stage.url()).await;
    browser
        .until("document.querySelectorAll('#letters tr').length === 1")
        .await;

    let site = other_site().await;
    browser
        .open(&format!("http://localhost:{}/", site.port()))
        .await;
    let page = stage.url();
    // Nor does it hold a stream of events open.
    let outcome = browser
        .eval(&format!(
            "fetch('{page}debug/events', {{ mode: 'no-cors' }}).then((it) => it.text()).then((it) => it.length, (error) => error.name)"
        ))
        .await;
    println!("another site's stream of events came to {outcome}");
    for options in [
        "{ method: 'POST', mode: 'no-cors' }",
        "{ method: 'POST', mode: 'no-cors', credentials: 'include', body: 'x' }",
        "{ method: 'POST', headers: { 'x-notifications-admin': '1' } }",
        "{ method: 'GET' }",
    ] {
        let outcome = browser
            .eval(&format!(
                "fetch('{page}admin/letters/purge', {options}).then((it) => it.type, (error) => error.name)"
            ))
            .await;
        println!("another site's fetch with {options} came to {outcome}");
        assert!(
            ["opaque", "TypeError"].contains(&outcome.as_str().unwrap()),
            "{options}: {outcome}"
        );
    }
    // Another name for this machine is the same origin as itself: the server refuses it.
    let rebound = format!("http://rebound.example:{}/", stage.page.port());
    let text = browser.open(&rebound).await;
    assert!(
        text.contains("not served under the name rebound.example"),
        "{text}"
    );
    let outcome = browser
        .eval(
            "fetch('/admin/letters/purge', { method: 'POST', headers: { 'x-notifications-admin': '1' } }) \
             .then((it) => it.status)",
        )
        .await;
    assert_eq!(outcome, 403);
    println!("saw under another name: {text}");
    let letters = request(&stage, Method::GET, "debug/letters", &[]).await;
    let letters: Value = serde_json::from_str(&letters.1).unwrap();
    assert_eq!(letters["letters"].as_array().unwrap().len(), 1);
    stage.notifier.shutdown(SECOND).await;
}

/// What old browsers and programs send, which no browser of today does.
#[tokio::test]
async fn a_change_needs_the_header_and_may_come_from_no_other_origin() {
    let admin = ("x-notifications-admin", "1");
    let (writable, read_only) = (
        Stage::new(vec![], true).await,
        Stage::new(vec![], false).await,
    );
    let own = format!("http://{}", writable.page);
    let wanted = StatusCode::NO_CONTENT;
    for (headers, status) in [
        (&[admin][..], wanted),
        (&[admin, ("origin", &own)], wanted),
        (&[admin, ("sec-fetch-site", "same-origin")], wanted),
        (&[], StatusCode::FORBIDDEN),
        (&[("origin", &own)], StatusCode::FORBIDDEN),
        (
            &[admin, ("origin", "http://evil.example")],
            StatusCode::FORBIDDEN,
        ),
        (&[admin, ("origin", "null")], StatusCode::FORBIDDEN),
        (
            &[admin, ("sec-fetch-site", "same-site")],
            StatusCode::FORBIDDEN,
        ),
        (
            &[admin, ("sec-fetch-site", "cross-site")],
            StatusCode::FORBIDDEN,
        ),
        (&[admin, ("sec-fetch-site", "none")], StatusCode::FORBIDDEN),
        (&[admin, ("host", "evil.example")], StatusCode::FORBIDDEN),
        (
            &[admin, ("host", "127.0.0.1.evil.example:80")],
            StatusCode::FORBIDDEN,
        ),
        (
            &[admin, ("host", "evil.example@127.0.0.1")],
            StatusCode::BAD_REQUEST,
        ),
    ] {
        let got = request(&writable, Method::POST, "admin/letters/send", headers).await;
        assert_eq!(got.0, status, "{headers:?}: {}", got.1);
        let got = request(&read_only, Method::POST, "admin/letters/send", headers).await;
        assert!(got.0.is_client_error(), "{headers:?}: {}", got.1);
    }
    for (headers, status) in [
        (&[][..], StatusCode::OK),
        (&[("sec-fetch-site", "none")], StatusCode::OK),
        (&[("sec-fetch-site", "same-origin")], StatusCode::OK),
        (&[("sec-fetch-site", "cross-site")], StatusCode::FORBIDDEN),
        (&[("sec-fetch-site", "same-site")], StatusCode::FORBIDDEN),
        (
            &[
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "no-cors"),
            ],
            StatusCode::FORBIDDEN,
        ),
        // A link that somebody follows.
        (
            &[
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "navigate"),
            ],
            StatusCode::OK,
        ),
    ] {
        for path in ["", "debug/notifications", "debug/letters"] {
            let got = request(&read_only, Method::GET, path, headers).await;
            assert_eq!(got.0, status, "{path} {headers:?}: {}", got.1);
        }
    }
    for (path, status) in [
        ("admin/letters/burn", StatusCode::NOT_FOUND),
        ("admin/letters/7/send", StatusCode::NOT_FOUND),
        ("admin/letters/7/burn", StatusCode::NOT_FOUND),
        ("admin/endpoints/none/enable", StatusCode::NOT_FOUND),
    ] {
        let got = request(&writable, Method::POST, path, &[admin]).await;
        assert_eq!(got.0, status, "{path}: {}", got.1);
    }
    // Prometheus scrapes by any name, and what it gets names no repository.
    let scraped = request(
        &writable,
        Method::GET,
        "metrics",
        &[("host", "registry:5080")],
    )
    .await;
    assert_eq!(scraped.0, StatusCode::OK);
    let refused = request(
        &writable,
        Method::GET,
        "debug/events",
        &[("host", "registry:5080")],
    )
    .await;
    assert_eq!(refused.0, StatusCode::FORBIDDEN);
}
