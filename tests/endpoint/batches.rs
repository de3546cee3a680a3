//! Batches that fail: one event takes no others with it, and each is given up
//! for its own reasons.

use std::time::Duration;

use tokio::time::sleep;
use tower_registry_notifications::dead_letter::{DeadLetterChannel, DeadLetters, Reason};
use tower_registry_notifications::endpoint::{Backoff, Batch, Overflow};
use tower_registry_notifications::sink::Sink as _;
use tower_registry_notifications::{Endpoint, Notifier};

use crate::common::scripted::{Log, Reply, event, scripted};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn batches(
    batch: Batch,
    backoff: Backoff,
    script: impl Fn(usize, &[String]) -> Reply + Send + Sync + 'static,
) -> (Notifier, Log, DeadLetters) {
    let (client, log) = scripted(script);
    let (channel, letters) = DeadLetterChannel::new(1000);
    let endpoint = Endpoint::new("e", "http://receiver")
        .client(client)
        .timeout(SECOND)
        .retry(backoff)
        .batch(batch)
        .dead_letters(channel);
    let notifier = Notifier::builder().endpoint(endpoint).build().unwrap();
    (notifier, log, letters)
}

async fn write(notifier: &Notifier, repository: &str, tag: usize) {
    let event = event(repository, tag);
    notifier.sink().write(&event).await.unwrap();
}

fn sizes(log: &Log) -> Vec<usize> {
    log.got().iter().map(|got| got.events.len()).collect()
}

/// One event of ten repositories that always fails, in whatever way.
#[tokio::test(start_paused = true)]
async fn a_failing_event_does_not_fail_its_batch() {
    for failure in [
        Reply::Status(500),
        Reply::Hang,
        Reply::Reset,
        Reply::Answer(503, ("retry-after", "3"), String::new()),
    ] {
        for bad in [0, 4, 9] {
            let culprit = format!("r{bad}/0");
            let failure = failure.clone();
            let script = move |_: usize, events: &[String]| match events.contains(&culprit) {
                true => failure.clone(),
                false => Reply::Status(200),
            };
            let batch = Batch::of(10).linger(SECOND);
            let (notifier, log, mut letters) = batches(batch, Backoff::new().age(HOUR), script);
            for repository in 0..10 {
                write(&notifier, &format!("r{repository}"), 0).await;
            }
            sleep(2 * MINUTE).await;
            let mut accepted = log.accepted();
            accepted.sort();
            let healthy = (0..10).filter(|it| *it != bad);
            let healthy: Vec<_> = healthy.map(|it| format!("r{it}/0")).collect();
            assert_eq!(accepted, healthy);
            sleep(3 * HOUR).await;
            let letter = letters.try_recv().unwrap();
            assert_eq!(letter.event.repository(), format!("r{bad}"));
            assert_eq!(letter.reason, Reason::GaveUp);
            assert!(letters.try_recv().is_none());
            assert!(notifier.shutdown(SECOND).await.is_drained());
        }
    }
}

/// The others of its repository wait for it, in order, and go on after it.
#[tokio::test(start_paused = true)]
async fn an_event_that_fails_is_given_up_alone_and_its_repository_goes_on_in_order() {
    let script = |_: usize, events: &[String]| match events.contains(&"a/5".into()) {
        true => Reply::Status(500),
        false => Reply::Status(200),
    };
    let backoff = Backoff::new().attempts(4);
    let (notifier, log, mut letters) = batches(Batch::of(16).linger(SECOND), backoff, script);
    for tag in 0..16 {
        write(&notifier, "a", tag).await;
    }
    assert!(notifier.shutdown(HOUR).await.is_drained());
    let healthy = (0..16).filter(|tag| *tag != 5);
    let healthy: Vec<_> = healthy.map(|tag| format!("a/{tag}")).collect();
    assert_eq!(log.accepted(), healthy);
    let letter = letters.try_recv().unwrap();
    assert_eq!((letter.event.tag(), letter.reason), ("5", Reason::GaveUp));
    assert!(letters.try_recv().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_once_stays_whole() {
    let script = |n: usize, _: &[String]| Reply::Status(if n == 0 { 500 } else { 200 });
    let (notifier, log, _) = batches(Batch::of(10).linger(SECOND), Backoff::new(), script);
    for repository in 0..10 {
        write(&notifier, &format!("r{repository}"), 0).await;
    }
    assert!(notifier.shutdown(HOUR).await.is_drained());
    assert_eq!(sizes(&log), [10, 10]);
}

/// Where a policy allows one attempt, the one at the batch was none at its
/// events.
#[tokio::test(start_paused = true)]
async fn with_one_attempt_each_only_the_failing_event_is_given_up() {
    let script = |_: usize, events: &[String]| match events.contains(&"r3/0".into()) {
        true => Reply::Status(500),
        false => Reply::Status(200),
    };
    let backoff = Backoff::new().attempts(1);
    let (notifier, log, mut letters) = batches(Batch::of(8).linger(SECOND), backoff, script);
    for repository in 0..8 {
        write(&notifier, &format!("r{repository}"), 0).await;
    }
    assert!(notifier.shutdown(HOUR).await.is_drained());
    assert_eq!(log.accepted().len(), 7);
    assert_eq!(letters.try_recv().unwrap().event.repository(), "r3");
    assert!(letters.try_recv().is_none());
}

#[tokio::test(start_paused = true)]
async fn each_event_is_given_up_by_its_own_age() {
    for same_repository in [true, false] {
        // Everything fails until the old event is gone.
        let (notifier, log, mut letters) = batches(
            Batch::of(2).linger(58 * MINUTE),
            Backoff::new().age(HOUR).cap(MINUTE),
            move |_, events| match events.iter().any(|it| it.ends_with("/0")) {
                true => Reply::Status(500),
                false => Reply::Status(200),
            },
        );
        let young = if same_repository { "a" } else { "b" };
        write(&notifier, "a", 0).await;
        sleep(57 * MINUTE).await;
        write(&notifier, young, 1).await;
        sleep(30 * MINUTE).await;
        // The old one after an hour, and the young one not at all.
        let letter = letters.try_recv().unwrap();
        assert_eq!((letter.event.tag(), letter.reason), ("0", Reason::GaveUp));
        assert!(letters.try_recv().is_none());
        assert_eq!(log.accepted(), [format!("{young}/1")]);
        assert_eq!(log.got()[0].events.len(), 2, "both in one batch at first");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_larger_than_a_batch_goes_alone_and_others_together() {
    let one = {
        let event = event("a", 0).to_event();
        tower_registry_notifications::event::Envelope::new([event]).encode(Default::default())
    };
    let (client, log) = scripted(|_, _| Reply::Status(200));
    let endpoint = Endpoint::new("e", "http://receiver").client(client);
    // Two of the usual size, but not three.
    let batch = Batch::of(100).bytes(one.len() * 5 / 2).linger(SECOND);
    let notifier = Notifier::builder().endpoint(endpoint.batch(batch));
    let notifier = notifier.build().unwrap();
    for tag in 0..6 {
        write(&notifier, "a", tag).await;
    }
    write(&notifier, &"large".repeat(one.len()), 6).await;
    write(&notifier, "a", 7).await;
    assert!(notifier.shutdown(HOUR).await.is_drained());
    assert_eq!(sizes(&log), [2, 2, 2, 1, 1]);
}

/// A batch that is full goes out, however long it might linger.
#[tokio::test(start_paused = true)]
async fn a_full_batch_does_not_linger() {
    let script = |_: usize, _: &[String]| Reply::Status(200);
    let (notifier, log, _) = batches(Batch::of(3).linger(HOUR), Backoff::new(), script);
    for tag in 0..7 {
        write(&notifier, "a", tag).await;
    }
    sleep(SECOND).await;
    assert_eq!((sizes(&log), log.seconds()), (vec![3, 3], vec![0, 0]));
    sleep(HOUR).await;
    assert_eq!(
        (sizes(&log), log.seconds()),
        (vec![3, 3, 1], vec![0, 0, 3600])
    );
}

/// A queue that is full gets no more events, so there is nothing to wait for: others would
/// be rejected although the receiver works.
#[tokio::test(start_paused = true)]
async fn a_batch_does_not_linger_while_the_queue_is_full() {
    let endpoint = || Endpoint::new("e", "http://receiver");
    for (endpoint, expected) in [
        (endpoint().queue_events(3), vec![3, 3]),
        (
            endpoint().queue_events(3).overflow(Overflow::Wait),
            vec![3, 3],
        ),
        (
            endpoint().queue_events(3).overflow(Overflow::DropOldest),
            vec![3, 3],
        ),
        (endpoint().queue_bytes(2_000), vec![]),
    ] {
        let (client, log) = scripted(|_: usize, _: &[String]| Reply::Status(200));
        let endpoint = endpoint.client(client).batch(Batch::of(100).linger(HOUR));
        let notifier = Notifier::builder().endpoint(endpoint).build().unwrap();
        for tag in 0..6 {
            write(&notifier, "a", tag).await;
            sleep(SECOND).await;
        }
        let sizes = sizes(&log);
        match expected.is_empty() {
            // How many fill it by bytes depends on what an event takes.
            true => assert!(sizes.iter().sum::<usize>() > 1, "{sizes:?}"),
            false => assert_eq!(sizes, expected),
        }
    }
}

/// An event that is too large for the room that is left waits only for a delivery.
#[tokio::test(start_paused = true)]
async fn a_batch_does_not_linger_while_a_writer_waits() {
    let (client, log) = scripted(|_: usize, _: &[String]| Reply::Status(200));
    let endpoint = Endpoint::new("e", "http://receiver")
        .client(client)
        .queue_bytes(20_000)
        .overflow(Overflow::Wait)
        .batch(Batch::of(100).linger(HOUR));
    let notifier = Notifier::builder().endpoint(endpoint).build().unwrap();
    write(&notifier, &"a".repeat(9_000), 0).await;
    sleep(SECOND).await;
    assert!(sizes(&log).is_empty());
    write(&notifier, &"b".repeat(10_800), 1).await;
    assert_eq!((sizes(&log), log.seconds()), (vec![1, 1], vec![1, 1]));
}

/// A batch is full by bytes too, also if its first event says little about the others.
#[tokio::test(start_paused = true)]
async fn a_batch_whose_events_get_larger_does_not_linger_once_it_is_full() {
    let script = |_: usize, _: &[String]| Reply::Status(200);
    let batch = Batch::of(1000).bytes(100_000).linger(HOUR);
    let (notifier, log, _) = batches(batch, Backoff::new(), script);
    write(&notifier, "a", 0).await;
    sleep(SECOND).await;
    for tag in 1..40 {
        write(&notifier, &"b".repeat(5_000), tag).await;
    }
    sleep(SECOND).await;
    // The small one and 18 of more than 5,000 bytes, and then 19 of these.
    assert_eq!((sizes(&log), log.seconds()), (vec![19, 18], vec![1, 1]));
}
