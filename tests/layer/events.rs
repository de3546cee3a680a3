//! When an event fires, and where each of its fields comes from.

use std::net::SocketAddr;

use http::Request;
use http_body_util::BodyExt as _;
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};
use tower_registry_notifications::event::{ActorRecord, Descriptor, Event, Kind};
use tower_registry_notifications::layer::{BaseUrl, PeerAddr, ResponseFacts, TrustedProxies};
use tower_registry_notifications::sink::ChannelSink;
use tower_registry_notifications::{NotificationLayer, Notifier, RequestBody};

use crate::stage::{
    BLOB, Body, Case, D, IMAGE, MANIFEST, OCI, OTHER, Set, frames, full, request, response,
};

/// Answers everything with this.
macro_rules! always {
    ($($response:tt)*) => { Case::new(move |_: &http::request::Parts| response($($response)*)) };
}

#[tokio::test]
async fn a_head_is_a_pull_unless_turned_off() {
    let head = || request("HEAD", BLOB, &[], "");
    let case = always!(200, &[("content-length", "7")], full(""));
    assert_eq!(case.event(head()).await.target.length, 7);
    let case = case.set(|layer| layer.head_pulls(false));
    assert!(case.events(head()).await.is_empty());
}

#[tokio::test]
async fn a_pull_ends_with_its_last_byte() {
    let get = || request("GET", BLOB, &[], "");
    for sized in [true, false] {
        let case = Case::new(move |_: &http::request::Parts| match sized {
            true => response(200, &[("content-length", "4")], frames(["ab", "cd"])),
            false => response(200, &[], frames(["ab", "cd"])),
        });
        let complete = case.set(|layer| layer.aborted_pulls(false));
        assert!(complete.read(get(), 1).await.is_empty());
        assert_eq!(complete.read(get(), 2).await.len(), 1);
        assert_eq!(complete.event(get()).await.target.length, 4);
        let case = complete.set(|layer| layer);
        for read in [0, 1, 2, 3] {
            assert_eq!(case.read(get(), read).await.len(), 1, "{read} frames");
        }
        assert_eq!(case.event(get()).await.target.length, 4);
    }
    let empty = always!(200, &[("content-length", "0")], full(""));
    assert_eq!(empty.read(get(), 0).await.len(), 1);
}

#[tokio::test]
async fn which_responses_with_a_blob_are_pulls() {
    let get = |status, headers: &'static [(&str, &str)]| async move {
        let case = Case::new(move |parts: &http::request::Parts| {
            match parts.headers.contains_key("user-agent") {
                // The stat, which knows more.
                true => response(200, &[("content-length", "9")], full("")),
                false => response(status, headers, full("xx")),
            }
        });
        let events = case.events(request("GET", BLOB, &[], "")).await;
        events.first().map(|event| event.target.length)
    };
    assert_eq!(get(200, &[]).await, Some(2));
    let part = &[("content-range", "bytes 0-1/1234"), ("content-type", "a/b")];
    assert_eq!(get(206, part).await, Some(1234));
    for status in [302, 303, 307] {
        assert_eq!(get(status, &[("content-length", "2")]).await, Some(9));
    }
    let encoded = &[("content-encoding", "gzip"), ("content-length", "2")];
    assert_eq!(get(200, encoded).await, Some(9));
    for status in [204, 301, 304, 308, 401, 403, 404, 416, 500] {
        assert_eq!(get(status, &[]).await, None, "{status}");
    }
}

#[tokio::test]
async fn error_responses_make_no_events_whatever_they_name() {
    let by_digest = format!("/v2/a/manifests/{D}?tag=a");
    let requests = [
        ("PUT", MANIFEST),
        ("PUT", &by_digest),
        ("DELETE", MANIFEST),
        ("GET", MANIFEST),
        ("HEAD", MANIFEST),
        ("DELETE", BLOB),
        ("HEAD", BLOB),
        ("POST", "/v2/a/blobs/uploads/?digest=sha256:01"),
        ("POST", "/v2/a/blobs/uploads/?mount=sha256:01&from=b"),
        ("PUT", "/v2/a/blobs/uploads/id?digest=sha256:01"),
    ];
    for status in [400, 401, 403, 404, 429, 500, 503] {
        let named = &[("docker-content-digest", D), ("oci-tag", "a")];
        let case = always!(status, named, full("")).references();
        for (method, uri) in requests {
            let request = request(method, uri, &[("content-type", OCI)], IMAGE);
            let events = case.events(request).await;
            assert!(events.is_empty(), "{method} {uri} {status}: {events:?}");
        }
    }
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const OCTETS: (&str, &str) = ("content-type", "application/octet-stream");

#[tokio::test]
async fn which_responses_to_an_upload_are_pushes_and_mounts() {
    let told = |status, query: &'static str, header, body: &'static str| async move {
        let case = Case::new(move |parts: &http::request::Parts| match &parts.method {
            // The stat.
            &http::Method::HEAD => {
                let headers = [("content-length", "9"), OCTETS];
                response(200, &headers, full(""))
            }
            _ => response(status, &[("docker-content-digest", OTHER)], full("")),
        });
        let uri = format!("/v2/a/blobs/uploads/{query}");
        let events = case.events(request("POST", &uri, &[header], body)).await;
        let tell = |event: &Event| {
            let target = &event.target;
            let kind = &target.descriptor.media_type;
            let size = target.length;
            format!(
                "{} {} {size} {kind} {}",
                event.action, target.descriptor.digest, target.from_repository
            )
        };
        events.first().map_or_else(String::new, tell)
    };
    let push = "push sha256:01 4 application/octet-stream ";
    let by_stat = "push sha256:01 9 application/octet-stream ";
    let mount = "mount sha256:01 9 application/octet-stream ";
    assert_eq!(told(201, "?digest=sha256:02", OCTETS, "blob").await, push);
    // curl calls every body a form, and Go reads it as one before the blob.
    let told_form = told(201, "?digest=sha256:02", FORM, "blob").await;
    assert_eq!(told_form, by_stat);
    assert_eq!(told(202, "?digest=sha256:02", OCTETS, "blob").await, "");
    assert_eq!(told(201, "", FORM, "digest=sha256%3A02").await, by_stat);
    assert_eq!(told(201, "", OCTETS, "").await, by_stat);
    assert_eq!(told(202, "", OCTETS, "").await, "");
    assert_eq!(told(201, "?mount=sha256:02", OCTETS, "").await, mount);
    let from = format!("{mount}b/c");
    assert_eq!(
        told(201, "?mount=sha256:02&from=b/c", OCTETS, "").await,
        from
    );
    assert_eq!(
        told(201, "", FORM, "from=b%2Fc&mount=sha256:02").await,
        from
    );
    assert_eq!(told(202, "?mount=sha256:02&from=b/c", OCTETS, "").await, "");
}

#[tokio::test]
async fn tags_in_a_push_by_digest_count_if_the_registry_set_them() {
    let put = |uri: String| request("PUT", &uri, &[("content-type", OCI)], IMAGE);
    let uri = format!("/v2/a/manifests/{D}?tag=a&tag=b&tag=c");
    let case = always!(
        201,
        &[("oci-tag", "a"), ("oci-tag", "c"), ("oci-tag", "z")],
        full("")
    );
    let events = case.events(put(uri.clone())).await;
    let tags: Vec<_> = events.iter().map(|event| &*event.target.tag).collect();
    assert_eq!(tags, ["a", "c"]);
    assert_eq!(events[0].request, events[1].request);
    assert_ne!(events[0].id, events[1].id);
    // A registry that does not know the parameter has pushed, and tagged nothing.
    assert_eq!(
        always!(201, &[], full("")).event(put(uri)).await.target.tag,
        ""
    );
}

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
async fn a_deletion_has_nothing_but_repository_and_tag_or_digest() {
    let delete = |uri: &str| request("DELETE", uri, &[], "");
    let case = Case::new(|parts: &http::request::Parts| {
        let mut response = response(202, &[], full(""));
        let facts = match parts.uri.path() {
            "/api/repositories/a/b" => ResponseFacts::new().repository_deleted("a/b"),
            path if path.contains(D) => ResponseFacts::new().untagged(["x", "y"]),
            _ => return response,
        };
        response.extensions_mut().insert(facts);
        response
    });
    let told = |events: Vec<Event>| -> Vec<String> {
        let tell = |event: &Event| {
            let target = &event.target;
            assert!(target.url.is_empty() && target.length == 0);
            let digest = &target.descriptor.digest;
            format!(
                "{} {} {digest} {}",
                event.action, target.repository, target.tag
            )
        };
        events.iter().map(tell).collect()
    };
    assert_eq!(told(case.events(delete(MANIFEST)).await), ["delete a  t"]);
    assert_eq!(
        told(case.events(delete(BLOB)).await),
        ["delete a sha256:01 "]
    );
    let kind = case.events(delete(BLOB)).await[0].kind();
    assert_eq!(kind, Kind::Blob, "though it looks like a manifest's");
    let events = case.events(delete(&format!("/v2/a/manifests/{D}"))).await;
    assert_eq!(
        told(events),
        [&*format!("delete a {D} "), "delete a  x", "delete a  y"]
    );
    let repository = case.events(delete("/api/repositories/a/b")).await;
    assert_eq!(told(repository), ["delete a/b  "]);
    assert!(case.events(delete("/api/users/a")).await.is_empty());
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

#[tokio::test]
async fn a_refusal_shows_nothing_of_the_response() {
    let case = always!(202, &[("x-inner", "x")], full("inner")).set(|it| it.fail_closed(true));
    // A channel without a subscriber takes nothing.
    let (sink, events) = ChannelSink::new(1);
    drop(events);
    let notifier = Notifier::builder().sink(sink).build().unwrap();
    for (fail_closed, status) in [(true, 503), (false, 202)] {
        let serve = case.serve;
        let registry = service_fn(move |request: Request<RequestBody<Body>>| {
            let (parts, _) = request.into_parts();
            std::future::ready(Ok::<_, BoxError>(serve(&parts)))
        });
        let layer = NotificationLayer::new(notifier.clone()).fail_closed(fail_closed);
        let delete = request("DELETE", BLOB, &[], "");
        let response = layer.layer(registry).oneshot(delete).await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers().contains_key("x-inner"), !fail_closed);
        let kind = response.headers().get("content-type").cloned();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        if !fail_closed {
            assert_eq!(body, "inner");
            continue;
        }
        assert_eq!(kind.unwrap(), "application/json");
        let error: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(error["errors"][0]["code"], "UNAVAILABLE");
    }
}
