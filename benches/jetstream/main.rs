//! What JetStream costs: `cargo bench -p benches --features jetstream --bench jetstream`.
//! Starts a server of its own, the one in the environment variable `NATS_SERVER` or
//! `nats-server`. The receiver is a thread of its own that reads and answers as little as
//! HTTP allows.
//!
//! Each line has the minimum and maximum of three rounds in events per second. On Linux, the
//! lines of publishing also have the minimum processor time of this process in microseconds
//! per event, which hardly depends on what else runs.
//!
//! | argument | what it does |
//! | --- | --- |
//! | none | measures publishing and workers |
//! | `-- publish` | measures publishing only |
//! | `-- ours P N` | publishes N events to P partitions through the sink and prints nothing, to be profiled |
//! | `-- bare P N` | the same with the client alone |
//! | `-- cost` | prints the table of `benches/README.md` (Linux) |

mod cost;
#[path = "../support/cpu.rs"]
mod cpu;
#[path = "../support/receiver.rs"]
mod receiver;
mod server;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tower_registry_notifications::endpoint::Batch;
use tower_registry_notifications::event::{Descriptor, RequestRecord, SharedEvent, SourceRecord};
use tower_registry_notifications::jetstream::{JetStream, JetStreamWorker};
use tower_registry_notifications::sink::{ChannelSink, Sink};
use tower_registry_notifications::{Endpoint, Notifier, NotifierBuilder};

use crate::server::Server;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const MEDIA_TYPE: &str = "application/vnd.tower-registry-notifications.event+json";
/// The size of an event in the stream.
const BYTES: usize = 826;
const ROUNDS: u32 = 3;
const EVENTS: usize = 20_000;
/// Number of concurrent writes.
const WRITERS: usize = 1024;

/// Makes events like the bridge does, of this many repositories.
fn events(count: usize, repositories: usize) -> Vec<SharedEvent> {
    let (sink, mut events) = ChannelSink::new(1);
    let source = SourceRecord::new("registry.example.com:5000");
    let notifier = Notifier::builder().source(source).sink(sink);
    let notifier = notifier.build().expect("a notifier");
    let mut request = RequestRecord::new("6df24a34-0959-4923-81ca-14f09767db19", "GET");
    request.addr = "192.0.2.11:42961".into();
    request.host = "registry.example.com".into();
    request.user_agent = "containers/5.32.2 (github.com/containers/image)".into();
    let blob = Descriptor::new("application/octet-stream", DIGEST, 31_357_624);
    let event = |number| {
        let bridge = notifier.bridge(&request).actor("alice");
        let bridge = bridge.base_url("https://registry.example.com");
        let repository = format!("team/app-{}", number % repositories);
        let accepted = bridge.blob_pulled(&repository, &blob).now_or_never();
        accepted.expect("at once").expect("accepted");
        events.try_recv().expect("an event")
    };
    (0..count).map(event).collect()
}

/// Writes events, so many at a time.
async fn write(sink: &(impl Sink + Clone), events: Vec<SharedEvent>) {
    let events = Arc::new(Mutex::new(events.into_iter()));
    let writers = (0..WRITERS).map(|_| {
        let (sink, events) = (sink.clone(), events.clone());
        let next = move || events.lock().expect("no panic").next();
        tokio::spawn(async move {
            while let Some(event) = next() {
                sink.write(&event).await.expect("accepted");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("written");
    }
}

fn rate(events: usize, took: Duration) -> u64 {
    (events as f64 / took.as_secs_f64()) as u64
}

/// Publishes messages as large as events with the client alone, one at a time in each
/// partition.
async fn publish_bare(partitions: u16, events: usize) -> Round {
    let server = Server::start().await;
    let settings = JetStream::new(&server.url).partitions(partitions);
    settings.sink().await.expect("a stream");
    let client = async_nats::connect(&server.url).await.expect("a client");
    let clock = Clock::start();
    let each = events / usize::from(partitions);
    let writers = (0..partitions).map(|partition| {
        let client = client.clone();
        tokio::spawn(async move {
            for number in 0..each {
                let mut headers = async_nats::HeaderMap::new();
                headers.insert("Nats-Msg-Id", format!("{partition:018}{number:018}"));
                headers.insert("Content-Type", MEDIA_TYPE);
                headers.insert("Repository", "team/app-123");
                let request = async_nats::Request::new().headers(headers);
                let request = request.payload(vec![b'x'; BYTES].into());
                let subject = format!("registry.notifications.{partition}.blob.pull");
                let answer = client.send_request(subject, request).await;
                let answer = answer.expect("an answer").payload;
                assert!(answer.starts_with(br#"{"stream""#), "{answer:?}");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("written");
    }
    clock.stop(events)
}

/// A running measurement.
struct Clock {
    start: Instant,
    used: Duration,
}

impl Clock {
    fn start() -> Self {
        let used = cpu::used(std::process::id());
        let start = Instant::now();
        Self { start, used }
    }

    fn stop(&self, events: usize) -> Round {
        let used = cpu::used(std::process::id()) - self.used;
        Round {
            rate: rate(events, self.start.elapsed()),
            processor: used.as_secs_f64() * 1e6 / events as f64,
        }
    }
}

/// Events per second, and processor time per event in microseconds.
struct Round {
    rate: u64,
    processor: f64,
}

/// The minimum and maximum of several rounds.
struct Rates(u64, u64);

impl Rates {
    fn new() -> Self {
        Self(u64::MAX, 0)
    }

    fn add(&mut self, rate: u64) {
        *self = Self(self.0.min(rate), self.1.max(rate));
    }

    async fn of(mut round: impl AsyncFnMut() -> u64) -> Self {
        let mut rates = Self::new();
        for _ in 0..ROUNDS {
            rates.add(round().await);
        }
        rates
    }
}

impl std::fmt::Display for Rates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to {}/s", self.0, self.1)
    }
}

/// Prints the results of several rounds of publishing.
async fn print(name: &str, mut round: impl AsyncFnMut() -> Round) {
    let (mut rates, mut least) = (Rates::new(), f64::MAX);
    for _ in 0..ROUNDS {
        let Round { rate, processor } = round().await;
        rates.add(rate);
        least = least.min(processor);
    }
    println!("{name}: {rates}, {least:.1} µs of the processor an event");
}

async fn publish(partitions: u16, events: usize, repositories: usize) -> Round {
    let server = Server::start().await;
    let settings = JetStream::new(&server.url).partitions(partitions);
    let sink = settings.sink().await.expect("a sink");
    let written = crate::events(events, repositories);
    let clock = Clock::start();
    write(&sink, written).await;
    let round = clock.stop(events);
    sink.shutdown(Duration::from_secs(10)).await;
    round
}

fn endpoints(url: &str, batch: usize) -> NotifierBuilder {
    some_endpoints(url, 3, batch)
}

fn some_endpoints(url: &str, count: usize, batch: usize) -> NotifierBuilder {
    (0..count).fold(Notifier::builder(), |builder, number| {
        let endpoint = Endpoint::new(format!("e{number}"), url).batch(Batch::of(batch));
        let endpoint = endpoint.queue_events(usize::MAX).queue_bytes(usize::MAX);
        builder.endpoint(endpoint.concurrency(8))
    })
}

/// Returns the number of events that the slowest endpoint has received from all workers.
fn delivered(workers: &[JetStreamWorker]) -> usize {
    let mut sums = Vec::new();
    for worker in workers {
        let endpoints = worker.notifier().status().endpoints;
        sums.resize(endpoints.len(), 0);
        for (sum, endpoint) in sums.iter_mut().zip(endpoints) {
            *sum += endpoint.successes as usize;
        }
    }
    sums.into_iter().min().unwrap_or(0)
}

async fn deliver(url: &str, batch: usize, workers: usize, repositories: usize) -> u64 {
    let server = Server::start().await;
    let settings = JetStream::new(&server.url);
    let sink = settings.sink().await.expect("a sink");
    write(&sink, events(EVENTS, repositories)).await;
    let mut all = Vec::new();
    for _ in 0..workers {
        let worker = settings.worker(endpoints(url, batch));
        all.push(worker.await.expect("a worker"));
    }
    while delivered(&all) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let start = Instant::now();
    while delivered(&all) < EVENTS * 99 / 100 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    rate(EVENTS * 99 / 100, start.elapsed())
}

async fn in_process(url: &str, batch: usize, repositories: usize) -> u64 {
    let notifier = endpoints(url, batch).build().expect("a notifier");
    let events = events(EVENTS, repositories);
    let start = Instant::now();
    for event in events {
        let accepted = notifier.write(&event).await;
        accepted.expect("accepted");
    }
    notifier.shutdown(Duration::from_secs(120)).await;
    rate(EVENTS, start.elapsed())
}

#[tokio::main]
async fn main() {
    let url = format!("http://127.0.0.1:{}/events", receiver::start());
    let has = |word: &str| std::env::args().any(|it| it == word);
    if has("cost") {
        return cost::table(&url).await;
    }
    if has("ours") || has("bare") {
        let mut numbers = std::env::args().filter_map(|it| it.parse().ok());
        let partitions = numbers.next().expect("a number of partitions");
        let events = usize::from(numbers.next().expect("a number of events"));
        if has("ours") {
            publish(partitions, events, 1000).await;
        } else {
            publish_bare(partitions, events).await;
        }
        return;
    }
    for partitions in [1, 8, 16, 64] {
        let name = format!("publish, {partitions} partitions");
        print(&name, async || publish(partitions, EVENTS, 1000).await).await;
        let name = "the same by the client alone";
        print(name, async || publish_bare(partitions, EVENTS).await).await;
    }
    if has("publish") {
        return;
    }
    for repositories in [1, 100, 100_000] {
        let name = format!("publish, 16 partitions, {repositories} repositories");
        print(&name, async || publish(16, EVENTS, repositories).await).await;
    }
    for (name, batch) in [("one each", 1), ("batches of 100", 100)] {
        let rates = Rates::of(async || in_process(&url, batch, 1000).await).await;
        println!("in the process, 3 endpoints, {name}: {rates}");
        for workers in [1, 2] {
            let rates = Rates::of(async || deliver(&url, batch, workers, 1000).await).await;
            println!("{workers} workers, 3 endpoints, {name}: {rates}");
        }
    }
}
