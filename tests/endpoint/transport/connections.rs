//! Connections that are reused, closed or half dead, and what is sent on them.

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Version};
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tower::{BoxError, ServiceBuilder, service_fn};
use tower_registry_notifications::Endpoint;
use tower_registry_notifications::endpoint::AddressPolicy;

use super::*;

/// As Go writes them: some receivers look for a header in this case only.
#[tokio::test]
async fn headers_over_http_1_are_in_title_case() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let head = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        String::from_utf8(head).unwrap()
    });
    let endpoint = endpoint(format!("http://127.0.0.1:{port}/events"))
        .header("authorization", "Bearer token")
        .header("x-team-id", "7")
        .sign(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]);
    let notifier = notifier(endpoint);
    write(&notifier, 1).await;
    assert!(notifier.shutdown(MINUTE).await.is_drained());
    let head = head.await.unwrap();
    let names = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "));
    let names: HashSet<_> = names.map(|(name, _)| name).collect();
    for name in [
        "Host",
        "Authorization",
        "Content-Length",
        "Content-Type",
        "User-Agent",
        "Webhook-Id",
        "Webhook-Signature",
        "X-Team-Id",
    ] {
        assert!(names.contains(name), "{name}: {head}");
    }
    assert!(
        names
            .iter()
            .all(|name| name.starts_with(char::is_uppercase)),
        "{head}"
    );
}

/// Accepts TLS connections that reply to pings and, until `repaired`, to no
/// request. The peers of the requests.
async fn half_dead(
    config: Arc<ServerConfig>,
    repaired: watch::Receiver<bool>,
) -> (u16, mpsc::UnboundedReceiver<SocketAddr>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, peers) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let works = *repaired.borrow();
            let (sender, config) = (sender.clone(), config.clone());
            tokio::spawn(async move {
                let acceptor = tokio_rustls::TlsAcceptor::from(config);
                let stream = acceptor.accept(stream).await.unwrap();
                let service = hyper::service::service_fn(move |request: Request<_>| {
                    assert_eq!(request.version(), Version::HTTP_2);
                    let _ = sender.send(peer);
                    drop::<Request<hyper::body::Incoming>>(request);
                    async move {
                        if !works {
                            std::future::pending::<()>().await;
                        }
                        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
                    }
                });
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (port, peers)
}

#[tokio::test]
async fn a_half_dead_connection_of_http_2_is_replaced_after_a_timeout() {
    let authority = Authority::new("private");
    let config = authority.issue("localhost", 4000).server(None, "h2");
    let (repair, repaired) = watch::channel(false);
    let (port, mut peers) = half_dead(config, repaired).await;
    let endpoint = endpoint(format!("https://localhost:{port}/"))
        .root_certificates(authority.pem())
        .timeout(Duration::from_millis(500));
    let notifier = notifier(endpoint);
    write(&notifier, 3).await;
    let first = peers.recv().await.unwrap();
    // What connects from now on works.
    repair.send_replace(true);
    assert!(notifier.shutdown(MINUTE).await.is_drained());
    let rest: Vec<_> = std::iter::from_fn(|| peers.try_recv().ok()).collect();
    assert_eq!(rest.len(), 3, "{rest:?}");
    assert!(rest.iter().all(|peer| *peer == rest[0] && *peer != first));
    let status = status(&notifier);
    assert_eq!((status.successes, status.errors), (3, 1));
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_costs_no_failure() {
    let mut receiver = Receiver::new(Behaviour::Close).await;
    let notifier = notifier(endpoint(receiver.url("http")));
    let mut peers = Vec::new();
    for _ in 0..20 {
        write(&notifier, 1).await;
        peers.push(receiver.next(1).await.remove(0).peer);
        assert!(receiver.ended.recv().await.is_some());
    }
    assert!(notifier.shutdown(MINUTE).await.is_drained());
    let status = status(&notifier);
    assert_eq!(
        (status.successes, status.failures, status.errors),
        (20, 0, 0)
    );
    peers.dedup();
    assert_eq!(peers.len(), 20, "the connections were not closed");
}

#[tokio::test]
async fn a_connection_that_is_closed_while_it_is_used_loses_nothing() {
    let mut receiver = Receiver::new(Behaviour::Close).await;
    let notifier = notifier(endpoint(receiver.url("http")));
    let written = write(&notifier, 50).await;
    assert!(notifier.shutdown(MINUTE).await.is_drained());
    assert_eq!(status(&notifier).successes, 50);
    // The receiver does not read what comes after its answer.
    let seen = receiver.next(50).await.into_iter().map(|it| it.id);
    assert_eq!(seen.collect::<Vec<_>>(), written);
    assert!(receiver.seen.try_recv().is_err(), "posted again");
}

#[tokio::test]
async fn names_are_denied_by_what_they_resolve_to() {
    let deny = AddressPolicy::deny_private;
    let mut receiver = Receiver::new(Behaviour::Http(Answer::default())).await;
    let port = receiver.port;
    for host in ["localhost", "127.1", "0x7f.1", "2130706433"] {
        let url = format!("http://{host}:{port}/");
        let notifier = notifier(endpoint(url).addresses(deny()));
        write(&notifier, 1).await;
        let failing = until(&notifier, |it| it.errors > 2).await;
        let error = failing.last_error.unwrap();
        let words = format!("the address policy denies {host}");
        assert!(error.ends_with(&words), "{error}");
        assert_eq!(notifier.shutdown(Duration::ZERO).await.left[0].events(), 1);
    }
    assert!(receiver.seen.try_recv().is_err());
    for host in ["localhost", "127.0.0.1", "127.1", "[::ffff:127.0.0.1]"] {
        let policy = deny().allow(["127.0.0.0/8", "::1"]).unwrap();
        let url = format!("http://{host}:{port}/");
        let notifier = notifier(endpoint(url).addresses(policy));
        write(&notifier, 1).await;
        assert_eq!(receiver.next(1).await.len(), 1);
        assert!(notifier.shutdown(MINUTE).await.is_drained());
        assert_eq!(status(&notifier).errors, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn layers_stand_around_the_client_and_inside_of_the_timeout() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let requests = seen.clone();
    let client = service_fn(move |request: Request<Bytes>| {
        let order = request.headers()["x-order"].to_str().unwrap().to_owned();
        requests.lock().unwrap().push(order);
        async { Ok::<_, BoxError>(Response::new(Full::from("answer"))) }
    });
    let mark = |name: &'static str| {
        let answers = seen.clone();
        ServiceBuilder::new()
            .map_request(move |mut request: Request<Bytes>| {
                let before = request.headers().get("x-order");
                let before = before.map_or("", |it| it.to_str().unwrap());
                let order = HeaderValue::try_from(format!("{before}{name}")).unwrap();
                request.headers_mut().insert("x-order", order);
                request
            })
            .map_response(move |answer: Response<Bytes>| {
                assert_eq!(answer.body(), "answer");
                answers.lock().unwrap().push(format!("answer {name}"));
                answer
            })
    };
    let hang = Arc::new(Mutex::new(true));
    let hangs_once = ServiceBuilder::new().map_future(move |answer| {
        let hang = std::mem::replace(&mut *hang.lock().unwrap(), false);
        async move {
            if hang {
                std::future::pending::<()>().await;
            }
            answer.await
        }
    });
    let endpoint = Endpoint::new("e", "http://receiver")
        .layer(mark("a"))
        .layer(mark("b"))
        .layer(hangs_once)
        .layer(ServiceBuilder::new().concurrency_limit(1))
        .client(client);
    let notifier = notifier(endpoint);
    write(&notifier, 1).await;
    assert!(notifier.shutdown(MINUTE).await.is_drained());
    assert_eq!(*seen.lock().unwrap(), ["ba", "answer a", "answer b"]);
    assert_eq!(
        (status(&notifier).successes, status(&notifier).errors),
        (1, 1)
    );
}
