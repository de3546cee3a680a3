//! A registry that checks credentials itself: auth stands inside of the layer,
//! and says in the response who acts. `cargo run --example auth_inside`, then
//! `curl -H "X-Key: alice's key" http://127.0.0.1:5000/v2/demo/manifests/latest`.

#[path = "support/keys.rs"]
mod keys;
#[path = "support/signal.rs"]
mod signal;

use std::time::Duration;

use axum::Router;
use tower::Layer as _;
use tower_registry_notifications::sink::ChannelSink;
use tower_registry_notifications::{NotificationLayer, Notifier, SourceRecord};

const ADDRESS: &str = "127.0.0.1:5000";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (sink, mut events) = ChannelSink::new(1000);
    let notifier = Notifier::builder()
        .source(SourceRecord::new(ADDRESS))
        .sink(sink)
        .build()?;
    let layer = NotificationLayer::new(notifier.clone())
        // Nobody checks it here, so that it must not be believed.
        .basic_auth_actor(false);
    let app = Router::new().fallback_service(layer.layer(keys::registry()));

    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            let (actor, action) = (event.actor(), event.action());
            println!("{actor} {action}s {}", event.url());
        }
    });
    let listener = tokio::net::TcpListener::bind(ADDRESS).await?;
    axum::serve(listener, app)
        .with_graceful_shutdown(async { signal::interrupted().await.unwrap_or_default() })
        .await?;
    notifier.shutdown(Duration::from_secs(10)).await;
    Ok(())
}
