//! Names, references and upload ids in any spelling.

use super::*;

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
