//! Uploads whose end is refused until the sinks are ready.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use http::Request;
use http_body_util::BodyExt as _;
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};
use tower_registry_notifications::event::SharedEvent;
use tower_registry_notifications::sink::{Acceptance, Sink};
use tower_registry_notifications::{NotificationLayer, Notifier, RequestBody};

use crate::stage::{Body, OTHER, full, request, response};

/// Says whether it is ready, and keeps the sizes of the events.
#[derive(Clone, Default)]
struct SwitchedSink {
    ready: Arc<AtomicBool>,
    sizes: Arc<Mutex<Vec<u64>>>,
}

impl Sink for SwitchedSink {
    fn write(&self, event: &SharedEvent) -> Acceptance {
        self.sizes.lock().unwrap().push(event.length());
        Acceptance::accepted()
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn the_second_attempt_to_end_an_upload_has_its_size() {
    let sink = SwitchedSink::default();
    let notifier = Notifier::builder().sink(sink.clone()).build().unwrap();
    let registry = service_fn(async |request: Request<RequestBody<Body>>| {
        let (parts, body) = request.into_parts();
        body.collect().await?;
        let status = if parts.method == "PUT" { 201 } else { 202 };
        let headers = [("location", "/v2/a/blobs/uploads/u")];
        Ok::<_, BoxError>(response(status, &headers, full("")))
    });
    let layer = NotificationLayer::new(notifier).fail_closed(true);
    let service = layer.layer(registry);
    let end = format!("/v2/a/blobs/uploads/u?digest={OTHER}");
    for (ready, method, uri, status) in [
        (true, "POST", "/v2/a/blobs/uploads/", 202),
        (true, "PATCH", "/v2/a/blobs/uploads/u", 202),
        (false, "PUT", &*end, 503),
        (true, "PUT", &*end, 201),
    ] {
        sink.ready.store(ready, Ordering::Relaxed);
        let body = if method == "POST" { "" } else { "abc" };
        let request = request(method, uri, &[], body);
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), status, "{method}");
    }
    assert_eq!(*sink.sizes.lock().unwrap(), [6]);
}
