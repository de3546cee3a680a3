//! The layer around an axum router, and around each of its handlers.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, head, put};
use http::{StatusCode, header};
use tower::{Layer as _, ServiceExt as _};
use tower_registry_notifications::event::Event;
use tower_registry_notifications::sink::{ChannelSink, Events};
use tower_registry_notifications::{NotificationLayer, Notifier};

use crate::stage::drain;

const DIGEST: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

/// A registry of one handler for each operation, as axum's users write them.
fn registry() -> Router {
    let there = async || {
        (
            [("docker-content-digest", DIGEST), ("content-length", "5")],
            "hello",
        )
    };
    Router::new()
        .route(
            "/v2/app/manifests/{reference}",
            get(there).merge(delete(deleted)),
        )
        .route(
            "/v2/app/tags/list",
            get(async || r#"{"name":"app","tags":["v1"]}"#),
        )
        .route("/v2/app/blobs/{digest}", head(there))
        .route("/v2/app/blobs/uploads/{id}", put(uploaded))
}

/// Accepts nothing but the client's own request.
async fn deleted(request: Request) -> StatusCode {
    assert_eq!(request.method(), "DELETE");
    StatusCode::ACCEPTED
}

async fn uploaded(request: Request) -> Response {
    assert_eq!(request.method(), "PUT");
    (StatusCode::CREATED, [("docker-content-digest", DIGEST)]).into_response()
}

fn layer() -> (NotificationLayer, Events) {
    let (sink, events) = ChannelSink::new(10);
    let notifier = Notifier::builder().sink(sink).build().unwrap();
    (NotificationLayer::new(notifier).untag_lookup(true), events)
}

/// Ends a chunked upload, and deletes a manifest by its digest.
async fn use_it(app: Router, mut events: Events) -> Vec<Event> {
    for (method, path) in [
        ("PUT", format!("/v2/app/blobs/uploads/1?digest={DIGEST}")),
        ("DELETE", format!("/v2/app/manifests/{DIGEST}")),
    ] {
        let request = Request::builder().method(method).uri(path);
        let request = request.header(header::CONTENT_LENGTH, 0);
        let request = request.body(Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        assert!(response.status().is_success(), "{method}: {response:?}");
    }
    drain(&mut events)
}

fn summary(events: &[Event]) -> Vec<(&str, &str, u64)> {
    events
        .iter()
        .map(|it| (it.action.as_str(), &*it.target.tag, it.target.length))
        .collect()
}

#[tokio::test]
async fn around_the_router_the_layer_asks_the_service_for_stats() {
    let (layer, events) = layer();
    let layer = layer.stat_with(registry());
    let app = Router::new().fallback_service(layer.layer(registry()));
    let events = use_it(app, events).await;
    let mut found = summary(&events);
    found.sort_unstable();
    assert_eq!(
        found,
        [("delete", "", 0), ("delete", "v1", 0), ("push", "", 5)]
    );
}

#[tokio::test]
async fn without_a_service_for_stats_the_layer_asks_nothing() {
    for around_each_handler in [false, true] {
        let (layer, events) = layer();
        let app = match around_each_handler {
            true => registry().layer(layer),
            false => Router::new().fallback_service(layer.layer(registry())),
        };
        let events = use_it(app, events).await;
        assert_eq!(summary(&events), [("push", "", 0), ("delete", "", 0)]);
    }
}

#[tokio::test]
async fn around_each_handler_the_layer_asks_the_service_for_stats() {
    let (layer, events) = layer();
    let app = registry().layer(layer.stat_with(registry()));
    let events = use_it(app, events).await;
    let mut found = summary(&events);
    found.sort_unstable();
    assert_eq!(
        found,
        [("delete", "", 0), ("delete", "v1", 0), ("push", "", 5)]
    );
}
