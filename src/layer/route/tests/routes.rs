//! The routes of the API, and requests without one.

use super::*;

#[test]
fn the_routes_of_the_spec() {
    let by_tag = "/v2/library/debian/manifests/12";
    let by_digest = format!("/v2/library/debian/manifests/{DIGEST}");
    let blob = format!("/v2/library/debian/blobs/{DIGEST}");
    let uploads = "/v2/library/debian/blobs/uploads";
    let blob_digest = || Some(DIGEST.to_owned());
    let none = UploadParameters::default;
    let rows = [
        ("GET", by_tag, Operation::PullManifest(tag("12"))),
        ("HEAD", by_tag, Operation::PullManifest(tag("12"))),
        ("GET", &by_digest, Operation::PullManifest(digest(DIGEST))),
        ("HEAD", &by_digest, Operation::PullManifest(digest(DIGEST))),
        ("PUT", by_tag, push(tag("12"))),
        ("PUT", &by_digest, push(digest(DIGEST))),
        ("DELETE", by_tag, Operation::DeleteManifest(tag("12"))),
        (
            "DELETE",
            &by_digest,
            Operation::DeleteManifest(digest(DIGEST)),
        ),
        ("GET", &blob, Operation::PullBlob(blob_digest())),
        ("HEAD", &blob, Operation::PullBlob(blob_digest())),
        ("DELETE", &blob, Operation::DeleteBlob(blob_digest())),
        ("POST", uploads, Operation::StartUpload(none())),
        (
            "PUT",
            &[uploads, "/some-id"].concat(),
            Operation::FinishUpload(none()),
        ),
    ];
    for (method, uri, wanted) in rows {
        let mutates = !matches!(method, "GET" | "HEAD");
        assert_eq!(wanted.mutates(), mutates, "{method} {uri}");
        for end in ["", "/"] {
            let uri = format!("{uri}{end}");
            let found = operation(method, &uri, "library/debian");
            assert_eq!(found.as_ref(), Some(&wanted), "{method} {uri}");
        }
    }
    let mount = format!("{uploads}/?mount=sha256%3A0&from=a%2Fb&digest=s:1");
    assert_eq!(
        operation("POST", &mount, "library/debian"),
        Some(Operation::StartUpload(parameters("s:1", "sha256:0", "a/b")))
    );
    let finish = format!("{uploads}/some-id?_state=x&digest=s:1");
    assert_eq!(
        operation("PUT", &finish, "library/debian"),
        Some(Operation::FinishUpload(parameters("s:1", "", "")))
    );
}

#[test]
fn requests_without_a_route() {
    let blob = format!("/v2/library/debian/blobs/{DIGEST}");
    for (method, uri) in [
        ("GET", "/"),
        ("GET", "/v2"),
        ("GET", "/v2/"),
        ("GET", "/v2/_catalog"),
        ("GET", "/v2/library/debian/tags/list"),
        ("GET", "/v2/library/debian/tags/list/"),
        ("HEAD", "/v2/library/debian/tags/list?n=5"),
        ("GET", "/v2/library/debian/referrers/sha256:00"),
        ("PATCH", "/v2/library/debian/blobs/uploads/id"),
        ("GET", "/v2/library/debian/blobs/uploads/id"),
        ("HEAD", "/v2/library/debian/blobs/uploads/id/"),
        ("DELETE", "/v2/library/debian/blobs/uploads/id"),
        ("DELETE", "/v2/library/debian/blobs/uploads/a/b"),
        ("DELETE", "/v2/library/debian/blobs/uploads/a%2Fb"),
        ("DELETE", "/v2/library/debian/blobs/uploads%2Fid"),
        ("GET", "/v2/library/debian/blobs/uploads"),
        ("POST", "/v2/library/debian/manifests/12"),
        ("PUT", &blob),
        ("POST", &blob),
        ("GET", "/v2/manifests/12"),
        ("GET", "/v2//manifests/12"),
        ("GET", "/v2/a/manifests/"),
        ("GET", "/v2/a/manifests//"),
        ("GET", "/v2/a/blobsx/s:1"),
        ("GET", "/v3/library/debian/manifests/12"),
        ("GET", "/V2/library/debian/manifests/12"),
        ("GET", "/x/v2/library/debian/manifests/12"),
        ("GET", "/v2/../library/debian/tags/list"),
        ("OPTIONS", "/v2/library/debian/manifests/12"),
    ] {
        assert_eq!(route(method, uri), None, "{method} {uri}");
    }
}

/// The response shows what it was.
#[test]
fn uploads_with_an_unusual_method() {
    for end in ["uploads", "uploads/"] {
        let uri = format!("/v2/a/b/blobs/{end}?digest=s:1");
        let wanted = Operation::FinishUpload(parameters("s:1", "", ""));
        assert_eq!(operation("PUT", &uri, "a/b"), Some(wanted), "{uri}");
    }
    for id in ["1", "x/y", "x%2Fy"] {
        let uri = format!("/v2/a/b/blobs/uploads/{id}?digest=s:1");
        let wanted = Operation::StartUpload(parameters("s:1", "", ""));
        assert_eq!(operation("POST", &uri, "a/b"), Some(wanted), "{uri}");
    }
}

/// The spec leaves it to the registry where an upload goes on.
#[test]
fn uploads_end_at_urls_of_the_registry_s_choice() {
    for (path, repository) in [
        ("/v2/a/b/uploads/id", Some("a/b")),
        ("/v2/a/b/uploads/x%2Fy", Some("a/b")),
        ("/v2/a/b/blobs/upload/id", Some("a/b")),
        ("/v2/a/b/upload/blobs/upload/id/", Some("a/b/upload")),
        ("/v2/a/B/uploads/id", Some("a/B")),
        ("/v2/a%20b/uploads/id", Some("a b")),
        ("//v2/a/%62/uploads/id/", Some("a/b")),
        ("/v2/a/b/upload/id", None),
        ("/v2/uploads/id", None),
        ("/v2/a/uploads/", None),
        ("/v2/a/uploads/x/y", None),
        ("/uploads/a/b/id", None),
        ("/opaque/upload/42", None),
        ("/v2/a/blobs/s:1", None),
        ("/", None),
    ] {
        let uri = format!("{path}?state=x&digest=s%3A1");
        let found = route("PUT", &uri).unwrap();
        assert_eq!(found.repository.as_deref(), repository, "{uri}");
        assert!(!found.ambiguous, "{uri}");
        let wanted = Operation::FinishForeignUpload(parameters("s:1", "", ""));
        assert_eq!(found.operation, wanted, "{uri}");
        for query in ["", "?digest", "?digest=", "?Digest=s:1", "?xdigest=s:1"] {
            let uri = format!("{path}{query}");
            assert_eq!(route("PUT", &uri), None, "{uri}");
        }
    }
    // Registries that read a query differently end an upload here.
    for query in [
        "x=1;digest=s:1",
        "digest=&digest=s:1",
        "digest=%zz",
        "%64igest=s:1",
        "x&digest=s:1",
    ] {
        let uri = format!("/opaque/upload/42?{query}");
        assert!(route("PUT", &uri).is_some(), "{uri}");
    }
    for method in ["POST", "PATCH", "GET", "DELETE"] {
        assert_eq!(route(method, "/v2/a/b/uploads/id?digest=s:1"), None);
    }
    for (uri, repository) in [
        // Literal, and ambiguous.
        ("/v2/a/../b/uploads/id?digest=s:1", Some("a/../b")),
        // The readings of the encoded slash disagree.
        (
            "/v2/a/uploads/b%2Fuploads/id?digest=s:1",
            Some("a/uploads/b"),
        ),
        (
            "/v2/a/blobs/upload%2Fuploads/id?digest=s:1",
            Some("a/blobs/upload"),
        ),
    ] {
        let found = route("PUT", uri).unwrap();
        assert_eq!(found.repository.as_deref(), repository, "{uri}");
    }
    assert!(
        route("PUT", "/v2/a/../b/uploads/id?digest=s:1")
            .unwrap()
            .ambiguous
    );
}

#[test]
fn other_prefixes() {
    let find = |prefix, uri: &str| find(prefix, &Method::GET, &uri.parse().unwrap());
    assert!(find("/", "/a/manifests/b").is_some());
    assert!(find("/", "/manifests/b").is_none());
    assert!(find("/mirror/v2/", "/mirror/v2/a/manifests/b").is_some());
    assert!(find("/mirror/v2/", "/mirror%2Fv2/a/manifests/b").is_some());
    assert!(find("/mirror/v2/", "/v2/a/manifests/b").is_none());
    assert!(find("/v2/", "http://host/v2/a/manifests/b").is_some());
}
