//! No spelling of a path evades.

use std::mem::discriminant;

use proptest::prelude::*;

use super::*;

fn name() -> impl Strategy<Value = String> {
    let component = prop_oneof![
        4 => "[a-z0-9]{1,4}((\\.|_|__|-{1,3})[a-z0-9]{1,3}){0,2}",
        1 => prop_oneof!["manifests", "blobs", "uploads", "tags", "list", "referrers", "v2"],
        1 => any_component(),
    ];
    prop::collection::vec(component, 1..5).prop_map(|parts| parts.join("/"))
}

/// Anything but a slash or a dot segment. Raw, so to be encoded.
fn any_component() -> impl Strategy<Value = String> {
    "[ -~éß]{1,6}".prop_map(|text| text.replace('/', "_").replacen('.', "x", 1))
}

fn reference() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}",
        blob_digest(),
        any_component()
    ]
}

fn blob_digest() -> impl Strategy<Value = String> {
    "[a-z0-9]{1,6}([+._-][a-z0-9]{1,3}){0,2}:[a-zA-Z0-9=_-]{1,64}"
}

/// An event: its method, its path after the prefix and before encoding, and
/// its repository.
fn event() -> impl Strategy<Value = (&'static str, String, String)> {
    let read = prop_oneof![Just("GET"), Just("HEAD"), Just("DELETE")];
    let any = prop_oneof![Just("GET"), Just("HEAD"), Just("DELETE"), Just("PUT")];
    prop_oneof![
        (any, name(), reference()).prop_map(|(m, n, r)| (m, format!("{n}/manifests/{r}"), n)),
        (read, name(), blob_digest()).prop_map(|(m, n, d)| (m, format!("{n}/blobs/{d}"), n)),
        name().prop_map(|n| ("POST", format!("{n}/blobs/uploads"), n)),
        (name(), "[a-zA-Z0-9._~=-]{0,40}[a-zA-Z0-9]").prop_map(|(n, id)| (
            "PUT",
            format!("{n}/blobs/uploads/{id}"),
            n
        )),
    ]
}

/// Spells a path as plainly as possible.
fn plain(path: &str) -> String {
    format!("/v2/{}", name_in_path(path))
}

/// Encodes a subset of the bytes of a path, in either case; slashes only if
/// `slashes` says so.
fn encode(path: &str, dice: &[u8], slashes: bool) -> String {
    let mut spelled = String::new();
    for (at, byte) in path.bytes().enumerate() {
        let die = dice[at % dice.len()];
        let plain = byte.is_ascii_alphanumeric() || b"-._~:/".contains(&byte);
        let keep = byte == b'/' && (!slashes || at == 0);
        match die % 4 {
            0 if !keep => spelled += &format!("%{byte:02x}"),
            1 if !keep => spelled += &format!("%{byte:02X}"),
            _ if plain => spelled.push(byte.into()),
            _ => spelled += &format!("%{byte:02X}"),
        }
    }
    spelled
}

/// Puts dot segments and more slashes into an encoded path.
fn detour(path: &str, dice: &[u8]) -> String {
    let mut spelled = String::new();
    for (at, character) in path.chars().enumerate() {
        let die = dice[at % dice.len()];
        let detour = match (character, die % 9) {
            ('/', 0) => "//",
            ('/', 1) => "/./",
            ('/', 2) => "/x%41/../",
            ('/', 3) => "/%2e/",
            ('/', 4) => "/a/b/.%2E//../",
            ('/', 5) => "///",
            _ => {
                spelled.push(character);
                continue;
            }
        };
        spelled += detour;
    }
    let end = ["", "/", "//", "/.", "/%2e/", "/z/..", "/manifests/..//"];
    spelled + end[usize::from(dice[0]) % end.len()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_route_is_found((method, path, name) in event()) {
        let found = route(method, &plain(&path));
        prop_assert!(found.is_some(), "{} {}", method, path);
        let found = found.unwrap();
        prop_assert!(!found.ambiguous, "{}", path);
        prop_assert_eq!(found.repository, Some(name), "{}", path);
    }

    #[test]
    fn encoding_changes_nothing(
        (method, path, _) in event(),
        dice in prop::collection::vec(any::<u8>(), 1..200),
        slash: bool,
    ) {
        let wanted = route(method, &plain(&path));
        let end = if slash { "/" } else { "" };
        let spelled = encode(&format!("/v2/{path}"), &dice, false) + end;
        prop_assert_eq!(route(method, &spelled), wanted.clone(), "{}", &spelled);
        let absolute = format!("http://host:5000{spelled}?x=/../");
        prop_assert_eq!(route(method, &absolute), wanted, "{}", absolute);
    }

    /// An encoded slash may leave facts out, but never makes other ones.
    #[test]
    fn encoded_slashes_do_not_evade(
        (method, path, name) in event(),
        dice in prop::collection::vec(any::<u8>(), 1..200),
    ) {
        let wanted = route(method, &plain(&path)).unwrap();
        let spelled = encode(&format!("/v2/{path}"), &dice, true);
        let found = route(method, &spelled);
        prop_assert!(found.is_some(), "{}", spelled);
        let found = found.unwrap();
        prop_assert_eq!(
            discriminant(&found.operation),
            discriminant(&wanted.operation),
            "{}", &spelled
        );
        if found.ambiguous {
            prop_assert!(found.repository.is_none_or(|found| found == name), "{}", spelled);
        } else {
            prop_assert_eq!(found, wanted, "{}", spelled);
        }
    }

    /// Dot segments and repeated slashes may make a literal name, which is then
    /// known to be ambiguous.
    #[test]
    fn detours_do_not_evade(
        (method, path, _) in event(),
        dice in prop::collection::vec(any::<u8>(), 1..200),
        slashes: bool,
    ) {
        let wanted = route(method, &plain(&path)).unwrap();
        let spelled = detour(&encode(&format!("/v2/{path}"), &dice, slashes), &dice);
        let found = route(method, &spelled);
        prop_assert!(found.is_some(), "{}", spelled);
        let found = found.unwrap();
        prop_assert!(found.ambiguous || found == wanted, "{} {:?}", spelled, found);
    }

    /// Against an oracle that knows only paths that are spelled plainly.
    #[test]
    fn plain_paths_match_as_the_oracle_says(
        method in prop_oneof!["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"],
        parts in prop::collection::vec(
            prop_oneof![
                2 => Just("manifests".to_owned()),
                2 => Just("blobs".to_owned()),
                2 => Just("uploads".to_owned()),
                1 => Just("tags".to_owned()),
                1 => Just("list".to_owned()),
                1 => Just("referrers".to_owned()),
                3 => "[a-zA-Z0-9._:~-]{0,4}[a-z]".prop_map(String::from),
                1 => blob_digest(),
            ],
            0..7,
        ),
    ) {
        let uri = format!("/v2/{}", parts.join("/"));
        let found = route(&method, &uri).map(|route| {
            let kind = match &route.operation {
                Operation::PullManifest(_)
                | Operation::PushManifest { .. }
                | Operation::DeleteManifest(_) => "manifests",
                Operation::PullBlob(_) | Operation::DeleteBlob(_) => "blobs",
                Operation::StartUpload(_)
                | Operation::FinishUpload(_)
                | Operation::FinishForeignUpload(_) => "uploads",
            };
            (kind, route.repository.unwrap())
        });
        prop_assert_eq!(found, oracle(&method, &parts), "{} {}", method, uri);
    }

    #[test]
    fn no_bytes_panic(
        bytes in prop::collection::vec(
            prop_oneof![
                4 => any::<u8>().prop_map(|byte| vec![byte]),
                4 => Just(b"/".to_vec()),
                2 => Just(b"..".to_vec()),
                2 => Just(b"%2F".to_vec()),
                2 => Just(b"%".to_vec()),
                1 => Just(b"%ff".to_vec()),
                1 => Just(b"/v2/".to_vec()),
                1 => Just(b"/manifests/".to_vec()),
                1 => Just(b"/blobs/".to_vec()),
                1 => Just(b"uploads".to_vec()),
            ],
            0..40,
        ),
    ) {
        let path = bytes.concat();
        for verb in [Verb::Pull, Verb::Put, Verb::Post, Verb::Delete, Verb::Name] {
            readings::find(&path, |reading| path::operation("/v2/", verb, reading));
            readings::find_literal(&path, |reading| path::operation("/", verb, reading));
        }
        readings::find(&path, |reading| path::foreign_upload("/v2/", reading));
        UploadParameters::parse(&path);
        query::tags(&path);
        query::has_digest(&path);
        if let Ok(uri) = http::Uri::try_from(&*path) {
            for method in [Method::GET, Method::PUT, Method::POST, Method::DELETE] {
                find("/v2/", &method, &uri);
            }
        }
    }
}

/// The kind and the name, decided segment by segment on a path that is spelled
/// plainly.
fn oracle(method: &str, parts: &[String]) -> Option<(&'static str, String)> {
    let pull = matches!(method, "GET" | "HEAD");
    let words: Vec<&str> = parts.iter().map(|part| &**part).collect();
    if pull && matches!(&*words, [_, .., "tags", "list"]) {
        return None;
    }
    for at in (1..words.len().saturating_sub(1)).rev() {
        let (name, word, rest) = (words[..at].join("/"), words[at], &words[at + 1..]);
        match (word, rest, method) {
            ("referrers", rest, "GET" | "HEAD") if rest.join("").contains(':') => return None,
            ("manifests", _, "GET" | "HEAD" | "PUT" | "DELETE") => {
                return Some(("manifests", name));
            }
            ("blobs", ["uploads", ..], "GET" | "HEAD" | "DELETE") => return None,
            ("blobs", ["uploads", ..], "POST" | "PUT") => return Some(("uploads", name)),
            ("blobs", _, "GET" | "HEAD" | "DELETE") => return Some(("blobs", name)),
            _ => {}
        }
    }
    None
}
