use std::fmt::Write as _;

use super::*;

/// As in Go: `url.ParseQuery` goes on after a pair that it cannot read.
#[test]
fn pairs_that_are_not_well_encoded_do_not_count() {
    for query in [
        "mount=%zz&mount=s:1",
        "mount=%&mount=s:1",
        "mount=s:2%4&mount=s:1",
        "mo%unt=s:2&mount=s:1",
        "mount=s:2;x&mount=s:1",
        "&&mount=%73%3A1",
        "mount=s:1&mount=%zz",
        "mount=s:1&mount=s%3A1",
    ] {
        let mount = UploadParameters::parse(query.as_bytes()).mount;
        assert_eq!(mount.value(), Some("s:1"), "{query}");
    }
    let uri = format!("/v2/a/manifests/{DIGEST}?tag=a%2&tag=b;c&tag=d");
    let Some(Operation::PushManifest { tags, .. }) = operation("PUT", &uri, "a") else {
        panic!("{uri}");
    };
    assert_eq!(tags, ["d"]);
}

#[test]
fn values_of_any_spelling() {
    for (query, wanted) in [
        ("mount=x&from=FOO%2Fapp", parameters("", "x", "FOO/app")),
        ("mount=%C3%A9&from=a+b", parameters("", "é", "a b")),
        ("digest=&mount=&from=", parameters("", "", "")),
        // Go takes the first value, others the last.
        ("digest=&digest=s:1", parameters("?", "", "")),
        ("mount=s:1&mount=s:2&from=a", parameters("", "?", "a")),
        ("from=a&from=a&from=b", parameters("", "", "?")),
        ("from=a&from=", parameters("", "", "?")),
        ("Digest=s:1", parameters("", "", "")),
        ("digest", parameters("", "", "")),
    ] {
        assert_eq!(UploadParameters::parse(query.as_bytes()), wanted, "{query}");
    }
}

/// The server bounds the length of a URI, and the registry says which tags it
/// has set.
#[test]
fn every_tag_of_a_push_counts_once() {
    let tags = |query: &str| {
        let uri = format!("/v2/a/manifests/{DIGEST}?{query}");
        match operation("PUT", &uri, "a") {
            Some(Operation::PushManifest { tags, .. }) => tags,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        tags("tag=b&tag=%61&x=y&tag=b&tag=&tag=-&Tag=c"),
        ["b", "a", "-"]
    );
    assert_eq!(tags(""), [""; 0]);
    let mut query = String::new();
    let wanted: Vec<_> = (0..5000).map(|n| format!("t{n}")).collect();
    for tag in &wanted {
        let _ = write!(query, "tag={tag}&");
    }
    assert_eq!(tags(&query), wanted);
    // Beside a tag there is nothing to ask for.
    assert_eq!(
        operation("PUT", "/v2/a/manifests/v1?tag=b", "a"),
        Some(push(tag("v1")))
    );
}
