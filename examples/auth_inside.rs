//! A registry that checks credentials itself: auth runs inside the layer, and puts
//! the actor into the response. `cargo run --example auth_inside`

use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use examples::{keys, signal, start};
use tokio::net::TcpListener;
use tower::{BoxError, Layer as _};
use tower_registry_notifications::sink::ChannelSink;
use tower_registry_notifications::{NotificationLayer, Notifier, SourceRecord};

#[tokio::main]
async fn main() -> ExitCode {
    let about = "A registry that checks credentials itself, inside the layer.";
    let hint = r#"  curl -H "X-Key: alice's key" http://ADDRESS/v2/demo/manifests/latest"#;
    start::listening("auth_inside", "", about, hint, run).await
}

async fn run(listener: TcpListener) -> Result<(), BoxError> {
    let (sink, mut events) = ChannelSink::new(1000);
    let notifier = Notifier::builder()
        .source(SourceRecord::new(listener.local_addr()?.to_string()))
        .sink(sink)
        .build()?;
    let layer = NotificationLayer::new(notifier.clone())
        // This registry does not check Basic authentication, so it must not be trusted.
        .basic_auth_actor(false);
    let app = Router::new().fallback_service(layer.layer(keys::registry()));

    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            let (actor, action) = (event.actor(), event.action());
            println!("{actor} {action}s {}", event.url());
        }
    });
    axum::serve(listener, app)
        .with_graceful_shutdown(async { signal::interrupted().await.unwrap_or_default() })
        .await?;
    eprintln!("{}", notifier.shutdown(Duration::from_secs(10)).await);
    Ok(())
}
