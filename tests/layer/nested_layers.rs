//! What an outer layer asks makes no events at an inner one.

use std::sync::{Arc, Mutex};

use http_body_util::BodyExt as _;
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};
use tower_registry_notifications::{Events, NotificationLayer, RequestBody};

use crate::{Body, all, full, notifier, request, response};

type Inner = RequestBody<RequestBody<Body>>;

/// `action tag` of each event.
fn told(events: &mut Events) -> Vec<String> {
    let events = all(events).into_iter();
    let told = events.map(|event| format!("{} {}", event.action, event.target.tag));
    told.collect()
}

#[tokio::test]
async fn a_stat_makes_no_event_at_another_layer() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let registry = service_fn({
        let asked = asked.clone();
        move |request: http::Request<Inner>| {
            let (method, path) = (request.method().as_str(), request.uri().path());
            let client = request.headers().contains_key("x-client");
            if !client {
                asked.lock().unwrap().push(format!("{method} {path}"));
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
            std::future::ready(Ok::<_, BoxError>(response(status, &headers, body)))
        }
    });
    let ((inside, mut inner), (outside, mut outer)) = (notifier(), notifier());
    let service = NotificationLayer::new(inside).layer(registry);
    let service = NotificationLayer::new(outside)
        .untag_lookup(true)
        .layer(service);
    for (method, uri, told_inside, told_outside) in [
        (
            "POST",
            "/v2/a/blobs/uploads/?mount=sha256:01&from=b",
            vec!["mount "],
            vec!["mount "],
        ),
        (
            "DELETE",
            "/v2/a/manifests/sha256:01",
            vec!["delete "],
            vec!["delete ", "delete t"],
        ),
    ] {
        asked.lock().unwrap().clear();
        let request = request(method, uri, &[("x-client", "1")], full(""));
        let response = service.clone().oneshot(request).await.unwrap();
        response.into_body().collect().await.unwrap();
        assert_eq!(told(&mut outer), told_outside, "{uri}");
        assert_eq!(told(&mut inner), told_inside, "{uri}: {asked:?}");
        assert!(
            !asked.lock().unwrap().is_empty(),
            "{uri}: nothing was asked"
        );
    }
}
