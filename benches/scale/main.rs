//! What an event costs an endpoint's queue and worker at any size, in processor
//! time:
//!
//! ```text
//! cargo bench --bench scale > scale.md && benches/plot.py scale.md benches/scale.svg
//! ```
//!
//! In each iteration an event is written, and the oldest that waits is delivered
//! by a client that only waits for its turn. The number of waiting events stays the same.
//! Each value is the best of [`ROUNDS`] rounds.

#[path = "../support/cpu.rs"]
mod cpu;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tower::{BoxError, service_fn};
use tower_registry_notifications::event::{
    Action, Descriptor, Event, RequestRecord, SharedEvent, SourceRecord,
};
use tower_registry_notifications::sink::Sink;
use tower_registry_notifications::{Endpoint, Notifier};

/// Number of rounds, of events in each, and of events after which the workers run.
const ROUNDS: usize = 7;
const EVENTS: usize = 8_192;
const CHUNK: usize = 64;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The numbers of which one grows while the others keep these values.
#[derive(Clone, Copy)]
struct Size {
    waiting: usize,
    repositories: usize,
    endpoints: usize,
    concurrency: usize,
}

const USUAL: Size = Size {
    waiting: 1_000,
    repositories: 1_000,
    endpoints: 1,
    concurrency: 1,
};

/// The arguments of the command line.
struct Wanted {
    /// Selects the tables whose titles contain this word.
    word: String,
    /// Runs one round instead of [`ROUNDS`], with at most this many waiting events.
    quick: Option<usize>,
}

impl Wanted {
    fn from_args() -> Self {
        let arguments: Vec<_> = std::env::args().skip(1).collect();
        let word = arguments.iter().find(|it| !it.starts_with('-'));
        Self {
            word: word.map(|it| it.to_lowercase()).unwrap_or_default(),
            quick: arguments.iter().any(|it| it == "--quick").then_some(10_000),
        }
    }

    fn most(&self, usual: usize) -> usize {
        self.quick.map_or(usual, |most| most.min(usual))
    }

    fn rounds(&self) -> usize {
        self.quick.map_or(ROUNDS, |_| 1)
    }
}

fn main() {
    let wanted = Wanted::from_args();
    let most = wanted.most(1_000_000);
    table(&wanted, "Waiting events", &powers(10, most), |waiting| {
        Size { waiting, ..USUAL }
    });
    let waiting = wanted.most(100_000);
    table(
        &wanted,
        "Repositories",
        &powers(10, waiting),
        |repositories| Size {
            waiting,
            repositories,
            concurrency: 16,
            ..USUAL
        },
    );
    table(&wanted, "Endpoints", &powers(2, 64), |endpoints| Size {
        endpoints,
        ..USUAL
    });
    table(&wanted, "Concurrency", &powers(4, 256), |concurrency| {
        Size {
            concurrency,
            ..USUAL
        }
    });
}

/// 1, base, base² and so on up to the last.
fn powers(base: usize, last: usize) -> Vec<usize> {
    let powers = std::iter::successors(Some(1), |power| Some(power * base));
    powers.take_while(|power| *power <= last).collect()
}

fn table(wanted: &Wanted, title: &str, sizes: &[usize], size: impl Fn(usize) -> Size) {
    if !title.to_lowercase().contains(&wanted.word) {
        return;
    }
    println!("### {title}\n");
    println!(
        "| {} | µs an event and endpoint |\n| ---: | ---: |",
        title.to_lowercase()
    );
    for number in sizes {
        let mut scene = Setup::new(size(*number));
        println!("| {number} | {:.2} |", scene.measure(wanted.rounds()));
    }
    println!();
}

/// Endpoints whose clients wait for their turn.
struct Setup {
    runtime: Runtime,
    sink: Arc<dyn Sink>,
    /// Keeps the workers running.
    _notifier: Notifier,
    turns: Vec<Arc<Semaphore>>,
    delivered: Arc<AtomicU64>,
    events: Vec<SharedEvent>,
    /// Events written so far.
    written: usize,
    size: Size,
}

impl Setup {
    fn new(size: Size) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let delivered = Arc::new(AtomicU64::new(0));
        let (mut notifier, mut turns) = (Notifier::builder(), Vec::new());
        for number in 0..size.endpoints {
            let turn = Arc::new(Semaphore::new(0));
            let endpoint = endpoint(number, turn.clone(), delivered.clone());
            notifier = notifier.endpoint(endpoint.concurrency(size.concurrency));
            turns.push(turn);
        }
        let inside = runtime.enter();
        let notifier = notifier.build().expect("a notifier");
        drop(inside);
        let mut scene = Self {
            runtime,
            sink: notifier.sink(),
            _notifier: notifier,
            turns,
            delivered,
            // As many different events as are in memory at a time.
            events: (0..size.waiting.max(CHUNK))
                .map(|n| event(n % size.repositories))
                .collect(),
            written: 0,
            size,
        };
        (0..size.waiting).for_each(|_| scene.write());
        scene.round(EVENTS);
        scene
    }

    /// Returns microseconds per event and endpoint.
    fn measure(&mut self, rounds: usize) -> f64 {
        let used = || cpu::used(std::process::id());
        let round = |scene: &mut Self| {
            let before = used();
            scene.round(EVENTS);
            used() - before
        };
        let best = (0..rounds).map(|_| round(self)).min();
        let best = best.unwrap_or(Duration::MAX);
        best.as_secs_f64() * 1e6 / (EVENTS * self.size.endpoints) as f64
    }

    fn round(&mut self, events: usize) {
        for _ in 0..events / CHUNK {
            (0..CHUNK).for_each(|_| self.write());
            self.deliver();
        }
    }

    fn write(&mut self) {
        let event = &self.events[self.written % self.events.len()];
        let written = futures_util::FutureExt::now_or_never(self.sink.write(event));
        written.expect("at once").expect("accepted");
        self.written += 1;
    }

    /// Lets each endpoint deliver this many events.
    fn deliver(&mut self) {
        let delivered = || self.delivered.load(Ordering::Relaxed);
        let wanted = delivered() + (CHUNK * self.size.endpoints) as u64;
        self.turns.iter().for_each(|turn| turn.add_permits(CHUNK));
        self.runtime.block_on(async {
            while delivered() < wanted {
                tokio::task::yield_now().await;
            }
        });
    }
}

fn endpoint(number: usize, turn: Arc<Semaphore>, delivered: Arc<AtomicU64>) -> Endpoint {
    let client = service_fn(move |_: Request<Bytes>| {
        let (turn, delivered) = (turn.clone(), delivered.clone());
        async move {
            turn.acquire().await?.forget();
            delivered.fetch_add(1, Ordering::Relaxed);
            Ok::<_, BoxError>(Response::new(Full::<Bytes>::default()))
        }
    });
    Endpoint::new(format!("e{number}"), "http://receiver")
        .client(client)
        .timeout(Duration::from_secs(3600))
        .queue_events(usize::MAX)
        .queue_bytes(usize::MAX)
}

/// A pull of a blob.
fn event(repository: usize) -> SharedEvent {
    let mut event = Event::new(Action::Pull);
    event.target.descriptor = Descriptor::new("application/octet-stream", DIGEST, 31_357_624);
    event.target.repository = format!("library/{repository:06}");
    event.request = RequestRecord::new("6df24a34-0959-4923-81ca-14f09767db19", "GET");
    event.request.user_agent = "containers/5.32.2 (github.com/containers/image)".into();
    event.source = SourceRecord::new("registry.example.com:5000");
    event.into()
}
