//! The layer in an axum application, inside an auth middleware that sets the actor.
//! `cargo run --example axum --features axum-0-8`

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use examples::{signal, start};
use http::{StatusCode, header};
use tokio::net::TcpListener;
use tower::{BoxError, Layer as _};
use tower_registry_notifications::event::ActorRecord;
use tower_registry_notifications::sink::ChannelSink;
use tower_registry_notifications::{NotificationLayer, Notifier, SourceRecord};

#[tokio::main]
async fn main() -> ExitCode {
    let about = "The layer in an axum application, inside an auth middleware.";
    let hint = "  curl -u alice:secret http://ADDRESS/v2/demo/manifests/latest";
    start::listening("axum", "--features axum-0-8 ", about, hint, run).await
}

async fn run(listener: TcpListener) -> Result<(), BoxError> {
    let (sink, mut events) = ChannelSink::new(1000);
    let notifier = Notifier::builder()
        .source(SourceRecord::new(listener.local_addr()?.to_string()))
        .sink(sink)
        .build()?;

    let registry = Router::new().route("/v2/{name}/manifests/{reference}", get(manifest));
    let registry = NotificationLayer::new(notifier.clone()).layer(registry);
    // Auth runs first, so the layer sees the actor that it puts into the request.
    let app = Router::new()
        .fallback_service(registry)
        .layer(from_fn(auth));

    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            println!("{} {}s {}", event.actor(), event.action(), event.url());
        }
    });
    axum::serve(
        listener,
        app.into_make_service_with_connect_info::<SocketAddr>(),
    )
    .with_graceful_shutdown(async { signal::interrupted().await.unwrap_or_default() })
    .await?;
    eprintln!("{}", notifier.shutdown(Duration::from_secs(10)).await);
    Ok(())
}

/// Authenticates one user, `alice` with the password `secret`.
async fn auth(mut request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION);
    if given.is_none_or(|given| given != "Basic YWxpY2U6c2VjcmV0") {
        let mut response = Response::new("alice's password is secret\n".into());
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        return response;
    }
    request.extensions_mut().insert(ActorRecord::new("alice"));
    next.run(request).await
}

/// A stand-in for a registry: it has every manifest.
async fn manifest() -> ([(header::HeaderName, &'static str); 1], &'static str) {
    let media_type = "application/vnd.oci.image.index.v1+json";
    (
        [(header::CONTENT_TYPE, media_type)],
        r#"{"schemaVersion":2,"manifests":[]}"#,
    )
}
