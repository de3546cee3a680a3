use std::convert::Infallible;
use std::future::{pending, ready};
use std::sync::Mutex;
use std::time::Duration;

use tokio::io::DuplexStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tower::service_fn;

use super::super::idle::IDLE;
use super::super::transport::Transport;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// What a receiver does with its connections.
#[derive(Clone, Copy, PartialEq)]
enum Behaviour {
    Answers,
    /// Closes each connection after the first response.
    Closes,
    /// Never responds on its first connection.
    HangsAtFirst,
}

/// A client, and the receiver's connections: each resolves when it has ended.
fn client(conduct: Behaviour) -> (Transport, Arc<Mutex<Vec<JoinHandle<()>>>>) {
    let connections = Arc::<Mutex<Vec<_>>>::default();
    let opened = connections.clone();
    let connector = service_fn(move |_: Uri| {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let mut opened = opened.lock().unwrap();
        let hangs = conduct == Behaviour::HangsAtFirst && opened.is_empty();
        opened.push(tokio::spawn(serve(theirs, conduct, hangs)));
        ready(Ok::<_, BoxError>(Watched::new(ours, false)))
    });
    let client = Connections::new(connector, Proxies::default());
    (Transport::Direct(Arc::new(client)), connections)
}

async fn serve(stream: DuplexStream, conduct: Behaviour, hangs: bool) {
    let service = hyper::service::service_fn(move |_| async move {
        if hangs {
            pending::<()>().await;
        }
        // Not at once, so that requests can overlap.
        tokio::time::sleep(SECOND / 10).await;
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let _ended = hyper::server::conn::http1::Builder::new()
        .keep_alive(conduct != Behaviour::Closes)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn post(client: &Transport) -> Result<(), BoxError> {
    let request = Request::post("http://receiver/")
        .body(Bytes::new())
        .unwrap();
    let response = client.clone().send(request, None).await?;
    assert_eq!(response.status(), 200);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn requests_in_a_row_share_a_connection_and_requests_at_a_time_do_not() {
    let (client, connections) = client(Behaviour::Answers);
    for _ in 0..9 {
        post(&client).await.unwrap();
    }
    assert_eq!(connections.lock().unwrap().len(), 1);
    for _ in 0..3 {
        let (one, two, three) = tokio::join!(post(&client), post(&client), post(&client));
        one.and(two).and(three).unwrap();
    }
    assert_eq!(connections.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_after_a_while() {
    let (mut client, connections) = client(Behaviour::Answers);
    post(&client).await.unwrap();
    let is_open = || !connections.lock().unwrap()[0].is_finished();
    // It is used once more, which counts from the beginning.
    for _ in 0..2 {
        assert!(timeout(IDLE - SECOND, client.watch()).await.is_err());
        assert!(is_open());
        post(&client).await.unwrap();
    }
    assert!(timeout(IDLE + SECOND, client.watch()).await.is_err());
    assert!(!is_open());
    post(&client).await.unwrap();
    assert_eq!(connections.lock().unwrap().len(), 2);
}

/// Whether somebody looks after the idle connections or not.
#[tokio::test(start_paused = true)]
async fn a_connection_that_the_receiver_closed_is_replaced() {
    for watched in [false, true] {
        let (mut client, connections) = client(Behaviour::Closes);
        for _ in 0..9 {
            post(&client).await.unwrap();
            if watched {
                assert!(timeout(SECOND, client.watch()).await.is_err());
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(connections.lock().unwrap().len(), 9);
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_dropped_closes_its_connection() {
    let (client, connections) = client(Behaviour::HangsAtFirst);
    assert!(timeout(SECOND, post(&client)).await.is_err());
    let other = tokio::spawn(ready(()));
    let first = std::mem::replace(&mut connections.lock().unwrap()[0], other);
    timeout(SECOND, first).await.expect("still open").unwrap();
    for _ in 0..2 {
        timeout(SECOND, post(&client)).await.unwrap().unwrap();
    }
    assert_eq!(connections.lock().unwrap().len(), 2);
}

/// What a client leaves behind is closed, so that a receiver is not kept waiting.
#[tokio::test(start_paused = true)]
async fn a_client_that_is_dropped_closes_its_connections() {
    let (client, connections) = client(Behaviour::Answers);
    post(&client).await.unwrap();
    drop(client);
    let connection = connections.lock().unwrap().remove(0);
    timeout(SECOND, connection)
        .await
        .expect("still open")
        .unwrap();
}

#[test]
fn a_url_without_a_host_is_an_error() {
    let (client, _) = client(Behaviour::Answers);
    let request = Request::post("/").body(Bytes::new()).unwrap();
    let sent = client.send(request, None);
    let sent = futures_util::FutureExt::now_or_never(sent).unwrap();
    let error = sent.unwrap_err().to_string();
    assert_eq!(error, "the URL has no scheme and host");
}

/// Connects to a receiver that responds with the hosts that a request names.
fn mirror(is_http2: bool) -> Transport {
    use hyper_util::server::conn::auto;
    let connector = service_fn(move |_: Uri| {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let service =
            hyper::service::service_fn(|request: Request<hyper::body::Incoming>| async move {
                let named = request.uri().authority().map(Authority::as_str);
                let header = request.headers().get(HOST).map(|it| it.to_str().unwrap());
                let hosts: Vec<_> = named.into_iter().chain(header).collect();
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(hosts.join(" ")))))
            });
        tokio::spawn(async move {
            let server = auto::Builder::new(hyper_util::rt::TokioExecutor::new());
            let _ended = server.serve_connection(TokioIo::new(theirs), service).await;
        });
        ready(Ok::<_, BoxError>(Watched::new(ours, is_http2)))
    });
    let client = Connections::new(connector, Proxies::default());
    Transport::Direct(Arc::new(client))
}

#[tokio::test]
async fn a_configured_host_replaces_that_of_the_url() {
    for (is_http2, configured, named) in [
        (false, None, "receiver:8080"),
        (false, Some("events.example"), "events.example"),
        (true, None, "receiver:8080"),
        (
            true,
            Some("events.example"),
            "events.example events.example",
        ),
    ] {
        let client = mirror(is_http2);
        // The second goes over the connection that is there.
        for _ in 0..2 {
            let mut request = Request::post("http://receiver:8080/")
                .body(Bytes::new())
                .unwrap();
            if let Some(host) = configured {
                request
                    .headers_mut()
                    .insert(HOST, HeaderValue::from_static(host));
            }
            let response = client.clone().send(request, None).await.unwrap();
            assert_eq!(response.body(), named, "{is_http2} {configured:?}");
        }
    }
}
