//! Registries that say less than the spec asks of them.

use std::convert::Infallible;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use sha2::{Digest as _, Sha256};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_registry_notifications::{
    ChannelSink, Event, NotificationLayer, Notifier, RequestBody, StatBody,
};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const IMAGE: &str = r#"{"config":{"mediaType":"c","digest":"sha256:c","size":1},"layers":[]}"#;
const BLOB: &str = "/v2/a/blobs/sha256:01";
const OCTETS: (&str, &str) = ("content-type", "application/octet-stream");

type Answer = Response<Full<Bytes>>;

fn answer(status: u16, headers: &[(&str, &str)], body: &'static str) -> Answer {
    let mut answer = Response::builder().status(status);
    for (name, value) in headers {
        answer = answer.header(*name, *value);
    }
    answer.body(Full::from(body)).unwrap()
}

/// The events of a request to a registry that answers so.
async fn events(
    method: &str,
    uri: &str,
    serve: impl Fn(&Parts) -> Answer + Clone + Send + 'static,
) -> Vec<Event> {
    let (sink, mut events) = ChannelSink::new(10);
    let notifier = Notifier::builder().sink(sink).build().unwrap();
    let asked = serve.clone();
    let stat = service_fn(move |request: Request<StatBody>| {
        let answer = asked(&request.into_parts().0);
        async { Ok::<_, Infallible>(answer) }
    });
    let registry = service_fn(move |request: Request<RequestBody<Full<Bytes>>>| {
        let answer = serve(&request.into_parts().0);
        async { Ok::<_, Infallible>(answer) }
    });
    let request = Request::builder().method(method).uri(uri);
    let request = request.body(Full::default()).unwrap();
    let service = NotificationLayer::new(notifier)
        .stat_with(stat)
        .layer(registry);
    let response = service.oneshot(request).await.unwrap();
    response.into_body().collect().await.unwrap();
    std::iter::from_fn(|| events.try_recv())
        .map(|event| event.to_event())
        .collect()
}

async fn event(
    method: &str,
    uri: &str,
    serve: impl Fn(&Parts) -> Answer + Clone + Send + 'static,
) -> Event {
    let mut events = events(method, uri, serve).await;
    assert_eq!(events.len(), 1, "{events:?}");
    events.remove(0)
}

#[tokio::test]
async fn an_upload_ends_where_the_registry_likes() {
    // Where it was pushed to is in the answer; a URL that shows it comes second.
    for (uri, location, repository) in [
        (
            "/x/1?digest=sha256:01",
            "/v2/a/b/blobs/sha256:01",
            Some("a/b"),
        ),
        (
            "/v2/c/uploads/1?digest=sha256:01",
            "https://r/v2/a/b/blobs/sha256%3A01",
            Some("a/b"),
        ),
        (
            "/v2/c/uploads/1?digest=sha256:01",
            "/v2/c/uploads/1",
            Some("c"),
        ),
        ("/v2/c/blobs/upload/1?digest=sha256:01", "", Some("c")),
        ("/x/1?digest=sha256:01", "/elsewhere", None),
        ("/x/1?digest=sha256:01", "", None),
        ("/x/1", "/v2/a/b/blobs/sha256:01", None),
        ("/x/1?digest=", "/v2/a/b/blobs/sha256:01", None),
    ] {
        for status in [201, 202, 204, 404] {
            let serve = move |parts: &Parts| match parts.method.as_str() {
                // The stat.
                "HEAD" => answer(200, &[("content-length", "9"), OCTETS], ""),
                _ => answer(status, &[("location", location)], ""),
            };
            let events = events("PUT", uri, serve).await;
            let wanted = repository.filter(|_| [201, 204].contains(&status));
            assert_eq!(
                events.len(),
                usize::from(wanted.is_some()),
                "{uri} {status}"
            );
            for (event, repository) in events.iter().zip(wanted) {
                assert_eq!(event.action.as_str(), "push");
                assert_eq!(event.target.repository, repository);
                assert_eq!(event.target.descriptor.digest, "sha256:01");
                assert_eq!(event.target.length, 9);
            }
        }
    }
}

#[tokio::test]
async fn a_head_of_a_manifest_that_says_little_is_followed_by_a_get() {
    let digest = format!("sha256:{:x}", Sha256::digest(IMAGE));
    let by_digest = format!("/v2/a/manifests/{digest}");
    let zero = &[("content-type", OCI), ("content-length", "0")][..];
    let silent = &[][..];
    for uri in ["/v2/a/manifests/t", &by_digest] {
        for headers in [zero, silent] {
            let serve = move |parts: &Parts| match parts.method.as_str() {
                "HEAD" => answer(200, headers, ""),
                _ => answer(200, &[("content-type", OCI)], IMAGE),
            };
            let event = event("HEAD", uri, serve).await;
            let descriptor = &event.target.descriptor;
            assert_eq!(descriptor.digest, digest);
            assert_eq!((&*descriptor.media_type, descriptor.size), (OCI, 69));
            assert!(event.target.url.ends_with(&digest));
        }
    }
    // One that says it all is not asked again.
    let all = |parts: &Parts| {
        assert_eq!(parts.method, "HEAD");
        let named = [
            ("content-type", OCI),
            ("content-length", "5"),
            ("docker-content-digest", "sha256:01"),
        ];
        answer(200, &named, "")
    };
    let event = event("HEAD", "/v2/a/manifests/t", all).await;
    assert_eq!(event.target.length, 5);
}

#[tokio::test]
async fn the_size_of_a_blob_without_a_length_is_counted() {
    let serve = |parts: &Parts| match parts.method.as_str() {
        "HEAD" => answer(200, &[("content-length", "9"), OCTETS], ""),
        _ => answer(200, &[], "hello"),
    };
    let event = event("GET", BLOB, serve).await;
    let descriptor = &event.target.descriptor;
    assert_eq!(descriptor.media_type, OCTETS.1);
    // What has passed by is certain.
    assert_eq!(descriptor.size, 5);
}

#[tokio::test]
async fn what_nothing_tells_is_left_out() {
    let event = event("HEAD", BLOB, |_: &Parts| answer(200, &[], "")).await;
    let descriptor = &event.target.descriptor;
    assert_eq!((&*descriptor.media_type, descriptor.size), (OCTETS.1, 0));
    assert_eq!(descriptor.digest, "sha256:01");
}
