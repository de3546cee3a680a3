//! Numbers by which a receiver notices that events are missing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::Response;
use serde_json::Value;
use tower_registry_notifications::dead_letter::DeadLetterChannel;
use tower_registry_notifications::endpoint::{Batch, Overflow};
use tower_registry_notifications::event::{Action, Event, SharedEvent};
use tower_registry_notifications::sink::{Filter, Sink as _};
use tower_registry_notifications::{Endpoint, Format, Notifier, SourceRecord};

use crate::common::scripted::{Log, PostedRequest, Reply, scripted};
use crate::common::{Received, arrived, receiver};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn notifier(endpoints: impl IntoIterator<Item = Endpoint>) -> Notifier {
    let mut source = SourceRecord::new("registry.example.com:5000");
    source.instance_id = "an instance".into();
    let builder = Notifier::builder().source(source);
    let add = |builder: tower_registry_notifications::NotifierBuilder, endpoint| {
        builder.endpoint(endpoint)
    };
    endpoints.into_iter().fold(builder, add).build().unwrap()
}

/// An event of the notifier's own source.
fn event(notifier: &Notifier, repository: &str, tag: usize) -> SharedEvent {
    let mut event = Event::new(Action::Push);
    event.target.repository = repository.into();
    event.target.tag = tag.to_string();
    event.source = notifier.source().as_ref().clone();
    event.into()
}

/// What arrives at an endpoint with numbers when so many events are written at once.
async fn received(configure: impl FnOnce(Endpoint) -> Endpoint, events: usize) -> Vec<Received> {
    let (port, mut received) = receiver(Box::new(|_| Response::builder())).await;
    let endpoint = Endpoint::new("a receiver", format!("http://127.0.0.1:{port}/"));
    let notifier = notifier([configure(endpoint.timeout(MINUTE).sequence(true))]);
    let sink = notifier.sink();
    let writes: Vec<_> = (1..=events)
        .map(|n| sink.write(&event(&notifier, "app", n)))
        .collect();
    for write in writes {
        write.await.unwrap();
    }
    assert!(notifier.shutdown(MINUTE).await.is_drained());
    arrived(&mut received)
}

const PARTITION: &str = "an%20instance/a%20receiver";

#[tokio::test]
async fn cloud_events_have_a_sequence_of_fixed_width_and_a_partition() {
    for (format, compact) in [
        (Format::CloudEvents, false),
        (Format::CloudEvents, true),
        (Format::ImageUpdater, true),
    ] {
        let got = received(|it| it.format(format).compact(compact), 11).await;
        let mut last = String::new();
        for (number, request) in (1..).zip(&got) {
            let event: Value = serde_json::from_slice(&request.body).unwrap();
            let sequence = event["sequence"].as_str().unwrap().to_owned();
            assert_eq!(sequence, format!("{number:020}"));
            assert!(sequence > last, "it is compared as text");
            assert_eq!(event["partitionkey"], PARTITION);
            assert_eq!(event["subject"], format!("app:{number}"));
            assert_eq!(event["specversion"], "1.0");
            assert!(!request.headers.contains_key("notification-sequence"));
            // White space is as that of the other attributes.
            let lines = String::from_utf8_lossy(&request.body).lines().count();
            assert_eq!(lines > 1, !compact);
            last = sequence;
        }
        assert_eq!(got.len(), 11);
    }
    let batched = |it: Endpoint| {
        it.format(Format::CloudEvents)
            .batch(Batch::of(3).linger(MINUTE))
    };
    let got = received(batched, 3).await;
    let batch: Vec<Value> = serde_json::from_slice(&got[0].body).unwrap();
    let sequences: Vec<_> = batch
        .iter()
        .map(|it| it["sequence"].as_str().unwrap())
        .collect();
    assert_eq!(sequences, [1, 2, 3].map(|number| format!("{number:020}")));
}

#[tokio::test]
async fn other_formats_have_them_in_headers() {
    let numbers = |got: &[Received]| -> Vec<String> {
        let numbers = got.iter().map(|it| {
            assert_eq!(it.headers["notification-partition"], PARTITION);
            it.headers["notification-sequence"]
                .to_str()
                .unwrap()
                .to_owned()
        });
        numbers.collect()
    };
    for format in [Format::V2, Format::V1, Format::Azure, Format::Harbor] {
        let got = received(|it| it.format(format), 3).await;
        assert_eq!(numbers(&got), ["1", "2", "3"], "{format:?}");
    }
    let got = received(|it| it.batch(Batch::of(3).linger(MINUTE)), 4).await;
    assert_eq!(numbers(&got), ["1,2,3", "4"]);

    // Nothing tells numbers unless it was asked for.
    for format in [Format::V2, Format::CloudEvents] {
        let got = received(|it| it.format(format).sequence(false), 1).await;
        assert!(!got[0].headers.contains_key("notification-sequence"));
        assert!(!String::from_utf8_lossy(&got[0].body).contains("partitionkey"));
    }
}

/// The numbers in a request, with the event that each belongs to.
fn numbered(got: &PostedRequest) -> BTreeMap<u64, String> {
    let Some(numbers) = got.headers.get("notification-sequence") else {
        panic!("{:?}", got.headers);
    };
    let numbers = numbers.to_str().unwrap().split(',');
    let numbers: Vec<u64> = numbers.map(|number| number.parse().unwrap()).collect();
    assert_eq!(numbers.len(), got.events.len());
    numbers
        .into_iter()
        .zip(got.events.iter().cloned())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn each_endpoint_numbers_what_its_filter_wants() {
    let (client, log) = scripted(|_, _| Reply::Status(200));
    let (other, all) = scripted(|_, _| Reply::Status(200));
    let endpoint = |name: &str| Endpoint::new(name, "http://receiver").sequence(true);
    let wanted = Filter::new().include_repositories(["wanted"]);
    let notifier = notifier([
        endpoint("some").client(client).filter(wanted),
        endpoint("all").client(other),
    ]);
    for n in 1..=6 {
        let repository = if n % 2 == 0 { "wanted" } else { "other" };
        notifier
            .write(&event(&notifier, repository, n))
            .await
            .unwrap();
    }
    assert!(notifier.shutdown(HOUR).await.is_drained());
    assert_eq!(numbers(&log), [1, 2, 3]);
    assert_eq!(numbers(&all), [1, 2, 3, 4, 5, 6]);
}

#[tokio::test(start_paused = true)]
async fn repetitions_and_halves_keep_the_numbers() {
    let (client, log) = scripted(|n, events| match n {
        0..=3 => Reply::Status(503),
        4 => Reply::Reset,
        _ if events.iter().any(|it| it == "app/5") => Reply::Status(400),
        _ => Reply::Status(200),
    });
    let (letters, mut dead) = DeadLetterChannel::new(8);
    let endpoint = Endpoint::new("e", "http://receiver")
        .client(client)
        .sequence(true);
    let batch = Batch::of(4).linger(SECOND);
    let notifier = notifier([endpoint.batch(batch).dead_letters(letters)]);
    for n in 1..=8 {
        notifier.write(&event(&notifier, "app", n)).await.unwrap();
    }
    assert!(notifier.shutdown(HOUR).await.is_drained());
    let got = log.got();
    assert!(got.len() > 6);
    for (number, event) in got.iter().flat_map(numbered) {
        assert_eq!(event, format!("app/{number}"));
    }
    let letter = dead.recv().await.unwrap();
    assert_eq!(letter.number.unwrap().get(), 5);
}

/// Lets time pass until nothing waits.
async fn idle(notifier: &Notifier) {
    while notifier.status().endpoints[0].pending > 0 {
        tokio::time::advance(SECOND).await;
        tokio::task::yield_now().await;
    }
}

fn numbers(log: &Log) -> Vec<u64> {
    let got = log.got();
    got.iter().flat_map(|it| numbered(it).into_keys()).collect()
}

#[tokio::test(start_paused = true)]
async fn dead_letters_are_the_only_gaps_and_are_closed_when_sent_again() {
    for overflow in [Overflow::RejectNewest, Overflow::DropOldest] {
        let (client, log) = scripted(|_, _| Reply::Status(200));
        let (letters, mut dead) = DeadLetterChannel::new(64);
        let endpoint = Endpoint::new("e", "http://receiver").client(client);
        let endpoint = endpoint.queue_events(4).overflow(overflow);
        let notifier = notifier([endpoint.sequence(true).dead_letters(letters)]);
        // At once: the worker does not run in between.
        for n in 1..=10 {
            let write = notifier.write(&event(&notifier, "app", n));
            let accepted = write.await.is_ok();
            assert!(accepted || overflow == Overflow::RejectNewest);
        }
        idle(&notifier).await;
        let mut letters = Vec::new();
        for _ in 0..6 {
            letters.push(dead.recv().await.unwrap());
        }
        let arrived: BTreeSet<_> = numbers(&log).into_iter().collect();
        let missing: BTreeSet<_> = letters.iter().map(|it| it.number.unwrap().get()).collect();
        assert_eq!((arrived.len(), missing.len()), (4, 6), "{overflow:?}");
        assert!(arrived.is_disjoint(&missing));
        assert_eq!(arrived.union(&missing).copied().collect::<Vec<_>>(), ALL);

        for letter in &letters {
            notifier.send_again(letter).await.unwrap();
            idle(&notifier).await;
        }
        // Those after them go on where the numbers were.
        notifier.write(&event(&notifier, "app", 11)).await.unwrap();
        assert!(notifier.shutdown(HOUR).await.is_drained());
        for (number, event) in log.got().iter().flat_map(numbered) {
            assert_eq!(event, format!("app/{number}"));
        }
        let mut arrived = numbers(&log);
        arrived.sort_unstable();
        assert_eq!(arrived, [&ALL[..], &[11]].concat());
    }
}

const ALL: [u64; 10] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

/// A write that waits for room has its number when it finds room, or gives up.
#[tokio::test(start_paused = true)]
async fn writes_that_wait_are_numbered_too() {
    let (client, log) = scripted(|n, _| match n {
        0 => Reply::Late(MINUTE),
        _ => Reply::Status(200),
    });
    let (letters, mut dead) = DeadLetterChannel::new(8);
    let endpoint = Endpoint::new("e", "http://receiver")
        .client(client)
        .timeout(HOUR);
    let endpoint = endpoint.queue_events(1).overflow(Overflow::Wait);
    let notifier = notifier([endpoint.sequence(true).dead_letters(letters)]);
    notifier.write(&event(&notifier, "app", 1)).await.unwrap();
    let waits = notifier.write(&event(&notifier, "app", 3));
    // Dropped, it is a dead letter, and so it is known why 2 does not come.
    drop(notifier.write(&event(&notifier, "app", 2)));
    let letter = dead.recv().await.unwrap();
    assert_eq!(letter.number.unwrap().get(), 2);
    waits.await.unwrap();
    assert!(notifier.shutdown(HOUR).await.is_drained());
    assert_eq!(numbers(&log), [1, 3]);
}

#[tokio::test]
async fn a_batch_has_no_more_numbers_than_fit_into_a_header() {
    let endpoint = |format| {
        let endpoint = Endpoint::new("e", "http://receiver").format(format);
        endpoint.sequence(true)
    };
    for (endpoint, valid) in [
        (endpoint(Format::V2).batch(Batch::of(100)), true),
        (endpoint(Format::V2).batch(Batch::of(101)), false),
        (
            endpoint(Format::V2).batch(Batch::of(101)).sequence(false),
            true,
        ),
        (endpoint(Format::CloudEvents).batch(Batch::of(101)), true),
    ] {
        let built = Notifier::builder().endpoint(endpoint).build();
        assert_eq!(built.is_ok(), valid, "{built:?}");
    }
}

#[tokio::test]
async fn an_event_of_an_unknown_instance_has_no_number() {
    let (port, mut received) = receiver(Box::new(|_| Response::builder())).await;
    let endpoint = Endpoint::new("e", format!("http://127.0.0.1:{port}/")).timeout(MINUTE);
    let notifier = notifier([endpoint.sequence(true)]);
    notifier
        .write(&Event::new(Action::Pull).into())
        .await
        .unwrap();
    assert!(notifier.shutdown(MINUTE).await.is_drained());
    let got = received.try_recv().unwrap();
    assert!(!got.headers.contains_key("notification-sequence"));
}
