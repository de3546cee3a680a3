//! The cost of a stream and its workers by their number: [`table`].

use std::time::{Duration, Instant};

use tokio::time::sleep;
use tower_registry_notifications::jetstream::JetStream;

use crate::server::Server;
use crate::{delivered, events, rate, some_endpoints, write};

/// How long idle processes are observed.
const IDLE: Duration = Duration::from_secs(10);

/// The time until the workers have divided the partitions among themselves.
const SHARED: Duration = Duration::from_secs(5);

const EVENTS: usize = 20_000;

/// A row of the table.
#[derive(Clone, Copy)]
struct Setup {
    repositories: usize,
    partitions: u16,
    endpoints: usize,
    workers: usize,
}

const BASE: Setup = Setup {
    repositories: 1000,
    partitions: 16,
    endpoints: 3,
    workers: 1,
};

/// Prints the table. From row to row, one number changes.
pub(crate) async fn table(url: &str) {
    println!(
        "| repositories | partitions | endpoints | workers | consumers | server idle, MB | \
         of a core | workers idle, of a core | published/s | delivered/s | server at work, MB |"
    );
    println!("|{}", " ---: |".repeat(11));
    row(url, BASE).await;
    for repositories in [1, 100, 100_000] {
        row(
            url,
            Setup {
                repositories,
                ..BASE
            },
        )
        .await;
    }
    for partitions in [1, 64, 256] {
        row(url, Setup { partitions, ..BASE }).await;
    }
    for endpoints in [1, 12] {
        row(url, Setup { endpoints, ..BASE }).await;
    }
    for workers in [2, 8] {
        row(url, Setup { workers, ..BASE }).await;
    }
}

async fn row(url: &str, setup: Setup) {
    let Setup {
        repositories,
        partitions,
        endpoints,
        workers,
    } = setup;
    let server = Server::start().await;
    let settings = JetStream::new(&server.url).partitions(partitions);
    let sink = settings.sink().await.expect("a sink");
    let mut all = Vec::new();
    for _ in 0..workers {
        let worker = settings.worker(some_endpoints(url, endpoints, 100));
        all.push(worker.await.expect("a worker"));
    }
    sleep(SHARED).await;
    let own = std::process::id();
    let before = (cpu(server.id()), cpu(own));
    sleep(IDLE).await;
    let share =
        |before: Duration, id| 100.0 * (cpu(id) - before).as_secs_f64() / IDLE.as_secs_f64();
    let idle = (share(before.0, server.id()), share(before.1, own));
    let memory = memory(server.id());
    let events = events(EVENTS, repositories);
    let start = Instant::now();
    write(&sink, events).await;
    let published = rate(EVENTS, start.elapsed());
    while delivered(&all) < EVENTS {
        sleep(Duration::from_millis(1)).await;
    }
    let took = rate(EVENTS, start.elapsed());
    println!(
        "| {repositories} | {partitions} | {endpoints} | {workers} | {} | {memory} | {:.1} % | \
         {:.1} % | {published} | {took} | {} |",
        usize::from(partitions) * endpoints,
        idle.0,
        idle.1,
        self::memory(server.id()),
    );
    for worker in all {
        worker.shutdown(Duration::from_secs(10)).await;
    }
}

/// Returns the processor time of a process.
fn cpu(id: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("Linux");
    // The name is in parentheses and may contain spaces.
    let fields = stat.rsplit_once(") ").expect("a name").1;
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = |at: usize| fields[at].parse::<u64>().expect("ticks");
    // User and system time, in units of 10 ms.
    Duration::from_millis(10 * (ticks(11) + ticks(12)))
}

/// Returns the memory of a process in MB.
fn memory(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|it| it.split_whitespace().next());
    kibibytes
        .and_then(|it| it.parse::<u64>().ok())
        .expect("a size")
        * 1024
        / 1_000_000
}
