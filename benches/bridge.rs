//! What an event costs the request that causes it: `cargo bench --bench bridge`.
//!
//! Each iteration makes a bridge and an event, as the layer does once for a
//! request, and shares the event
//!
//! - with three channels, receives it from them and drops it, or
//! - with the queues of three endpoints. Their workers empty them between
//!   rounds of 64 events, which is not timed, so that the queues do not grow
//!   and their memory is warm.
//!
//! It first prints the allocations and bytes of one iteration, and the memory of a waiting
//! event: the event itself, and its entries in the queues of three endpoints.

#[allow(dead_code, reason = "the benches share it, and each uses a part")]
#[path = "common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};

use self::common::events::{Endpoints, Known, REPORTS, ROUND, accepted, channels};

/// Returns the time of this many events, in rounds.
fn rounds(iterations: u64, endpoints: &Endpoints, event: &dyn Fn()) -> Duration {
    let mut total = Duration::ZERO;
    let mut left = iterations;
    while left > 0 {
        let round = left.min(ROUND);
        let start = Instant::now();
        (0..round).for_each(|_| event());
        total += start.elapsed();
        endpoints.drain();
        left -= round;
    }
    total
}

fn counted(name: &str, event: impl FnOnce()) {
    let counted = allocation_counter::measure(event);
    let (count, bytes) = (counted.count_total, counted.bytes_total);
    println!("{name}: {count} allocations, {bytes} bytes");
}

/// Bytes of memory for each event that waits in three queues, as the allocator counts them.
fn waiting(known: &Known, references: bool, report: common::events::Report) -> i64 {
    const EVENTS: i64 = 1_000;
    let endpoints = Endpoints::new(references);
    accepted(report(known, &endpoints.notifier));
    let counted = allocation_counter::measure(|| {
        (0..EVENTS).for_each(|_| accepted(report(known, &endpoints.notifier)));
    });
    counted.bytes_current / EVENTS
}

fn events(criterion: &mut Criterion) {
    for (name, layers, references, report) in REPORTS {
        let known = Known::new(layers);
        let (notifier, mut received) = channels(references);
        let mut event = || {
            accepted(report(&known, &notifier));
            received.each_mut().map(|events| events.try_recv())
        };
        (0..2 * ROUND).for_each(|_| drop(event()));
        let name_of = |to: &str| format!("{name} to 3 {to}");
        let mut last = None;
        counted(&name_of("channels"), || last = event()[0].take());
        let memory = last.map(|event| event.memory()).unwrap_or_default();
        let waiting = waiting(&known, references, report);
        println!("{name}: {memory} bytes, {waiting} bytes while it waits in 3 queues");
        criterion.bench_function(&name_of("channels"), |bencher| bencher.iter(&mut event));

        let endpoints = Endpoints::new(references);
        let event = || accepted(report(&known, &endpoints.notifier));
        rounds(10 * ROUND, &endpoints, &event);
        counted(&name_of("queues"), event);
        endpoints.drain();
        criterion.bench_function(&name_of("queues"), |bencher| {
            bencher.iter_custom(|iterations| rounds(iterations, &endpoints, &event));
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().without_plots();
    targets = events
}
criterion_main!(benches);
