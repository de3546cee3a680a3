//! Request ids, traces and user agents.

use http::HeaderValue;
use tower_registry_notifications::layer::TrustedProxies;

use super::{ALL, HOST, PLAIN, head, made};
use crate::stage::Set;

#[test]
fn malformed_request_ids_are_replaced() {
    let long = "x".repeat(100_000);
    for odd in [
        &["a b"][..],
        &["\u{e9}"],
        &[""],
        &["a", "b"],
        &["a", "a"],
        &["\"a\""],
        &[&long],
    ] {
        let mut headers = vec![HOST];
        headers.extend(odd.iter().map(|id| ("x-request-id", *id)));
        let id = &made(ALL, head(&headers)).event.request.id;
        assert!(id.len() == 36 && !odd.contains(&&**id), "{id:.50}");
    }
    let named = head(&[
        HOST,
        ("x-request-id", "id-1"),
        ("connection", "x-request-id"),
    ]);
    assert_ne!(made(ALL, named).event.request.id, "id-1");
    let sane = head(&[HOST, ("x-request-id", "id-1")]);
    assert_eq!(made(ALL, sane).event.request.id, "id-1");
}

#[test]
fn the_request_id_of_a_closure_counts_first_unless_it_is_empty_or_too_long() {
    let by_header: Set = |layer| {
        layer
            .trusted_proxies(TrustedProxies::all())
            .request_id(|parts| Some(parts.headers.get("x-own")?.to_str().ok()?.into()))
    };
    let long = "x".repeat(129);
    for (own, id) in [("own-1", "own-1"), ("", "sent"), (&*long, "sent")] {
        let request = head(&[HOST, ("x-request-id", "sent"), ("x-own", own)]);
        assert_eq!(made(by_header, request).event.request.id, id);
    }
    let request = head(&[HOST, ("x-request-id", "sent")]);
    assert_eq!(made(by_header, request).event.request.id, "sent");
}

#[test]
fn invalid_trace_parents_are_omitted() {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let long = format!("{trace}{}", "x".repeat(100_000));
    for (given, kept) in [
        (&[trace][..], trace),
        (&[trace, trace], ""),
        (&[&long], ""),
        (&["\u{e9}"], ""),
        (&[""], ""),
    ] {
        let mut headers = vec![HOST];
        headers.extend(given.iter().map(|it| ("traceparent", *it)));
        let event = made(PLAIN, head(&headers)).event;
        assert_eq!(event.request.trace_parent, kept);
    }
}

#[test]
fn user_agents_are_bounded_and_read_as_in_go() {
    let long = "x".repeat(8 << 10);
    let longer = format!("{long}x");
    for (given, kept, missing) in [
        (&["a/1"][..], "a/1", &[][..]),
        (&["a/1", "b/2"], "a/1", &[]),
        (&["a\u{e9}"], "a\u{e9}", &[]),
        (&["", "b/2"], "", &[]),
        (&[], "", &[]),
        (&[&long], &*long, &[]),
        (&[&longer], "", &["user_agent"]),
    ] {
        let mut headers = vec![HOST];
        headers.extend(given.iter().map(|it| ("user-agent", *it)));
        let made = made(PLAIN, head(&headers));
        assert_eq!(made.event.request.user_agent, kept);
        assert_eq!(made.missing, missing);
    }
    let mut request = head(&[HOST]);
    let invalid = HeaderValue::from_bytes(b"a\xff\xc3b").unwrap();
    request.headers_mut().insert("user-agent", invalid);
    let agent = &made(PLAIN, request).event.request.user_agent;
    assert_eq!(agent, "a\u{fffd}\u{fffd}b");
}
