//! A pull that the client breaks off says nothing about the part that it got.

use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};
use tower_registry_notifications::event::{Action, Event};
use tower_registry_notifications::{NotificationLayer, RequestBody};

use crate::stage::{Body, OCI, drain, frames, full, notifier, request, response};
use http_body_util::BodyExt as _;

const DIGEST: (&str, &str) = ("docker-content-digest", "sha256:01");

/// The event of a GET whose client reads `read` frames and then hangs up.
async fn aborted(
    uri: &str,
    read: usize,
    answer: impl Fn() -> http::Response<Body> + Clone + Send + 'static,
) -> Event {
    let (notifier, mut events) = notifier();
    let registry = service_fn(move |request: http::Request<RequestBody<Body>>| {
        let answer = match request.method().as_str() {
            "GET" if request.headers().contains_key("x-client") => answer(),
            _ => response(404, &[], full("")),
        };
        std::future::ready(Ok::<_, BoxError>(answer))
    });
    let service = NotificationLayer::new(notifier)
        .aborted_pulls(true)
        .layer(registry);
    let request = request("GET", uri, &[("x-client", "1")], full(""));
    let mut body = service.oneshot(request).await.unwrap().into_body();
    for _ in 0..read {
        body.frame().await.unwrap().unwrap();
    }
    assert_eq!(drain(&mut events).len(), 0, "the pull is under way");
    drop(body);
    let mut events = drain(&mut events);
    assert_eq!(events.len(), 1);
    events.remove(0)
}

const PARTS: [&str; 5] = ["{\"config\"", ":", "{}", " ", "}"];

#[tokio::test]
async fn the_size_of_a_blob_is_not_that_of_the_part_that_was_read() {
    let octets = ("content-type", "application/octet-stream");
    for (read, status, headers, size) in [
        (1, 200, vec![], 0),
        (2, 200, vec![], 0),
        (0, 200, vec![("content-length", "14")], 14),
        (1, 200, vec![("content-length", "14")], 14),
        (1, 206, vec![("content-range", "bytes 0-13/99")], 99),
        (1, 206, vec![("content-range", "bytes 0-13/*")], 0),
        (1, 206, vec![("content-length", "14")], 0),
    ] {
        let case = format!("{read} of {status} {headers:?}");
        let headers = [headers, vec![octets, DIGEST]].concat();
        let answer = move || response(status, &headers, frames(PARTS));
        let event = aborted("/v2/a/blobs/sha256:01", read, answer).await;
        assert_eq!(event.action, Action::Pull);
        let size = (size, size);
        assert_eq!(
            (event.target.descriptor.size, event.target.length),
            size,
            "{case}"
        );
        assert_eq!(event.target.descriptor.digest, "sha256:01");
    }
}

#[tokio::test]
async fn size_digest_and_references_of_a_manifest_are_not_those_of_the_part() {
    // What was read is a whole manifest by itself.
    const CONTENT: [&str; 4] = [
        r#"{"config":{"mediaType":"c","digest":"sha256:02","size":2},"layers":[]}"#,
        " ",
        " ",
        " ",
    ];
    let oci = ("content-type", OCI);
    for headers in [vec![oci], vec![oci, DIGEST]] {
        let digest = headers.get(1).map_or("", |(_, digest)| digest);
        let answer = move || response(200, &headers, frames(CONTENT));
        let event = aborted("/v2/a/manifests/t", 1, answer).await;
        assert_eq!((event.target.descriptor.size, event.target.length), (0, 0));
        assert_eq!(event.target.descriptor.digest, digest);
        assert!(event.target.references.is_empty());
        assert_eq!(event.target.tag, "t");
    }
}
