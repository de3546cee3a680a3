//! What a delivery costs, to a receiver on loopback: `cargo bench --bench delivery`.
//!
//! One request in flight on one connection that stays open. The receiver is a
//! thread of its own that reads and answers as little as HTTP allows.

#[path = "support/receiver.rs"]
mod receiver;

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tower_registry_notifications::endpoint::Batch;
use tower_registry_notifications::event::{Action, Descriptor, Event, SharedEvent};
use tower_registry_notifications::sink::Sink as _;
use tower_registry_notifications::{Endpoint, Notifier};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// Events that are written at a time.
const ROUND: u64 = 5_000;

fn event() -> SharedEvent {
    let mut event = Event::new(Action::Pull);
    event.target.descriptor = Descriptor::new("application/octet-stream", DIGEST, 31_357_624);
    event.target.repository = "library/debian".into();
    event.target.url = format!("https://registry.example.com/v2/library/debian/blobs/{DIGEST}");
    event.into()
}

async fn deliver(events: u64, endpoint: Endpoint) -> Duration {
    let notifier =
        Notifier::builder().endpoint(endpoint.queue_events(usize::MAX).queue_bytes(usize::MAX));
    let notifier = notifier.build().expect("a notifier");
    let sink = notifier.sink();
    // The connection is there by then.
    sink.write(&event()).await.expect("accepted");
    while notifier.status().endpoints[0].successes == 0 {
        tokio::task::yield_now().await;
    }
    let start = Instant::now();
    for _ in 0..events {
        sink.write(&event()).await.expect("accepted");
    }
    let report = notifier.shutdown(Duration::from_secs(60)).await;
    assert!(report.is_drained(), "{report:?}");
    start.elapsed()
}

fn deliveries(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().expect("a runtime");
    let url = format!("http://127.0.0.1:{}/events", receiver::start());
    let mut group = criterion.benchmark_group("delivery");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    for (name, most) in [("one each", 1), ("batches of 100", 100)] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let mut total = Duration::ZERO;
                let mut left = iterations;
                while left > 0 {
                    let round = left.min(ROUND);
                    let endpoint = Endpoint::new("e", &url).batch(Batch::of(most));
                    total += runtime.block_on(deliver(round, endpoint));
                    left -= round;
                }
                total
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().without_plots();
    targets = deliveries
}
criterion_main!(benches);
