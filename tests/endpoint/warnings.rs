//! Warnings name what an operator has to know: the place, the cause and the remedy.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_registry_notifications::dead_letter::DeadLetterFile;
use tower_registry_notifications::endpoint::Backoff;
use tower_registry_notifications::layer::{PeerAddr, TrustedProxies};
use tower_registry_notifications::{Endpoint, NotificationLayer, Notifier, RequestBody, sink_fn};
use tracing::Level;

use crate::common::captured::Captured;
use crate::common::scripted::Reply;
use crate::logs::{DAY, LOUD, MINUTE, endpoint, notifier, write};

/// The first warning of an endpoint whose first attempt comes to this.
async fn first_warning(reply: Reply) -> String {
    let (captured, _guard) = Captured::all();
    let (endpoint, _) = endpoint(move |n, _| match n {
        0 => reply.clone(),
        _ => Reply::Status(200),
    });
    let notifier = notifier(endpoint.retry(Backoff::new().base(MINUTE)));
    write(&notifier, 0..3).await;
    assert!(notifier.shutdown(DAY).await.is_drained());
    captured.at(&LOUD).remove(0)
}

/// What has to be mended by someone is told apart from what passes by itself.
#[tokio::test(start_paused = true)]
async fn a_warning_names_the_remedy() {
    for (status, words) in [
        (
            401,
            "the receiver refuses the credentials; check the endpoint's headers",
        ),
        (403, "the receiver refuses the credentials"),
        (407, "the receiver refuses the credentials"),
        (404, "the receiver does not know this URL; check its path"),
        (405, "the receiver does not know this URL"),
        (302, "the receiver redirects, which is not followed"),
    ] {
        let warning = first_warning(Reply::Status(status)).await;
        assert!(warning.contains(words), "{status}: {warning}");
    }
    for reply in [
        Reply::Status(500),
        Reply::Status(429),
        Reply::Reset,
        Reply::Hang,
    ] {
        let warning = first_warning(reply).await;
        assert!(warning.contains("deliveries fail endpoint="), "{warning}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_warning_of_a_redirect_says_where_it_leads() {
    for (location, shown) in [
        (
            "https://user:hush@new.example/events",
            "https://…@new.example/events",
        ),
        // What is signed, or a token.
        (
            "https://new.example/events?X-Signature=hush",
            "https://new.example/events?…",
        ),
        ("/events#token=hush", "/events#…"),
    ] {
        let reply = Reply::Answer(308, ("location", location), String::new());
        let warning = first_warning(reply).await;
        let words = format!(r#"location="{shown}""#);
        assert!(warning.contains(&words), "{warning}");
        assert!(!warning.contains("hush"), "{warning}");
    }
    // Of any other status it is no redirect.
    let reply = Reply::Answer(503, ("location", "/elsewhere"), String::new());
    let warning = first_warning(reply).await;
    assert!(!warning.contains("location"), "{warning}");
}

/// Who is told at night wants to know where, how much waits, and what is next.
#[tokio::test]
async fn a_warning_has_the_url_the_causes_the_waiting_events_and_the_next_attempt() {
    let (captured, _guard) = Captured::all();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = format!("http://robot:hush@127.0.0.1:{port}/events");
    let endpoint = Endpoint::new("ci", url).retry(Backoff::new().base(MINUTE));
    let notifier = notifier(endpoint);
    write(&notifier, 0..3).await;
    while captured.at(&LOUD).is_empty() {
        tokio::task::yield_now().await;
    }
    let warning = captured.at(&LOUD).remove(0);
    for words in [
        r#"endpoint="ci""#,
        r#"error="tcp connect error: Connection refused (os error"#,
        &format!(r#"url="http://…@127.0.0.1:{port}/events""#),
        "waiting=3",
        r#"next_attempt_in=""#,
        "attempt=1",
    ] {
        assert!(warning.contains(words), "{words}: {warning}");
    }
    assert!(!warning.contains("hush"), "{warning}");
}

/// A dead letter that cannot be kept says why. A thread writes it, for which a
/// paused clock would not wait.
#[tokio::test]
async fn a_loss_is_logged_with_all_causes() {
    let (captured, _guard) = Captured::all();
    let folder = tempfile::tempdir().unwrap();
    let nowhere = DeadLetterFile::new(folder.path().join("none/letters"));
    let (endpoint, _) = endpoint(|_, _| Reply::Status(400));
    let notifier = notifier(endpoint.dead_letters(nowhere));
    write(&notifier, 0..1).await;
    assert!(notifier.shutdown(DAY).await.is_drained());
    let lost = captured.at(&[Level::ERROR]).remove(0);
    let cause = "No such file or directory (os error 2)";
    assert!(
        lost.contains("events are lost") && lost.contains(cause),
        "{lost}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_wrong_prefix_is_logged_once() {
    let (captured, _guard) = Captured::all();
    let notifier = Notifier::builder().build().unwrap();
    let registry = tower::service_fn(async |request: http::Request<_>| {
        let _: RequestBody<String> = request.into_body();
        Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
    });
    let service = NotificationLayer::new(notifier).layer(registry);
    let send = async |uri: &str| {
        let request = http::Request::get(uri).body(String::new()).unwrap();
        service.clone().oneshot(request).await.unwrap();
    };
    for uri in ["/v2/", "/v2/a/tags/list", "/v2/a/manifests/v1", "/health"] {
        send(uri).await;
    }
    assert!(captured.at(&[Level::WARN]).is_empty());
    for uri in ["/registry/v2/a/manifests/v1", "/a/blobs/sha256:01"] {
        send(uri).await;
    }
    let warnings = captured.at(&[Level::WARN]);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("/registry/v2/a/manifests/v1"));
}

/// A proxy whose address is trusted is not recognized if no peer address is known. Without
/// the warning, the operator could not find the reason.
#[tokio::test]
async fn trusted_proxies_without_peer_addresses_are_logged_once() {
    for (first_has_peer, warnings) in [(false, 1), (true, 0)] {
        let (captured, _guard) = Captured::all();
        let registry = service_fn(async |_: Request<RequestBody<Full<Bytes>>>| {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        });
        let networks = TrustedProxies::networks(["10.0.0.0/8"]).unwrap();
        let service = NotificationLayer::new(Notifier::builder().build().unwrap())
            .trusted_proxies(networks)
            .layer(registry);
        for has_peer in [first_has_peer, false, true, false] {
            let request = Request::head("/v2/app/manifests/v1");
            let mut request = request.body(Full::default()).unwrap();
            if has_peer {
                let peer = PeerAddr(([10, 0, 0, 1], 5).into());
                request.extensions_mut().insert(peer);
            }
            service.clone().oneshot(request).await.unwrap();
        }
        let told = captured.at(&[Level::WARN]).into_iter();
        let told = told.filter(|line| line.contains("trusted_proxies is set"));
        assert_eq!(told.count(), warnings, "{first_has_peer}");
    }
}

/// The client's response waits no longer than the `accept_timeout`, which says nothing
/// about the reason.
#[tokio::test(start_paused = true)]
async fn a_write_that_fail_closed_repeats_is_logged_with_the_reason() {
    let (captured, _guard) = Captured::all();
    let notifier = Notifier::builder()
        .sink(sink_fn(async |_| Err("the other side is down")))
        .build()
        .unwrap();
    let registry = service_fn(async |_: Request<RequestBody<Full<Bytes>>>| {
        let created = Response::builder().status(201);
        Ok::<_, Infallible>(created.body(Full::<Bytes>::default()).unwrap())
    });
    let layer = NotificationLayer::new(notifier.clone()).fail_closed(true);
    let push = Request::put("/v2/a/manifests/v1").body(Full::default());
    let response = layer.layer(registry).oneshot(push.unwrap()).await.unwrap();
    assert_eq!(response.status(), 503);
    let loud = captured.at(&LOUD);
    assert_eq!(loud.len(), 1, "{loud:#?}");
    assert!(loud[0].contains("the other side is down"), "{loud:#?}");
    notifier.shutdown(DAY).await;
}
