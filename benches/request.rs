//! What the layer costs a request: `cargo bench --bench request`.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http::{Request, Response};
use http_body_util::Empty;
use tower::{Layer as _, Service};
use tower_registry_notifications::{NotificationLayer, Notifier};

/// Answers at once.
#[derive(Clone)]
struct Bare;

impl<B> Service<Request<B>> for Bare {
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        black_box(&request);
        ready(Ok(Response::new(Empty::new())))
    }
}

fn call<S: Service<Request<Empty<Bytes>>>>(service: &mut S, path: &'static str) {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = http::Uri::from_static(path);
    let mut future = std::pin::pin!(service.call(request));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut cx).is_ready());
}

fn requests(criterion: &mut Criterion) {
    let notifier = Notifier::builder().build().expect("a notifier");
    let mut layered = NotificationLayer::new(notifier).layer(Bare);
    for (name, path) in [
        ("list of tags", "/v2/library/debian/tags/list"),
        ("check of the API", "/v2/"),
    ] {
        let mut group = criterion.benchmark_group(name);
        group.bench_function("bare", |bencher| bencher.iter(|| call(&mut Bare, path)));
        group.bench_function("layer", |bencher| bencher.iter(|| call(&mut layered, path)));
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().without_plots();
    targets = requests
}
criterion_main!(benches);
