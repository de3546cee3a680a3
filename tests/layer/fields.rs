//! Where each field of an event comes from.

use std::net::SocketAddr;

use tower_registry_notifications::NotificationLayer;
use tower_registry_notifications::event::{ActorRecord, Descriptor};
use tower_registry_notifications::layer::{BaseUrl, PeerAddr, ResponseFacts, TrustedProxies};

use crate::stage::{
    BLOB, Case, D, IMAGE, MANIFEST, OCI, OTHER, Set, always, full, request, response,
};

#[tokio::test]
async fn a_digest_that_the_registry_does_not_name_is_that_of_the_bytes() {
    let put = request("PUT", MANIFEST, &[("content-type", OCI)], IMAGE);
    let pushed = always!(201, &[], full("")).references().event(put).await;
    let get = request("GET", MANIFEST, &[], "");
    let case = always!(200, &[("content-type", OCI)], full(IMAGE)).references();
    let pulled = case.event(get).await;
    for target in [&pushed.target, &pulled.target] {
        assert_eq!(target.descriptor.digest, sha256(IMAGE));
        assert_eq!(target.descriptor.media_type, OCI);
        assert_eq!(target.length, IMAGE.len() as u64);
        assert_eq!(target.references, [Descriptor::new("c", "sha256:c", 1)]);
        assert!(target.url.ends_with(&target.descriptor.digest));
        assert_eq!(target.tag, "t");
    }
}

fn sha256(text: &str) -> String {
    use sha2::Digest as _;
    format!("sha256:{:x}", sha2::Sha256::digest(text))
}

#[tokio::test]
async fn a_manifest_that_does_not_parse_has_no_references() {
    let put = request("PUT", MANIFEST, &[("content-type", OCI)], "not JSON");
    let case = always!(201, &[("docker-content-digest", D)], full("")).references();
    let target = &case.event(put).await.target;
    assert_eq!((&*target.descriptor.digest, target.length), (D, 8));
    assert!(target.references.is_empty());
}

#[tokio::test]
async fn a_head_of_a_manifest_has_references_by_a_stat() {
    let case = Case::new(|parts: &http::request::Parts| {
        assert_eq!(parts.headers["authorization"], "Bearer t");
        let length = IMAGE.len().to_string();
        let body = if parts.method == http::Method::GET {
            IMAGE
        } else {
            ""
        };
        response(
            200,
            &[("content-type", OCI), ("content-length", &length)],
            full(body),
        )
    });
    let head = request("HEAD", MANIFEST, &[("authorization", "Bearer t")], "");
    let event = case.references().event(head).await;
    assert_eq!(event.target.references.len(), 1);
    assert_eq!(event.target.descriptor.digest, sha256(IMAGE));
    assert_eq!(event.request.method, "HEAD");
}

#[tokio::test]
async fn facts_that_the_registry_states_rank_first() {
    let case = Case::new(|_: &http::request::Parts| {
        let headers = [("content-length", "1"), ("docker-content-digest", OTHER)];
        let mut response = response(200, &headers, full("x"));
        let facts = ResponseFacts::new()
            .descriptor(Descriptor::new("told", D, 42))
            .references([Descriptor::new("r", OTHER, 1)])
            .actor(ActorRecord::new("told"));
        response.extensions_mut().insert(facts);
        response
    });
    let event = case
        .references()
        .event(request("GET", MANIFEST, &[], ""))
        .await;
    assert_eq!(event.target.descriptor, Descriptor::new("told", D, 42));
    assert_eq!(event.target.references, [Descriptor::new("r", OTHER, 1)]);
    assert_eq!(event.actor.name, "told");
}

#[tokio::test]
async fn the_actor_is_named_by_response_request_closure_or_basic_auth_in_this_order() {
    // me:secret
    let basic = [("authorization", "Basic bWU6c2VjcmV0")];
    let get = || request("HEAD", BLOB, &basic, "");
    let by_response = Case::new(|_: &http::request::Parts| {
        let mut response = response(200, &[], full(""));
        response
            .extensions_mut()
            .insert(ActorRecord::new("response"));
        response
    });
    let extended = || {
        let mut request = get();
        let actor = ActorRecord::new("request");
        request.extensions_mut().insert(actor);
        request
    };
    let case = always!(200, &[], full(""));
    let by_closure =
        always!(200, &[], full("")).set(|layer| layer.actor(|_| Some(ActorRecord::new("closure"))));
    let off = always!(200, &[], full("")).set(|layer| layer.basic_auth_actor(false));
    let cases = [
        (by_response.event(extended()).await, "response"),
        (by_closure.event(extended()).await, "request"),
        (by_closure.event(get()).await, "closure"),
        (case.event(get()).await, "me"),
        (off.event(get()).await, ""),
        (
            case.event(request("HEAD", BLOB, &[("authorization", "Bearer x")], ""))
                .await,
            "",
        ),
    ];
    for (event, name) in cases {
        assert_eq!(event.actor.name, name);
        assert!(!format!("{event:?}").contains("secret"));
    }
}

#[tokio::test]
async fn events_have_the_trace_of_their_request() {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let case = always!(200, &[], full(""));
    for (sent, kept) in [(trace, trace), ("00-junk-junk-01", "")] {
        let get = request("HEAD", BLOB, &[("traceparent", sent)], "");
        assert_eq!(case.event(get).await.request.trace_parent, kept);
    }
}

/// Peer, forwarding headers, and what becomes of them.
#[tokio::test]
async fn forwarding_headers_are_believed_from_trusted_proxies_only() {
    let all: Set = |layer| layer.trusted_proxies(TrustedProxies::all());
    let some: Set = |layer| {
        let networks = TrustedProxies::networks(["10.0.0.0/8", "192.0.2.1"]);
        layer.trusted_proxies(networks.unwrap())
    };
    let none: Set = |layer| layer;
    let chain = ("x-forwarded-for", "6.6.6.6, 7.7.7.7, 10.0.0.9");
    let web = [
        chain,
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "r.example.com, inner"),
        ("x-request-id", "id-1"),
    ];
    let forwarded = (
        "forwarded",
        "for=\"[2001:db8::1]:4711\";proto=https;host=f.example.com",
    );
    let real = ("x-real-ip", "8.8.8.8");
    let plain = "http://registry";
    type Row<'a> = (
        Set,
        &'a str,
        &'a [(&'static str, &'a str)],
        &'a str,
        &'a str,
        bool,
    );
    let table: &[Row<'_>] = &[
        (none, "10.0.0.1:5", &web, "10.0.0.1:5", plain, false),
        (
            none,
            "10.0.0.1:5",
            &[forwarded, real],
            "10.0.0.1:5",
            plain,
            false,
        ),
        (
            all,
            "9.9.9.9:5",
            &web,
            "6.6.6.6",
            "https://r.example.com",
            true,
        ),
        (
            all,
            "9.9.9.9:5",
            &[forwarded],
            "2001:db8::1",
            "https://f.example.com",
            false,
        ),
        (all, "9.9.9.9:5", &[real], "8.8.8.8", plain, false),
        (
            all,
            "9.9.9.9:5",
            &[("x-forwarded-for", "junk")],
            "9.9.9.9:5",
            plain,
            false,
        ),
        (
            all,
            "9.9.9.9:5",
            &[("x-request-id", "a b")],
            "9.9.9.9:5",
            plain,
            false,
        ),
        (
            some,
            "10.0.0.1:5",
            &web,
            "7.7.7.7",
            "https://r.example.com",
            true,
        ),
        (some, "192.0.2.1:5", &[chain], "7.7.7.7", plain, false),
        (some, "192.0.2.2:5", &web, "192.0.2.2:5", plain, false),
    ];
    for (set, peer, headers, addr, base, id) in table {
        let mut head = request("HEAD", BLOB, &[("host", "registry")], "");
        for (name, value) in *headers {
            head.headers_mut().append(*name, value.parse().unwrap());
        }
        let peer: SocketAddr = peer.parse().unwrap();
        head.extensions_mut().insert(PeerAddr(peer));
        let event = always!(200, &[], full("")).set(*set).event(head).await;
        assert_eq!(event.request.addr, *addr, "{headers:?}");
        assert_eq!(event.request.host, "registry");
        assert_eq!(event.target.url, format!("{base}{BLOB}"), "{headers:?}");
        assert_eq!(event.request.id == "id-1", *id, "{headers:?}");
    }
    TrustedProxies::networks(["10.0.0.0/33"]).unwrap_err();
}

#[tokio::test]
async fn urls_begin_with_the_configured_base_or_that_of_the_request() {
    let url = |set, uri: &'static str| async move {
        let head = request("HEAD", uri, &[("host", "h:5000")], "");
        let case = always!(200, &[], full("")).set(set);
        case.event(head).await.target.url.clone()
    };
    assert_eq!(url(|it| it, BLOB).await, format!("http://h:5000{BLOB}"));
    assert_eq!(
        url(|it| it.https(true), BLOB).await,
        format!("https://h:5000{BLOB}")
    );
    let relative = |it: NotificationLayer| it.base_url(BaseUrl::relative());
    assert_eq!(url(relative, BLOB).await, BLOB);
    let fixed = |it: NotificationLayer| it.base_url(BaseUrl::fixed("https://r/m/").unwrap());
    assert_eq!(url(fixed, BLOB).await, format!("https://r/m{BLOB}"));
    let nested = |it: NotificationLayer| {
        it.https(true)
            .base_url(BaseUrl::from_request_below("/m/n/").unwrap())
    };
    assert_eq!(url(nested, BLOB).await, format!("https://h:5000/m/n{BLOB}"));
    let root = |it: NotificationLayer| it.base_url(BaseUrl::from_request_below("/").unwrap());
    assert_eq!(url(root, BLOB).await, format!("http://h:5000{BLOB}"));
    for wrong in ["", "m", "*", "/m?x", "/m#x", "/m n", "https://r/m"] {
        let error = BaseUrl::from_request_below(wrong).unwrap_err().to_string();
        assert!(error.contains("like /registry"), "{error}");
    }
    let prefix = |it: NotificationLayer| it.prefix("m/v2");
    let below = url(prefix, "/m/v2/a/blobs/sha256:01").await;
    assert_eq!(below, format!("http://h:5000/m{BLOB}"));
    let absolute = url(|it| it, "https://other/v2/a/blobs/sha256:01").await;
    assert_eq!(absolute, format!("https://other{BLOB}"));
    for wrong in [
        "r.example.com",
        "ftp://r",
        "https://me:secret@r",
        "https://r?x",
        "https://r#x",
    ] {
        let error = BaseUrl::fixed(wrong).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
