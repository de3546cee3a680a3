//! What it costs to encode one event: `cargo bench --bench encode`.
//!
//! Nobody holds an encoding from one iteration to the next, so each of them is
//! made anew and freed.

#[allow(dead_code, reason = "the benches share it, and each uses a part")]
#[path = "common/mod.rs"]
mod common;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tower_registry_notifications::event::{Envelope, Format};

use self::common::events::encoded;

fn encode(criterion: &mut Criterion) {
    for (name, event) in encoded() {
        println!("{name}: {} bytes of memory", event.memory());
        let mut group = criterion.benchmark_group(name);
        for format in [Format::V2, Format::V1, Format::CloudEvents] {
            group.bench_function(format!("{format:?}"), |bencher| {
                bencher.iter(|| black_box(&event).to_bytes(format));
            });
        }
        // An envelope has events in their owned form, so this includes the conversion.
        let envelope = Envelope::new([event.to_event()]);
        group.bench_function("envelope, V2, compact", |bencher| {
            bencher.iter(|| black_box(&envelope).encode_compact(Format::V2));
        });
        group.finish();
    }
}

criterion_group!(benches, encode);
criterion_main!(benches);
