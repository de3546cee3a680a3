//! The end: every event is delivered, kept (and the report says where), or lost
//! and counted.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tower_registry_notifications::dead_letter::{
    DeadLetter, DeadLetterChannel, DeadLetterFile, DeadLetterSink, Reason,
};
use tower_registry_notifications::endpoint::{Batch, Breaker, EndpointStatus, Overflow};
use tower_registry_notifications::sink::{Acceptance, Sink as _};
use tower_registry_notifications::{Endpoint, Notifier};
use tracing::Level;

use crate::common::captured::Captured;
use crate::common::scripted::{Reply, event, scripted};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// An endpoint whose receiver never answers.
fn hangs(name: &str) -> Endpoint {
    let (client, _) = scripted(|_, _| Reply::Hang);
    let endpoint = Endpoint::new(name, "http://receiver").client(client);
    endpoint
        .timeout(HOUR)
        .queue_events(200_000)
        .queue_bytes(usize::MAX)
}

fn notifier(endpoint: Endpoint) -> Notifier {
    Notifier::builder().endpoint(endpoint).build().unwrap()
}

fn status(notifier: &Notifier) -> EndpointStatus {
    notifier.status().endpoints.remove(0)
}

async fn write(notifier: &Notifier, tags: std::ops::Range<usize>) {
    for tag in tags {
        let written = notifier.sink().write(&event("a", tag)).await;
        written.unwrap();
    }
}

/// Answers after an hour, that is never.
struct Slow;

impl DeadLetterSink for Slow {
    fn bury(&self, _: &Arc<DeadLetter>) -> Acceptance {
        Acceptance::pending(async {
            sleep(HOUR).await;
            Ok(())
        })
    }
}

/// How many letters the disk takes in time depends on the disk. That all are
/// accounted for does not.
#[tokio::test]
async fn a_hundred_thousand_events_a_queue_are_all_accounted_for() {
    const EVENTS: usize = 100_000;
    let folder = tempfile::tempdir().unwrap();
    let path = |n: usize| folder.path().join(format!("letters-{n}"));
    let mut notifier = Notifier::builder();
    for n in 0..4 {
        let file = DeadLetterFile::new(path(n)).rotate(u64::MAX, 0);
        notifier = notifier.endpoint(hangs(&format!("e{n}")).dead_letters(file));
    }
    let notifier = notifier.build().unwrap();
    let sink = notifier.sink();
    for tag in 0..EVENTS {
        sink.write(&event(&format!("r{}", tag % 10), tag))
            .await
            .unwrap();
    }
    let start = Instant::now();
    let report = notifier.shutdown(Duration::ZERO).await;
    println!("4 × {EVENTS} letters in {:?}", start.elapsed());
    assert_eq!(report.left.len(), 4);
    for (n, left) in report.left.iter().enumerate() {
        assert_eq!(left.events(), EVENTS);
        let place = format!("the file {}", path(n).display());
        assert_eq!(left.kept_in.as_deref(), Some(&*place));
        let letters = DeadLetterFile::read(path(n)).unwrap();
        let letters = letters.inspect(|letter| assert!(letter.is_ok())).count();
        // What was written too late is counted as lost, never the other way.
        assert!(
            letters >= left.kept,
            "{letters} in the file, {} kept",
            left.kept
        );
        let status = &notifier.status().endpoints[n];
        assert_eq!((status.events, status.pending), (EVENTS as u64, 0));
        assert_eq!(status.dead_letters, EVENTS as u64);
        assert_eq!(status.lost, left.lost as u64);
    }
    assert!(!report.to_string().contains("All events were delivered"));
}

#[tokio::test(start_paused = true)]
async fn letters_that_no_sink_takes_in_time_are_lost_counted_and_logged() {
    let (captured, _guard) = Captured::all();
    let notifier = notifier(hangs("ci").dead_letters(Slow));
    write(&notifier, 0..1000).await;
    let start = Instant::now();
    let report = notifier.shutdown(SECOND).await;
    assert!(start.elapsed() <= 7 * SECOND, "{:?}", start.elapsed());
    assert_eq!((report.left[0].kept, report.left[0].lost), (0, 1000));
    assert_eq!(report.left[0].kept_in, None);
    assert_eq!(
        report.to_string(),
        "Events not delivered to ci: 1000, lost: 1000."
    );
    let status = status(&notifier);
    assert_eq!((status.events, status.dead_letters), (1000, 1000));
    assert_eq!((status.lost, status.pending), (1000, 0));
    let loud = captured.at(&[Level::ERROR]);
    assert!(
        loud.iter().any(|it| it.contains("events are lost")),
        "{loud:?}"
    );
    // Told once, and the same.
    assert_eq!(notifier.shutdown(SECOND).await, report);
}

#[tokio::test(start_paused = true)]
async fn a_full_channel_loses_only_what_does_not_fit() {
    let (channel, mut letters) = DeadLetterChannel::new(7);
    let notifier = notifier(hangs("ci").dead_letters(channel));
    write(&notifier, 0..10).await;
    let report = notifier.shutdown(SECOND).await;
    let expected = "Events not delivered to ci: 10, kept in the channel of dead letters: 7, \
                    lost: 3.";
    assert_eq!(report.to_string(), expected);
    let kept = std::iter::from_fn(|| letters.try_recv());
    let tags: Vec<_> = kept.map(|it| it.event.tag().to_owned()).collect();
    assert_eq!(tags, ["0", "1", "2", "3", "4", "5", "6"]);
}

#[tokio::test(start_paused = true)]
async fn a_report_names_earlier_losses() {
    let (client, _) = scripted(|n, _| Reply::Status(if n == 0 { 400 } else { 200 }));
    let notifier = notifier(Endpoint::new("ci", "http://receiver").client(client));
    write(&notifier, 0..3).await;
    let report = notifier.shutdown(SECOND).await;
    assert!(report.is_drained());
    assert_eq!((report.dead_letters, report.lost), (1, 1));
    assert!(
        !report.to_string().contains("All events were delivered"),
        "{report}"
    );
}

/// Events of the batch that is being formed are left like any others.
#[tokio::test(start_paused = true)]
async fn the_batch_that_is_being_formed_is_not_forgotten() {
    let (channel, mut letters) = DeadLetterChannel::new(10);
    let (client, log) = scripted(|_, _| Reply::Hang);
    let endpoint = Endpoint::new("ci", "http://receiver")
        .client(client)
        .timeout(10 * SECOND)
        .concurrency(2)
        .batch(Batch::of(3).linger(HOUR))
        // The endpoint is paused as soon as an attempt fails.
        .retry(Breaker::new().threshold(1).backoff(HOUR))
        .dead_letters(channel);
    let notifier = notifier(endpoint);
    write(&notifier, 0..3).await;
    sleep(SECOND).await;
    assert_eq!(log.got().len(), 1);
    for tag in 3..5 {
        notifier.sink().write(&event("b", tag)).await.unwrap();
    }
    // Taken from the queue while a second attempt was allowed, and kept from
    // going out since the first has failed.
    sleep(20 * SECOND).await;
    assert_eq!(log.got().len(), 1);
    let report = notifier.shutdown(SECOND).await;
    assert_eq!((report.left[0].kept, report.left[0].lost), (5, 0));
    let kept = std::iter::from_fn(|| letters.try_recv());
    let tags: Vec<_> = kept.map(|it| it.event.tag().to_owned()).collect();
    assert_eq!(tags, ["0", "1", "2", "3", "4"]);
}

/// A shutdown that has no time is not held up by a worker with nothing to do
/// for minutes.
#[tokio::test(start_paused = true)]
async fn the_end_of_the_deadline_wakes_the_worker() {
    let notifier = notifier(hangs("ci"));
    write(&notifier, 0..1).await;
    sleep(SECOND).await;
    let start = Instant::now();
    let report = notifier.shutdown(3 * SECOND).await;
    assert_eq!(start.elapsed(), 3 * SECOND);
    assert_eq!(report.left[0].lost, 1);
}

#[tokio::test(start_paused = true)]
async fn a_notifier_that_is_dropped_closes_its_queues() {
    let (channel, mut letters) = DeadLetterChannel::new(10);
    let (client, log) = scripted(|_, _| Reply::Status(200));
    let endpoint = Endpoint::new("ci", "http://receiver").client(client);
    let notifier = notifier(endpoint.dead_letters(channel));
    let sink = notifier.sink();
    write(&notifier, 0..3).await;
    drop(notifier);
    assert!(sink.write(&event("a", 3)).await.unwrap_err().is_closed());
    sleep(SECOND).await;
    assert_eq!(log.accepted(), ["a/0", "a/1", "a/2"]);
    let letter = letters.try_recv().unwrap();
    assert_eq!((letter.event.tag(), letter.reason), ("3", Reason::Shutdown));
    // The worker has ended, and with it the only other sender is the sink's.
    drop(sink);
    assert!(letters.recv().await.is_none());
}

/// A writer that nobody waits for any more, and letters that are on their way.
#[tokio::test(start_paused = true)]
async fn the_letter_of_a_write_that_is_dropped_is_kept_or_lost() {
    for overflow in [Overflow::RejectNewest, Overflow::DropOldest, Overflow::Wait] {
        for (takes, kept) in [(SECOND, true), (HOUR, false)] {
            let (channel, mut letters) = DeadLetterChannel::new(10);
            let late = Late(takes, channel);
            let endpoint = hangs("ci")
                .queue_events(1)
                .queue_bytes(usize::MAX)
                .overflow(overflow);
            let notifier = notifier(endpoint.dead_letters(late));
            let sink = notifier.sink();
            sink.write(&event("a", 0)).await.unwrap();
            drop(sink.write(&event("a", 1)));
            sleep(10 * SECOND).await;
            let status = status(&notifier);
            let expected = (2, 1, u64::from(!kept));
            assert_eq!((status.events, status.dead_letters, status.lost), expected);
            assert_eq!(status.pending, 1);
            assert_eq!(letters.try_recv().is_some(), kept, "{overflow:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_letters_in_progress() {
    let (channel, mut letters) = DeadLetterChannel::new(10);
    let endpoint = hangs("ci").queue_events(1).queue_bytes(usize::MAX);
    let notifier = notifier(endpoint.dead_letters(Late(2 * SECOND, channel)));
    let sink = notifier.sink();
    sink.write(&event("a", 0)).await.unwrap();
    drop(sink.write(&event("a", 1)));
    let report = notifier.shutdown(Duration::ZERO).await;
    assert_eq!((report.left[0].kept, report.left[0].lost), (1, 0));
    assert_eq!((report.dead_letters, report.lost), (1, 0));
    assert!(letters.try_recv().is_some() && letters.try_recv().is_some());
}

/// Keeps letters after a while.
struct Late(Duration, DeadLetterChannel);

impl DeadLetterSink for Late {
    fn bury(&self, letter: &Arc<DeadLetter>) -> Acceptance {
        let (wait, channel, letter) = (self.0, self.1.clone(), letter.clone());
        Acceptance::pending(async move {
            sleep(wait).await;
            channel.bury(&letter).await
        })
    }
}

/// A pipe that nobody reads holds up neither the shutdown nor the process.
#[cfg(target_os = "linux")]
#[test]
fn a_hanging_disk_delays_neither_shutdown_nor_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    let start = std::time::Instant::now();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let report = runtime.block_on(async {
        let notifier = notifier(hangs("ci").dead_letters(DeadLetterFile::new(path)));
        write(&notifier, 0..100).await;
        notifier.shutdown(Duration::ZERO).await
    });
    drop(runtime);
    assert_eq!((report.left[0].kept, report.left[0].lost), (0, 100));
    assert!(start.elapsed() < 10 * SECOND, "{:?}", start.elapsed());
}
