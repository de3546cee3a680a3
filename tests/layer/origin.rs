//! What a request says of itself: ids, addresses, hosts, actors and URLs, from
//! headers that may be odd, repeated, over-long or forged.

use std::convert::Infallible;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::Full;
use metrics_exporter_prometheus::PrometheusBuilder;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_registry_notifications::event::{ActorRecord, Event};
use tower_registry_notifications::layer::{PeerAddr, TrustedProxies};
use tower_registry_notifications::sink::ChannelSink;
use tower_registry_notifications::{NotificationLayer, Notifier, RequestBody};

const BLOB: &str = "/v2/a/blobs/sha256:01";
/// `me:secret`
const BASIC: (&str, &str) = ("authorization", "Basic bWU6c2VjcmV0");
const HOST: (&str, &str) = ("host", "registry:5000");

type Set = fn(NotificationLayer) -> NotificationLayer;

const PLAIN: Set = |layer| layer;
const ALL: Set = |layer| layer.trusted_proxies(TrustedProxies::all());
const SOME: Set = |layer| {
    let networks = TrustedProxies::networks(["10.0.0.0/8"]);
    layer.trusted_proxies(networks.unwrap())
};

fn head(headers: &[(&'static str, &str)]) -> Request<Full<Bytes>> {
    let mut request = Request::head(BLOB);
    for (name, value) in headers {
        request = request.header(*name, value.as_bytes());
    }
    request.body(Full::default()).unwrap()
}

/// What one request makes.
struct Made {
    event: Event,
    /// The facts that were counted as missing.
    missing: Vec<String>,
}

/// The event of a request to a registry that answers `answer`, and what it lacks.
fn made_by(set: Set, answer: Response<()>, request: Request<Full<Bytes>>) -> Made {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let event = metrics::with_local_recorder(&recorder, || {
        runtime.unwrap().block_on(async {
            let (sink, mut events) = ChannelSink::new(2);
            let notifier = Notifier::builder().sink(sink).build().unwrap();
            let sent = request.headers().clone();
            let registry = service_fn(move |request: Request<RequestBody<Full<Bytes>>>| {
                assert_eq!(*request.headers(), sent, "the layer changed headers");
                let answer = answer.clone().map(|()| Full::<Bytes>::default());
                std::future::ready(Ok::<_, Infallible>(answer))
            });
            let service = set(NotificationLayer::new(notifier)).layer(registry);
            service.oneshot(request).await.unwrap();
            let event = events.try_recv().unwrap();
            assert!(events.try_recv().is_none());
            event.to_event()
        })
    });
    let facts = metrics.render();
    let fact = |line: &str| Some(line.split_once("fact=\"")?.1.split_once('"')?.0.to_owned());
    let mut missing: Vec<_> = facts.lines().filter_map(fact).collect();
    missing.retain(|fact| !["media_type", "size"].contains(&&**fact));
    missing.sort();
    Made { event, missing }
}

fn made(set: Set, request: Request<Full<Bytes>>) -> Made {
    made_by(set, Response::new(()), request)
}

#[track_caller]
fn assert_actor(made: &Made, name: &str, missing: &[&str]) {
    assert_eq!(made.event.actor.name, name);
    assert_eq!(made.missing, missing);
    assert!(!format!("{:?}", made.event).contains("secret"));
}

#[track_caller]
fn assert_url(made: &Made, base: &str, missing: &[&str]) {
    assert_eq!(made.event.target.url, format!("{base}{BLOB}"));
    assert_eq!(made.missing, missing);
}

#[test]
fn authorization_that_connection_names_is_no_actor() {
    assert_actor(&made(PLAIN, head(&[HOST, BASIC])), "me", &[]);
    for connection in [
        "Authorization",
        "close, authorization",
        "x,AUTHORIZATION ,y",
    ] {
        let request = head(&[HOST, BASIC, ("connection", connection)]);
        assert_actor(&made(PLAIN, request), "", &["actor"]);
    }
    let request = head(&[HOST, BASIC, ("connection", "keep-alive")]);
    assert_actor(&made(PLAIN, request), "me", &[]);
}

#[test]
fn several_authorization_headers_are_no_actor() {
    for second in [BASIC, ("authorization", "Bearer x"), ("authorization", "")] {
        for request in [head(&[HOST, BASIC, second]), head(&[HOST, second, BASIC])] {
            assert_actor(&made(PLAIN, request), "", &["actor"]);
        }
    }
}

#[test]
fn an_actor_from_another_source_is_not_missing() {
    let twice = || head(&[HOST, BASIC, BASIC]);
    let mut answer = Response::new(());
    answer.extensions_mut().insert(ActorRecord::new("alice"));
    assert_actor(&made_by(PLAIN, answer, twice()), "alice", &[]);
    let closure: Set = |layer| layer.actor(|_| Some(ActorRecord::new("bob")));
    assert_actor(&made(closure, twice()), "bob", &[]);
    let mut request = twice();
    request.extensions_mut().insert(ActorRecord::new("carol"));
    assert_actor(&made(PLAIN, request), "carol", &[]);
}

#[test]
fn malformed_credentials_are_no_actor() {
    let basic = |pair: &[u8]| format!("Basic {}", STANDARD.encode(pair));
    for odd in [
        "Basic  bWU6c2VjcmV0".into(),
        "Basic bWU6c2VjcmV0, Basic bWU6c2VjcmV0".into(),
        "Basic \u{e9}".into(),
        "Basic bWU".into(),
        basic(b"me\n:secret"),
        basic(b"m\xe9:secret"),
        basic(&[b"n".repeat(2000), b":secret".to_vec()].concat()),
        basic(&[b"me:".to_vec(), b"secret".repeat(100_000)].concat()),
    ] {
        let made = made(PLAIN, head(&[HOST, ("authorization", &odd)]));
        assert_actor(&made, "", &["actor"]);
    }
    let empty = head(&[HOST, ("authorization", &basic(b":secret"))]);
    assert_actor(&made(PLAIN, empty), "", &[]);
}

#[test]
fn the_subject_of_a_bearer_token_is_an_actor_on_request() {
    let token = |claims: &str| format!("Bearer e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
    let on: Set = |layer| layer.bearer_actor(true);
    let bearer = |token: &str| head(&[HOST, ("authorization", token)]);
    let valid = token(r#"{"iss":"secret","sub":"alice"}"#);
    assert_actor(&made(PLAIN, bearer(&valid)), "", &[]);
    assert_actor(&made(on, bearer(&valid)), "alice", &[]);
    for odd in [
        token(r#"{"sub":"alice","sub":"bob"}"#),
        token(r#"{"sub":["alice"]}"#),
        token("[]"),
        "Bearer opaque".into(),
    ] {
        assert_actor(&made(on, bearer(&odd)), "", &["actor"]);
    }
}

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

#[test]
fn an_unknown_peer_is_not_a_trusted_proxy() {
    let headers = [
        HOST,
        ("x-forwarded-for", "6.6.6.6"),
        ("x-real-ip", "6.6.6.6"),
        ("x-forwarded-host", "evil.example"),
        ("x-request-id", "forged"),
    ];
    let made = made(SOME, head(&headers));
    assert_url(&made, "http://registry:5000", &[]);
    assert_eq!(made.event.request.addr, "");
    assert_ne!(made.event.request.id, "forged");
}

#[test]
fn ipv4_mapped_peers_are_written_as_ipv4() {
    const MAPPED: &str = "[::ffff:10.0.0.1]:5";
    for (peer, addr) in [
        (MAPPED, "10.0.0.1:5"),
        ("10.0.0.1:5", "10.0.0.1:5"),
        ("[2001:db8::1]:5", "[2001:db8::1]:5"),
    ] {
        let peer: SocketAddr = peer.parse().unwrap();
        let mut request = head(&[HOST]);
        request.extensions_mut().insert(PeerAddr(peer));
        assert_eq!(made(PLAIN, request).event.request.addr, addr);
        #[cfg(feature = "axum-0-8")]
        {
            let mut request = head(&[HOST]);
            let info = axum::extract::ConnectInfo(peer);
            request.extensions_mut().insert(info);
            assert_eq!(made(PLAIN, request).event.request.addr, addr);
            let mut request = head(&[HOST]);
            let mock = axum::extract::connect_info::MockConnectInfo(peer);
            request.extensions_mut().insert(mock);
            assert_eq!(made(PLAIN, request).event.request.addr, addr);
        }
    }
    let closure: Set = |layer| layer.peer_addr(|_| Some(MAPPED.parse().unwrap()));
    assert_eq!(
        made(closure, head(&[HOST])).event.request.addr,
        "10.0.0.1:5"
    );
    // So it is one of the proxies' networks, and so is what it forwards.
    let trusted: Set = |layer| SOME(layer).peer_addr(|_| Some(MAPPED.parse().unwrap()));
    let forwarded = head(&[HOST, ("x-forwarded-for", "::ffff:192.0.2.1")]);
    assert_eq!(made(trusted, forwarded).event.request.addr, "192.0.2.1");
}

#[test]
fn malformed_address_lists_leave_the_peer_s_address() {
    let long = "x,".repeat(100_000);
    for (name, value) in [
        ("x-forwarded-for", "junk"),
        ("x-forwarded-for", ""),
        ("x-forwarded-for", "6.6.6.6\u{e9}"),
        ("x-forwarded-for", "7.7.7.7, junk"),
        ("x-forwarded-for", "7.7.7.7,"),
        ("x-forwarded-for", &long),
        ("x-real-ip", "junk"),
        ("x-real-ip", "7.7.7.7, 8.8.8.8"),
        ("forwarded", "for=unknown"),
        ("forwarded", "for=7.7.7.7;for=8.8.8.8"),
    ] {
        let mut request = head(&[HOST, (name, value)]);
        let peer: SocketAddr = "10.0.0.1:5".parse().unwrap();
        request.extensions_mut().insert(PeerAddr(peer));
        let made = made(SOME, request);
        assert_eq!(made.event.request.addr, "10.0.0.1:5", "{name}: {value:.20}");
    }
    let twice = head(&[HOST, ("x-real-ip", "7.7.7.7"), ("x-real-ip", "8.8.8.8")]);
    assert_eq!(made(ALL, twice).event.request.addr, "");
}

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

/// A refused request has no event, so that it lacks nothing.
#[test]
fn facts_that_a_refused_request_lacks_are_not_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    metrics::with_local_recorder(&recorder, || {
        runtime.unwrap().block_on(async {
            let notifier = Notifier::builder().build().unwrap();
            let registry = service_fn(|_: Request<RequestBody<Full<Bytes>>>| async {
                let answer = Response::builder().status(401);
                answer.body(Full::<Bytes>::default())
            });
            let service = NotificationLayer::new(notifier).layer(registry);
            let request = head(&[BASIC, BASIC]);
            assert_eq!(service.oneshot(request).await.unwrap().status(), 401);
        });
    });
    assert!(!metrics.render().contains("fact"), "{}", metrics.render());
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
