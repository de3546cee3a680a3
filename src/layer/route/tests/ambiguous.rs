//! Paths that registries read in different ways.

use super::*;

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
