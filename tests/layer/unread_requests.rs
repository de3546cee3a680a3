//! A registry may answer before it has read the whole request: what it has read
//! by then is not the content.

use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};
use tower_registry_notifications::event::{Action, Event};
use tower_registry_notifications::{NotificationLayer, RequestBody};

use crate::stage::{Body, OCI, drain, frames, full, notifier, request, response};

/// A whole manifest, and more that may follow.
const CONTENT: [&str; 3] = [
    r#"{"config":{"mediaType":"c","digest":"sha256:02","size":2},"layers":[]}"#,
    " ",
    "\n",
];

/// The event of a request of which the registry reads `read` frames.
async fn pushed(method: &str, uri: &str, read: usize) -> Event {
    let event = told(method, uri, OCI, frames(CONTENT), read).await;
    assert_eq!(event.action, Action::Push);
    event
}

async fn told(method: &str, uri: &str, kind: &str, body: Body, read: usize) -> Event {
    let (notifier, mut events) = notifier();
    let registry = service_fn(
        move |request: http::Request<RequestBody<Body>>| async move {
            let (parts, mut body) = request.into_parts();
            if !parts.headers.contains_key("x-client") {
                return Ok(response(404, &[], full("")));
            }
            for _ in 0..read {
                if let Some(frame) = body.frame().await {
                    frame?;
                }
            }
            Ok::<_, BoxError>(response(201, &[], full("")))
        },
    );
    let service = NotificationLayer::new(notifier).layer(registry);
    let headers = [("content-type", kind), ("x-client", "1")];
    let request = request(method, uri, &headers, body);
    service.oneshot(request).await.unwrap();
    let mut events = drain(&mut events);
    assert_eq!(events.len(), 1);
    events.remove(0)
}

#[tokio::test]
async fn a_manifest_that_was_not_read_to_its_end_has_no_size_digest_or_references() {
    for read in 0..=CONTENT.len() {
        let event = pushed("PUT", "/v2/a/manifests/t", read).await;
        let target = &event.target;
        assert_eq!((target.descriptor.size, target.length), (0, 0), "{read}");
        assert_eq!(target.descriptor.digest, "", "{read}");
        assert!(target.references.is_empty(), "{read}");
    }
}

#[tokio::test]
async fn a_manifest_that_was_read_to_its_end_has_them() {
    let event = pushed("PUT", "/v2/a/manifests/t", CONTENT.len() + 1).await;
    let length = CONTENT.concat().len() as u64;
    assert_eq!(event.target.descriptor.size, length);
    assert!(event.target.descriptor.digest.starts_with("sha256:"));
    assert_eq!(event.target.references.len(), 1);
}

#[tokio::test]
async fn a_blob_that_was_not_read_to_its_end_has_no_size() {
    let uri = "/v2/a/blobs/uploads/?digest=sha256:01";
    for read in 0..=CONTENT.len() {
        let event = pushed("POST", uri, read).await;
        assert_eq!(event.target.length, 0, "{read}");
    }
    let event = pushed("POST", uri, CONTENT.len() + 1).await;
    assert_eq!(event.target.length, CONTENT.concat().len() as u64);
}

#[tokio::test]
async fn a_form_that_was_not_read_to_its_end_names_no_repository() {
    const FORM: [&str; 2] = ["mount=sha256:01&from=team/ab", "c"];
    for (read, from) in [(0, ""), (1, ""), (3, "team/abc")] {
        let kind = "application/x-www-form-urlencoded";
        let event = told("POST", "/v2/a/blobs/uploads/", kind, frames(FORM), read).await;
        assert_eq!(event.target.from_repository, from, "{read}");
    }
}

/// Servers do not look for the end of a body after its trailers.
#[tokio::test]
async fn a_body_ends_with_its_trailers() {
    let uri = "/v2/a/blobs/uploads/?digest=sha256:01";
    for (read, length) in [(1, 0), (2, 4)] {
        let trailers = http::HeaderMap::new();
        let frames = [Frame::data("blob".into()), Frame::trailers(trailers)];
        let body = StreamBody::new(futures_util::stream::iter(frames.map(Ok)));
        let event = told("POST", uri, OCI, body.boxed(), read).await;
        assert_eq!(event.target.length, length, "{read}");
    }
}
