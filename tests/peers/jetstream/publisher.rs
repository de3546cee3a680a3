//! What becomes of events that a registry writes.

use std::time::Duration;

use futures_util::future::join_all;
use http::{Method, Request, StatusCode};
use tokio::time::{Instant, sleep};
use tower::{Layer as _, ServiceExt as _};
use tower_registry_notifications::dead_letter::DeadLetterChannel;
use tower_registry_notifications::jetstream::{JetStream, JetStreamSink, JetStreamSinkStatus};
use tower_registry_notifications::sink::Sink as _;
use tower_registry_notifications::{NotificationLayer, Notifier};

use crate::contents::{check, context, event, read};
use crate::relay::Relay;
use crate::server::{Server, Version};

const STREAM: [&str; 2] = ["REGISTRY_NOTIFICATIONS_16", "REGISTRY_NOTIFICATIONS"];

/// Waits until the status of a sink is as wanted.
async fn until(sink: &JetStreamSink, wanted: impl Fn(&JetStreamSinkStatus) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !wanted(&sink.status()) {
        assert!(Instant::now() < deadline, "{:?}", sink.status());
        sleep(Duration::from_millis(5)).await;
    }
}

/// Rounds of a soak: a few, or as many as the variable says.
fn rounds(short: usize) -> usize {
    let rounds = std::env::var("JETSTREAM_ROUNDS");
    rounds.map_or(short, |rounds| rounds.parse().unwrap())
}

/// Restarts and cuts under load: nothing is lost, stored twice, or out of order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_stored_once_and_in_order_whatever_fails() {
    const REPOSITORIES: usize = 40;
    for (version, stream) in Version::ALL.into_iter().zip(STREAM) {
        let mut server = Server::start(version);
        let relay = Relay::to(server.port()).await;
        let sink = JetStream::new(relay.url()).sink().await.unwrap();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let writers: Vec<_> = (0..REPOSITORIES)
            .map(|number| {
                let (sink, stopped) = (sink.clone(), stopped.clone());
                tokio::spawn(async move {
                    let repository = format!("team/app-{number}");
                    let mut written = 0;
                    while !*stopped.borrow() {
                        // Several at a time: their order is that of the calls.
                        let writes =
                            (0..8).map(|more| sink.write(&event(&repository, written + more)));
                        for answer in join_all(writes).await {
                            answer.unwrap();
                        }
                        written += 8;
                    }
                    written
                })
            })
            .collect();
        let mut random = fastrand::Rng::with_seed(7);
        for round in 0..rounds(6) {
            let before = sink.status().published;
            until(&sink, |it| it.published > before + 500).await;
            match round % 3 {
                0 => server.restart(),
                1 => relay.interrupt(),
                _ => {
                    // Stored, but not acknowledged.
                    relay.mute();
                    sleep(Duration::from_millis(random.u64(1..50))).await;
                    relay.interrupt();
                }
            }
        }
        until(&sink, |it| it.ready).await;
        stop.send(true).unwrap();
        let written: Vec<_> = join_all(writers)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert_eq!(sink.shutdown(Duration::from_secs(10)).await, 0);
        let status = sink.status();
        println!("{version:?}: {status:?}");
        assert!(
            status.retries > 0 && status.duplicates > 0,
            "nothing failed: {status:?}"
        );

        let stored = read(&server.url(), stream).await;
        assert_eq!(stored.len(), written.iter().sum::<usize>());
        for (number, written) in written.into_iter().enumerate() {
            let repository = format!("team/app-{number}");
            let own = stored
                .iter()
                .filter(|it| it.repository == repository)
                .cloned();
            check(&own.collect::<Vec<_>>(), 1, written);
        }
    }
}

#[tokio::test]
async fn events_wait_within_bounds_while_no_server_answers() {
    for (version, stream) in Version::ALL.into_iter().zip(STREAM) {
        let mut server = Server::start(version);
        let sink = JetStream::new(server.url())
            .queue_events(50)
            .sink()
            .await
            .unwrap();
        assert!(sink.is_ready());
        server.kill();
        until(&sink, |it| !it.connected).await;
        assert!(!sink.is_ready());
        let writes: Vec<_> = (0..50)
            .map(|number| sink.write(&event("a", number)))
            .collect();
        let refused = sink.write(&event("a", 50)).await.unwrap_err();
        assert!(refused.is_full());
        assert_eq!(sink.status().waiting, 50);
        server.restart();
        for answer in join_all(writes).await {
            answer.unwrap();
        }
        until(&sink, |it| it.ready && it.waiting_bytes == 0).await;
        check(&read(&server.url(), stream).await, 1, 50);
    }
}

#[tokio::test]
async fn the_bytes_that_wait_are_bounded() {
    let server = Server::start(Version::New);
    let one = event("a", 0);
    let bytes = one.memory() * 3;
    let sink = JetStream::new(server.url())
        .queue_bytes(bytes)
        .sink()
        .await
        .unwrap();
    server.signal("STOP");
    let writes: Vec<_> = (0..3)
        .map(|number| sink.write(&event("a", number)))
        .collect();
    assert!(!sink.is_ready());
    assert!(sink.write(&one).await.unwrap_err().is_full());
    server.signal("CONT");
    assert!(join_all(writes).await.iter().all(Result::is_ok));
}

/// A server that hangs keeps its connections: only the missing acknowledgement
/// shows it.
#[tokio::test]
async fn a_server_that_hangs_makes_the_sink_not_ready_until_it_goes_on() {
    for version in Version::ALL {
        let server = Server::start(version);
        let sink = JetStream::new(server.url()).sink().await.unwrap();
        server.signal("STOP");
        let (mut number, mut write) = (0, sink.write(&event("a", 0)));
        loop {
            until(&sink, |it| it.failing_partitions == 1 || it.waiting == 0).await;
            if sink.status().failing_partitions == 1 {
                break;
            }
            // Stored before the last thread of the server had stopped.
            write.await.unwrap();
            number += 1;
            write = sink.write(&event("a", number));
        }
        assert!(sink.status().connected);
        assert!(!sink.is_ready());
        server.signal("CONT");
        write.await.unwrap();
        until(&sink, |it| it.ready).await;
    }
}

/// Error 10077: the events wait until there is room.
#[tokio::test]
async fn a_full_stream_pauses_a_partition_and_loses_nothing() {
    for (version, stream) in Version::ALL.into_iter().zip(STREAM) {
        let server = Server::start(version);
        let settings = JetStream::new(server.url()).max_bytes(100_000);
        let sink = settings.sink().await.unwrap();
        let writes: Vec<_> = (0..300)
            .map(|number| sink.write(&event("a", number)))
            .collect();
        until(&sink, |it| it.failing_partitions == 1).await;
        assert!(!sink.is_ready());
        let error = sink.status().last_error.unwrap();
        assert!(
            error.contains("10077") || error.contains("maximum bytes"),
            "{error}"
        );
        // Another partition is as full.
        let other = sink.write(&event("b", 0));
        let mut stored = Vec::new();
        let context = context(&server.url()).await;
        while stored.len() < 301 {
            until(&sink, |it| it.failing_partitions > 0 || it.waiting == 0).await;
            let read = read(&server.url(), stream).await;
            let seen = read.len() as u64;
            stored.extend(read);
            let found = context.get_stream(stream).await.unwrap();
            let first = found.cached_info().state.first_sequence;
            found.purge().sequence(first + seen).await.unwrap();
        }
        for answer in join_all(writes).await {
            answer.unwrap();
        }
        other.await.unwrap();
        stored.retain(|it| it.repository == "a");
        check(&stored, 1, 300);
        until(&sink, |it| it.ready).await;
    }
}

#[tokio::test]
async fn an_event_that_is_too_large_for_the_server_holds_up_no_other() {
    let server = Server::start(Version::New);
    let sink = JetStream::new(server.url()).sink().await.unwrap();
    let mut large = event("a", 0).to_event();
    large.request.user_agent = "x".repeat(2 << 20);
    let refused = sink.write(&(&large).into());
    let stored = sink.write(&event("a", 0));
    let error = refused.await.unwrap_err();
    assert!(!error.is_full() && !error.is_closed(), "{error}");
    stored.await.unwrap();
    assert!(sink.is_ready());
    check(&read(&server.url(), STREAM[1]).await, 1, 1);
}

/// What the duplicate window is for, and what happens beyond it.
#[tokio::test]
async fn an_id_is_stored_twice_only_beyond_the_duplicate_window() {
    let (short, long) = (Duration::from_secs(1), Duration::from_secs(60));
    for (version, stream) in Version::ALL.into_iter().zip(STREAM) {
        for (window, copies) in [(long, 1), (short, 2)] {
            let server = Server::start(version);
            let relay = Relay::to(server.port()).await;
            let settings = JetStream::new(relay.url()).duplicate_window(window);
            let sink = settings.sink().await.unwrap();
            relay.mute();
            let write = sink.write(&event("a", 0));
            let mut messages = 0;
            while messages == 0 {
                let context = context(&server.url()).await;
                let found = context.get_stream(stream).await.unwrap();
                messages = found.cached_info().state.messages;
            }
            relay.cut();
            sleep(short * 2).await;
            relay.interrupt();
            write.await.unwrap();
            let stored = read(&server.url(), stream).await;
            assert_eq!(stored.len(), copies, "{version:?} {window:?}");
            assert!(stored.iter().all(|it| it.id == stored[0].id));
        }
    }
}

/// As behind a journal, but with a queue in memory.
#[tokio::test]
async fn an_endpoint_that_writes_to_a_stream_waits_for_its_acknowledgements() {
    for (version, stream) in Version::ALL.into_iter().zip(STREAM) {
        let mut server = Server::start(version);
        let sink = JetStream::new(server.url()).sink().await.unwrap();
        let (letters, mut buried) = DeadLetterChannel::new(10);
        let endpoint = sink.endpoint("stream").dead_letters(letters);
        let notifier = Notifier::builder().endpoint(endpoint).build().unwrap();
        let write = async |repository: usize, number| {
            let event = event(&format!("r{repository}"), number);
            notifier.write(&event).await.unwrap();
        };
        for number in 0..20 {
            for repository in 0..10 {
                write(repository, number).await;
            }
        }
        server.kill();
        for number in 20..40 {
            for repository in 0..10 {
                write(repository, number).await;
            }
        }
        let mut large = event("large", 0).to_event();
        large.request.user_agent = "x".repeat(2 << 20);
        notifier.write(&(&large).into()).await.unwrap();
        server.restart();
        let letter = buried.recv().await.unwrap();
        assert_eq!(letter.event.repository(), "large");
        let report = notifier.shutdown(Duration::from_secs(30)).await;
        assert!(report.is_drained(), "{report}");
        let status = &notifier.status().endpoints[0];
        assert_eq!((status.successes, status.dead_letters), (400, 1));
        assert_eq!(sink.shutdown(Duration::from_secs(10)).await, 0);
        check(&read(&server.url(), stream).await, 10, 40);
    }
}

#[tokio::test]
async fn a_shutdown_says_how_many_events_were_not_acknowledged() {
    let mut server = Server::start(Version::New);
    let sink = JetStream::new(server.url()).sink().await.unwrap();
    let first = sink.write(&event("a", 0));
    assert_eq!(sink.shutdown(Duration::from_secs(10)).await, 0);
    first.await.unwrap();
    assert!(!sink.is_ready());
    assert!(sink.write(&event("a", 1)).await.unwrap_err().is_closed());

    let sink = JetStream::new(server.url()).sink().await.unwrap();
    server.kill();
    let writes: Vec<_> = (1..4)
        .map(|number| sink.write(&event("a", number)))
        .collect();
    assert_eq!(sink.shutdown(Duration::from_millis(200)).await, 3);
    for answer in join_all(writes).await {
        assert!(answer.unwrap_err().is_closed());
    }
}

/// The events of a sink whose last handle is dropped are still published.
#[tokio::test]
async fn a_sink_that_is_dropped_publishes_what_waits() {
    let server = Server::start(Version::New);
    let sink = JetStream::new(server.url()).sink().await.unwrap();
    let writes: Vec<_> = (0..100)
        .map(|number| sink.write(&event("a", number)))
        .collect();
    drop(sink);
    for answer in join_all(writes).await {
        answer.unwrap();
    }
    check(&read(&server.url(), STREAM[1]).await, 1, 100);
}

#[tokio::test]
async fn fail_closed_works_through_jetstream() {
    let mut server = Server::start(Version::New);
    let sink = JetStream::new(server.url()).sink().await.unwrap();
    let notifier = Notifier::builder().sink(sink.clone()).build().unwrap();
    let acted = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = acted.clone();
    let registry = tower::service_fn(move |_: Request<_>| {
        counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let response = http::Response::builder().status(StatusCode::CREATED);
        std::future::ready(response.body(String::new()))
    });
    let layer = NotificationLayer::new(notifier).fail_closed(true);
    let service = layer.layer(registry);
    let push = async || {
        let manifest = Request::builder()
            .method(Method::PUT)
            .uri("/v2/a/manifests/1");
        let request = manifest.body("{}".to_owned()).unwrap();
        service.clone().oneshot(request).await.unwrap().status()
    };
    assert_eq!(push().await, StatusCode::CREATED);
    server.kill();
    until(&sink, |it| !it.connected).await;
    assert_eq!(push().await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(acted.load(std::sync::atomic::Ordering::Relaxed), 1);
    server.restart();
    until(&sink, |it| it.ready).await;
    assert_eq!(push().await, StatusCode::CREATED);
    let stored = read(&server.url(), STREAM[1]).await;
    assert_eq!(stored.len(), 2);
    assert!(stored[0].subject.ends_with(".manifest.push"), "{stored:?}");
}
