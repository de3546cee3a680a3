//! Registries that state less than the spec asks of them.

use http::Response;
use http::request::Parts;
use sha2::{Digest as _, Sha256};
use tower_registry_notifications::event::Event;

use crate::stage::{BLOB, Body, Case, IMAGE, OCI, full, request, response};

const OCTETS: (&str, &str) = ("content-type", "application/octet-stream");

fn answer(status: u16, headers: &[(&str, &str)], body: &'static str) -> Response<Body> {
    response(status, headers, full(body))
}

/// The event of a request to a registry that is `serve`.
async fn event(
    method: &str,
    uri: &str,
    serve: impl Fn(&Parts) -> Response<Body> + Clone + Send + 'static,
) -> Event {
    let request = request(method, uri, &[], "");
    Case::new(serve).event(request).await
}

#[tokio::test]
async fn an_upload_may_end_at_a_url_that_the_registry_chooses() {
    // The name in the response ranks before that in the URL.
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
            let put = request("PUT", uri, &[], "");
            let events = Case::new(serve).events(put).await;
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
async fn a_head_without_digest_or_size_of_a_manifest_is_followed_by_a_get() {
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
    // A complete response is not followed by another request.
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
    // The bytes that passed rank before what a stat would say.
    assert_eq!(descriptor.size, 5);
}

#[tokio::test]
async fn a_fact_without_a_source_is_omitted() {
    let event = event("HEAD", BLOB, |_: &Parts| answer(200, &[], "")).await;
    let descriptor = &event.target.descriptor;
    assert_eq!((&*descriptor.media_type, descriptor.size), (OCTETS.1, 0));
    assert_eq!(descriptor.digest, "sha256:01");
}
