use proptest::prelude::*;
use regex::Regex;

use super::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn route(method: &str, uri: &str) -> Option<Route> {
    find("/v2/", &method.parse().unwrap(), &uri.parse().ok()?)
}

fn operation(method: &str, uri: &str) -> Option<Operation> {
    let route = route(method, uri)?;
    assert_eq!(route.repository, "library/debian");
    Some(route.operation)
}

#[test]
fn the_routes_of_the_spec() {
    let tag = || Reference::Tag("12".into());
    let digest = || Reference::Digest(DIGEST.into());
    let by_tag = "/v2/library/debian/manifests/12";
    let by_digest = format!("/v2/library/debian/manifests/{DIGEST}");
    let blob = format!("/v2/library/debian/blobs/{DIGEST}");
    let uploads = "/v2/library/debian/blobs/uploads/";
    for method in ["GET", "HEAD"] {
        assert_eq!(
            operation(method, by_tag),
            Some(Operation::PullManifest(tag()))
        );
        assert_eq!(
            operation(method, &by_digest),
            Some(Operation::PullManifest(digest()))
        );
        assert_eq!(
            operation(method, &blob),
            Some(Operation::PullBlob(DIGEST.into()))
        );
    }
    assert_eq!(
        operation("DELETE", by_tag),
        Some(Operation::DeleteManifest(tag()))
    );
    assert_eq!(
        operation("DELETE", &by_digest),
        Some(Operation::DeleteManifest(digest()))
    );
    assert_eq!(
        operation("DELETE", &blob),
        Some(Operation::DeleteBlob(DIGEST.into()))
    );
    let push = |reference, tags: &[&str]| {
        let tags = tags.iter().map(|tag| (*tag).into()).collect();
        Some(Operation::PushManifest { reference, tags })
    };
    assert_eq!(
        operation("PUT", &format!("{by_tag}?tag=a")),
        push(tag(), &[])
    );
    let tagged = format!("{by_digest}?tag=a&tag=%62&x=y&tag=a&tag=-");
    assert_eq!(operation("PUT", &tagged), push(digest(), &["a", "b"]));
    let parameters = |digest: &str, mount: &str, from: &str| {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        UploadParameters {
            digest: given(digest),
            mount: given(mount),
            from: given(from),
        }
    };
    let start = |it| Some(Operation::StartUpload(it));
    assert_eq!(operation("POST", uploads), start(parameters("", "", "")));
    let post = format!("{uploads}?mount=sha256%3A0&from=a%2Fb&digest=s:1&digest=s:2");
    assert_eq!(
        operation("POST", &post),
        start(parameters("s:1", "sha256:0", "a/b"))
    );
    assert_eq!(
        operation("PUT", &format!("{uploads}some-id?_state=x&digest=s:1")),
        Some(Operation::FinishUpload(parameters("s:1", "", "")))
    );
    for id in ["abc%2Fdef", "%2F", "a%2fb%2Fc"] {
        let uri = format!("{uploads}{id}?digest=s:1");
        let end = Operation::FinishUpload(parameters("s:1", "", ""));
        assert_eq!(operation("PUT", &uri), Some(end), "{uri}");
        assert_eq!(
            operation("PUT", &format!("/v2/library/debian/manifests/{id}")),
            None
        );
    }
    for (method, uri) in [
        ("PATCH", &*format!("{uploads}id")),
        ("GET", &format!("{uploads}id")),
        ("DELETE", &format!("{uploads}id")),
        ("PUT", uploads),
        ("POST", by_tag),
        ("PUT", &blob),
        ("GET", "/v2/"),
        ("GET", "/v2/_catalog"),
        ("GET", "/v2/library/debian/tags/list"),
        ("GET", "/v2/manifests/12"),
        ("GET", "/v3/library/debian/manifests/12"),
        ("GET", "/v2/library/debian/manifests/sha256:"),
        ("GET", "/v2/library/Debian/manifests/12"),
    ] {
        assert_eq!(route(method, uri), None, "{method} {uri}");
    }
}

/// The spec leaves it to the registry where an upload goes on.
#[test]
fn uploads_end_where_the_registry_likes() {
    let end = |uri: &str| match route("PUT", uri) {
        Some(Route {
            repository,
            operation: Operation::FinishForeignUpload(parameters),
        }) => {
            assert_eq!(parameters.digest.as_deref(), Some("s:1"));
            Some(repository)
        }
        Some(other) => panic!("{uri}: {other:?}"),
        None => None,
    };
    for (path, repository) in [
        ("/v2/a/b/uploads/id", "a/b"),
        ("/v2/a/b/blobs/upload/id", "a/b"),
        ("/v2/a/b/upload/blobs/upload/id", "a/b/upload"),
        ("/v2//a/%62/uploads/id/", "a/b"),
        ("/v2/a/B/uploads/id", ""),
        ("/v2/uploads/id", ""),
        ("/uploads/a/b/id", ""),
        ("/", ""),
    ] {
        let found = end(&format!("{path}?state=x&digest=s%3A1"));
        assert_eq!(found.as_deref(), Some(repository), "{path}");
        for query in ["", "?digest=none", "?digest=", "?Digest=s:1"] {
            assert_eq!(end(&format!("{path}{query}")), None, "{path}{query}");
        }
    }
    for method in ["POST", "PATCH", "GET", "DELETE"] {
        assert_eq!(route(method, "/v2/a/b/uploads/id?digest=s:1"), None);
    }
    for (location, repository) in [
        ("/v2/a/b/blobs/s:1", Some("a/b")),
        ("https://registry.example/v2/a/blobs/s%3A1", Some("a")),
        ("/v2/a/b/uploads/id", None),
        ("/v2/a/manifests/s:1", None),
        ("a blob", None),
        ("", None),
    ] {
        let found = blob_repository("/v2/", location);
        assert_eq!(found.as_deref(), repository, "{location}");
    }
}

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
        "mount=s:1&mount=s:2",
    ] {
        let mount = UploadParameters::parse(query.as_bytes()).mount;
        assert_eq!(mount.as_deref(), Some("s:1"), "{query}");
    }
    let digest = format!("/v2/library/debian/manifests/{DIGEST}?tag=a%2&tag=b;c&tag=d");
    let Some(Operation::PushManifest { tags, .. }) = operation("PUT", &digest) else {
        panic!("{digest}");
    };
    assert_eq!(tags, ["d"]);
}

#[test]
fn of_many_tags_a_hundred_count() {
    let tags = |count: usize| {
        let list: Vec<_> = (0..count).map(|n| format!("tag=t{n}&tag=-")).collect();
        let uri = format!("/v2/library/debian/manifests/{DIGEST}?{}", list.join("&"));
        match operation("PUT", &uri) {
            Some(Operation::PushManifest { tags, .. }) => tags,
            other => panic!("{other:?}"),
        }
    };
    let wanted: Vec<_> = (0..100).map(|n| format!("t{n}")).collect();
    assert_eq!(tags(99), wanted[..99]);
    assert_eq!(tags(100), wanted);
    assert_eq!(tags(1000), wanted);
}

#[test]
fn names_may_hold_the_words_of_the_api() {
    for (method, uri, repository) in [
        ("GET", "/v2/a/manifests/b/manifests/c", "a/manifests/b"),
        ("GET", "/v2/a/blobs/uploads/manifests/c", "a/blobs/uploads"),
        ("PUT", "/v2/a/manifests/blobs/uploads/c", "a/manifests"),
        ("POST", "/v2/v2/blobs/blobs/uploads/", "v2/blobs"),
    ] {
        let found = route(method, uri).map(|route| route.repository);
        assert_eq!(found.as_deref(), Some(repository), "{uri}");
    }
}

#[test]
fn other_prefixes() {
    let find = |prefix, uri: &str| find(prefix, &Method::GET, &uri.parse().unwrap());
    assert!(find("/", "/a/manifests/b").is_some());
    assert!(find("/mirror/v2/", "/mirror/v2/a/manifests/b").is_some());
    assert!(find("/mirror/v2/", "/v2/a/manifests/b").is_none());
    assert!(find("/v2/", "http://host/v2/a/manifests/b").is_some());
}

/// The grammar of the distribution spec, in its own words.
fn spec() -> &'static [Regex; 3] {
    static SPEC: std::sync::LazyLock<[Regex; 3]> = std::sync::LazyLock::new(compile);
    &SPEC
}

fn compile() -> [Regex; 3] {
    let name = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*";
    let digest = r"[a-z0-9]+([+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+";
    let tag = r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}";
    [name, digest, tag].map(|it| Regex::new(&format!("^(?:{it})$")).unwrap())
}

fn name() -> impl Strategy<Value = String> {
    let word = "[a-z0-9]{1,4}((\\.|_|__|-{1,3})[a-z0-9]{1,3}){0,2}";
    let component = prop_oneof![
        4 => word,
        1 => prop_oneof!["manifests", "blobs", "uploads", "tags", "v2"],
    ];
    prop::collection::vec(component, 1..5).prop_map(|parts| parts.join("/"))
}

fn reference() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", digest()]
}

fn digest() -> impl Strategy<Value = String> {
    "[a-z0-9]{1,6}([+._-][a-z0-9]{1,3}){0,2}:[a-zA-Z0-9=_-]{1,64}"
}

/// A method and the path of an event.
fn event() -> impl Strategy<Value = (&'static str, String)> {
    let read = prop_oneof![Just("GET"), Just("HEAD"), Just("DELETE")];
    let any = prop_oneof![Just("GET"), Just("HEAD"), Just("DELETE"), Just("PUT")];
    prop_oneof![
        (any, name(), reference()).prop_map(|(m, n, r)| (m, format!("/v2/{n}/manifests/{r}"))),
        (read, name(), digest()).prop_map(|(m, n, d)| (m, format!("/v2/{n}/blobs/{d}"))),
        name().prop_map(|n| ("POST", format!("/v2/{n}/blobs/uploads"))),
        (name(), "[a-zA-Z0-9._~=-]{0,40}[a-zA-Z0-9]")
            .prop_map(|(n, id)| ("PUT", format!("/v2/{n}/blobs/uploads/{id}"))),
    ]
}

/// Another spelling of `path`; `dice` decides, character by character.
fn respell(path: &str, dice: &[u8]) -> String {
    let mut spelled = String::new();
    for (at, c) in path.chars().enumerate() {
        let die = dice[at % dice.len()];
        let encoded = || format!("%{:02x}", c as u32);
        match (c, die % 12) {
            ('/', 0) => spelled.push_str("//"),
            ('/', 1) => spelled.push_str("/./"),
            ('/', 2) => spelled.push_str("/x%41/../"),
            ('/', 3) => spelled.push_str("/%2e/"),
            ('/', 4) => spelled.push_str("/a/b/.%2E//../"),
            ('/', 5) if at > 0 => spelled.push_str("%2F"),
            ('/', 6) if at > 0 => spelled.push_str("%2f"),
            (_, 7) if at > 0 => spelled.push_str(&encoded()),
            (_, 8) if at > 0 => spelled.push_str(&encoded().to_uppercase()),
            _ => spelled.push(c),
        }
    }
    spelled.push_str(["", "/", "//", "/.", "/%2e/", "/z/.."][usize::from(dice[0]) % 6]);
    spelled
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_spelling_evades(
        (method, path) in event(),
        dice in prop::collection::vec(any::<u8>(), 1..200),
    ) {
        let plain = route(method, &path);
        prop_assert!(plain.is_some(), "{}", path);
        let spelled = respell(&path, &dice);
        prop_assert_eq!(route(method, &spelled), plain.clone(), "{}", &spelled);
        let absolute = format!("http://host:5000{spelled}?x=/../");
        prop_assert_eq!(route(method, &absolute), plain, "{}", absolute);
    }

    /// An id with encoded slashes in it is one segment still, however the path
    /// before it is spelled.
    #[test]
    fn no_spelling_of_an_opaque_id_evades(
        name in name(),
        id in "[a-zA-Z0-9._~=-]{0,9}(%2[Ff][a-zA-Z0-9._~=-]{0,9}){1,3}",
        dice in prop::collection::vec(any::<u8>(), 1..200),
    ) {
        let above = respell(&format!("/v2/{name}/blobs/uploads"), &dice);
        let uri = format!("{above}/{id}?digest=s:1");
        let end = Operation::FinishUpload(UploadParameters {
            digest: Some("s:1".into()),
            ..UploadParameters::default()
        });
        let wanted = Route { repository: name, operation: end };
        prop_assert_eq!(route("PUT", &uri), Some(wanted), "{}", uri);
    }

    #[test]
    fn the_grammar_is_the_spec_s(
        text in prop_oneof![name(), reference(), "[a-zA-Z0-9._:+=/-]{0,20}", "\\PC{0,12}"],
        change in prop::option::of((any::<prop::sample::Index>(), "[A-Z._:/+%é-]")),
    ) {
        let mut text: Vec<char> = text.chars().collect();
        if let Some((at, with)) = change.filter(|_| !text.is_empty()) {
            let at = at.index(text.len());
            text[at] = with.chars().next().unwrap();
        }
        let text: String = text.into_iter().collect();
        let [name, digest, tag] = spec();
        prop_assert_eq!(is_repository(&text), text.len() <= 255 && name.is_match(&text));
        prop_assert_eq!(is_digest(&text), digest.is_match(&text));
        prop_assert_eq!(is_tag(&text), tag.is_match(&text));
    }

    #[test]
    fn nothing_else_matches(
        method in prop_oneof!["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"],
        parts in prop::collection::vec(
            prop_oneof![
                2 => Just("manifests".to_owned()),
                2 => Just("blobs".to_owned()),
                2 => Just("uploads".to_owned()),
                1 => Just("tags".to_owned()),
                3 => name(),
                3 => reference(),
                1 => "[a-zA-Z0-9._:~-]{1,6}",
            ],
            0..7,
        ),
    ) {
        let rest = parts.join("/");
        let found = route(&method, &format!("/v2/{rest}"));
        prop_assert_eq!(found.is_some(), oracle(&method, &rest), "{} {}", method, rest);
    }

    #[test]
    fn no_bytes_panic(
        path in prop::collection::vec(any::<u8>(), 0..80),
        query in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let mut buffer = vec![0; path.len()];
        let length = normalize(&path, &mut buffer);
        prop_assert!(!buffer[..length].windows(2).any(|pair| pair == b"//"));
        UploadParameters::parse(&query);
    }
}

/// Is it a route? Decided by the spec's regular expressions alone, on a path
/// that is spelled as it is meant.
fn oracle(method: &str, rest: &str) -> bool {
    if rest.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return oracle_of_normalized(method, rest);
    }
    let [name, digest, tag] = spec();
    let is_name = |text: &str| text.len() <= 255 && name.is_match(text);
    let parts: Vec<_> = rest.split('/').collect();
    match (method, &*parts) {
        ("GET" | "HEAD" | "PUT" | "DELETE", [repository @ .., "manifests", reference])
            if digest.is_match(reference) || tag.is_match(reference) =>
        {
            is_name(&repository.join("/"))
        }
        ("POST", [repository @ .., "blobs", "uploads"]) => is_name(&repository.join("/")),
        ("GET" | "HEAD" | "DELETE", [repository @ .., "blobs", blob]) => {
            digest.is_match(blob) && is_name(&repository.join("/"))
        }
        ("PUT", [repository @ .., "blobs", "uploads", _]) => is_name(&repository.join("/")),
        _ => false,
    }
}

fn oracle_of_normalized(method: &str, rest: &str) -> bool {
    let mut parts = vec!["v2"];
    for part in rest.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.first() == Some(&"v2") && parts.len() > 1 && oracle(method, &parts[1..].join("/"))
}

#[test]
fn lengths_are_bounded() {
    assert!(is_repository(&"a".repeat(255)) && !is_repository(&"a".repeat(256)));
    assert!(is_tag(&"a".repeat(128)) && !is_tag(&"a".repeat(129)));
    assert!(is_digest(&format!("a:{}", "0".repeat(512))));
    assert!(!is_digest(&format!("a:{}", "0".repeat(513))));
    let long = format!("/v2/a/manifests/b{}", "/.".repeat(STACK_PATH));
    assert!(route("GET", &long).is_some());
}
