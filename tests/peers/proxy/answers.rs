//! What the client gets: the upstream's answer, or why there is none.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use crate::stage::*;

/// It is an error as the distribution spec words it.
fn assert_refused(answer: &Response<Bytes>, status: StatusCode) {
    assert_eq!(answer.status(), status);
    assert_eq!(answer.headers()["content-type"], "application/json");
    let error: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(error["errors"][0]["code"], "UNAVAILABLE");
}

/// Five frames, each later than an answer may be.
fn slow() -> Body {
    let frames = futures_util::stream::iter(0..5).then(async |_| {
        sleep(PATIENCE + Duration::from_secs(10)).await;
        Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"part")))
    });
    StreamBody::new(frames).map_err(Into::into).boxed_unsync()
}

fn upload(address: SocketAddr, body: Body) -> Request<Body> {
    let uri = format!("http://{address}{UPLOAD}?digest={DIGEST}");
    Request::put(uri).body(body).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_upstream_s_time_begins_when_the_request_has_ended() {
    let (address, mut events) = before(PATIENCE, async |request: Request<Incoming>| {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body.len(), 20);
        std::future::pending().await
    })
    .await;
    let start = Instant::now();
    let answer = send(upload(address, slow())).await;
    assert_refused(&answer, StatusCode::GATEWAY_TIMEOUT);
    let took = start.elapsed();
    let wanted = Duration::from_secs(5 * 70) + PATIENCE;
    assert!(
        took >= wanted && took < wanted + Duration::from_secs(1),
        "{took:?}"
    );
    assert!(events.try_recv().is_none());
}

#[tokio::test(start_paused = true)]
async fn an_upload_may_take_longer_than_an_answer() {
    let (address, mut events) = before(PATIENCE, async |request: Request<Incoming>| {
        request.into_body().collect().await.unwrap();
        sleep(PATIENCE - Duration::from_secs(1)).await;
        let response = Response::builder().status(StatusCode::CREATED);
        response.body(full("")).unwrap()
    })
    .await;
    let answer = send(upload(address, slow())).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert!(events.try_recv().is_some());
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_stops_reading_times_out() {
    let (address, _events) = before(PATIENCE, async |request: Request<Incoming>| {
        let _unread = request;
        std::future::pending().await
    })
    .await;
    let endless = futures_util::stream::repeat_with(|| {
        Ok::<_, Infallible>(Frame::data(Bytes::from(vec![0; 64 << 10])))
    });
    let endless = StreamBody::new(endless).map_err(Into::into).boxed_unsync();
    let client = client(None, false);
    // The client may see the answer, or that nobody takes its body any more.
    if let Ok(answer) = client.request(upload(address, endless)).await {
        assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    }
}

/// Accepts, and says nothing, not even over TLS.
#[tokio::test(start_paused = true)]
async fn an_upstream_that_sends_nothing_times_out() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for scheme in ["http", "https"] {
        let upstream = format!("{scheme}://{}", silent.local_addr().unwrap());
        let (address, _events) = proxy(&settings(&upstream), None).await;
        let answer = send(get(address, MANIFEST)).await;
        assert_refused(&answer, StatusCode::GATEWAY_TIMEOUT);
    }
}

#[tokio::test]
async fn an_unreachable_upstream_is_reported() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let (address, mut events) = proxy(&settings(&upstream), None).await;
    let answer = send(get(address, MANIFEST)).await;
    assert_refused(&answer, StatusCode::BAD_GATEWAY);
    assert!(events.try_recv().is_none());
}

#[tokio::test]
async fn a_redirect_to_a_storage_is_passed_on() {
    const STORAGE: &str = "https://storage.example/blob?signature=x";
    let (address, mut events) = before(PATIENCE, async |request: Request<Incoming>| {
        // The layer looks what size the blob has.
        let response = match request.method() {
            &http::Method::HEAD => Response::builder().header("content-length", "9"),
            _ => Response::builder().status(307).header("location", STORAGE),
        };
        let response = response.header("docker-content-digest", DIGEST);
        response
            .header("content-type", "a/b")
            .body(full(""))
            .unwrap()
    })
    .await;
    let answer = send(get(address, BLOB)).await;
    assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(answer.headers()["location"], STORAGE);
    assert_eq!(events.recv().await.unwrap().length(), 9);
}

#[tokio::test]
async fn locations_lead_back_through_the_proxy() {
    let (address, _events) = before(PATIENCE, async |request: Request<Incoming>| {
        let own = request.headers()["x-own-address"].to_str().unwrap();
        let location = match request.uri().path() {
            "/v2/relative" => "/v2/there?x=y".into(),
            // What it makes of the Host that it is asked by.
            "/v2/host" => {
                let host = request.headers()["host"].to_str().unwrap();
                format!("http://{host}/v2/there?x=y")
            }
            _ => format!("{own}/v2/there?x=y"),
        };
        let response = Response::builder().status(202).header("location", location);
        response.body(full("")).unwrap()
    })
    .await;
    // The upstream's own address is not known before it is there.
    let (second, _events) = {
        let upstream = format!("http://{address}");
        proxy(&settings(&upstream), None).await
    };
    for (path, wanted) in [
        ("/v2/relative", "/v2/there?x=y".to_owned()),
        ("/v2/host", format!("http://{second}/v2/there?x=y")),
        ("/v2/own", format!("http://{second}/v2/there?x=y")),
    ] {
        let mut request = get(second, path);
        let own = format!("http://{address}").parse().unwrap();
        request.headers_mut().insert("x-own-address", own);
        let answer = send(request).await;
        assert_eq!(answer.headers()["location"], wanted, "{path}");
    }
}

#[tokio::test]
async fn headers_of_one_connection_stay_there() {
    let (address, _events) = before(PATIENCE, async |request: Request<Incoming>| {
        let headers = request.headers();
        for name in ["x-hop", "keep-alive", "te", "upgrade", "proxy-connection"] {
            assert!(!headers.contains_key(name), "{name}");
        }
        assert_eq!(headers["x-end"], "to end");
        assert_eq!(headers["via"], "1.1 tower-registry-notifications");
        assert_eq!(headers["authorization"], "Bearer token");
        let response = Response::builder()
            .header("connection", "x-hop, keep-alive")
            .header("x-hop", "here only")
            .header("keep-alive", "timeout=5")
            .header("x-end", "to end")
            .header(
                "www-authenticate",
                r#"Bearer realm="https://auth.example/token""#,
            );
        response.body(full("")).unwrap()
    })
    .await;
    let mut request = get(address, MANIFEST);
    for (name, value) in [
        ("connection", "x-hop, te, upgrade"),
        ("x-hop", "here only"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("upgrade", "websocket"),
        ("proxy-connection", "keep-alive"),
        ("x-end", "to end"),
        ("authorization", "Bearer token"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let answer = send(request).await;
    assert_eq!(answer.status(), StatusCode::OK);
    for name in ["x-hop", "keep-alive"] {
        assert!(!answer.headers().contains_key(name), "{name}");
    }
    assert_eq!(answer.headers()["x-end"], "to end");
    assert_eq!(
        answer.headers()["www-authenticate"],
        r#"Bearer realm="https://auth.example/token""#
    );
}

/// What a client says of itself counts only if a proxy before ours says it.
#[tokio::test]
async fn the_upstream_learns_the_client_s_address() {
    let echo = async |request: Request<Incoming>| {
        let mut response = Response::new(full(""));
        for (name, value) in request.headers() {
            response.headers_mut().append(name, value.clone());
        }
        response
    };
    let upstream = format!("http://{}", upstream(None, echo).await);
    for trust_forwarded in [false, true] {
        let settings = examples::proxy::ProxySettings {
            trust_forwarded,
            ..settings(&upstream)
        };
        let (address, _events) = proxy(&settings, None).await;
        let mut request = get(address, "/v2/");
        for (name, value) in [
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-host", "registry.example"),
            ("x-forwarded-proto", "https"),
            ("x-real-ip", "192.0.2.2"),
            ("forwarded", "for=192.0.2.3"),
        ] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let answer = send(request).await;
        let said = |name: &str| {
            let values = answer.headers().get_all(name).iter();
            let values: Vec<_> = values.map(|value| value.to_str().unwrap()).collect();
            values.join(", ")
        };
        let host = address.to_string();
        assert_eq!(said("host"), host);
        if trust_forwarded {
            assert_eq!(said("x-forwarded-for"), "192.0.2.1, 127.0.0.1");
            assert_eq!(said("x-forwarded-host"), "registry.example");
            assert_eq!(said("x-forwarded-proto"), "https");
        } else {
            assert_eq!(said("x-forwarded-for"), "127.0.0.1");
            assert_eq!(said("x-forwarded-host"), host);
            assert_eq!(said("x-forwarded-proto"), "http");
            assert_eq!(said("x-real-ip") + &said("forwarded"), "");
        }
    }
}
