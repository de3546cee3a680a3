//! What the log is told: once of what goes on, and not of each attempt; and
//! the trace of a client's request, which goes on in the delivery.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::time::sleep;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_registry_notifications::dead_letter::{DeadLetterChannel, DeadLetterFile};
use tower_registry_notifications::endpoint::{Backoff, Batch, Overflow};
use tower_registry_notifications::layer::{PeerAddr, TrustedProxies};
use tower_registry_notifications::sink::Sink as _;
use tower_registry_notifications::{Endpoint, NotificationLayer, Notifier, RequestBody, sink_fn};
use tracing::Level;

use crate::common::captured::Captured;
use crate::common::scripted::{Got, Log, Reply, event, scripted};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);
const LOUD: [Level; 2] = [Level::WARN, Level::ERROR];

fn endpoint(script: impl Fn(usize, &[String]) -> Reply + Send + Sync + 'static) -> (Endpoint, Log) {
    let (client, log) = scripted(script);
    let endpoint = Endpoint::new("ci", "http://receiver").client(client);
    (endpoint.timeout(SECOND), log)
}

fn notifier(endpoint: Endpoint) -> Notifier {
    Notifier::builder().endpoint(endpoint).build().unwrap()
}

/// One event of each of these repositories; what does not fit does not matter.
async fn write(notifier: &Notifier, repositories: std::ops::Range<usize>) {
    for repository in repositories {
        let event = event(&format!("r{repository}"), "1");
        let _may_be_full = notifier.sink().write(&event).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_logged_when_it_begins_and_ends() {
    let (captured, _guard) = Captured::all();
    let (endpoint, log) = endpoint(|n, _| match n {
        1000.. => Reply::Status(200),
        _ if n % 3 == 0 => Reply::Reset,
        _ if n % 3 == 1 => Reply::Hang,
        _ => Reply::Status(503),
    });
    let notifier = notifier(endpoint.retry(Backoff::new().cap(MINUTE)));
    write(&notifier, 0..20).await;
    assert!(notifier.shutdown(DAY).await.is_drained());
    assert_eq!(log.got().len(), 1020);

    let loud = captured.at(&LOUD);
    assert_eq!(loud.len(), 1, "{loud:#?}");
    assert!(
        loud[0].contains(r#"deliveries fail endpoint="ci""#),
        "{loud:?}"
    );
    assert!(loud[0].contains(r#"error="connection reset""#), "{loud:?}");
    let told = captured.at(&[Level::INFO]);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(
        told[0].contains(r#"url="http://receiver" waiting="#),
        "{told:?}"
    );
    assert!(told[0].contains(r#"the receiver answers again endpoint="ci""#));
    let quiet = captured.at(&[Level::DEBUG]);
    let failed = quiet.iter().filter(|it| it.contains("a delivery failed"));
    assert_eq!(failed.count(), 999);
}

#[tokio::test(start_paused = true)]
async fn each_attempt_is_a_span() {
    let (captured, _guard) = Captured::all();
    let (endpoint, _) = endpoint(|n, _| Reply::Status(if n < 2 { 500 } else { 200 }));
    let notifier = notifier(endpoint.batch(Batch::of(3).linger(SECOND)));
    write(&notifier, 0..5).await;
    assert!(notifier.shutdown(DAY).await.is_drained());
    let spans = captured.at(&[Level::DEBUG]).into_iter();
    let spans = spans.filter_map(|line| {
        let (_, fields) = line.split_once("delivery{")?;
        Some(fields.split_once('}')?.0.to_owned())
    });
    // Others go on meanwhile, until the first has failed.
    let mut spans: Vec<_> = spans.collect();
    spans.sort();
    assert_eq!(
        spans,
        [
            r#"endpoint="ci" events=2 attempt=1"#,
            r#"endpoint="ci" events=2 attempt=2"#,
            r#"endpoint="ci" events=3 attempt=1"#,
            r#"endpoint="ci" events=3 attempt=2"#,
        ]
    );
}

/// Neither a receiver that fails every other time, nor a repository whose
/// events it never takes, fills the log.
#[tokio::test(start_paused = true)]
async fn intermittent_failures_are_logged_at_intervals() {
    for poison in [false, true] {
        let (captured, _guard) = Captured::all();
        let (endpoint, log) = endpoint(move |n, events| {
            let fails = if poison {
                events[0] == "r0/1"
            } else {
                n % 2 == 0
            };
            Reply::Status(if fails { 500 } else { 200 })
        });
        let notifier = notifier(endpoint.retry(Backoff::new().cap(SECOND)));
        // An hour and more.
        for repository in 0..1000 {
            write(&notifier, repository..repository + 1).await;
            sleep(4 * SECOND).await;
        }
        notifier.shutdown(SECOND).await;
        let failed = log.got().len() - log.accepted().len();
        assert!(failed >= 1000, "{failed}");
        let begun = captured.at(&LOUD).into_iter();
        let begun = begun.filter(|it| it.contains("deliveries fail")).count();
        let over = captured.at(&[Level::INFO]).len();
        assert!((1..=14).contains(&begun), "{begun}");
        assert!(over == begun || over + 1 == begun, "{over} of {begun}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_soon_after_another_is_logged_later() {
    let (captured, _guard) = Captured::all();
    let (endpoint, _) = endpoint(|n, _| Reply::Status(if n == 1 { 200 } else { 500 }));
    let notifier = notifier(endpoint.retry(Backoff::new().cap(SECOND)));
    write(&notifier, 0..2).await;
    sleep(MINUTE).await;
    assert_eq!(captured.at(&LOUD).len(), 1);
    sleep(5 * MINUTE).await;
    assert_eq!(captured.at(&LOUD).len(), 2);
    sleep(60 * MINUTE).await;
    assert_eq!(captured.at(&LOUD).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_losses_is_logged_once() {
    for overflow in [Overflow::RejectNewest, Overflow::DropOldest] {
        let (captured, _guard) = Captured::all();
        let (endpoint, _) = endpoint(|_, _| Reply::Late(SECOND / 2));
        let notifier = notifier(
            endpoint
                .queue_events(10)
                .queue_bytes(1 << 20)
                .overflow(overflow),
        );
        let told = || {
            let lines = captured.at(&LOUD);
            let of = |what: &str| lines.iter().filter(|it| it.contains(what)).count();
            assert_eq!(lines.len(), of("events are lost"));
            // No receiver was asked, so that there is no error to tell.
            assert_eq!(of(r#"reason="overflow" event="#), lines.len(), "{lines:#?}");
            lines.len()
        };
        write(&notifier, 0..1000).await;
        assert_eq!(told(), 1, "{:#?}", captured.at(&LOUD));
        // All is delivered, and a moment later the next burst: the same story.
        sleep(MINUTE).await;
        write(&notifier, 0..1000).await;
        assert_eq!(told(), 1);
        sleep(5 * MINUTE).await;
        write(&notifier, 0..1000).await;
        assert_eq!(told(), 2);
        let status = notifier.status().endpoints.remove(0);
        assert_eq!((status.lost, status.dead_letters), (2970, 2970));
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_rejected_events_are_logged_once() {
    let (captured, _guard) = Captured::all();
    let (endpoint, log) = endpoint(|_, _| Reply::Status(400));
    let notifier = notifier(endpoint);
    write(&notifier, 0..1000).await;
    assert!(notifier.shutdown(DAY).await.is_drained());
    assert_eq!(log.got().len(), 1000);
    let loud = captured.at(&LOUD);
    assert_eq!(loud.len(), 1, "{loud:#?}");
    for words in [
        "events are lost",
        r#"reason="rejected" error="400 Bad Request""#,
        "there is no sink of dead letters",
    ] {
        assert!(loud[0].contains(words), "{words}: {loud:?}");
    }
}

/// Letters that are kept are no loss, and a field without a value is left out.
#[tokio::test(start_paused = true)]
async fn events_that_are_given_up_and_kept_are_told_once_without_empty_fields() {
    for (events, reply, reason) in [
        (
            10,
            Reply::Status(400),
            r#"reason="rejected" error="400 Bad Request""#,
        ),
        (100, Reply::Late(SECOND / 2), r#"reason="overflow" event="#),
    ] {
        let (captured, _guard) = Captured::all();
        let (endpoint, _) = endpoint(move |_, _| reply.clone());
        let (letters, _keep) = DeadLetterChannel::new(1000);
        let notifier = notifier(endpoint.queue_events(10).dead_letters(letters));
        write(&notifier, 0..events).await;
        assert!(notifier.shutdown(DAY).await.is_drained());
        let loud = captured.at(&LOUD);
        assert_eq!(loud.len(), 1, "{loud:#?}");
        for words in [reason, "events are given up", "the channel of dead letters"] {
            assert!(loud[0].contains(words), "{words}: {loud:?}");
        }
        assert!(!loud[0].contains(r#"="""#), "{loud:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_gone_receiver_is_logged_once() {
    let (captured, _guard) = Captured::all();
    let (endpoint, _) = endpoint(|_, _| Reply::Status(410));
    let notifier = notifier(endpoint);
    write(&notifier, 0..10).await;
    sleep(DAY).await;
    let loud = captured.at(&LOUD);
    assert_eq!(loud.len(), 1, "{loud:#?}");
    assert!(loud[0].contains("ERROR") && loud[0].contains(r#"endpoint="ci""#));
}

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const OTHER: &str = "00-11111111111111111111111111111111-2222222222222222-00";

/// Pulls with these traces, which are posted in batches of two.
async fn pulled(traces: &[Option<&str>]) -> Vec<Got> {
    let (endpoint, log) = endpoint(|n, _| Reply::Status(if n == 0 { 500 } else { 200 }));
    let notifier = notifier(endpoint.batch(Batch::of(2).linger(SECOND)));
    let registry = service_fn(|_: Request<RequestBody<Full<Bytes>>>| async {
        let response = Response::builder()
            .header("content-type", "application/vnd.oci.image.index.v1+json")
            .header("content-length", "2");
        Ok::<_, Infallible>(response.body(Full::<Bytes>::default()).unwrap())
    });
    let registry = NotificationLayer::new(notifier.clone()).layer(registry);
    for trace in traces {
        let mut request = Request::head("/v2/app/manifests/v1");
        if let Some(trace) = trace {
            request = request.header("traceparent", *trace);
        }
        let request = request.body(Full::default()).unwrap();
        registry.clone().oneshot(request).await.unwrap();
    }
    assert!(notifier.shutdown(DAY).await.is_drained());
    log.got()
}

#[tokio::test(start_paused = true)]
async fn the_trace_of_a_request_goes_on_in_the_delivery_of_its_events() {
    for (traces, passed) in [
        (&[Some(TRACE)][..], Some(TRACE)),
        (&[Some(TRACE), Some(TRACE)], Some(TRACE)),
        (&[Some(TRACE), Some(OTHER)], None),
        (&[Some(TRACE), None], None),
        (&[None, Some(TRACE)], None),
        (&[None], None),
        (&[Some("hush")], None),
    ] {
        let got = pulled(traces).await;
        assert_eq!(got.len(), 2);
        for got in got {
            assert_eq!(got.events.len(), traces.len());
            let trace = got.headers.get("traceparent");
            assert_eq!(trace.map(|it| it.to_str().unwrap()), passed, "{traces:?}");
        }
    }
}

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
