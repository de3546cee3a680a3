//! Two registries, workers and three endpoints, while everything fails that can.
//!
//! Nothing is lost, and the first deliveries of a repository at an endpoint are in
//! order. Repeats are counted: each has its cause in a kill, a stop or a cut.

use std::time::Duration;

use fastrand::Rng;
use futures_util::TryStreamExt as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tower_registry_notifications::jetstream::JetStream;
use tower_registry_notifications::sink::Sink as _;

use crate::contents::{context, event};
use crate::program::Program;
use crate::receiver::Receiver;
use crate::relay::Relay;
use crate::server::{Server, Version};
use crate::worker::SECOND;

const ACK_WAIT: u64 = 6;

/// How much: a short form, or the long one if `JETSTREAM_SOAK` is set.
struct Size {
    repositories: usize,
    events: usize,
    faults: usize,
}

fn size(short: Size, long: Size) -> Size {
    match std::env::var_os("JETSTREAM_SOAK") {
        Some(_) => long,
        None => short,
    }
}

struct Stage {
    server: Server,
    receivers: Vec<Receiver>,
    workers: Vec<Program>,
    config: tempfile::NamedTempFile,
}

impl Stage {
    async fn new(version: Version) -> Self {
        let mut receivers = Vec::new();
        let mut config = String::from("notifications:\n  endpoints:\n");
        for name in ["one", "two", "batched"] {
            let receiver = Receiver::start().await;
            let url = receiver.url();
            config += &format!("    - name: {name}\n      url: {url}\n");
            config += "      timeout: 2s\n      retry:\n";
            config += "        base: 100ms\n        cap: 500ms\n";
            if name == "batched" {
                config += "      batch:\n        events: 20\n";
            }
            receivers.push(receiver);
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), config).unwrap();
        Self {
            server: Server::start(version),
            receivers,
            workers: Vec::new(),
            config: file,
        }
    }

    fn settings(&self, url: &str) -> JetStream {
        JetStream::new(url).partitions(8)
    }

    fn start_worker(&mut self) {
        let arguments = [
            "--nats",
            &self.server.url(),
            "--partitions",
            "8",
            "--ack-wait",
            &ACK_WAIT.to_string(),
            "--config",
            self.config.path().to_str().unwrap(),
        ];
        let arguments = arguments.map(str::to_owned);
        self.workers.push(Program::start(&arguments));
    }
}

impl Stage {
    /// Waits until every receiver has all events, as long as more arrive.
    async fn complete(&self, repositories: usize, events: usize) {
        let count = || self.receivers.iter().map(Receiver::events).sum::<usize>();
        let (mut seen, mut progress) = (0, Instant::now());
        while count() < repositories * events * self.receivers.len() {
            if count() > seen {
                (seen, progress) = (count(), Instant::now());
            }
            if progress.elapsed() > 60 * SECOND {
                panic!("{}", self.diagnosis(repositories, events).await);
            }
            sleep(SECOND / 100).await;
        }
    }

    /// What is missing, and what the server says of the consumers.
    async fn diagnosis(&self, repositories: usize, events: usize) -> String {
        let mut text = String::new();
        for receiver in &self.receivers {
            text += &format!("{:?}\n", receiver.summary());
            for repository in (0..repositories).map(|number| format!("r{number}")) {
                let numbers = receiver.numbers(&repository);
                let missing = (0..events).filter(|number| !numbers.contains(number));
                let missing: Vec<_> = missing.collect();
                if !missing.is_empty() {
                    text += &format!("{repository} lacks {missing:?}\n");
                }
            }
        }
        let context = context(&self.server.url()).await;
        let names = context.stream_names().try_collect::<Vec<_>>().await;
        for name in names.unwrap() {
            let stream = context.get_stream(name).await.unwrap();
            text += &format!("{:?}\n", stream.cached_info().state);
            let consumers = stream.consumers().try_collect::<Vec<_>>().await;
            for it in consumers.unwrap() {
                text += &format!(
                    "{}: delivered {:?}, floor {:?}, pending {}, left {}, waiting {}\n",
                    it.name,
                    it.delivered,
                    it.ack_floor,
                    it.num_ack_pending,
                    it.num_pending,
                    it.num_waiting
                );
            }
        }
        text
    }
}

/// Writes the events of every second repository, one after the other in each.
async fn registry(
    settings: JetStream,
    half: usize,
    size: (usize, usize),
    (written, receiver): (watch::Sender<usize>, Receiver),
) {
    let (repositories, events) = size;
    let sink = settings.sink().await.unwrap();
    let own = (0..repositories).filter(|repository| repository % 2 == half);
    let writers = own.map(|repository| {
        let (sink, written, receiver) = (sink.clone(), &written, &receiver);
        async move {
            let name = format!("r{repository}");
            for number in 0..events {
                // Not faster than workers deliver, so that faults meet all of them.
                while 2 * *written.borrow() > receiver.events() + 500 {
                    sleep(SECOND / 100).await;
                }
                sink.write(&event(&name, number)).await.unwrap();
                written.send_modify(|written| *written += 1);
            }
        }
    });
    futures_util::future::join_all(writers).await;
    assert_eq!(sink.shutdown(10 * SECOND).await, 0);
}

async fn soak(version: Version, size: Size) {
    let Size {
        repositories,
        events,
        faults,
    } = size;
    let mut stage = Stage::new(version).await;
    let total = repositories * events;
    let relay = Relay::to(stage.server.port()).await;
    let direct = stage.settings(&stage.server.url());
    let through = stage.settings(&relay.url());
    // It makes the stream.
    direct.sink().await.unwrap();
    stage.start_worker();
    stage.start_worker();
    let registries = [(direct, 0), (through, 1)].map(|(settings, half)| {
        let written = watch::Sender::new(0);
        let size = (repositories, events);
        let observed = written.subscribe();
        let pace = (written, stage.receivers[0].clone());
        let registry = registry(settings, half, size, pace);
        (tokio::spawn(registry), observed)
    });
    let mut random = Rng::with_seed(3);
    let mut causes = Vec::new();
    for fault in 0..faults {
        // Evenly over the events.
        let due = total * fault / faults;
        while registries.iter().map(|(_, it)| *it.borrow()).sum::<usize>() < due {
            sleep(SECOND / 100).await;
        }
        causes.push(fail(&mut stage, &relay, fault, &mut random).await);
    }
    stage.receivers[1].refuse(false);
    for (registry, _) in registries {
        registry.await.unwrap();
    }
    stage.complete(repositories, events).await;
    for worker in &mut stage.workers {
        assert!(worker.end());
    }
    for receiver in &stage.receivers {
        let summary = receiver.summary();
        println!("{version:?}: {summary:?} of {total} events, faults: {causes:?}");
        assert_eq!(summary.events, total);
        assert_eq!(summary.out_of_order, Vec::<String>::new());
    }
}

/// Lets something fail, and says what.
async fn fail(stage: &mut Stage, relay: &Relay, fault: usize, random: &mut Rng) -> &'static str {
    let worker = random.usize(0..stage.workers.len());
    match fault % 7 {
        0 => {
            stage.receivers[1].refuse(true);
            "an endpoint refuses"
        }
        1 => {
            stage.workers[worker].kill();
            stage.workers.remove(worker);
            stage.start_worker();
            "a worker is killed"
        }
        2 => {
            // For longer than the server waits.
            stage.workers[worker].signal("STOP");
            sleep(Duration::from_secs(ACK_WAIT + 3)).await;
            stage.workers[worker].signal("CONT");
            "a worker is stopped"
        }
        3 => {
            stage.server.restart();
            "the server is killed"
        }
        4 => {
            stage.receivers[1].refuse(false);
            relay.cut();
            sleep(SECOND).await;
            relay.interrupt();
            "a registry is cut off"
        }
        5 => {
            stage.start_worker();
            if stage.workers.len() > 3 {
                assert!(stage.workers.remove(0).end());
            }
            "a worker joins"
        }
        _ => {
            stage.server.terminate();
            stage.server.restart();
            "the server is restarted"
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_first_deliveries_are_in_order_whatever_fails() {
    let short = Size {
        repositories: 50,
        events: 100,
        faults: 7,
    };
    let long = Size {
        repositories: 500,
        events: 100,
        faults: 35,
    };
    soak(Version::New, size(short, long)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_at_a_server_that_cannot_pin_consumers() {
    let short = Size {
        repositories: 50,
        events: 40,
        faults: 7,
    };
    let long = Size {
        repositories: 500,
        events: 100,
        faults: 35,
    };
    soak(Version::Old, size(short, long)).await;
}
