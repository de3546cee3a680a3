//! What a request says of itself, in headers that may be odd, repeated, over-long or forged.

mod actors;
mod addresses;
mod identity;
mod urls;

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use metrics_exporter_prometheus::PrometheusBuilder;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_registry_notifications::event::Event;
use tower_registry_notifications::layer::TrustedProxies;
use tower_registry_notifications::sink::ChannelSink;
use tower_registry_notifications::{NotificationLayer, Notifier, RequestBody};

use crate::stage::Set;

const BLOB: &str = "/v2/a/blobs/sha256:01";

/// `me:secret`
const BASIC: (&str, &str) = ("authorization", "Basic bWU6c2VjcmV0");
const HOST: (&str, &str) = ("host", "registry:5000");
const PLAIN: Set = |layer| layer;
const ALL: Set = |layer| layer.trusted_proxies(TrustedProxies::all());

const SOME: Set = |layer| {
    let networks = TrustedProxies::networks(["10.0.0.0/8"]);
    layer.trusted_proxies(networks.unwrap())
};

fn head(headers: &[(&'static str, &str)]) -> Request<Full<Bytes>> {
    let mut request = Request::head(BLOB);
    for (name, value) in headers {
        request = request.header(*name, value.as_bytes());
    }
    request.body(Full::default()).unwrap()
}

/// What one request makes.
struct Made {
    event: Event,
    /// The facts that were counted as missing.
    missing: Vec<String>,
}

/// The event of a request to a registry that answers `answer`, and what it lacks.
fn made_by(set: Set, answer: Response<()>, request: Request<Full<Bytes>>) -> Made {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let event = metrics::with_local_recorder(&recorder, || {
        runtime.unwrap().block_on(async {
            let (sink, mut events) = ChannelSink::new(2);
            let notifier = Notifier::builder().sink(sink).build().unwrap();
            let sent = request.headers().clone();
            let registry = service_fn(move |request: Request<RequestBody<Full<Bytes>>>| {
                assert_eq!(*request.headers(), sent, "the layer changed headers");
                let answer = answer.clone().map(|()| Full::<Bytes>::default());
                std::future::ready(Ok::<_, Infallible>(answer))
            });
            let service = set(NotificationLayer::new(notifier)).layer(registry);
            service.oneshot(request).await.unwrap();
            let event = events.try_recv().unwrap();
            assert!(events.try_recv().is_none());
            event.to_event()
        })
    });
    let facts = metrics.render();
    let fact = |line: &str| Some(line.split_once("fact=\"")?.1.split_once('"')?.0.to_owned());
    let mut missing: Vec<_> = facts.lines().filter_map(fact).collect();
    missing.retain(|fact| !["media_type", "size"].contains(&&**fact));
    missing.sort();
    Made { event, missing }
}

fn made(set: Set, request: Request<Full<Bytes>>) -> Made {
    made_by(set, Response::new(()), request)
}

#[track_caller]
fn assert_url(made: &Made, base: &str, missing: &[&str]) {
    assert_eq!(made.event.target.url, format!("{base}{BLOB}"));
    assert_eq!(made.missing, missing);
}

/// A refused request has no event, so that it lacks nothing.
#[test]
fn facts_that_a_refused_request_lacks_are_not_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    metrics::with_local_recorder(&recorder, || {
        runtime.unwrap().block_on(async {
            let notifier = Notifier::builder().build().unwrap();
            let registry = service_fn(|_: Request<RequestBody<Full<Bytes>>>| async {
                let answer = Response::builder().status(401);
                answer.body(Full::<Bytes>::default())
            });
            let service = NotificationLayer::new(notifier).layer(registry);
            let request = head(&[BASIC, BASIC]);
            assert_eq!(service.oneshot(request).await.unwrap().status(), 401);
        });
    });
    assert!(!metrics.render().contains("fact"), "{}", metrics.render());
}
