//! The service that was polled ready is the one that is called.

use std::future::Ready;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http::{Request, Response};
use tower::{BoxError, Layer as _, Service};
use tower_registry_notifications::NotificationLayer;

use crate::stage::{Body, drain, full, notifier, request, response};

const DIGEST: &str = "sha256:01";

/// A registry that panics if it is called without having been ready. A clone is
/// not ready, whatever its original is.
#[derive(Default)]
struct StrictRegistry {
    ready: bool,
    /// Method and path of every request.
    got: Arc<Mutex<Vec<String>>>,
}

impl Clone for StrictRegistry {
    fn clone(&self) -> Self {
        Self {
            ready: false,
            got: self.got.clone(),
        }
    }
}

impl<B> Service<Request<B>> for StrictRegistry {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Ready<Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (method, path) = (request.method().as_str(), request.uri().path());
        assert!(
            std::mem::take(&mut self.ready),
            "{method} {path} before ready"
        );
        self.got.lock().unwrap().push(format!("{method} {path}"));
        let status = match method {
            "PUT" | "POST" => 201,
            "DELETE" => 202,
            _ => 200,
        };
        let named = [("docker-content-digest", DIGEST)];
        let body = match path {
            "/v2/a/tags/list" => full(r#"{"tags":["t"]}"#),
            _ => full(""),
        };
        std::future::ready(Ok(response(status, &named, body)))
    }
}

#[tokio::test]
async fn the_service_that_is_ready_serves_the_client() {
    let registry = StrictRegistry::default();
    let (notifier, mut events) = notifier();
    let mut service = NotificationLayer::new(notifier)
        .untag_lookup(true)
        .stat_with(registry.clone())
        .layer(registry.clone());
    for (method, path, count) in [
        ("GET", "/v2/", 0),
        ("GET", "/v2/a/manifests/t", 1),
        ("HEAD", "/v2/a/blobs/sha256:01", 1),
        ("GET", "/v2/a/blobs/sha256:01", 1),
        ("PUT", "/v2/a/manifests/t", 1),
        ("POST", "/v2/a/blobs/uploads/?mount=sha256:01&from=b", 1),
        ("PUT", "/v2/a/blobs/uploads/1?digest=sha256:01", 1),
        ("DELETE", "/v2/a/manifests/t", 1),
        ("DELETE", "/v2/a/blobs/sha256:01", 1),
        ("DELETE", "/v2/a", 0),
        // Last, as its tags are looked up before it is passed on.
        ("DELETE", "/v2/a/manifests/sha256:01", 2),
    ] {
        std::future::poll_fn(|cx| Service::<Request<Body>>::poll_ready(&mut service, cx))
            .await
            .unwrap();
        let request = request(method, path, &[], full(""));
        let body = service.call(request).await.unwrap().into_body();
        http_body_util::BodyExt::collect(body).await.unwrap();
        assert_eq!(drain(&mut events).len(), count, "{method} {path}");
    }
    let got = registry.got.lock().unwrap();
    let position = |it: &str| got.iter().position(|got| got == it).expect(it);
    let delete = position("DELETE /v2/a/manifests/sha256:01");
    assert!(position("GET /v2/a/tags/list") < delete, "{got:?}");
    assert_eq!(delete, got.len() - 1);
}
