//! Sizes of blobs and manifests: each is true, or omitted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tower_registry_notifications::event::Action;

use crate::stage::{BLOB, Body, Case, D, IMAGE, MANIFEST, OCI, OTHER, full, request, response};

type Parts = http::request::Parts;

/// A registry that sends clients to its storage for every blob, HEAD included.
fn redirecting() -> Case<impl Fn(&Parts) -> http::Response<Body> + Clone> {
    Case::new(|parts: &Parts| {
        let path = parts.uri.path();
        match parts.method.as_str() {
            "POST" => response(202, &[("location", "/v2/a/blobs/uploads/u")], full("")),
            "PATCH" => response(202, &[("location", "/v2/a/blobs/uploads/u")], full("")),
            "PUT" => response(201, &[("docker-content-digest", OTHER)], full("")),
            _ if path.contains("/blobs/") => response(307, &[("location", "/x")], full("")),
            _ => response(
                200,
                &[("content-type", OCI), ("docker-content-digest", D)],
                full(IMAGE),
            ),
        }
    })
}

#[tokio::test]
async fn a_chunked_push_has_its_size_without_a_request_of_the_layers_own() {
    let mut started = redirecting().start();
    let upload = "/v2/a/blobs/uploads/u";
    started
        .send(request("POST", "/v2/a/blobs/uploads/", &[], ""), 0)
        .await;
    started
        .send(request("PATCH", upload, &[], "01234567"), 0)
        .await;
    started.send(request("PATCH", upload, &[], "89"), 0).await;
    let uri = format!("{upload}?digest={OTHER}");
    started.send(request("PUT", &uri, &[], "abc"), 0).await;
    // Known from then on, also where it is mounted and pulled.
    started.send(request("GET", BLOB, &[], ""), 0).await;
    let events = started.events();
    let told: Vec<_> = events
        .iter()
        .map(|it| (it.action, it.target.length))
        .collect();
    assert_eq!(told, [(Action::Push, 13), (Action::Pull, 13)]);
    assert!(started.asked().is_empty(), "{:?}", started.asked());
}

#[tokio::test]
async fn a_redirected_pull_has_the_size_that_the_manifest_says() {
    let mut started = redirecting().without_stat().start();
    let blob = "/v2/a/blobs/sha256:c";
    for path in [blob, MANIFEST, blob, "/v2/other/blobs/sha256:c"] {
        started.send(request("GET", path, &[], ""), 9).await;
    }
    let events = started.events();
    let sizes: Vec<_> = events.iter().map(|event| event.target.length).collect();
    assert_eq!(sizes, [0, IMAGE.len() as u64, 1, 0]);
}

/// What is read of a manifest does not change, so later pulls cost no more than those of a
/// blob. A registry that serves other content under the same digest shows whether it is read.
#[tokio::test]
async fn a_manifest_is_read_once() {
    let served = Arc::new(AtomicUsize::new(0));
    let case = Case::new(move |parts: &Parts| match parts.uri.path() {
        MANIFEST => {
            let blob = ["sha256:c", "sha256:d"][served.fetch_add(1, Ordering::Relaxed)];
            let headers = [("content-type", OCI), ("docker-content-digest", D)];
            response(200, &headers, full(IMAGE.replace("sha256:c", blob)))
        }
        _ => response(307, &[("location", "https://storage/blob")], full("")),
    });
    let mut started = case.without_stat().start();
    let blobs = ["/v2/a/blobs/sha256:c", "/v2/a/blobs/sha256:d"];
    for path in [MANIFEST, MANIFEST, blobs[0], blobs[1]] {
        started.send(request("GET", path, &[], ""), 9).await;
    }
    let events = started.events();
    let sizes: Vec<_> = events.iter().map(|event| event.target.length).collect();
    let size = IMAGE.len() as u64;
    assert_eq!(sizes, [size, size, 1, 0]);
}

#[tokio::test]
async fn a_mounted_blob_that_is_found_only_at_its_source_has_its_size() {
    let case = Case::new(|parts: &Parts| match parts.uri.path() {
        "/v2/from/here/blobs/sha256:01" => response(200, &[("content-length", "7")], full("")),
        _ if parts.method == http::Method::POST => response(201, &[], full("")),
        _ => response(404, &[], full("")),
    });
    let uri = "/v2/a/blobs/uploads/?mount=sha256:01&from=from/here";
    let mut started = case.start();
    for _ in 0..2 {
        started.send(request("POST", uri, &[], ""), 0).await;
        let event = started.events().remove(0);
        assert_eq!((event.action, event.target.length), (Action::Mount, 7));
    }
    // The second time it was known.
    let asked = [
        "HEAD /v2/a/blobs/sha256:01",
        "HEAD /v2/from/here/blobs/sha256:01",
    ];
    assert_eq!(started.asked(), asked);
}

/// A registry that keeps the URL of an upload, and takes other spellings of it.
fn lenient() -> Case<impl Fn(&Parts) -> http::Response<Body> + Clone> {
    Case::new(|parts: &Parts| {
        let upload = [("location", "/v2/a/blobs/uploads/u")];
        match parts.method.as_str() {
            "POST" if parts.uri.query().is_none() => response(202, &upload, full("")),
            "PATCH" => response(202, &upload, full("")),
            "PUT" | "POST" => response(201, &[("docker-content-digest", OTHER)], full("")),
            _ => response(404, &[], full("")),
        }
    })
}

#[tokio::test]
async fn a_chunk_at_another_spelling_of_the_upload_makes_its_size_unknown() {
    for spelled in [
        "/v2/a/blobs/uploads/u?x=1",
        "/v2/a/blobs/%75ploads/u",
        "/v2/a/blobs/uploads/%75/",
        "/v2/a/blobs/uploads/{U}",
    ] {
        let mut started = lenient().start();
        let post = request("POST", "/v2/a/blobs/uploads/", &[], "");
        started.send(post, 0).await;
        let patch = request("PATCH", spelled, &[], "0123456789");
        started.send(patch, 0).await;
        let put = format!("/v2/a/blobs/uploads/u?digest={OTHER}");
        started.send(request("PUT", &put, &[], "abc"), 0).await;
        let sizes: Vec<_> = started.events().iter().map(|it| it.target.length).collect();
        // Percent-encoding does not make it another URL.
        let expected = if spelled.contains('%') { 13 } else { 0 };
        assert_eq!(sizes, [expected], "{spelled}");
    }
}

/// docker-registry reads the closing request's body as a form then, and the
/// blob is what came before.
#[tokio::test]
async fn a_form_that_closes_an_upload_is_not_a_part_of_the_blob() {
    let form = [("content-type", "application/x-www-form-urlencoded")];
    for (body, size) in [("", 10), ("x=1", 0)] {
        let mut started = lenient().start();
        let upload = "/v2/a/blobs/uploads/u";
        let post = request("POST", "/v2/a/blobs/uploads/", &[], "");
        started.send(post, 0).await;
        let patch = request("PATCH", upload, &[], "0123456789");
        started.send(patch, 0).await;
        let uri = format!("{upload}?digest={OTHER}");
        started.send(request("PUT", &uri, &form, body), 0).await;
        let sizes: Vec<_> = started.events().iter().map(|it| it.target.length).collect();
        assert_eq!(sizes, [size], "{body}");
    }
}

#[tokio::test]
async fn a_post_that_closes_an_upload_has_not_all_of_its_bytes() {
    for (uri, size) in [("/v2/a/blobs/uploads/", 3), ("/v2/a/blobs/uploads/u", 0)] {
        let mut started = lenient().start();
        let uri = format!("{uri}?digest={OTHER}");
        started.send(request("POST", &uri, &[], "abc"), 0).await;
        let sizes: Vec<_> = started.events().iter().map(|it| it.target.length).collect();
        assert_eq!(sizes, [size], "{uri}");
    }
}

/// A registry checks that the blobs of a manifest exist, and not their sizes.
#[tokio::test]
async fn a_manifest_with_a_false_size_is_not_believed_if_the_registry_tells_the_true_one() {
    let lie = IMAGE.replace("sha256:c", OTHER).replace(":1}", ":666}");
    let case = Case::new(|parts: &Parts| match parts.method.as_str() {
        "HEAD" => response(200, &[("content-length", "7")], full("")),
        "GET" => response(307, &[("location", "/storage")], full("")),
        _ => response(201, &[], full("")),
    });
    let mount = "/v2/a/blobs/uploads/?mount=sha256:01&from=b";
    let push = "/v2/a/blobs/uploads/u?digest=sha256:01";
    for (method, uri) in [("GET", BLOB), ("POST", mount), ("PUT", push)] {
        let mut started = case.start();
        let put = request("PUT", MANIFEST, &[("content-type", OCI)], &*lie);
        started.send(put, 0).await;
        started.events();
        started.asked();
        for _ in 0..2 {
            started.send(request(method, uri, &[], ""), 0).await;
            let event = started.events().remove(0);
            assert_eq!(event.target.length, 7, "{method}");
        }
        // Once is enough.
        assert_eq!(started.asked(), [format!("HEAD {BLOB}")], "{method}");
    }
}

#[tokio::test]
async fn a_registry_that_does_not_tell_a_size_is_asked_once() {
    let mut started = redirecting().start();
    let blob = "/v2/a/blobs/sha256:c";
    for path in [MANIFEST, blob, blob] {
        started.send(request("GET", path, &[], ""), 9).await;
    }
    let sizes: Vec<_> = started.events().iter().map(|it| it.target.length).collect();
    assert_eq!(sizes[1..], [1, 1]);
    assert_eq!(started.asked(), [format!("HEAD {blob}")]);
}

/// axum fills in such a length where a handler of HEAD has no body.
#[tokio::test]
async fn a_head_without_content_does_not_tell_that_a_blob_is_empty() {
    let case = Case::new(|parts: &Parts| match parts.method.as_str() {
        "HEAD" => response(200, &[("content-length", "0")], full("")),
        "GET" if parts.uri.path().contains("/blobs/") => {
            response(307, &[("location", "/storage")], full(""))
        }
        _ => response(200, &[("content-type", OCI)], full(IMAGE)),
    });
    let mut started = case.start();
    let blob = "/v2/a/blobs/sha256:c";
    let pulls = [
        ("HEAD", blob),
        ("GET", blob),
        ("GET", MANIFEST),
        ("GET", blob),
    ];
    for (method, path) in pulls {
        started.send(request(method, path, &[], ""), 9).await;
    }
    assert_eq!(started.events()[3].target.length, 1);
}

#[tokio::test]
async fn a_digest_that_the_registry_contradicts_has_not_the_size_of_the_blob() {
    let case = Case::new(|parts: &Parts| match parts.method.as_str() {
        "GET" => response(307, &[("location", "/storage")], full("")),
        _ => response(201, &[("docker-content-digest", D)], full("")),
    });
    for (digest, size) in [("sha256:01", 0), ("sha512:01", 3)] {
        let mut started = case.start();
        let push = format!("/v2/a/blobs/uploads/?digest={digest}");
        started.send(request("POST", &push, &[], "abc"), 0).await;
        let pull = format!("/v2/a/blobs/{digest}");
        started.send(request("GET", &pull, &[], ""), 0).await;
        let sizes: Vec<_> = started.events().iter().map(|it| it.target.length).collect();
        assert_eq!(sizes, [3, size], "{digest}");
    }
}
