use proptest::prelude::*;

use super::*;

fn located(location: &str) -> Option<String> {
    let request = "http://host/v2/x/blobs/uploads/1".parse().unwrap();
    location_repository("/v2/", &request, location)
}

#[test]
fn names_in_locations() {
    for (location, repository) in [
        ("/v2/a/b/blobs/s:1", Some("a/b")),
        ("/v2/a/b/manifests/s:1", Some("a/b")),
        ("/v2/a/b/manifests/v1", Some("a/b")),
        ("/v2/a/b/blobs/uploads/1?x=/v2/c/blobs/s:1", Some("a/b")),
        ("/v2/a/blobs/s:1/", Some("a")),
        ("/v2/a/blobs/s:1#/v2/c/blobs/s:1", Some("a")),
        ("https://registry.example/v2/a/blobs/s%3A1", Some("a")),
        ("HTTP://registry.example:5000/v2/FOO/blobs/s:1", Some("FOO")),
        ("//registry.example/v2/a/blobs/s:1", Some("a")),
        ("/v2/a b/blobs/s:1", Some("a b")),
        ("/v2/a%2Fb/blobs/s:1", Some("a/b")),
        ("/v2/a%2520b/blobs/s:1", Some("a%20b")),
        // Literally: the registry spells its own names.
        ("/v2/evil/../victim/manifests/v1", Some("evil/../victim")),
        (
            "/v2/evil%2F..%2Fvictim/manifests/v1",
            Some("evil/../victim"),
        ),
        // Relative to the request.
        ("2", Some("x")),
        ("../s:1", Some("x")),
        ("../../../y/blobs/s:1", Some("y")),
        ("./../../../../v2/y/blobs/s:1", Some("y")),
        // The readings of the encoded slash disagree.
        ("/v2/a/manifests/b%2Fmanifests/c", None),
        // Another API, and places that are not the prefix's.
        ("/v3/a/blobs/s:1", None),
        ("/mirror/v2/a/blobs/s:1", None),
        ("//v2/a/blobs/s:1", None),
        ("/./v2/a/blobs/s:1", None),
        ("https://v2/a/blobs/s:1", None),
        ("https:/v2/a/blobs/s:1", None),
        ("ftp://registry.example/v2/a/blobs/s:1", None),
        ("https://registry.example", None),
        ("../../../../a/blobs/s:1", None),
        ("/v2/a/b/uploads/id", None),
        ("/v2/a/tags/list", None),
        ("s:1", None),
        ("a blob", Some("x")),
        ("?digest=s:1", None),
        ("", None),
    ] {
        assert_eq!(located(location).as_deref(), repository, "{location}");
    }
    let request = "/opaque/upload/42".parse().unwrap();
    let found = location_repository("/v2/", &request, "/v2/a/blobs/s:1");
    assert_eq!(found.as_deref(), Some("a"));
    let found = location_repository("/", &request, "/a/blobs/s:1");
    assert_eq!(found.as_deref(), Some("a"));
}

#[test]
fn the_same_name_in_another_encoding() {
    for (request, located, same) in [
        ("a/b", "a/b", true),
        ("a b", "a%20b", true),
        ("a%20b", "a b", true),
        ("é", "%C3%A9", true),
        ("%C3%A9", "é", true),
        ("a%2Fb", "a/b", true),
        ("a%20b", "a%2520b", true),
        ("a/b", "a/c", false),
        ("evil/../victim", "victim", false),
        ("a//b", "a/b", false),
        ("FOO", "foo", false),
        ("%41", "%42", false),
        ("", "a", false),
    ] {
        assert_eq!(same_name(request, located), same, "{request} {located}");
    }
}

proptest! {
    #[test]
    fn no_location_panics(location in "\\PC{0,60}", request in "/[a-z/.%]{0,30}") {
        if let Ok(request) = request.parse() {
            location_repository("/v2/", &request, &location);
        }
    }

    /// A name is found again in the URL that a registry makes of it.
    #[test]
    fn a_name_survives_its_url(name in "[^/\u{0}]{1,9}(/[^/\u{0}]{1,9}){0,3}") {
        for end in ["manifests/s:1", "blobs/s:1", "blobs/uploads/1"] {
            let location = format!("https://host/v2/{}/{end}", name_in_path(&name));
            let found = located(&location);
            prop_assert_eq!(found.as_ref(), Some(&name), "{}", location);
        }
    }
}
