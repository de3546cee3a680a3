//! What JetStream costs: `cargo bench -p benches --features jetstream --bench jetstream`.
//! Starts a server of its own, the one in the environment variable `NATS_SERVER` or
//! `nats-server`. The receiver is a thread of its own that reads and answers as little as
//! HTTP allows.
//!
//! Without an argument, each line has the least and the most of three rounds, in events a
//! second. With `-- publish` only those of publishing. With `-- cost`, on Linux, it is the
//! table of `benches/README.md`.

mod cost;
#[path = "../support/receiver.rs"]
mod receiver;
mod server;

use std::time::{Duration, Instant};

use tower_registry_notifications::endpoint::Batch;
use tower_registry_notifications::event::{Action, Descriptor, Event, SharedEvent};
use tower_registry_notifications::jetstream::{JetStream, JetStreamWorker};
use tower_registry_notifications::sink::Sink;
use tower_registry_notifications::{Endpoint, Notifier, NotifierBuilder};

use crate::server::Server;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const ROUNDS: u32 = 3;
const EVENTS: usize = 20_000;
/// Writes under way at a time.
const WRITERS: usize = 1024;

fn event(repository: usize) -> SharedEvent {
    let mut event = Event::new(Action::Pull);
    event.target.descriptor = Descriptor::new("application/octet-stream", DIGEST, 31_357_624);
    event.target.repository = format!("team/app-{repository}");
    event.target.url = format!("https://registry.example.com/v2/team/app/blobs/{DIGEST}");
    event.into()
}

/// Writes events, so many at a time, over so many repositories.
async fn write(sink: &(impl Sink + Clone), events: usize, repositories: usize) {
    let writers = (0..WRITERS).map(|writer| {
        let sink = sink.clone();
        tokio::spawn(async move {
            for number in (writer..events).step_by(WRITERS) {
                sink.write(&event(number % repositories))
                    .await
                    .expect("accepted");
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

/// Messages as large as events, by the client alone: one under way in each partition.
async fn publish_bare(partitions: u16) -> u64 {
    let server = Server::start().await;
    let settings = JetStream::new(&server.url).partitions(partitions);
    settings.sink().await.expect("a stream");
    let client = async_nats::connect(&server.url).await.expect("a client");
    let start = Instant::now();
    let each = EVENTS / usize::from(partitions);
    let writers = (0..partitions).map(|partition| {
        let client = client.clone();
        tokio::spawn(async move {
            for number in 0..each {
                let mut headers = async_nats::HeaderMap::new();
                headers.insert("Nats-Msg-Id", format!("{partition}-{number}"));
                headers.insert("Content-Type", "application/json");
                headers.insert("Repository", "team/app");
                let request = async_nats::Request::new().headers(headers);
                let request = request.payload(vec![b'x'; 700].into());
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
    rate(EVENTS, start.elapsed())
}

/// The least and the most of some rounds.
struct Rates(u64, u64);

impl Rates {
    async fn of(mut round: impl AsyncFnMut() -> u64) -> Self {
        let mut rates = Self(u64::MAX, 0);
        for _ in 0..ROUNDS {
            let rate = round().await;
            rates = Self(rates.0.min(rate), rates.1.max(rate));
        }
        rates
    }
}

impl std::fmt::Display for Rates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to {}/s", self.0, self.1)
    }
}

async fn publish(partitions: u16, repositories: usize) -> u64 {
    let server = Server::start().await;
    let settings = JetStream::new(&server.url).partitions(partitions);
    let sink = settings.sink().await.expect("a sink");
    let start = Instant::now();
    write(&sink, EVENTS, repositories).await;
    let rate = rate(EVENTS, start.elapsed());
    sink.shutdown(Duration::from_secs(10)).await;
    rate
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

/// How many events the slowest endpoint has of all workers.
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
    write(&sink, EVENTS, repositories).await;
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
    let start = Instant::now();
    for number in 0..EVENTS {
        let accepted = notifier.write(&event(number % repositories)).await;
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
    for partitions in [1, 8, 16, 64] {
        let rates = Rates::of(async || publish(partitions, 1000).await).await;
        println!("publish, {partitions} partitions: {rates}");
        let rates = Rates::of(async || publish_bare(partitions).await).await;
        println!("the same by the client alone: {rates}");
    }
    if has("publish") {
        return;
    }
    for repositories in [1, 100, 100_000] {
        let rates = Rates::of(async || publish(16, repositories).await).await;
        println!("publish, 16 partitions, {repositories} repositories: {rates}");
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
