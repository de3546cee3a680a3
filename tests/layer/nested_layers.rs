//! Requests of an outer layer's own make no events at an inner layer.

use std::future::Ready;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body_util::BodyExt as _;
use tower::{BoxError, Layer as _, Service, ServiceExt as _};
use tower_registry_notifications::NotificationLayer;
use tower_registry_notifications::sink::Events;

use crate::stage::{Body, drain, full, notifier, request, response};

/// A registry that keeps the requests that no client sent.
#[derive(Clone, Default)]
struct Registry {
    asked: Arc<Mutex<Vec<String>>>,
}

impl<B> Service<Request<B>> for Registry {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Ready<Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (method, path) = (request.method().as_str(), request.uri().path());
        if !request.headers().contains_key("x-client") {
            self.asked.lock().unwrap().push(format!("{method} {path}"));
        }
        let mut headers = vec![("docker-content-digest", "sha256:01")];
        let (status, body) = match (method, path) {
            ("POST", _) => (201, full("")),
            ("DELETE", _) => (202, full("")),
            (_, "/v2/a/tags/list") => (200, full(r#"{"tags":["t"]}"#)),
            _ => {
                headers.push(("content-length", "7"));
                (200, full(""))
            }
        };
        std::future::ready(Ok(response(status, &headers, body)))
    }
}

/// `action tag` of each event.
fn actions(events: &mut Events) -> Vec<String> {
    let events = drain(events).into_iter();
    let actions = events.map(|event| format!("{} {}", event.action, event.target.tag));
    actions.collect()
}

#[tokio::test]
async fn a_stat_makes_no_event_at_another_layer() {
    let registry = Registry::default();
    let ((inside, mut inner), (outside, mut outer)) = (notifier(), notifier());
    let service = NotificationLayer::new(inside)
        .stat_with(registry.clone())
        .layer(registry.clone());
    let service = NotificationLayer::new(outside)
        .untag_lookup(true)
        .stat_with(service.clone())
        .layer(service);
    let mount = "/v2/a/blobs/uploads/?mount=sha256:01&from=b";
    let manifest = "/v2/a/manifests/sha256:01";
    for (method, uri, inside_events, outside_events) in [
        ("POST", mount, vec!["mount "], vec!["mount "]),
        (
            "DELETE",
            manifest,
            vec!["delete "],
            vec!["delete ", "delete t"],
        ),
    ] {
        registry.asked.lock().unwrap().clear();
        let request = request(method, uri, &[("x-client", "1")], full(""));
        let response = service.clone().oneshot(request).await.unwrap();
        response.into_body().collect().await.unwrap();
        assert_eq!(actions(&mut outer), outside_events, "{uri}");
        let asked = registry.asked.lock().unwrap();
        assert_eq!(actions(&mut inner), inside_events, "{uri}: {asked:?}");
        assert!(!asked.is_empty(), "{uri}: nothing was asked");
    }
}
