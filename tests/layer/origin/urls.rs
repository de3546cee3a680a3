//! Hosts, and the URLs that begin with them.

use std::net::SocketAddr;

use http::Uri;
use http::uri::{PathAndQuery, Scheme};
use tower_registry_notifications::layer::PeerAddr;

use super::{ALL, BLOB, HOST, PLAIN, SOME, assert_url, head, made};
use crate::stage::Set;

fn uri(scheme: &str, authority: &str) -> Uri {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::try_from(scheme).unwrap());
    parts.authority = Some(authority.parse().unwrap());
    parts.path_and_query = Some(PathAndQuery::from_static(BLOB));
    Uri::from_parts(parts).unwrap()
}

#[test]
fn a_scheme_other_than_http_and_https_makes_a_relative_url() {
    let https: Set = |layer| layer.https(true);
    for (scheme, base) in [
        ("http", "http://r"),
        ("https", "https://r"),
        ("ftp", ""),
        ("", ""),
    ] {
        let mut request = head(&[]);
        *request.uri_mut() = uri(scheme, "r");
        let missing: &[_] = if base.is_empty() { &["base_url"] } else { &[] };
        let plain = made(PLAIN, request.clone());
        assert_url(&plain, base, missing);
        assert_eq!(plain.event.request.host, "r");
        assert_url(&made(https, request), "https://r", &[]);
    }
}

#[test]
fn without_a_host_a_url_is_relative() {
    let mut request = head(&[]);
    *request.version_mut() = http::Version::HTTP_10;
    for request in [request, head(&[("host", "")])] {
        let made = made(PLAIN, request);
        assert_url(&made, "", &["base_url", "host"]);
        assert_eq!(made.event.request.host, "");
    }
    // Below a prefix, the relative URL is below it too.
    let prefix: Set = |layer| layer.prefix("/m/v2");
    let mut request = head(&[]);
    *request.uri_mut() = "/m/v2/a/blobs/sha256:01".parse().unwrap();
    assert_url(&made(prefix, request), "/m", &["base_url", "host"]);
}

#[test]
fn hosts_with_invalid_characters_are_in_no_event() {
    let long = "r".repeat(100_000);
    for host in [
        "a b",
        "a/b",
        "me:secret@r",
        "\"r\"",
        "r\"",
        "r\\",
        "r?x",
        "r#x",
        "<r>",
        "r\u{e9}",
        &long,
    ] {
        let made = made(PLAIN, head(&[("host", host)]));
        assert_url(&made, "", &["base_url", "host"]);
        assert_eq!(made.event.request.host, "");
    }
    // What Go takes as a host is what was asked for, but makes no URL.
    for host in ["'r'", "a,b", "r:", "r:99999", "[r]", "[::1", "r%20"] {
        let made = made(PLAIN, head(&[("host", host)]));
        assert_url(&made, "", &["base_url"]);
        assert_eq!(made.event.request.host, host);
    }
    for host in ["[::1]:5000", "10.0.0.1", "reg_1.example.com:443"] {
        let made = made(PLAIN, head(&[("host", host)]));
        assert_url(&made, &format!("http://{host}"), &[]);
        assert_eq!(made.event.request.host, host);
    }
}

#[test]
fn several_host_headers_make_no_host() {
    for request in [
        head(&[HOST, ("host", "other")]),
        head(&[HOST, HOST]),
        head(&[HOST, ("connection", "host")]),
    ] {
        assert_url(&made(PLAIN, request), "", &["base_url", "host"]);
    }
    // An absolute target makes the header meaningless; a password is dropped.
    let mut request = head(&[HOST, ("host", "other")]);
    *request.uri_mut() = uri("https", "me:secret@r:1");
    let made = made(PLAIN, request);
    assert_url(&made, "https://r:1", &[]);
    assert_eq!(made.event.request.host, "r:1");
}

#[test]
fn hosts_and_schemes_that_trusted_proxies_forward_are_valid_or_left_out() {
    let own = "http://registry:5000";
    let long = "r".repeat(100_000);
    for (name, value, base) in [
        (
            "x-forwarded-host",
            "r.example:1, inner",
            "http://r.example:1",
        ),
        ("x-forwarded-host", "", own),
        ("x-forwarded-host", "a b", ""),
        ("x-forwarded-host", "a/b", ""),
        ("x-forwarded-host", "me:secret@r", ""),
        ("x-forwarded-host", "\"r\"", ""),
        ("x-forwarded-host", "'r'", ""),
        ("x-forwarded-host", "r\u{e9}", ""),
        ("x-forwarded-host", ", r", ""),
        ("x-forwarded-host", &long, ""),
        ("x-forwarded-proto", "HTTPS, http", "https://registry:5000"),
        ("x-forwarded-proto", "", own),
        ("x-forwarded-proto", "wss", ""),
        ("x-forwarded-proto", "javascript:alert(1)//", ""),
        ("x-forwarded-proto", "https://evil/", ""),
        ("x-forwarded-proto", "http\u{e9}", ""),
        (
            "forwarded",
            "host=\"r.example:1\";proto=https",
            "https://r.example:1",
        ),
        ("forwarded", "proto=https", "https://registry:5000"),
        ("forwarded", "host=\"a b\"", ""),
        ("forwarded", "host=\"a/b\"", ""),
        ("forwarded", "host=\"me:secret@r\"", ""),
        ("forwarded", "host=\"\\\"r\\\"\"", ""),
        ("forwarded", "host=\"r", ""),
        ("forwarded", "proto=ftp", ""),
        ("forwarded", "proto=http;proto=https", ""),
        ("forwarded", "r\u{e9}", ""),
        ("forwarded", &format!("host={long}"), ""),
        ("forwarded", &"for=x,".repeat(1000), ""),
    ] {
        let made_all = made(ALL, head(&[HOST, (name, value)]));
        let missing: &[_] = if base.is_empty() { &["base_url"] } else { &[] };
        assert_url(&made_all, base, missing);
        assert_eq!(made_all.event.request.host, "registry:5000");
        // Nobody else is trusted, nor anybody that `Connection` names.
        assert_url(&made(PLAIN, head(&[HOST, (name, value)])), own, &[]);
        let hop = head(&[HOST, (name, value), ("connection", name)]);
        assert_url(&made(ALL, hop), own, &[]);
    }
}

#[test]
fn forwarded_counts_before_x_forwarded_host() {
    let x = ("x-forwarded-host", "x.example");
    let proto = ("x-forwarded-proto", "https");
    for (forwarded, base) in [
        (&["host=f.example"][..], "http://f.example"),
        (&["proto=https;host=f.example"], "https://f.example"),
        // Even if it tells neither.
        (&["for=192.0.2.1"], "http://registry:5000"),
        (&["host=f.example", "host=second"], "http://f.example"),
        (&["host=f.example, host=second"], "http://f.example"),
    ] {
        let mut headers = vec![HOST, x, proto];
        headers.extend(forwarded.iter().map(|it| ("forwarded", *it)));
        assert_url(&made(ALL, head(&headers)), base, &[]);
    }
    assert_url(
        &made(ALL, head(&[HOST, x, proto])),
        "https://x.example",
        &[],
    );
}

#[test]
fn elements_before_that_of_a_trusted_proxy_are_not_believed() {
    let forged = ("forwarded", "for=6.6.6.6;host=evil.example;proto=https");
    let ours = (
        "forwarded",
        "for=7.7.7.7;host=r.example, for=10.0.0.9;host=inner",
    );
    let mut request = head(&[HOST, forged, ours]);
    let peer: SocketAddr = "10.0.0.1:5".parse().unwrap();
    request.extensions_mut().insert(PeerAddr(peer));
    let made = made(SOME, request);
    assert_url(&made, "http://r.example", &[]);
    assert_eq!(made.event.request.addr, "7.7.7.7");
}
