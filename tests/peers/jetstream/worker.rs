//! Workers deliver the events of a stream. They run in the process of the test.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout};
use tower_registry_notifications::dead_letter::DeadLetterChannel;
use tower_registry_notifications::endpoint::{Backoff, Batch, StatusMeaning};
use tower_registry_notifications::jetstream::{JetStream, JetStreamWorker};
use tower_registry_notifications::sink::{Filter, Sink as _};
use tower_registry_notifications::{Endpoint, Notifier};

use crate::contents::{context, event};
use crate::receiver::Receiver;
use crate::server::{Server, Version};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn settings(server: &Server) -> JetStream {
    let settings = JetStream::new(server.url()).ack_wait(6 * SECOND);
    settings.partitions(4).maintenance_interval(SECOND)
}

pub(crate) async fn worker(
    settings: &JetStream,
    receivers: &[(&str, &Receiver)],
) -> JetStreamWorker {
    let mut endpoints = Notifier::builder();
    for (name, receiver) in receivers {
        endpoints = endpoints.endpoint(endpoint(name, receiver));
    }
    settings.worker(endpoints).await.unwrap()
}

pub(crate) fn endpoint(name: &str, receiver: &Receiver) -> Endpoint {
    let retry = Backoff::new().base(SECOND / 10).cap(SECOND);
    Endpoint::new(name, receiver.url()).retry(retry)
}

/// Writes events 0 to `count` of so many repositories.
pub(crate) async fn write(
    settings: &JetStream,
    repositories: usize,
    numbers: std::ops::Range<usize>,
) {
    let sink = settings.sink().await.unwrap();
    for number in numbers {
        let writes = (0..repositories).map(|at| sink.write(&event(&format!("r{at}"), number)));
        join_all(writes)
            .await
            .into_iter()
            .for_each(|answer| answer.unwrap());
    }
}

/// Waits until a receiver has so many events, as long as more arrive.
pub(crate) async fn until(receiver: &Receiver, events: usize) {
    let (mut seen, mut progress) = (0, Instant::now());
    while receiver.events() < events {
        if receiver.events() > seen {
            (seen, progress) = (receiver.events(), Instant::now());
        }
        let silence = progress.elapsed();
        assert!(silence < 120 * SECOND, "{:?}", receiver.summary());
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_delivers_to_every_endpoint_in_order_and_without_repeats() {
    for version in Version::ALL {
        let server = Server::start(version);
        let settings = settings(&server).keep_acknowledged(true);
        write(&settings, 20, 0..10).await;
        let (one, two) = (Receiver::start().await, Receiver::start().await);
        let worker = worker(&settings, &[("one", &one), ("two", &two)]).await;
        write(&settings, 20, 10..20).await;
        for receiver in [&one, &two] {
            until(receiver, 400).await;
            let summary = receiver.summary();
            assert_eq!((summary.events, summary.repeats), (400, 0), "{version:?}");
            assert_eq!(summary.out_of_order, Vec::<String>::new());
        }
        let report = worker.shutdown(10 * SECOND).await;
        assert!(report.is_drained(), "{report}");
        let status = worker.status();
        assert_eq!(status.notifier.endpoints[0].successes, 400);
        assert_eq!(status.notifier.endpoints[0].events, 400);

        // Everything is acknowledged: another worker gets nothing of it.
        let three = Receiver::start().await;
        let again = self::worker(&settings, &[("one", &one), ("new", &three)]).await;
        until(&three, 400).await;
        assert_eq!(one.summary().repeats, 0);
        again.shutdown(10 * SECOND).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_share_the_partitions_and_hand_them_over_without_repeats_or_delay() {
    let server = Server::start(Version::New);
    let settings = settings(&server).partitions(8);
    let receiver = Receiver::start().await;
    let first = worker(&settings, &[("e", &receiver)]).await;
    let served = |worker: &JetStreamWorker| {
        let lag = &worker.status().lag[0];
        lag.partitions.iter().filter(|lag| lag.is_some()).count()
    };
    let share = async |workers: &[&JetStreamWorker]| {
        let deadline = Instant::now() + 20 * SECOND;
        loop {
            let counts: Vec<_> = workers.iter().map(|it| served(it)).collect();
            let fair = 8 / workers.len();
            if counts.iter().sum::<usize>() == 8 && counts.iter().all(|count| *count >= fair) {
                return;
            }
            assert!(Instant::now() < deadline, "{counts:?}");
            sleep(SECOND / 50).await;
        }
    };
    share(&[&first]).await;
    let publisher = settings.clone();
    let publish = tokio::spawn(async move { write(&publisher, 40, 0..100).await });
    let second = worker(&settings, &[("e", &receiver)]).await;
    share(&[&first, &second]).await;
    let third = worker(&settings, &[("e", &receiver)]).await;
    share(&[&first, &second, &third]).await;
    until(&receiver, 400).await;
    let report = first.shutdown(10 * SECOND).await;
    assert!(report.is_drained(), "{report}");
    share(&[&second, &third]).await;
    publish.await.unwrap();
    until(&receiver, 4000).await;
    // Nothing had to be delivered again, so that nothing waited for that.
    let summary = receiver.summary();
    assert_eq!((summary.events, summary.repeats), (4000, 0));
    assert_eq!(summary.out_of_order, Vec::<String>::new());
    second.shutdown(10 * SECOND).await;
    third.shutdown(10 * SECOND).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_filters_and_dead_letters_work_on_top() {
    let server = Server::start(Version::New);
    let settings = settings(&server);
    let (batched, filtered) = (Receiver::start().await, Receiver::start().await);
    let dead = Receiver::start().await;
    dead.refuse(true);
    let (letters, mut buried) = DeadLetterChannel::new(200);
    let endpoints = Notifier::builder()
        .endpoint(endpoint("batched", &batched).batch(Batch::of(50)))
        .endpoint(
            endpoint("filtered", &filtered).filter(Filter::new().include_repositories(["r1"])),
        )
        .endpoint(
            endpoint("dead", &dead)
                .on_status(503, StatusMeaning::Reject)
                .dead_letters(letters),
        );
    write(&settings, 2, 0..50).await;
    let context = context(&server.url()).await;
    let stream = context.get_stream("REGISTRY_NOTIFICATIONS").await.unwrap();
    // Something that is no event.
    let odd = context
        .publish("registry.notifications.0.blob.push", "no event".into())
        .await;
    odd.unwrap().await.unwrap();
    let worker = settings.worker(endpoints).await.unwrap();
    until(&batched, 100).await;
    until(&filtered, 50).await;
    assert_eq!(filtered.numbers("r0"), Vec::<usize>::new());
    let mut ids = HashSet::new();
    while ids.len() < 101 {
        let letter = timeout(60 * SECOND, buried.recv()).await.unwrap().unwrap();
        let data = letter.event.to_event().target.descriptor.data;
        if letter.attempts == 0 {
            assert_eq!(data, b"no event");
            assert!(
                letter
                    .error
                    .as_deref()
                    .unwrap()
                    .contains("not a stored event"),
                "{letter:?}"
            );
        }
        ids.insert(letter.event.id().to_string());
    }
    // Everything has its end for everybody, so that it is removed.
    let mut stream = stream;
    let deadline = Instant::now() + 30 * SECOND;
    while stream.info().await.unwrap().state.messages > 0 {
        assert!(
            Instant::now() < deadline,
            "{:?}",
            stream.cached_info().state
        );
        sleep(SECOND / 10).await;
    }
    worker.shutdown(10 * SECOND).await;
}

#[tokio::test]
async fn settings_that_do_not_fit_are_told() {
    let server = Server::start(Version::New);
    let receiver = Receiver::start().await;
    let settings = settings(&server);
    let build = || Notifier::builder().endpoint(endpoint("e", &receiver));
    settings
        .worker(build())
        .await
        .unwrap()
        .shutdown(SECOND)
        .await;
    let other = settings
        .clone()
        .ack_wait(20 * SECOND)
        .worker(build())
        .await
        .unwrap_err();
    assert!(
        other.is_mismatch() && other.to_string().contains("ack_wait"),
        "{other}"
    );
    let wrong = Notifier::builder().endpoint(Endpoint::new("e", "ftp://x"));
    assert!(settings.worker(wrong).await.unwrap_err().is_setting());
    let sink = settings.sink().await.unwrap();
    let sinks = settings.worker(build().sink(sink)).await.unwrap_err();
    assert!(sinks.is_setting(), "{sinks}");
}

/// Leader and followers of a cluster are killed in turn, with registry and worker
/// under load.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_three_survives_the_death_of_each_of_its_servers() {
    const REPOSITORIES: usize = 20;
    const EVENTS: usize = 60;
    for version in Version::ALL {
        let mut servers = Server::cluster(version);
        let urls: Vec<_> = servers.iter().map(Server::url).collect();
        let settings = JetStream::new(urls.join(",")).ack_wait(6 * SECOND);
        let settings = settings
            .partitions(4)
            .replicas(3)
            .connect_timeout(60 * SECOND);
        let receiver = Receiver::start().await;
        let sink = settings.sink().await.unwrap();
        let worker = worker(&settings, &[("e", &receiver)]).await;
        let writers = (0..REPOSITORIES).map(|repository| {
            let (sink, receiver) = (sink.clone(), receiver.clone());
            tokio::spawn(async move {
                for number in 0..EVENTS {
                    // So that each kill meets events under way.
                    while number * REPOSITORIES > receiver.events() + 100 {
                        sleep(SECOND / 100).await;
                    }
                    sink.write(&event(&format!("r{repository}"), number))
                        .await
                        .unwrap();
                }
            })
        });
        let writers: Vec<_> = writers.collect();
        for (number, server) in servers.iter_mut().enumerate() {
            until(&receiver, REPOSITORIES * EVENTS * (number + 1) / 5).await;
            server.kill();
            sleep(SECOND).await;
            server.restart();
        }
        for writer in writers {
            writer.await.unwrap();
        }
        until(&receiver, REPOSITORIES * EVENTS).await;
        let summary = receiver.summary();
        println!("{version:?}: {summary:?}, {:?}", sink.status());
        assert_eq!(summary.out_of_order, Vec::<String>::new());
        worker.shutdown(10 * SECOND).await;
    }
}

/// Servers such as 2.9 forget what is under way when all subjects of a consumer are
/// purged: the next worker would not get it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_survives_the_removal_of_what_was_delivered() {
    for version in Version::ALL {
        let server = Server::start(version);
        let settings = settings(&server).partitions(1);
        let receiver = Receiver::start().await;
        let first = worker(&settings, &[("e", &receiver)]).await;
        write(&settings, 1, 0..10).await;
        until(&receiver, 10).await;
        receiver.refuse(true);
        write(&settings, 1, 10..20).await;
        let context = context(&server.url()).await;
        let mut stream = context.get_stream(&first.status().stream).await.unwrap();
        let deadline = Instant::now() + 30 * SECOND;
        while stream.info().await.unwrap().state.messages > 10 {
            assert!(Instant::now() < deadline);
            sleep(SECOND / 10).await;
        }
        first.shutdown(SECOND).await;
        receiver.refuse(false);
        let second = worker(&settings, &[("e", &receiver)]).await;
        until(&receiver, 20).await;
        // An attempt that was cancelled may have arrived all the same.
        let summary = receiver.summary();
        assert_eq!(summary.events, 20, "{version:?}");
        assert_eq!(summary.out_of_order, Vec::<String>::new());
        second.shutdown(10 * SECOND).await;
    }
}
