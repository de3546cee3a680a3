//! Heads of requests and responses: what is removed, what is passed on, and how
//! large they may be.

use std::sync::{Arc, Mutex};

use examples::serve::REQUEST_HEADERS;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::certificate::Certificate;
use crate::stage::*;

/// `admin:guess`
const GUESS: &str = "Basic YWRtaW46Z3Vlc3M=";

/// Sends a request with these headers; what the registry got of
/// `Authorization`, and the actor of the event.
async fn asked_with(headers: &[(&'static str, &str)]) -> (Vec<HeaderValue>, String) {
    let seen = Arc::new(Mutex::new(HeaderMap::new()));
    let got = seen.clone();
    let (address, mut events) = before(PATIENCE, move |request: Request<Incoming>| {
        got.lock().unwrap().clone_from(request.headers());
        async { Response::new(full("manifest")) }
    })
    .await;
    let mut request = get(address, MANIFEST);
    for (name, value) in headers {
        let value = value.parse().unwrap();
        request.headers_mut().append(*name, value);
    }
    assert_eq!(send(request).await.status(), StatusCode::OK);
    let event = events.recv().await.unwrap().to_event();
    let seen = seen.lock().unwrap();
    assert!(!seen.contains_key("connection"));
    let values = seen.get_all("authorization").iter().cloned().collect();
    (values, event.actor.name.clone())
}

#[tokio::test]
async fn authorization_that_connection_names_reaches_neither_layer_nor_registry() {
    let basic = ("authorization", GUESS);
    for connection in ["Authorization", "keep-alive, AUTHORIZATION"] {
        let asked = asked_with(&[basic, ("connection", connection)]).await;
        assert_eq!(asked, (Vec::new(), String::new()));
    }
    let asked = asked_with(&[basic, ("connection", "keep-alive")]).await;
    let passed = vec![HeaderValue::from_static(GUESS)];
    assert_eq!(asked, (passed, "admin".to_owned()));
}

#[tokio::test]
async fn two_authorization_headers_are_passed_on_and_name_nobody() {
    let second = "Basic bWFsbG9yeTp4";
    let asked = asked_with(&[("authorization", GUESS), ("authorization", second)]).await;
    let passed = [GUESS, second].map(HeaderValue::from_static).to_vec();
    assert_eq!(asked, (passed, String::new()));
}

/// Accepts all tags that a push asks for, and names each in a header.
async fn accept_tags(request: Request<Incoming>) -> Response<Body> {
    let query = request.uri().query().unwrap().to_owned();
    let mut response = Response::builder().status(StatusCode::CREATED);
    for tag in query.split('&') {
        response = response.header("oci-tag", tag.strip_prefix("tag=").unwrap());
    }
    response.body(full("")).unwrap()
}

#[tokio::test]
async fn a_push_with_150_tags_passes_with_150_events() {
    // As long as a tag may be, so that they are more than hyper's default for HTTP/2.
    let tags: Vec<_> = (0..150).map(|n| format!("{n:0>128}")).collect();
    let query = tags.iter().map(|tag| format!("tag={tag}"));
    let query = query.collect::<Vec<_>>().join("&");
    let certificate = Certificate::new();
    for tls in [false, true] {
        let acceptor = tls.then(|| certificate.acceptor());
        let scheme = if tls { "https" } else { "http" };
        let upstream = format!("{scheme}://{}", upstream(acceptor, accept_tags).await);
        let settings = examples::proxy::ProxySettings {
            upstream_ca: Some(&certificate.certificate),
            ..settings(&upstream)
        };
        for only_http2 in [false, true] {
            let (address, mut events) = proxy(&settings, None).await;
            let uri = format!("http://{address}/v2/team/app/manifests/{DIGEST}?{query}");
            let push = Request::put(uri).header("content-type", "a/b");
            let push = push.body(full("{}")).unwrap();
            let answer = client(None, only_http2).request(push).await.unwrap();
            assert_eq!(answer.status(), StatusCode::CREATED);
            let accepted = answer.headers().get_all("oci-tag");
            assert!(accepted.iter().eq(&tags), "{accepted:?}");
            let told = std::iter::from_fn(|| events.try_recv()).map(|event| event.to_event());
            let mut told: Vec<_> = told.map(|event| event.target.tag.clone()).collect();
            told.sort();
            assert_eq!(told, tags);
        }
    }
}

#[tokio::test]
async fn requests_with_many_headers_pass_up_to_a_bound() {
    let (address, _events) = before(PATIENCE, async |request: Request<Incoming>| {
        let many = request.headers().get_all("x-many").iter().count();
        Response::new(full(many.to_string()))
    })
    .await;
    for (many, status) in [(150, 200), (REQUEST_HEADERS, 431)] {
        let mut request = get(address, "/v2/");
        for n in 0..many {
            request.headers_mut().append("x-many", n.into());
        }
        let answer = send(request).await;
        assert_eq!(answer.status(), status);
        if status == 200 {
            assert_eq!(answer.body(), "150");
        }
    }
}

#[tokio::test]
async fn a_request_of_http_1_0_without_a_host_has_a_relative_url() {
    let (address, mut events) = before(PATIENCE, async |request: Request<Incoming>| {
        assert_eq!(request.headers()["via"], "1.0 tower-registry-notifications");
        let response = Response::builder().header("docker-content-digest", DIGEST);
        response.body(full("manifest")).unwrap()
    })
    .await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET {MANIFEST} HTTP/1.0\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    let event = events.recv().await.unwrap().to_event();
    assert_eq!(event.request.host, "");
    let path = format!("/v2/team/app/manifests/{DIGEST}");
    assert_eq!(event.target.url, path);
}

#[tokio::test]
async fn a_scheme_of_http2_that_is_not_of_the_web_makes_a_relative_url() {
    let (address, mut events) = before(PATIENCE, async |_: Request<Incoming>| {
        let response = Response::builder().header("docker-content-digest", DIGEST);
        response.body(full("manifest")).unwrap()
    })
    .await;
    let path = format!("/v2/team/app/manifests/{DIGEST}");
    for (scheme, base) in [
        ("http", format!("http://{address}")),
        ("ftp", String::new()),
    ] {
        let stream = TcpStream::connect(address).await.unwrap();
        let executor = TokioExecutor::new();
        let handshake = hyper::client::conn::http2::handshake(executor, TokioIo::new(stream));
        let (mut client, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        let request = Request::get(format!("{scheme}://{address}{MANIFEST}"));
        let answer = client.send_request(request.body(full("")).unwrap()).await;
        let answer = read(answer.unwrap()).await;
        assert_eq!(
            (answer.status(), answer.version()),
            (StatusCode::OK, Version::HTTP_2)
        );
        let event = events.recv().await.unwrap().to_event();
        assert_eq!(event.request.host, address.to_string());
        assert_eq!(event.target.url, format!("{base}{path}"));
    }
}

/// The layer's author may read headers as well.
#[test]
fn headers_named_by_connection_are_removed_before_the_layer() {
    let request = Request::get(MANIFEST)
        .header("authorization", GUESS)
        .header("connection", "close, Authorization")
        .header("x-end", "to end");
    let request = examples::proxy::end_to_end(request.body(()).unwrap());
    assert_eq!(request.headers().len(), 1);
    assert_eq!(request.headers()["x-end"], "to end");
}

#[tokio::test]
async fn locations_lead_back_to_the_first_of_a_list_of_hosts() {
    let (address, _events) = before(PATIENCE, async |request: Request<Incoming>| {
        let own = request.headers()["x-own-address"].to_str().unwrap();
        let location = format!("http://{own}/v2/there");
        let response = Response::builder().status(202).header("location", location);
        response.body(full("")).unwrap()
    })
    .await;
    let upstream = format!("http://{address}");
    let settings = examples::proxy::ProxySettings {
        trust_forwarded: true,
        ..settings(&upstream)
    };
    let (proxy, _events) = proxy(&settings, None).await;
    let mut request = get(proxy, "/v2/");
    for (name, value) in [
        ("x-own-address", &*address.to_string()),
        ("x-forwarded-host", "r.example, inner"),
        ("x-forwarded-proto", "https, http"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let answer = send(request).await;
    assert_eq!(answer.headers()["location"], "https://r.example/v2/there");
}

/// Reads one head from a connection.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn the_case_of_header_names_is_preserved_both_ways() {
    let registry = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", registry.local_addr().unwrap());
    let (proxy, _events) = proxy(&settings(&upstream), None).await;
    let mut client = TcpStream::connect(proxy).await.unwrap();
    let request = "GET /v2/ HTTP/1.1\r\nHOST: r\r\nauthorization: Basic x\r\nX-oDD-cAse: 1\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let (mut stream, _) = registry.accept().await.unwrap();
    let asked = head(&mut stream).await;
    for line in ["HOST: r", "authorization: Basic x", "X-oDD-cAse: 1"] {
        assert!(asked.contains(&format!("\r\n{line}\r\n")), "{asked}");
    }
    // What the proxy adds is written as Go does.
    assert!(
        asked.contains("\r\nX-Forwarded-For: 127.0.0.1\r\n"),
        "{asked}"
    );
    let answer = "HTTP/1.1 200 OK\r\nDocker-Distribution-Api-Version: registry/2.0\r\n\
                  etag: \"1\"\r\nX-oDD-cAse: 2\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(answer.as_bytes()).await.unwrap();
    let answered = head(&mut client).await;
    for line in [
        "Docker-Distribution-Api-Version: registry/2.0",
        "etag: \"1\"",
        "X-oDD-cAse: 2",
        "Content-Length: 0",
    ] {
        assert!(answered.contains(&format!("\r\n{line}\r\n")), "{answered}");
    }
}

/// Over HTTP/2 names are in lower case, so a client of HTTP/1.1 gets those of Go.
#[tokio::test]
async fn header_names_from_http_2_are_in_title_case() {
    let certificate = Certificate::new();
    let answer = async |_: Request<Incoming>| {
        let response =
            Response::builder().header("docker-distribution-api-version", "registry/2.0");
        response.body(full("")).unwrap()
    };
    let upstream = upstream(Some(certificate.acceptor()), answer).await;
    let upstream = format!("https://{upstream}");
    let settings = examples::proxy::ProxySettings {
        upstream_ca: Some(&certificate.certificate),
        ..settings(&upstream)
    };
    let (proxy, _events) = proxy(&settings, None).await;
    let mut client = TcpStream::connect(proxy).await.unwrap();
    let request = b"GET /v2/ HTTP/1.1\r\nhost: r\r\n\r\n";
    client.write_all(request).await.unwrap();
    let answered = head(&mut client).await;
    assert!(
        answered.contains("\r\nDocker-Distribution-Api-Version: registry/2.0\r\n"),
        "{answered}"
    );
}
