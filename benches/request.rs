//! What the layer costs a request: `cargo bench --bench request`.
//!
//! For comparison, it also measures two widely used layers of tower-http: `SetRequestId`,
//! which gives each request an id, and `Trace`, without a subscriber.

#[allow(dead_code, reason = "the benches share it, and each uses a part")]
#[path = "common/mod.rs"]
mod common;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use http::Uri;
use tower::Layer as _;
use tower_http::request_id::{MakeRequestUuid, SetRequestIdLayer};
use tower_http::trace::TraceLayer;
use tower_registry_notifications::sink::ChannelSink;
use tower_registry_notifications::{NotificationLayer, Notifier};

use self::common::requests::{EmptyRegistry, Registry, call, made, silent};

/// Requests that make no event.
fn requests(criterion: &mut Criterion) {
    let notifier = Notifier::builder().build().expect("a notifier");
    let mut layered = NotificationLayer::new(notifier).layer(EmptyRegistry);
    let mut with_id = SetRequestIdLayer::x_request_id(MakeRequestUuid).layer(EmptyRegistry);
    let mut traced = TraceLayer::new_for_http().layer(EmptyRegistry);
    for (name, path) in silent() {
        let uri: Uri = path.parse().expect("a URI");
        let mut group = criterion.benchmark_group(name);
        group.bench_function("bare", |bencher| {
            bencher.iter(|| call(&mut EmptyRegistry, &uri))
        });
        group.bench_function("layer", |bencher| bencher.iter(|| call(&mut layered, &uri)));
        group.bench_function("SetRequestId", |bencher| {
            bencher.iter(|| call(&mut with_id, &uri));
        });
        group.bench_function("Trace", |bencher| bencher.iter(|| call(&mut traced, &uri)));
        group.finish();
    }
}

/// Requests that make an event.
fn events(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().expect("a runtime");
    let _inside = runtime.enter();
    for (name, request) in made() {
        let (sink, mut events) = ChannelSink::new(1);
        let notifier = Notifier::builder().sink(sink).include_references(true);
        let notifier = notifier.build().expect("a notifier");
        let mut layered = NotificationLayer::new(notifier).layer(Registry);
        let mut with_id = SetRequestIdLayer::x_request_id(MakeRequestUuid).layer(Registry);
        let mut traced = TraceLayer::new_for_http().layer(Registry);
        let mut group = criterion.benchmark_group(name);
        group.bench_function("bare", |bencher| {
            bencher.iter(|| request.pass(&mut Registry));
        });
        group.bench_function("layer, with its event", |bencher| {
            bencher.iter(|| {
                request.pass(&mut layered);
                black_box(events.try_recv().expect("an event"));
            });
        });
        group.bench_function("SetRequestId", |bencher| {
            bencher.iter(|| request.pass(&mut with_id));
        });
        group.bench_function("Trace", |bencher| {
            bencher.iter(|| request.pass(&mut traced));
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().without_plots();
    targets = requests, events
}
criterion_main!(benches);
