//! What JetStream costs: `cargo bench -p benches --features jetstream --bench jetstream`.
//! Starts a server of its own, the one in the environment variable `NATS_SERVER` or
//! `nats-server`.
//!
//! Each line is the better of two rounds, in events a second. The receiver is a
//! thread of its own that reads and answers as little as HTTP allows.

#[path = "support/receiver.rs"]
mod receiver;

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tower_registry_notifications::endpoint::Batch;
use tower_registry_notifications::event::{Action, Descriptor, Event, SharedEvent};
use tower_registry_notifications::jetstream::{JetStream, JetStreamWorker};
use tower_registry_notifications::sink::Sink;
use tower_registry_notifications::{Endpoint, Notifier, NotifierBuilder};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const ROUNDS: u32 = 2;
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

struct Server {
    child: Child,
    url: String,
    folder: std::path::PathBuf,
}

impl Server {
    async fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let folder = format!("{}/jetstream-{port}", env!("CARGO_TARGET_TMPDIR"));
        let program = std::env::var("NATS_SERVER").unwrap_or("nats-server".into());
        let child = Command::new(program)
            .args(["--addr", "127.0.0.1", "--jetstream"])
            .args(["--port", &port.to_string(), "--store_dir", &folder])
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server");
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Self {
            child,
            url: format!("nats://127.0.0.1:{port}"),
            folder: folder.into(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
        let _removed = std::fs::remove_dir_all(&self.folder);
    }
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

async fn publish(partitions: u16, repositories: usize) -> u64 {
    let mut best = 0;
    for _ in 0..ROUNDS {
        let server = Server::start().await;
        let settings = JetStream::new(&server.url).partitions(partitions);
        let sink = settings.sink().await.expect("a sink");
        let start = Instant::now();
        write(&sink, EVENTS, repositories).await;
        best = best.max(rate(EVENTS, start.elapsed()));
        sink.shutdown(Duration::from_secs(10)).await;
    }
    best
}

fn endpoints(url: &str, batch: usize) -> NotifierBuilder {
    let names = ["one", "two", "three"];
    names.iter().fold(Notifier::builder(), |builder, name| {
        let endpoint = Endpoint::new(*name, url).batch(Batch::of(batch));
        let endpoint = endpoint.queue_events(usize::MAX).queue_bytes(usize::MAX);
        builder.endpoint(endpoint.concurrency(8))
    })
}

/// How many events the slowest endpoint has of all workers.
fn delivered(workers: &[JetStreamWorker]) -> usize {
    let mut sums = [0; 3];
    for worker in workers {
        let status = worker.notifier().status();
        for (sum, endpoint) in sums.iter_mut().zip(status.endpoints) {
            *sum += endpoint.successes as usize;
        }
    }
    sums.into_iter().min().unwrap_or(0)
}

async fn deliver(url: &str, batch: usize, workers: usize, repositories: usize) -> u64 {
    let mut best = 0;
    for _ in 0..ROUNDS {
        let server = Server::start().await;
        let settings = JetStream::new(&server.url);
        let sink = settings.sink().await.expect("a sink");
        write(&sink, EVENTS, repositories).await;
        let mut all = Vec::new();
        for _ in 0..workers {
            all.push(
                settings
                    .worker(endpoints(url, batch))
                    .await
                    .expect("a worker"),
            );
        }
        while delivered(&all) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let start = Instant::now();
        while delivered(&all) < EVENTS * 99 / 100 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        best = best.max(rate(EVENTS * 99 / 100, start.elapsed()));
    }
    best
}

async fn in_process(url: &str, batch: usize, repositories: usize) -> u64 {
    let mut best = 0;
    for _ in 0..ROUNDS {
        let notifier = endpoints(url, batch).build().expect("a notifier");
        let start = Instant::now();
        for number in 0..EVENTS {
            let accepted = notifier.write(&event(number % repositories)).await;
            accepted.expect("accepted");
        }
        notifier.shutdown(Duration::from_secs(120)).await;
        best = best.max(rate(EVENTS, start.elapsed()));
    }
    best
}

#[tokio::main]
async fn main() {
    let url = format!("http://127.0.0.1:{}/events", receiver::start());
    for partitions in [1, 8, 16, 64] {
        let rate = publish(partitions, 1000).await;
        println!("publish, {partitions} partitions: {rate}/s");
    }
    for repositories in [1, 100, 100_000] {
        let rate = publish(16, repositories).await;
        println!("publish, 16 partitions, {repositories} repositories: {rate}/s");
    }
    for (name, batch) in [("one each", 1), ("batches of 100", 100)] {
        let rate = in_process(&url, batch, 1000).await;
        println!("in the process, 3 endpoints, {name}: {rate}/s");
        for workers in [1, 2] {
            let rate = deliver(&url, batch, workers, 1000).await;
            println!("{workers} workers, 3 endpoints, {name}: {rate}/s");
        }
    }
}
