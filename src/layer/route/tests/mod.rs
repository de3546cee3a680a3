use super::*;

mod forms;
mod locations;
mod queries;
mod spellings;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn route(method: &str, uri: &str) -> Option<Route> {
    find("/v2/", &method.parse().unwrap(), &uri.parse().ok()?)
}

fn tag(tag: &str) -> Reference {
    Reference::Tag(tag.into())
}

fn digest(digest: &str) -> Reference {
    Reference::Digest(digest.into())
}

fn push(reference: Reference) -> Operation {
    let tags = Vec::new();
    Operation::PushManifest { reference, tags }
}

/// A value of `?` stands for one that is unclear.
fn parameters(digest: &str, mount: &str, from: &str) -> UploadParameters {
    let given = |text: &str| match text {
        "" => Parameter::Absent,
        "?" => Parameter::Unclear,
        text => Parameter::Is(text.into()),
    };
    UploadParameters {
        digest: given(digest),
        mount: given(mount),
        from: given(from),
    }
}

/// The operation of a request that every registry reads alike.
fn operation(method: &str, uri: &str, repository: &str) -> Option<Operation> {
    let route = route(method, uri)?;
    assert_eq!(
        route.repository.as_deref(),
        Some(repository),
        "{method} {uri}"
    );
    assert!(!route.ambiguous, "{method} {uri}");
    Some(route.operation)
}

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

/// The registry decides what is valid.
#[test]
fn names_of_any_spelling() {
    let long = "n".repeat(300);
    for (spelled, name) in [
        ("FOO/app", "FOO/app"),
        ("Reg.Example.COM/team/app", "Reg.Example.COM/team/app"),
        ("Reg.Example.COM:5000/app", "Reg.Example.COM:5000/app"),
        ("X/steal", "X/steal"),
        ("_x", "_x"),
        ("a..b", "a..b"),
        ("a%20b", "a b"),
        ("a%2520b", "a%20b"),
        ("%C3%A9", "é"),
        ("%FF", "\u{fffd}"),
        ("%zz", "%zz"),
        ("a+b", "a+b"),
        ("a%00b", "a\0b"),
        ("-", "-"),
        ("...", "..."),
        (&long, &long),
    ] {
        for (method, end, wanted) in [
            ("GET", "manifests/v1", Operation::PullManifest(tag("v1"))),
            ("PUT", "manifests/v1", push(tag("v1"))),
            (
                "DELETE",
                "manifests/s:1",
                Operation::DeleteManifest(digest("s:1")),
            ),
            ("HEAD", "blobs/s:1", Operation::PullBlob(Some("s:1".into()))),
            (
                "POST",
                "blobs/uploads/",
                Operation::StartUpload(parameters("", "", "")),
            ),
            (
                "PUT",
                "blobs/uploads/1",
                Operation::FinishUpload(parameters("", "", "")),
            ),
        ] {
            let uri = format!("/v2/{spelled}/{end}");
            assert_eq!(operation(method, &uri, name), Some(wanted), "{uri}");
        }
    }
}

#[test]
fn references_of_any_spelling() {
    let long = "t".repeat(129);
    for (spelled, reference) in [
        ("-x", tag("-x")),
        (".x", tag(".x")),
        (&long, tag(&long)),
        ("v1%2Fx", tag("v1/x")),
        ("v1/x", tag("v1/x")),
        ("%C3%A9", tag("é")),
        ("a%20b", tag("a b")),
        ("manifests", tag("manifests")),
        ("tags", tag("tags")),
        (":", digest(":")),
        ("SHA256:ABC", digest("SHA256:ABC")),
        ("sha256%3Aabc", digest("sha256:abc")),
    ] {
        let uri = format!("/v2/a/b/manifests/{spelled}");
        let found = operation("PUT", &uri, "a/b");
        assert_eq!(found, Some(push(reference.clone())), "{uri}");
        let found = operation("GET", &uri, "a/b");
        assert_eq!(found, Some(Operation::PullManifest(reference)), "{uri}");
    }
    assert_eq!((tag("a").tag(), tag("a").digest()), (Some("a"), None));
    assert_eq!(
        (digest("a:b").tag(), digest("a:b").digest()),
        (None, Some("a:b"))
    );
    assert_eq!(
        (Reference::Unknown.tag(), Reference::Unknown.digest()),
        (None, None)
    );
}

#[test]
fn names_may_contain_the_words_of_the_api() {
    for (method, uri, repository) in [
        ("GET", "/v2/a/manifests/b/manifests/c", "a/manifests/b"),
        ("GET", "/v2/manifests/manifests/manifests", "manifests"),
        ("GET", "/v2/a/blobs/uploads/manifests/c", "a/blobs/uploads"),
        ("GET", "/v2/a/blobs/b/blobs/s:1", "a/blobs/b"),
        ("PUT", "/v2/a/manifests/blobs/uploads/c", "a/manifests"),
        ("PUT", "/v2/a/manifests/b/blobs/uploads", "a/manifests/b"),
        ("POST", "/v2/v2/blobs/blobs/uploads/", "v2/blobs"),
        ("GET", "/v2/a/referrers/s:1/manifests/c", "a/referrers/s:1"),
        ("GET", "/v2/a/tags/list/manifests/c", "a/tags/list"),
        // Not routes at their last word, so the one before counts.
        ("PUT", "/v2/a/manifests/b/blobs/s:1", "a"),
        ("POST", "/v2/a/blobs/uploads/manifests/b", "a"),
        ("DELETE", "/v2/a/manifests/tags/list", "a"),
        ("DELETE", "/v2/a/manifests/referrers/s:1", "a"),
        ("PUT", "/v2/a/manifests/tags/list", "a"),
    ] {
        let found = route(method, uri).and_then(|route| route.repository);
        assert_eq!(found.unwrap_or_default(), repository, "{method} {uri}");
    }
}

/// The last word decides, so a name such as `a/blobs/b` makes no pull of it.
#[test]
fn lists_and_uploads_of_names_with_the_words_of_the_api() {
    for uri in [
        "/v2/a/blobs/b/tags/list",
        "/v2/a/manifests/b/tags/list",
        "/v2/a/manifests/tags/list",
        "/v2/a/blobs/b/referrers/s:1",
        "/v2/a/manifests/referrers/s:1",
        "/v2/a/manifests/b/blobs/uploads/1",
        "/v2/a/blobs/%62/tags/list",
        "/v2/a//blobs/./b/tags/list",
        "/v2/a/blobs/b/%74ags/list",
    ] {
        for method in ["GET", "HEAD"] {
            assert_eq!(route(method, uri), None, "{method} {uri}");
        }
    }
    // Without a digest it is no list of referrers.
    assert_eq!(
        operation("GET", "/v2/a/manifests/referrers/x", "a"),
        Some(Operation::PullManifest(tag("referrers/x")))
    );
}

#[test]
fn upload_ids_of_any_spelling() {
    for id in [
        "abc%2Fdef",
        "%2F",
        "a%2fb%2Fc",
        "a/b",
        "a/b/c",
        "uploads",
        "blobs",
        "..%2Fx",
        "%00",
    ] {
        let uri = format!("/v2/library/debian/blobs/uploads/{id}?digest=s:1");
        let found = route("PUT", &uri).unwrap();
        assert_eq!(found.repository.as_deref(), Some("library/debian"), "{uri}");
        let wanted = Operation::FinishUpload(parameters("s:1", "", ""));
        assert_eq!(found.operation, wanted, "{uri}");
    }
    let found = route("PUT", "/v2/a/blobs/uploads%2Fid?digest=s:1").unwrap();
    assert!(matches!(found.operation, Operation::FinishUpload(_)));
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

#[test]
fn a_literal_name_counts_and_is_ambiguous() {
    for (method, uri, name, rest) in [
        (
            "PUT",
            "/v2/evil%2F..%2Fvictim/manifests/v1",
            "evil/../victim",
            "v1",
        ),
        (
            "PUT",
            "/v2/evil/../victim/manifests/v1",
            "evil/../victim",
            "v1",
        ),
        (
            "PUT",
            "/v2/evil/%2e%2E/victim/manifests/v1",
            "evil/../victim",
            "v1",
        ),
        ("PUT", "/v2/./a/manifests/v1", "./a", "v1"),
        ("PUT", "/v2/a//b/manifests/v1", "a//b", "v1"),
        ("PUT", "/v2//a/manifests/v1", "/a", "v1"),
        ("PUT", "/v2/a//manifests/v1", "a/", "v1"),
        ("PUT", "/v2/a/manifests//v1", "a", "/v1"),
        ("PUT", "/v2/a/manifests/v1//", "a", "v1/"),
        ("PUT", "/v2/a/manifests/x/../v1", "a", "x/../v1"),
        ("PUT", "/v2/a/manifests/./v1", "a", "./v1"),
        // RFC 3986 keeps empty segments, for `..` to remove.
        ("PUT", "/v2/a/b//../manifests/v1", "a/b//..", "v1"),
    ] {
        let found = route(method, uri).unwrap();
        let wanted = Route {
            repository: Some(name.into()),
            ambiguous: true,
            operation: push(tag(rest)),
        };
        assert_eq!(found, wanted, "{uri}");
    }
    // It is a list of tags for a registry that resolves.
    let found = route("GET", "/v2/a/tags/manifests/../list").unwrap();
    assert_eq!(found.operation, Operation::PullManifest(tag("../list")));
    assert!(found.ambiguous);
}

#[test]
fn a_resolved_name_counts_where_there_is_no_literal_one() {
    for uri in [
        "//v2/a/b/manifests/v1",
        "/./v2/a/b/manifests/v1",
        "/x/../v2/a/b/manifests/v1",
        "/%2E/v2/a/b/manifests/v1",
        "/../v2/a/b/manifests/v1",
        "//v2/a/b/manifests/v1/",
        "http://host:5000//v2/a/b/manifests/v1",
    ] {
        let found = operation("GET", uri, "a/b");
        assert_eq!(found, Some(Operation::PullManifest(tag("v1"))), "{uri}");
    }
    // RFC 3986 keeps the empty segment, and would read `a/`.
    let found = route("POST", "/v2/a/x/..//blobs/./uploads").unwrap();
    assert_eq!(found.repository.as_deref(), Some("a"));
    assert!(found.ambiguous);
    // For a registry that resolves as RFC 3986 does, and for no other.
    let found = route("GET", "/./v2//../a/manifests/v1").unwrap();
    assert_eq!(found.repository.as_deref(), Some("a"));
    // For a registry that merges slashes, and for no other.
    let found = route("GET", "//v2/a/manifests/..").unwrap();
    assert_eq!(found.operation, Operation::PullManifest(tag("..")));
    // The upload that a literal reading sees cannot have this digest as its id.
    let found = route("DELETE", "/v2/a/blobs/uploads/../s:1").unwrap();
    let wanted = Operation::DeleteBlob(Some("s:1".into()));
    assert_eq!((found.operation, found.ambiguous), (wanted, true));
}

#[test]
fn an_encoded_slash_that_one_reading_takes_for_a_separator() {
    for uri in [
        "/v2%2Fa/b/manifests/v1",
        "/v2/a%2Fb/manifests/v1",
        "/v2/a%2fb/manifests/v1",
        "/v2/a/b%2Fmanifests/v1",
        "/v2/a/b/manifests%2Fv1",
        "/v2%2Fa%2Fb%2Fmanifests%2Fv1",
        "/%76%32/a/b/manifests/v1",
    ] {
        let found = operation("GET", uri, "a/b");
        assert_eq!(found, Some(Operation::PullManifest(tag("v1"))), "{uri}");
    }
}

#[test]
fn an_encoded_slash_that_makes_the_route_uncertain() {
    for (method, uri, name, wanted) in [
        (
            "GET",
            "/v2/a/manifests/b%2Fmanifests/c",
            None,
            Operation::PullManifest(Reference::Unknown),
        ),
        (
            "PUT",
            "/v2/a/manifests/b%2Fmanifests/c?tag=x",
            None,
            push(Reference::Unknown),
        ),
        (
            "DELETE",
            "/v2/a/manifests/b/manifests%2Fc",
            None,
            Operation::DeleteManifest(Reference::Unknown),
        ),
        // Another kind of operation: that of the decoded path stays.
        (
            "GET",
            "/v2/a/manifests/b%2Fblobs/s:1",
            None,
            Operation::PullBlob(None),
        ),
        (
            "DELETE",
            "/v2/a/manifests/b%2Fblobs/s:1",
            None,
            Operation::DeleteBlob(None),
        ),
        // A list or the cancellation of an upload for some registries.
        (
            "GET",
            "/v2/a/manifests/b%2Ftags/list",
            None,
            Operation::PullManifest(Reference::Unknown),
        ),
        (
            "GET",
            "/v2/a/manifests/tags%2Flist",
            None,
            Operation::PullManifest(Reference::Unknown),
        ),
        (
            "GET",
            "/v2/a/blobs/b%2Freferrers/s:1",
            None,
            Operation::PullBlob(None),
        ),
        (
            "DELETE",
            "/v2/a/manifests/b%2Fblobs/uploads/1",
            None,
            Operation::DeleteManifest(Reference::Unknown),
        ),
        // The repository is certain, and its tag is not.
        (
            "PUT",
            "/v2/a/manifests/v1%2F",
            Some("a"),
            push(Reference::Unknown),
        ),
    ] {
        let wanted = Route {
            repository: name.map(str::to_owned),
            ambiguous: true,
            operation: wanted,
        };
        assert_eq!(route(method, uri), Some(wanted), "{method} {uri}");
    }
    // No registry takes these for anything but a list.
    for uri in ["/v2/a%2Fb/tags/list", "/v2/a%2Fb/tags%2Flist"] {
        assert_eq!(route("GET", uri), None, "{uri}");
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

#[test]
fn paths_over_the_size_of_the_buffer() {
    for length in [1, 1000, 1013, 1014, 1015, 2000, 60_000] {
        let name = "n".repeat(length);
        for uri in [
            format!("/v2/{name}/manifests/v1"),
            format!("/v2/{name}/manifest%73/v1"),
            format!("/v2/{name}%2Fmanifests/v1"),
            format!("//v2/{name}/manifests/v1"),
        ] {
            let found = operation("GET", &uri, &name);
            assert_eq!(found, Some(Operation::PullManifest(tag("v1"))));
        }
    }
}

#[test]
fn names_and_references_in_the_layer_s_own_requests() {
    for (text, name, part) in [
        ("a/b", "a/b", "a%2Fb"),
        ("sha256:00", "sha256:00", "sha256:00"),
        (
            "a b?c#d%20&e+f",
            "a%20b%3Fc%23d%2520%26e%2Bf",
            "a%20b%3Fc%23d%2520%26e%2Bf",
        ),
        ("é-._~", "%C3%A9-._~", "%C3%A9-._~"),
    ] {
        assert_eq!(name_in_path(text).to_string(), name);
        assert_eq!(segment(text).to_string(), part);
        let uri = format!("/v2/{}/manifests/{}", name_in_path(text), segment(text));
        let found = operation("GET", &uri, text);
        assert_eq!(
            found,
            Some(Operation::PullManifest(Reference::new(Some(text.into()))))
        );
    }
}
