//! Events on their way to endpoints.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::time::Instant;
use tower::{BoxError, service_fn};
use tower_registry_notifications::endpoint::{Breaker, StatusMeaning};
use tower_registry_notifications::event::{Action, Envelope, Event, SharedEvent};
use tower_registry_notifications::sink::{Filter, Sink as _, SinkError};
use tower_registry_notifications::{Endpoint, Format, Mistake, Notifier};

use crate::common::receiver;

fn notifier(endpoint: Endpoint) -> Notifier {
    Notifier::builder().endpoint(endpoint).build().unwrap()
}

async fn write(notifier: &Notifier, action: Action) -> Result<SharedEvent, SinkError> {
    let event = SharedEvent::from(Event::new(action));
    notifier.sink().write(&event).await.map(|()| event)
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_receiver_gets_what_the_reference_posts_in_order_on_one_connection() {
    for format in [Format::V2, Format::V1] {
        let (port, mut received) = receiver(Box::new(|n| match n {
            0 => Response::builder()
                .status(307)
                .header("location", "/elsewhere"),
            _ => Response::builder(),
        }))
        .await;
        let url = format!("http://me:secret@127.0.0.1:{port}/events?x=1");
        let endpoint = Endpoint::new("e", url).header("x-token", "t");
        let notifier = notifier(
            endpoint
                .format(format)
                .timeout(MINUTE)
                .on_status(300..=399, StatusMeaning::Accept),
        );
        let mut written = Vec::new();
        for _ in 0..50 {
            written.push(write(&notifier, Action::Push).await.unwrap());
        }
        assert!(notifier.shutdown(MINUTE).await.is_drained());
        let mut peers = Vec::new();
        for event in &written {
            let got = received.try_recv().unwrap();
            assert_eq!(got.path, "/events?x=1");
            assert_eq!(got.body, Envelope::new([event.to_event()]).encode(format));
            assert_eq!(got.headers["content-type"], format.content_type());
            assert_eq!(got.headers["authorization"], "Basic bWU6c2VjcmV0");
            assert_eq!(got.headers["x-token"], "t");
            peers.push(got.peer);
        }
        assert!(received.try_recv().is_err(), "a redirect was followed");
        peers.dedup();
        assert_eq!(peers.len(), 1, "connections");
        let status = &notifier.status().endpoints[0];
        assert_eq!(
            (status.events, status.successes, status.pending),
            (50, 50, 0)
        );
        assert_eq!(status.statuses["200 OK"], 49);
        assert_eq!(status.statuses["307 Temporary Redirect"], 1);
        assert!(!serde_json::to_string(&status).unwrap().contains("secret"));
        assert!(
            write(&notifier, Action::Pull)
                .await
                .unwrap_err()
                .is_closed()
        );
    }
}

/// When each attempt was made, and whether it is to succeed.
type Attempts = Arc<Mutex<Vec<Duration>>>;

/// An endpoint whose receiver fails `failures` times.
fn failing(failures: usize, attempts: &Attempts) -> Endpoint {
    let start = Instant::now();
    let attempts = attempts.clone();
    Endpoint::new("e", "http://receiver").client(service_fn(move |_: Request<Bytes>| {
        let mut attempts = attempts.lock().unwrap();
        attempts.push(start.elapsed());
        let n = attempts.len();
        async move {
            match n {
                n if n > failures => Ok(Response::new(Full::<Bytes>::default())),
                n if n % 3 == 0 => std::future::pending().await,
                n if n % 3 == 1 => Err(BoxError::from("reset")),
                _ => Ok(Response::builder().status(500).body(Full::default())?),
            }
        }
    }))
}

#[tokio::test(start_paused = true)]
async fn a_failing_receiver_is_tried_as_the_reference_does_and_loses_nothing() {
    let attempts = Attempts::default();
    let endpoint = failing(5, &attempts)
        .timeout(Duration::from_secs(1))
        .retry(Breaker::new().threshold(3).backoff(Duration::from_secs(10)));
    let notifier = notifier(endpoint);
    write(&notifier, Action::Push).await.unwrap();
    write(&notifier, Action::Push).await.unwrap();
    assert!(notifier.shutdown(MINUTE).await.is_drained());
    let seconds: Vec<_> = attempts
        .lock()
        .unwrap()
        .iter()
        .map(Duration::as_secs)
        .collect();
    // Reset and 500 at once; the third hangs for the second of the timeout,
    // then the breaker is open until an attempt succeeds.
    assert_eq!(seconds, [0, 0, 0, 11, 21, 31, 31]);
    let status = &notifier.status().endpoints[0];
    assert_eq!(
        (status.successes, status.failures, status.errors),
        (2, 2, 3)
    );
    assert_eq!(
        status.last_error.as_deref(),
        Some("500 Internal Server Error")
    );
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_at_its_deadline_and_reports_what_is_left() {
    let attempts = Attempts::default();
    let notifier = notifier(failing(usize::MAX, &attempts));
    for _ in 0..3 {
        write(&notifier, Action::Push).await.unwrap();
    }
    let start = Instant::now();
    let report = notifier.shutdown(MINUTE).await;
    assert_eq!(start.elapsed(), MINUTE);
    assert_eq!(
        (&*report.left[0].endpoint, report.left[0].events()),
        ("e", 3)
    );
    let tried = attempts.lock().unwrap().len();
    tokio::time::sleep(MINUTE).await;
    assert_eq!(attempts.lock().unwrap().len(), tried, "still at work");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_continues_one_that_was_dropped() {
    let attempts = Attempts::default();
    let second = Duration::from_secs(1);
    let fast = Endpoint::new("fast", "http://h").client(service_fn(|_: Request<Bytes>| {
        std::future::ready(Ok::<_, BoxError>(Response::new(Full::<Bytes>::default())))
    }));
    let slow = failing(3, &attempts).retry(Breaker::new().threshold(1).backoff(10 * second));
    let notifier = Notifier::builder().endpoint(fast).endpoint(slow);
    let notifier = notifier.build().unwrap();
    write(&notifier, Action::Push).await.unwrap();
    let given_up = tokio::time::timeout(second, notifier.shutdown(MINUTE)).await;
    assert!(given_up.is_err());
    assert!(notifier.shutdown(MINUTE).await.is_drained());
    assert_eq!(attempts.lock().unwrap().len(), 4);
    assert!(notifier.shutdown(MINUTE).await.is_drained());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_accepts_zero_and_unbounded_deadlines() {
    for (deadline, drained) in [(Duration::ZERO, false), (Duration::MAX, true)] {
        let notifier = notifier(failing(2, &Attempts::default()));
        write(&notifier, Action::Push).await.unwrap();
        assert_eq!(notifier.shutdown(deadline).await.is_drained(), drained);
    }
}

#[tokio::test(start_paused = true)]
async fn overflow_is_refused_and_counted_per_endpoint() {
    let (dead, alive) = (Attempts::default(), Attempts::default());
    let full = failing(usize::MAX, &dead)
        .queue_events(2)
        .queue_bytes(usize::MAX / 2);
    let other = Endpoint::new("other", "http://other").client(service_fn({
        let alive = alive.clone();
        move |_: Request<Bytes>| {
            alive.lock().unwrap().push(Duration::ZERO);
            async { Ok::<_, BoxError>(Response::new(Full::<Bytes>::default())) }
        }
    }));
    let filter = Filter::new().ignore_actions([Action::Pull]);
    let notifier = Notifier::builder()
        .endpoint(full.filter(filter))
        .endpoint(other)
        .endpoint(Endpoint::new("off", "http://off").disabled(true))
        .build()
        .unwrap();
    write(&notifier, Action::Push).await.unwrap();
    write(&notifier, Action::Pull).await.unwrap();
    write(&notifier, Action::Push).await.unwrap();
    assert!(write(&notifier, Action::Push).await.unwrap_err().is_full());
    let left = notifier.shutdown(MINUTE).await.left;
    assert_eq!(left.len(), 1);
    assert_eq!((&*left[0].endpoint, left[0].events()), ("e", 2));
    assert_eq!(alive.lock().unwrap().len(), 4);
    let status = notifier.status().endpoints;
    assert_eq!(status.len(), 2);
    assert_eq!((status[0].events, status[0].lost), (3, 3));
    assert_eq!((status[1].events, status[1].lost), (4, 0));
}

#[tokio::test]
async fn mistakes_surface_when_the_notifier_is_built() {
    let wrong = |endpoint: Endpoint| {
        let notifier = Notifier::builder().endpoint(endpoint).build();
        notifier.expect_err("taken").to_string()
    };
    let good = || Endpoint::new("e", "http://h");
    for (endpoint, words) in [
        (Endpoint::new("", "http://h"), "name"),
        (Endpoint::new("e", "https:/h"), "https:/h"),
        (Endpoint::new("e", "ftp://h"), "ftp://h"),
        (good().timeout(Duration::ZERO), "timeout"),
        (
            good().retry(Breaker::new().backoff(Duration::ZERO)),
            "retry backoff",
        ),
        (good().queue_events(0).queue_bytes(1), "queue_events"),
        (good().queue_events(1).queue_bytes(0), "queue_bytes"),
        (good().header("a b", "v"), "header"),
        (good().header("a", "v\n"), "header"),
    ] {
        let message = wrong(endpoint);
        assert!(message.contains(words), "{message}");
    }
    let twice = Notifier::builder().endpoint(good()).endpoint(good());
    assert!(twice.build().unwrap_err().to_string().contains("name"));
}

/// Each on its line with field, value and remedy.
#[tokio::test]
async fn all_mistakes_of_all_endpoints_are_reported_at_once() {
    let error = Notifier::builder()
        .endpoint(Endpoint::new("a", "ftp://me:hush@h").concurrency(0))
        .endpoint(Endpoint::new("b", "http://h").queue_bytes(0))
        .endpoint(
            Endpoint::new("b", "http://h")
                .disabled(true)
                .header("x y", "hush"),
        )
        .build()
        .unwrap_err();
    let lines: Vec<_> = error.to_string().lines().map(str::to_owned).collect();
    assert_eq!(
        lines,
        [
            r#"endpoint "a": concurrency: "0" is not valid: must be at least 1"#,
            r#"endpoint "a": url: "ftp://…@h" is not valid: write one like https://receiver.example.com/events"#,
            r#"endpoint "b": queue_bytes: "0" is not valid: must be at least 1"#,
            r#"endpoint name: "b" is not valid: give each endpoint a name of its own"#,
            r#"endpoint "b": header 1: the name is not valid: use letters, digits and dashes"#,
        ]
    );
    assert_eq!(error.mistakes()[2].field(), r#"endpoint "b": queue_bytes"#);
    assert!(!error.is_no_runtime() && !error.is_unreadable() && !error.is_syntax());
}

/// Neither a wrong URL nor a wrong secret hides the mistakes of the connection, and the
/// first glob that is wrong does not hide the others.
#[cfg(feature = "client")]
#[tokio::test]
async fn no_mistake_hides_another() {
    let error = Notifier::builder()
        .endpoint(
            Endpoint::new("a", "receiver:8080/events")
                .connect_timeout(Duration::ZERO)
                .root_certificates("none"),
        )
        .endpoint(
            Endpoint::new("b", "https://receiver/events")
                .client_certificate("none", "none")
                .sign(["short"])
                .sign_hmac("a b", "secret"),
        )
        .endpoint(
            Endpoint::new("c", "http://receiver/events")
                .header("a", "b")
                .header("x", "line\n")
                .filter(
                    Filter::new()
                        .include_repositories(["[a", "b", "{c"])
                        .exclude_tags(["[d"]),
                ),
        )
        .build()
        .unwrap_err();
    let fields: Vec<_> = error.mistakes().iter().map(Mistake::field).collect();
    assert_eq!(
        fields,
        [
            r#"endpoint "a": url"#,
            r#"endpoint "a": connect timeout"#,
            r#"endpoint "a": root certificates"#,
            r#"endpoint "b": signing secret 1"#,
            r#"endpoint "b": HMAC signature 1"#,
            r#"endpoint "b": client certificate"#,
            r#"endpoint "b": client certificate's key"#,
            r#"endpoint "c": include_repositories"#,
            r#"endpoint "c": include_repositories"#,
            r#"endpoint "c": exclude_tags"#,
            r#"endpoint "c": header 2"#,
        ],
        "{error}"
    );
}

#[test]
fn without_a_runtime_the_error_says_so() {
    let endpoint = Endpoint::new("e", "http://h");
    let error = Notifier::builder().endpoint(endpoint).build().unwrap_err();
    assert!(error.to_string().contains("Tokio runtime"), "{error}");
    assert!(error.is_no_runtime());
}

/// Builders are plain values, and everything can be shared between threads.
#[test]
fn builders_are_clone_and_all_is_send_and_sync() {
    use tower_registry_notifications::{BuildError, Mistake, NotifierBuilder, endpoint as e};
    fn builder<T: Clone + Send + Sync + 'static>() {}
    fn shared<T: Send + Sync + 'static>() {}
    builder::<Endpoint>();
    builder::<NotifierBuilder>();
    builder::<e::Backoff>();
    builder::<e::Breaker>();
    builder::<e::RetryPolicy>();
    builder::<e::Batch>();
    builder::<e::Statuses>();
    builder::<e::StatusMeaning>();
    builder::<e::AddressPolicy>();
    builder::<Filter>();
    shared::<Notifier>();
    shared::<BuildError>();
    shared::<Mistake>();
    shared::<e::EndpointStatus>();
}
