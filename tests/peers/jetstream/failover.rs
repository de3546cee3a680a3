//! What the rules of a worker are for: a worker dies or is stopped, and another goes on.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::{sleep, timeout};
use tower_registry_notifications::Notifier;
use tower_registry_notifications::jetstream::JetStream;

use crate::contents::context;
use crate::program::Program;
use crate::receiver::Receiver;
use crate::server::{Server, Version};
use crate::worker::{SECOND, endpoint, settings, until, worker, write};

/// A consumer of the worker's, without its rules: what the server gives to whoever
/// asks. Returns the sequences of so many messages in the order in which they came.
async fn pull(url: &str, count: usize, acknowledge: bool) -> Vec<u64> {
    let client = async_nats::connect(url).await.unwrap();
    let inbox = client.new_inbox();
    let mut messages = client.subscribe(inbox.clone()).await.unwrap();
    let subject = "$JS.API.CONSUMER.MSG.NEXT.REGISTRY_NOTIFICATIONS.e-0";
    let request = r#"{"batch":100,"expires":30000000000,"group":"workers"}"#;
    let asked = client.publish_with_reply(subject, inbox, request.into());
    asked.await.unwrap();
    let mut sequences = Vec::new();
    while sequences.len() < count {
        let message = timeout(30 * SECOND, messages.next()).await.unwrap();
        let message = message.unwrap();
        let Some(reply) = message.reply else {
            continue;
        };
        sequences.push(reply.split('.').nth_back(3).unwrap().parse().unwrap());
        if acknowledge {
            client.publish(reply, "+ACK".into()).await.unwrap();
        }
    }
    client.flush().await.unwrap();
    sequences
}

/// A server whose consumer has given ten messages to a worker that died, and has ten
/// newer ones.
async fn dead_worker() -> (Server, JetStream, Receiver) {
    let server = Server::start(Version::New);
    let settings = settings(&server).partitions(1);
    let receiver = Receiver::start().await;
    let first = worker(&settings, &[("e", &receiver)]).await;
    first.shutdown(10 * SECOND).await;
    write(&settings, 1, 0..10).await;
    let taken = pull(&server.url(), 10, false).await;
    assert!(taken.is_sorted(), "{taken:?}");
    write(&settings, 1, 10..20).await;
    (server, settings, receiver)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_death_of_a_worker_the_next_one_keeps_the_order() {
    let (_server, settings, receiver) = dead_worker().await;
    let worker = worker(&settings, &[("e", &receiver)]).await;
    until(&receiver, 20).await;
    assert_eq!(receiver.numbers("r0"), (0..20).collect::<Vec<_>>());
    worker.shutdown(10 * SECOND).await;
}

/// The control: the pin alone does not keep it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_gate_newer_events_come_first() {
    let (server, _settings, _receiver) = dead_worker().await;
    let came = pull(&server.url(), 20, true).await;
    let newer: Vec<_> = came.iter().take(10).copied().collect();
    assert_eq!(newer, (11..21).collect::<Vec<_>>(), "{came:?}");
}

/// A worker that is stopped while it holds events delivers none of them when it goes on
/// after the server has given them to another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_was_stopped_delivers_nothing_that_another_has_delivered() {
    for version in Version::ALL {
        let server = Server::start(version);
        let settings = settings(&server).partitions(1);
        let receiver = Receiver::start().await;
        receiver.refuse(true);
        let (nats, url) = (server.url(), receiver.url().to_owned());
        let arguments = ["--nats", &nats, "--endpoint", &url, "--partitions", "1"];
        let arguments = arguments.iter().chain(&["--ack-wait", "6"]);
        let arguments: Vec<_> = arguments.map(ToString::to_string).collect();
        let mut stopped = Program::start(&arguments);
        write(&settings, 1, 0..20).await;
        while receiver.refused() == 0 {
            sleep(SECOND / 100).await;
        }
        stopped.signal("STOP");
        receiver.refuse(false);
        let mut other = Program::start(&arguments);
        until(&receiver, 20).await;
        stopped.signal("CONT");
        // It would deliver at once.
        sleep(3 * SECOND).await;
        let summary = receiver.summary();
        assert_eq!((summary.events, summary.repeats), (20, 0), "{version:?}");
        assert_eq!(summary.out_of_order, Vec::<String>::new());
        assert!(stopped.end() && other.end());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_starts_or_restarts_meanwhile_is_waited_for() {
    for version in Version::ALL {
        let mut server = Server::start(version);
        let receiver = Receiver::start().await;
        for millis in [0, 3, 10, 30, 100, 1000] {
            let settings = settings(&server).connect_timeout(30 * SECOND);
            let endpoints = Notifier::builder().endpoint(endpoint("e", &receiver));
            if millis == 1000 {
                server.kill();
            }
            let start = tokio::spawn(async move {
                let sink = settings.sink().await?;
                Ok::<_, tower::BoxError>((settings.worker(endpoints).await?, sink))
            });
            sleep(Duration::from_millis(millis)).await;
            server.restart();
            let (worker, _sink) = start.await.unwrap().unwrap();
            worker.shutdown(10 * SECOND).await;
        }
        let context = context(&server.url()).await;
        let name = settings(&server).sink().await.unwrap().status().stream;
        let mut stream = context.get_stream(name).await.unwrap();
        assert_eq!(stream.info().await.unwrap().state.consumer_count, 4);
    }
}
