//! The layer over a plain hyper server. `cargo run --example hyper`

use std::convert::Infallible;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use examples::{signal, start};
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tower::{BoxError, ServiceBuilder, service_fn};
use tower_registry_notifications::layer::PeerAddr;
use tower_registry_notifications::sink::ChannelSink;
use tower_registry_notifications::{NotificationLayer, Notifier, SourceRecord};

/// The digest of `hello`.
const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

#[tokio::main]
async fn main() -> ExitCode {
    let about = "The layer over a plain hyper server.";
    let hint = format!("  curl http://ADDRESS/v2/demo/blobs/sha256:{HELLO}");
    start::listening("hyper", "", about, &hint, run).await
}

async fn run(listener: TcpListener) -> Result<(), BoxError> {
    let (sink, mut events) = ChannelSink::new(1000);
    let notifier = Notifier::builder()
        .source(SourceRecord::new(listener.local_addr()?.to_string()))
        .sink(sink)
        .build()?;
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            let client = event.request_addr();
            println!("{client} {}s {}", event.action(), event.url());
        }
    });

    let mut stop = std::pin::pin!(signal::interrupted());
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => accepted?,
            _ = &mut stop => break,
        };
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
    eprintln!("{}", notifier.shutdown(Duration::from_secs(10)).await);
    Ok(())
}

/// A stand-in for a registry: every repository has a blob with the content `hello`.
async fn registry<B>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
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
