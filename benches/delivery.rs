//! What a delivery costs, to a receiver on loopback: `cargo bench --bench delivery`.
//!
//! One request in flight on one connection that stays open. The receiver is a
//! thread of its own that reads and answers as little as HTTP allows.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
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

/// Answers 200 to every request; gives its port.
fn receiver() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    port
}

fn answer(mut stream: std::net::TcpStream) {
    let (mut buffer, mut filled) = (vec![0; 1 << 20], 0);
    while let Ok(read @ 1..) = stream.read(&mut buffer[filled..]) {
        filled += read;
        let Some(head) = buffer[..filled].windows(4).position(|it| it == b"\r\n\r\n") else {
            continue;
        };
        let headers = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
        let length = headers.split("content-length: ").nth(1).unwrap_or("0");
        let length = length.lines().next().and_then(|it| it.parse().ok());
        if filled < head + 4 + length.unwrap_or(0) {
            continue;
        }
        filled = 0;
        if stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .is_err()
        {
            return;
        }
    }
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
    let url = format!("http://127.0.0.1:{}/events", receiver());
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
