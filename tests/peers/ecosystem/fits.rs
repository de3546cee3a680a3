//! The layer fits axum 0.8, axum 0.7 and a bare hyper server.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tower::{Layer as _, service_fn};
use tower_registry_notifications::event::ActorRecord;
use tower_registry_notifications::layer::PeerAddr;
use tower_registry_notifications::sink::{ChannelSink, Events};
use tower_registry_notifications::{NotificationLayer, Notifier, RequestBody};

const TARGET: &str = "/v2/library/debian/manifests/12";

fn layer() -> (NotificationLayer, Events) {
    let (sink, events) = ChannelSink::new(10);
    let notifier = Notifier::builder().sink(sink).build().unwrap();
    (NotificationLayer::new(notifier), events)
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A GET by hand; the address that it came from.
async fn get(address: SocketAddr) -> SocketAddr {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {TARGET} HTTP/1.1\r\nhost: r\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let peer = stream.local_addr().unwrap();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("manifest"),
        "{answer}"
    );
    peer
}

async fn assert_event(mut events: Events, actor: &str, peer: Option<SocketAddr>) {
    let event = events.recv().await.unwrap().to_event();
    let target = &event.target;
    assert_eq!(
        (&*target.repository, &*target.tag),
        ("library/debian", "12")
    );
    assert_eq!(target.length, 8);
    assert_eq!(event.actor.name, actor);
    let addr = peer.map_or_else(String::new, |peer| peer.to_string());
    assert_eq!(event.request.addr, addr);
    assert!(events.try_recv().is_none(), "one request, one event");
}

#[tokio::test]
async fn axum_0_8_inside_of_auth() {
    use axum::middleware::{Next, from_fn};

    let (layer, events) = layer();
    let auth = from_fn(async |mut request: axum::extract::Request, next: Next| {
        request.extensions_mut().insert(ActorRecord::new("alice"));
        next.run(request).await
    });
    let app = axum::Router::new()
        .route("/v2/{*path}", axum::routing::get(async || "manifest"))
        .layer(layer)
        .layer(auth)
        .into_make_service_with_connect_info::<SocketAddr>();
    let (listener, address) = listen().await;
    tokio::spawn(async move { axum::serve(listener, app).await });
    let peer = get(address).await;
    assert_event(events, "alice", Some(peer)).await;
}

#[tokio::test]
async fn axum_0_7_outside_of_auth() {
    use axum_0_7::Router;
    use axum_0_7::middleware::{Next, from_fn};

    let (layer, events) = layer();
    let auth = from_fn(|request: axum_0_7::extract::Request, next: Next| async {
        let mut response = next.run(request).await;
        response.extensions_mut().insert(ActorRecord::new("bob"));
        response
    });
    let app = Router::new()
        .route("/v2/*path", axum_0_7::routing::get(|| async { "manifest" }))
        .layer(auth)
        .layer(layer);
    let (listener, address) = listen().await;
    tokio::spawn(async move { axum_0_7::serve(listener, app).await });
    get(address).await;
    assert_event(events, "bob", None).await;
}

#[tokio::test]
async fn a_bare_hyper_server() {
    let (layer, events) = layer();
    let registry = service_fn(async |_: Request<RequestBody<Incoming>>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("manifest").boxed()))
    });
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        let (stream, peer) = listener.accept().await.unwrap();
        let service = layer.peer_addr(move |_| Some(peer)).layer(registry);
        let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
        let service = TowerToHyperService::new(service);
        server
            .serve_connection(TokioIo::new(stream), service)
            .await
            .unwrap();
    });
    let peer = get(address).await;
    assert_event(events, "", Some(peer)).await;
}

#[test]
fn the_public_types_can_be_shared() {
    fn check<T: Send + Sync + 'static>() {}
    check::<NotificationLayer>();
    check::<Notifier>();
    check::<PeerAddr>();
    check::<tower_registry_notifications::layer::Notification<()>>();
    check::<tower_registry_notifications::event::SharedEvent>();
    check::<Box<dyn tower_registry_notifications::sink::Sink>>();
    check::<Box<dyn tower_registry_notifications::Listener + Send + Sync>>();
}
