//! What is logged: once for each thing that goes on, not for each attempt.

use std::time::Duration;

use tokio::time::sleep;
use tower_registry_notifications::dead_letter::DeadLetterChannel;
use tower_registry_notifications::endpoint::{Backoff, Overflow};
use tower_registry_notifications::sink::Sink as _;
use tower_registry_notifications::{Endpoint, Notifier};
use tracing::Level;

use crate::common::captured::Captured;
use crate::common::scripted::{Log, Reply, event, scripted};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);
pub(crate) const LOUD: [Level; 2] = [Level::WARN, Level::ERROR];

pub(crate) fn endpoint(
    script: impl Fn(usize, &[String]) -> Reply + Send + Sync + 'static,
) -> (Endpoint, Log) {
    let (client, log) = scripted(script);
    let endpoint = Endpoint::new("ci", "http://receiver").client(client);
    (endpoint.timeout(SECOND), log)
}

pub(crate) fn notifier(endpoint: Endpoint) -> Notifier {
    Notifier::builder().endpoint(endpoint).build().unwrap()
}

/// One event of each of these repositories; what does not fit does not matter.
pub(crate) async fn write(notifier: &Notifier, repositories: std::ops::Range<usize>) {
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
