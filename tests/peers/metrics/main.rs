//! What Prometheus scrapes of the example: names, types, labels and values, as
//! the docs and `/debug/notifications` have them.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "../../common/mod.rs"]
mod common;
mod scrape;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use common::scripted::{Reply, event, scripted};
use examples::image::{Image, MANIFEST};
use examples::{admin, image, prometheus, registry};
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::Value as Json;
use tokio::net::TcpListener;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_registry_notifications::endpoint::Backoff;
use tower_registry_notifications::sink::{ChannelSink, Filter, Sink as _};
use tower_registry_notifications::{Endpoint, NotificationLayer, Notifier, RequestBody};

use crate::scrape::Scrape;

const MINUTE: Duration = Duration::from_secs(60);
const MILLISECOND: Duration = Duration::from_millis(1);

async fn send(method: Method, url: String, content_type: &str, body: Vec<u8>) -> Bytes {
    let request = Request::builder()
        .method(method)
        .uri(&url)
        .header("content-type", content_type)
        .body(Full::<Bytes>::from(body))
        .unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answer = tokio::time::timeout(MINUTE, client.request(request)).await;
    let answer = answer.expect("no answer").unwrap();
    assert!(answer.status().is_success(), "{url}: {}", answer.status());
    answer.into_body().collect().await.unwrap().to_bytes()
}

async fn get(address: SocketAddr, path: &str) -> String {
    let body = send(
        Method::GET,
        format!("http://{address}{path}"),
        "",
        Vec::new(),
    );
    String::from_utf8(body.await.to_vec()).unwrap()
}

/// An endpoint for each fate, by name.
async fn notifier() -> Notifier {
    let status =
        |n: usize, first, then| Response::builder().status(if n == 0 { first } else { then });
    let (works, _) = common::receiver(Box::new(move |n| status(n, 200, 202))).await;
    let (flaky, _) = common::receiver(Box::new(move |n| status(n, 503, 200))).await;
    let (picky, _) = common::receiver(Box::new(move |n| status(n, 400, 422))).await;
    let (gone, _) = common::receiver(Box::new(move |n| status(n, 410, 200))).await;
    let endpoint = |name: &str, port: u16| {
        let backoff = Backoff::new().base(MILLISECOND).cap(MILLISECOND);
        let url = format!("http://127.0.0.1:{port}/");
        Endpoint::new(name, url).retry(backoff.attempts(3))
    };
    let (letters, _keep) = ChannelSink::new(100);
    // The subscriber of this one is gone: it accepts nothing.
    let (closed, _) = ChannelSink::new(1);
    Notifier::builder()
        .endpoint(endpoint("works", works).dead_letters(letters))
        .endpoint(endpoint("flaky", flaky))
        .endpoint(endpoint("picky", picky))
        .endpoint(endpoint("gone", gone))
        // Nobody listens there.
        .endpoint(endpoint("dead", 1))
        .endpoint(endpoint("idle", works).filter(Filter::new().include_repositories(["none"])))
        .sink(closed)
        .build()
        .unwrap()
}

/// Pulls and pushes at a real registry: four events.
async fn use_registry(notifier: &Notifier) {
    let image = Image::new("amd64", "hello.txt", b"hello").unwrap();
    let registry = registry::empty();
    registry::seed(&registry, "demo/hello", "latest", &image)
        .await
        .unwrap();
    let app = ferro_oci_server::router(registry);
    let app = registry::with_notifications(app, notifier.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v2/demo/hello", listener.local_addr().unwrap());
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(axum::serve(listener, app).into_future());

    let latest = format!("{base}/manifests/latest");
    send(Method::HEAD, latest.clone(), "", Vec::new()).await;
    let manifest = send(Method::GET, latest, "", Vec::new()).await.to_vec();
    send(
        Method::PUT,
        format!("{base}/manifests/v2"),
        MANIFEST,
        manifest,
    )
    .await;
    let blob = format!("{base}/blobs/uploads/?digest={}", image::digest(b"blob"));
    send(
        Method::POST,
        blob,
        "application/octet-stream",
        b"blob".to_vec(),
    )
    .await;
}

/// A pull from a registry that tells nothing of it: one event.
async fn use_taciturn_registry(notifier: &Notifier) {
    type Requests = Request<RequestBody<Full<Bytes>>>;
    let taciturn = service_fn(async |_: Requests| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let layer = NotificationLayer::new(notifier.clone());
    let request = Request::head("/v2/app/manifests/v1").body(Full::default());
    let answer = layer.layer(taciturn).oneshot(request.unwrap()).await;
    assert_eq!(answer.unwrap().status(), 200);
}

#[tokio::test]
async fn scraped_metrics_match_the_docs_and_the_status() {
    let admin = admin::Admin::default().with_metrics(prometheus::record().unwrap());
    let notifier = notifier().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let admin = admin.serve(listener, notifier.clone(), None, false);

    all_begins_at_zero(&Scrape::parse(&get(address, "/metrics").await));
    use_registry(&notifier).await;
    use_taciturn_registry(&notifier).await;
    notifier.shutdown(MINUTE).await;
    let scrape = Scrape::parse(&get(address, "/metrics").await);
    let status: Json = serde_json::from_str(&get(address, "/debug/notifications").await).unwrap();
    admin.abort();

    scrape.is_as_documented();
    let endpoints = status["endpoints"].as_array().unwrap();
    assert_eq!(endpoints.len(), 6);
    for endpoint in endpoints {
        is_the_same(&scrape, endpoint);
        assert_eq!(fields(endpoint), fields(&documented()));
    }
    assert_eq!(scrape.value("unaccepted_total", &[]), Some(5.0));
    assert!(scrape.value("missing_facts_total", &[("fact", "media_type")]) >= Some(1.0));

    let emitted = |action: &str, kind: &str| {
        let scraped = scrape.value("emitted_total", &[("action", action), ("kind", kind)]);
        assert_eq!(scraped, status["emitted"][action][kind].as_f64());
        scraped
    };
    assert_eq!(emitted("pull", "manifest"), Some(3.0));
    assert_eq!(emitted("push", "manifest"), Some(1.0));
    assert_eq!(emitted("push", "blob"), Some(1.0));
    assert_eq!(emitted("delete", "repository"), Some(0.0));
    assert_eq!(emitted("mount", "tag"), None);

    // What became of the five events, by hand.
    for (name, wanted) in [
        ("works", [5, 5, 0, 0, 0, 0, 0]),
        ("flaky", [5, 5, 1, 0, 1, 0, 0]),
        ("picky", [5, 0, 5, 0, 0, 5, 0]),
        ("gone", [5, 0, 1, 0, 0, 5, 0]),
        ("dead", [5, 0, 0, 15, 10, 5, 0]),
        ("idle", [0; 7]),
    ] {
        let endpoint = endpoints.iter().find(|it| it["name"] == name).unwrap();
        let fields = [
            "events",
            "successes",
            "failures",
            "errors",
            "retries",
            "dead_letters",
            "pending",
        ];
        let got = fields.map(|field| endpoint[field].as_u64().unwrap());
        assert_eq!(got, wanted, "{endpoint:#}");
    }
    let ours = [("code", "202 Accepted"), ("endpoint", "works")];
    assert_eq!(scrape.value("status_total", &ours), Some(4.0));
    let ours = [("endpoint", "gone"), ("reason", "shutdown")];
    assert_eq!(scrape.value("dead_letters_total", &ours), Some(5.0));
    let ours = [("endpoint", "dead"), ("reason", "gave_up")];
    assert_eq!(scrape.value("dead_letters_total", &ours), Some(5.0));
}

/// A first time can only be seen by who saw the zero before.
fn all_begins_at_zero(scrape: &Scrape) {
    for endpoint in ["works", "flaky", "picky", "gone", "dead", "idle"] {
        let value = |name, label: &[(&str, &str)]| {
            scrape.value(name, &[label, &[("endpoint", endpoint)]].concat())
        };
        for kind in ["Events", "Successes", "Failures", "Errors"] {
            assert_eq!(value("events_total", &[("type", kind)]), Some(0.0));
        }
        for reason in ["rejected", "gave_up", "overflow", "expired", "shutdown"] {
            assert_eq!(
                value("dead_letters_total", &[("reason", reason)]),
                Some(0.0)
            );
        }
        for name in [
            "pending_total",
            "retries_total",
            "lost_total",
            "queue_age_seconds",
        ] {
            assert_eq!(value(name, &[]), Some(0.0), "{name}");
        }
    }
    assert_eq!(scrape.value("unaccepted_total", &[]), Some(0.0));
}

/// The status in the docs of `EndpointStatus`.
fn documented() -> Json {
    let docs = include_str!("../../../src/endpoint/status/snapshot.rs").lines();
    let json = docs.skip_while(|line| *line != "/// ```json").skip(1);
    let json = json.take_while(|line| *line != "/// ```");
    let json: String = json.map(|line| line.trim_start_matches("///")).collect();
    serde_json::from_str(&json).unwrap()
}

fn fields(object: &Json) -> BTreeSet<&str> {
    object
        .as_object()
        .unwrap()
        .keys()
        .map(|key| &**key)
        .collect()
}

/// The metrics of an endpoint, and its status.
fn is_the_same(scrape: &Scrape, status: &Json) {
    let name = status["name"].as_str().unwrap();
    let value = |metric: &str, label: &[(&str, &str)]| {
        let labels = [label, &[("endpoint", name)]].concat();
        let value = scrape.value(metric, &labels);
        value.unwrap_or_else(|| panic!("{metric} {labels:?}"))
    };
    let number = |field: &str| status[field].as_f64().unwrap();
    for (kind, field) in [
        ("Events", "events"),
        ("Successes", "successes"),
        ("Failures", "failures"),
        ("Errors", "errors"),
    ] {
        assert_eq!(value("events_total", &[("type", kind)]), number(field));
    }
    for (metric, field) in [
        ("pending_total", "pending"),
        ("retries_total", "retries"),
        ("lost_total", "lost"),
    ] {
        assert_eq!(value(metric, &[]), number(field), "{metric} of {name}");
    }
    let reasons = scrape.by("dead_letters_total", "reason", name);
    assert_eq!(reasons.values().sum::<f64>(), number("dead_letters"));
    let statuses: BTreeMap<String, f64> =
        serde_json::from_value(status["statuses"].clone()).unwrap();
    assert_eq!(scrape.by("status_total", "code", name), statuses);

    let attempts = statuses.values().sum::<f64>() + number("errors");
    let histogram = |metric| scrape.histogram(metric, name);
    assert_eq!(histogram("delivery_seconds").count, attempts);
    assert_eq!(histogram("batch_events").count, attempts);
    assert_eq!(histogram("batch_events").sum, attempts);
    assert_eq!(histogram("end_to_end_seconds").count, number("successes"));
    // Those on loopback take no minute.
    for metric in ["delivery_seconds", "end_to_end_seconds"] {
        let histogram = histogram(metric);
        assert_eq!(histogram.up_to(60.0), histogram.count, "{metric} of {name}");
        assert!(histogram.buckets.len() > 10, "{metric} of {name}");
    }
    assert_eq!(histogram("batch_events").up_to(1.0), attempts);
}

#[tokio::test]
async fn events_are_counted_by_action_and_kind_without_any_endpoint() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let notifier = Notifier::builder().build().unwrap();
    let value = |action, kind| {
        let scrape = Scrape::parse(&recorder.handle().render());
        scrape.value("emitted_total", &[("action", action), ("kind", kind)])
    };
    assert_eq!(value("push", "manifest"), Some(0.0));
    use_taciturn_registry(&notifier).await;
    assert_eq!(value("pull", "manifest"), Some(1.0));
    assert_eq!(value("push", "manifest"), Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn gauges_are_updated_while_nothing_happens() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let (client, _) = scripted(|_, _| Reply::Hang);
    let endpoint = Endpoint::new("ci", "http://receiver")
        .client(client)
        .timeout(MINUTE)
        .queue_events(3)
        .queue_bytes(usize::MAX);
    let notifier = Notifier::builder().endpoint(endpoint).build().unwrap();
    for tag in 0..5 {
        let _may_be_full = notifier.sink().write(&event("app", tag)).await;
        tokio::task::yield_now().await;
    }
    for seconds in [15, 45] {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let scrape = Scrape::parse(&recorder.handle().render());
        let value = |name: &str| scrape.value(name, &[("endpoint", "ci")]).unwrap();
        assert_eq!(value("pending_total"), 3.0);
        let status = notifier.status().endpoints.remove(0);
        let age = status.oldest_pending.unwrap().as_secs_f64();
        let told = value("queue_age_seconds");
        assert!(told <= age && told >= age - 10.0, "{told} of {age}");
        assert_eq!((value("lost_total"), status.lost), (2.0, 2));
        let overflow = [("reason", "overflow"), ("endpoint", "ci")];
        assert_eq!(scrape.value("dead_letters_total", &overflow), Some(2.0));
    }
}
