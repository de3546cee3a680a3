//! The layer in an axum application, inside of an auth middleware that says
//! who acts. `cargo run --example axum --features axum-0-8`, then
//! `curl -u alice:secret http://127.0.0.1:5000/v2/demo/manifests/latest`.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use http::{StatusCode, header};
use tower::Layer as _;
use tower_registry_notifications::event::ActorRecord;
use tower_registry_notifications::sink::ChannelSink;
use tower_registry_notifications::{NotificationLayer, Notifier, SourceRecord};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (sink, mut events) = ChannelSink::new(1000);
    let notifier = Notifier::builder()
        .source(SourceRecord::new("127.0.0.1:5000"))
        .sink(sink)
        .build()?;

    let registry = Router::new().route("/v2/{name}/manifests/{reference}", get(manifest));
    let registry = NotificationLayer::new(notifier.clone()).layer(registry);
    // Auth runs first; the layer sees what it has put into the request.
    let app = Router::new()
        .fallback_service(registry)
        .layer(from_fn(auth));

    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            println!("{} {}s {}", event.actor(), event.action(), event.url());
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:5000").await?;
    axum::serve(
        listener,
        app.into_make_service_with_connect_info::<SocketAddr>(),
    )
    .with_graceful_shutdown(async { tokio::signal::ctrl_c().await.unwrap_or_default() })
    .await?;
    notifier.shutdown(Duration::from_secs(10)).await;
    Ok(())
}

/// Knows one user, `alice` with the password `secret`.
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

/// Stands for a registry: every manifest is there.
async fn manifest() -> ([(header::HeaderName, &'static str); 1], &'static str) {
    let media_type = "application/vnd.oci.image.index.v1+json";
    (
        [(header::CONTENT_TYPE, media_type)],
        r#"{"schemaVersion":2,"manifests":[]}"#,
    )
}
