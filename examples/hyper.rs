//! The layer over a plain hyper server. `cargo run --example hyper`, then
//! `curl http://127.0.0.1:5000/v2/demo/blobs/sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824`.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tower::{ServiceBuilder, service_fn};
use tower_registry_notifications::layer::PeerAddr;
use tower_registry_notifications::sink::ChannelSink;
use tower_registry_notifications::{NotificationLayer, Notifier, SourceRecord};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (sink, mut events) = ChannelSink::new(1000);
    let notifier = Notifier::builder()
        .source(SourceRecord::new("127.0.0.1:5000"))
        .sink(sink)
        .build()?;
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            let client = event.request_addr();
            println!("{client} {}s {}", event.action(), event.url());
        }
    });

    let listener = tokio::net::TcpListener::bind("127.0.0.1:5000").await?;
    loop {
        let (stream, peer) = listener.accept().await?;
        let service = ServiceBuilder::new()
            .map_request(move |mut request: Request<_>| {
                request.extensions_mut().insert(PeerAddr(peer));
                request
            })
            .layer(NotificationLayer::new(notifier.clone()))
            .service(service_fn(registry));
        tokio::spawn(async move {
            let connection = TokioIo::new(stream);
            auto::Builder::new(TokioExecutor::new())
                .serve_connection(connection, TowerToHyperService::new(service))
                .await
        });
    }
}

/// Stands for a registry: a blob that holds `hello` is in every repository.
async fn registry<B>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let mut response = Response::new(Full::default());
    if request.uri().path().ends_with(HELLO) {
        let media_type = header::HeaderValue::from_static("application/octet-stream");
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, media_type);
        *response.body_mut() = Full::from("hello");
    } else {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    Ok(response)
}
