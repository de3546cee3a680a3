//! TLS, HTTP/1.1 and HTTP/2 on both sides.

use std::net::SocketAddr;

use examples::proxy::ProxySettings;
use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use tokio_rustls::TlsAcceptor;
use tower_registry_notifications::sink::Events;

use crate::certificate::Certificate;
use crate::stage::*;

/// Says how it was asked.
async fn echo(request: Request<Incoming>) -> Response<Body> {
    let said = |name: &str| {
        let value = request.headers().get(name);
        value.map_or_else(String::new, |it| it.to_str().unwrap().to_owned())
    };
    let authority = request.uri().authority();
    let host = authority.map_or_else(|| said("host"), ToString::to_string);
    let response = Response::builder()
        .header("x-version", format!("{:?}", request.version()))
        .header("x-host", host)
        .header("x-proto", said("x-forwarded-proto"))
        .header("x-asked-host", said("x-forwarded-host"))
        .header("docker-content-digest", DIGEST);
    response.body(full("manifest")).unwrap()
}

/// Gets a manifest; what the upstream says, and the event's URL.
async fn ask(
    client: &TestClient,
    scheme: &str,
    (address, mut events): (SocketAddr, Events),
) -> (Response<bytes::Bytes>, String) {
    let request = Request::get(format!("{scheme}://{address}{MANIFEST}"));
    let request = request.body(full("")).unwrap();
    let answer = read(client.request(request).await.unwrap()).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["x-proto"], scheme);
    assert_eq!(answer.headers()["x-asked-host"], address.to_string());
    let event = events.recv().await.unwrap().to_event();
    assert_eq!(event.request.host, address.to_string());
    assert!(events.try_recv().is_none());
    let path = format!("/v2/team/app/manifests/{DIGEST}");
    assert_eq!(event.target.url, format!("{scheme}://{address}{path}"));
    (answer, event.target.url.clone())
}

fn only_http1(certificate: &Certificate) -> TlsAcceptor {
    let acceptor = certificate.acceptor();
    let mut config = (**acceptor.config()).clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsAcceptor::from(std::sync::Arc::new(config))
}

#[tokio::test]
async fn clients_may_speak_either_protocol_version() {
    let certificate = Certificate::new();
    let upstream = format!("http://{}", upstream(None, echo).await);
    let plain = settings(&upstream);
    let https = ProxySettings {
        https: true,
        ..plain.clone()
    };
    for (only_http2, version) in [(false, Version::HTTP_11), (true, Version::HTTP_2)] {
        // HTTP/2 without TLS by prior knowledge.
        let client = client(Some(&certificate), only_http2);
        let (answer, _) = ask(&client, "http", proxy(&plain, None).await).await;
        assert_eq!(answer.version(), version);
        assert_eq!(answer.headers()["x-version"], "HTTP/1.1");
    }
    let client = client(Some(&certificate), false);
    let (answer, url) = ask(
        &client,
        "https",
        proxy(&https, Some(certificate.acceptor())).await,
    )
    .await;
    assert_eq!(answer.version(), Version::HTTP_2, "by ALPN");
    assert!(url.starts_with("https://"));
    let acceptor = only_http1(&certificate);
    let (answer, _) = ask(&client, "https", proxy(&https, Some(acceptor)).await).await;
    assert_eq!(answer.version(), Version::HTTP_11, "by ALPN");
}

#[tokio::test]
async fn upstreams_may_speak_either_protocol_version() {
    let certificate = Certificate::new();
    for (acceptor, version) in [
        (certificate.acceptor(), "HTTP/2.0"),
        (only_http1(&certificate), "HTTP/1.1"),
    ] {
        let address = upstream(Some(acceptor), echo).await;
        let upstream = format!("https://{address}");
        let settings = ProxySettings {
            upstream_ca: Some(&certificate.certificate),
            ..settings(&upstream)
        };
        for only_http2 in [false, true] {
            let client = client(None, only_http2);
            let (answer, _) = ask(&client, "http", proxy(&settings, None).await).await;
            assert_eq!(answer.headers()["x-version"], version);
            // By the name in its certificate.
            assert_eq!(answer.headers()["x-host"], address.to_string());
        }
    }
}

#[tokio::test]
async fn an_upstream_must_present_a_trusted_certificate() {
    let (certificate, other) = (Certificate::new(), Certificate::new());
    let address = upstream(Some(certificate.acceptor()), echo).await;
    let upstream = format!("https://{address}");
    for upstream_ca in [None, Some(&*other.certificate)] {
        let settings = ProxySettings {
            upstream_ca,
            ..settings(&upstream)
        };
        let (address, mut events) = proxy(&settings, None).await;
        let answer = send(get(address, MANIFEST)).await;
        assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
        assert!(events.try_recv().is_none());
    }
}

#[tokio::test]
async fn an_upstream_may_have_a_certificate_as_openssl_makes_it() {
    let certificate = Certificate::of_openssl();
    let address = upstream(Some(certificate.acceptor()), echo).await;
    let upstream = format!("https://{address}");
    let settings = ProxySettings {
        upstream_ca: Some(&certificate.certificate),
        ..settings(&upstream)
    };
    let (address, _events) = proxy(&settings, None).await;
    let answer = send(get(address, MANIFEST)).await;
    assert_eq!(answer.status(), StatusCode::OK);
}

#[test]
fn files_that_are_no_certificates_are_named() {
    let certificate = Certificate::new();
    let wrong = |result: Result<TlsAcceptor, tower::BoxError>, file: &std::path::Path| {
        let message = result.err().expect("was taken").to_string();
        assert!(message.contains(file.to_str().unwrap()), "{message}");
    };
    let none = std::path::Path::new("/nowhere/cert.pem");
    wrong(examples::tls::acceptor(none, &certificate.key), none);
    wrong(
        examples::tls::acceptor(&certificate.certificate, none),
        none,
    );
    let key = &certificate.key;
    wrong(examples::tls::acceptor(key, key), key);
}
