//! Queues that are full, and one dead endpoint among live ones.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::time::{sleep, timeout};
use tower::{BoxError, service_fn};
use tower_registry_notifications::dead_letter::{DeadLetterChannel, DeadLetters, Reason};
use tower_registry_notifications::endpoint::{Batch, Overflow};
use tower_registry_notifications::event::Envelope;
use tower_registry_notifications::sink::{Sink as _, SinkError};
use tower_registry_notifications::{Endpoint, Notifier};

use crate::common::scripted::{Log, Reply, event, scripted};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// An endpoint that takes three events and delivers them after an hour.
fn slow(overflow: Overflow) -> (Notifier, Log, DeadLetters) {
    let (client, log) = scripted(|n, _| match n {
        0 => Reply::Late(HOUR),
        _ => Reply::Status(200),
    });
    let (channel, letters) = DeadLetterChannel::new(100);
    let endpoint = Endpoint::new("e", "http://receiver")
        .client(client)
        .timeout(2 * HOUR)
        .queue_events(3)
        .queue_bytes(usize::MAX)
        .overflow(overflow)
        .dead_letters(channel);
    let notifier = Notifier::builder().endpoint(endpoint).build().unwrap();
    (notifier, log, letters)
}

async fn write(notifier: &Notifier, tag: usize) -> Result<(), SinkError> {
    let written = notifier.sink().write(&event("a", tag)).await;
    // The first one is under way before the next comes.
    tokio::task::yield_now().await;
    written
}

fn tags(letters: &mut DeadLetters) -> Vec<String> {
    std::iter::from_fn(|| letters.try_recv())
        .map(|letter| {
            assert_eq!((letter.reason, letter.attempts), (Reason::Overflow, 0));
            letter.event.tag().to_owned()
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn the_newest_is_rejected() {
    let (notifier, log, mut letters) = slow(Overflow::RejectNewest);
    for tag in 0..3 {
        write(&notifier, tag).await.unwrap();
    }
    for tag in 3..5 {
        assert!(write(&notifier, tag).await.unwrap_err().is_full());
    }
    assert!(notifier.shutdown(2 * HOUR).await.is_drained());
    assert_eq!(log.accepted(), ["a/0", "a/1", "a/2"]);
    assert_eq!(tags(&mut letters), ["3", "4"]);
    let status = notifier.status().endpoints.remove(0);
    assert_eq!((status.events, status.dead_letters, status.lost), (5, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn the_oldest_waiting_event_makes_room_unless_in_flight() {
    let (notifier, log, mut letters) = slow(Overflow::DropOldest);
    for tag in 0..6 {
        write(&notifier, tag).await.unwrap();
    }
    assert!(notifier.shutdown(2 * HOUR).await.is_drained());
    assert_eq!(log.accepted(), ["a/0", "a/4", "a/5"]);
    assert_eq!(tags(&mut letters), ["1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn writers_wait_for_room() {
    let (notifier, log, mut letters) = slow(Overflow::Wait);
    for tag in 0..3 {
        write(&notifier, tag).await.unwrap();
    }
    assert!(timeout(SECOND, write(&notifier, 3)).await.is_err());
    let waiting = tokio::spawn({
        let notifier = notifier.clone();
        async move { write(&notifier, 4).await }
    });
    sleep(2 * HOUR).await;
    waiting.await.unwrap().unwrap();
    write(&notifier, 5).await.unwrap();
    assert!(notifier.shutdown(HOUR).await.is_drained());
    assert_eq!(log.accepted(), ["a/0", "a/1", "a/2", "a/4", "a/5"]);
    // Nobody waited for it.
    assert_eq!(tags(&mut letters), ["3"]);
}

#[tokio::test(start_paused = true)]
async fn waiting_writers_are_refused_at_shutdown() {
    let (notifier, log, mut letters) = slow(Overflow::Wait);
    for tag in 0..3 {
        write(&notifier, tag).await.unwrap();
    }
    let waiting: Vec<_> = (3..6)
        .map(|tag| {
            let notifier = notifier.clone();
            tokio::spawn(async move { write(&notifier, tag).await })
        })
        .collect();
    sleep(SECOND).await;
    let start = tokio::time::Instant::now();
    let (report, answers) = tokio::join!(notifier.shutdown(2 * HOUR), async {
        let answers = futures_util::future::join_all(waiting).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        answers
    });
    assert!(report.is_drained());
    for answer in answers {
        assert!(answer.unwrap().unwrap_err().is_closed());
    }
    assert_eq!(log.accepted(), ["a/0", "a/1", "a/2"]);
    let letters = std::iter::from_fn(|| letters.try_recv());
    let letters = letters.map(|it| (it.reason, it.event.tag().to_owned()));
    let late = |tag: &str| (Reason::Shutdown, tag.to_owned());
    assert_eq!(
        letters.collect::<Vec<_>>(),
        [late("3"), late("4"), late("5")]
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_sink_of_dead_letters_what_overflows_is_counted_as_lost() {
    let (client, _) = scripted(|_, _| Reply::Hang);
    let endpoint = Endpoint::new("e", "http://receiver").client(client);
    let endpoint = endpoint.queue_events(1).queue_bytes(usize::MAX);
    let notifier = Notifier::builder().endpoint(endpoint).build().unwrap();
    write(&notifier, 0).await.unwrap();
    write(&notifier, 1).await.unwrap_err();
    notifier.shutdown(SECOND).await;
    let status = notifier.status().endpoints.remove(0);
    assert_eq!((status.dead_letters, status.lost), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_letter_goes_back_to_its_endpoint() {
    let (client, log) = scripted(|n, _| match n {
        0 => Reply::Status(400),
        _ => Reply::Status(200),
    });
    let (channel, mut letters) = DeadLetterChannel::new(1);
    let endpoint = Endpoint::new("e", "http://receiver").client(client);
    let endpoint = endpoint.dead_letters(channel);
    let notifier = Notifier::builder().endpoint(endpoint).build().unwrap();
    write(&notifier, 0).await.unwrap();
    let letter = letters.recv().await.unwrap();
    notifier.send_again(&letter).await.unwrap();
    let mut other = (*letter).clone();
    other.endpoint = "other".into();
    let error = notifier.send_again(&other).await.unwrap_err();
    assert!(error.is_no_endpoint() && !error.is_closed());
    assert_eq!(error.to_string(), r#"no such endpoint: "other""#);
    assert!(notifier.shutdown(HOUR).await.is_drained());
    assert_eq!(log.accepted(), ["a/0"]);
}

/// Bytes that each endpoint's events may take.
const BOUND: usize = 16 << 20;
const EVENTS: usize = 100_000;

/// The tags that a receiver has accepted, in a list that never grows.
type Tags = Arc<Mutex<Vec<usize>>>;

/// An endpoint whose receiver answers its n-th request with this status, or not
/// at all, and keeps nothing but tags.
fn endpoint(name: &str, answer: fn(usize) -> Option<u16>) -> (Endpoint, Tags, Arc<AtomicUsize>) {
    let tags: Tags = Arc::new(Mutex::new(Vec::with_capacity(EVENTS)));
    let requests = Arc::new(AtomicUsize::new(0));
    let (accepted, count) = (tags.clone(), requests.clone());
    let client = service_fn(move |request: Request<Bytes>| {
        let status = answer(count.fetch_add(1, Ordering::Relaxed));
        if status == Some(200) {
            let envelope: Envelope = serde_json::from_slice(request.body()).unwrap();
            let tags = envelope
                .events
                .iter()
                .map(|it| it.target.tag.parse::<usize>());
            accepted.lock().unwrap().extend(tags.map(Result::unwrap));
        }
        async move {
            let status = status.ok_or("connection reset")?;
            let body = Full::<Bytes>::default();
            Ok::<_, BoxError>(Response::builder().status(status).body(body)?)
        }
    });
    let endpoint = Endpoint::new(name, "http://receiver").client(client);
    (
        endpoint.queue_events(EVENTS).queue_bytes(BOUND),
        tags,
        requests,
    )
}

/// Writes all events, in ten repositories, and ends after an hour.
async fn write_all(notifier: &Notifier) {
    for tag in 0..EVENTS {
        let event = event(&format!("r{}", tag % 10), tag);
        // The dead one's queue is full some day.
        let _ = notifier.sink().write(&event).await;
        match tag % 100 {
            0 => sleep(Duration::from_millis(100)).await,
            _ => tokio::task::yield_now().await,
        }
    }
    let report = notifier.shutdown(HOUR).await;
    assert_eq!(report.left.len(), 1, "{report:?}");
}

#[test]
fn a_dead_endpoint_uses_its_own_memory_only() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let (one, one_tags, _) = endpoint("one", |_| Some(200));
    let (two, two_tags, _) = endpoint("two", |n| Some(if n % 100 == 7 { 500 } else { 200 }));
    let (dead, dead_tags, attempts) = endpoint("dead", |_| None);
    let two = two.batch(Batch::of(50)).concurrency(4);
    let counted = allocation_counter::measure(|| {
        runtime.block_on(async {
            let notifier = Notifier::builder()
                .endpoint(one)
                .endpoint(two)
                .endpoint(dead);
            let notifier = notifier.build().unwrap();
            write_all(&notifier).await;
            let status = notifier.status().endpoints;
            for alive in &status[..2] {
                assert_eq!((alive.successes, alive.lost), (EVENTS as u64, 0));
            }
            assert!(status[2].pending_bytes <= BOUND as u64);
            assert!(status[2].events > 10_000);
        });
    });
    for tags in [one_tags, two_tags] {
        let tags = tags.lock().unwrap();
        for repository in 0..10 {
            let tags = tags.iter().copied().filter(|tag| tag % 10 == repository);
            assert!(tags.eq((repository..EVENTS).step_by(10)), "r{repository}");
        }
    }
    assert!(dead_tags.lock().unwrap().is_empty());
    let attempts = attempts.load(Ordering::Relaxed);
    let (peak, mib) = (counted.bytes_max, 1024.0 * 1024.0);
    println!(
        "{attempts} attempts at the dead one, {:.1} MiB at the peak",
        peak as f64 / mib
    );
    assert!(attempts < 200, "{attempts} attempts in an hour");
    // Its queue, and what others have under way.
    assert!(peak < (BOUND + BOUND / 4) as u64, "{peak} bytes");
}
