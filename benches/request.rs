//! What the layer costs a request: `cargo bench --bench request`.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http::header::{CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt as _, Collected, Empty, Full};
use tower::{Layer as _, Service};
use tower_registry_notifications::sink::ChannelSink;
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

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &[u8] =
    br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
const DIGEST: &str = "sha256:7ab2a1b1a3b1ff3ba9ed84ffdb1b0e4c5a3ac3b1b9ea5d3de7ae0bb7bbd1a2c4";

/// Reads a manifest and says that it has stored it.
#[derive(Clone)]
struct Store;

impl<B> Service<Request<B>> for Store
where
    B: Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Box::pin(async {
            let body = request.into_body().collect().await;
            black_box(body.map(Collected::to_bytes).ok());
            let mut response = Response::new(Empty::new());
            *response.status_mut() = StatusCode::CREATED;
            let digest = HeaderValue::from_static(DIGEST);
            response
                .headers_mut()
                .insert("docker-content-digest", digest);
            Ok(response)
        })
    }
}

fn put<S: Service<Request<Full<Bytes>>>>(service: &mut S) {
    let mut request = Request::new(Full::new(Bytes::from_static(MANIFEST)));
    *request.method_mut() = Method::PUT;
    *request.uri_mut() = http::Uri::from_static("/v2/library/debian/manifests/12");
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(INDEX));
    headers.insert(HOST, HeaderValue::from_static("registry.example.com"));
    let mut future = std::pin::pin!(service.call(request));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut cx).is_ready());
}

/// A request that runs to its end although its client may hang up, and that
/// makes an event.
fn pushes(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let _entered = runtime.enter();
    let (sink, mut events) = ChannelSink::new(1);
    let notifier = Notifier::builder().sink(sink).build().expect("a notifier");
    let mut layered = NotificationLayer::new(notifier).layer(Store);
    let mut group = criterion.benchmark_group("push of a manifest");
    group.bench_function("bare", |bencher| bencher.iter(|| put(&mut Store)));
    group.bench_function("layer, with an event", |bencher| {
        bencher.iter(|| {
            put(&mut layered);
            black_box(events.try_recv().expect("an event"));
        });
    });
    group.finish();
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
    targets = requests, pushes
}
criterion_main!(benches);
