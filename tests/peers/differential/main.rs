//! The proxy before a real distribution registry that posts its own
//! notifications: both must say the same, whatever clients do.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "../hang_up_run/attack.rs"]
#[allow(dead_code, reason = "what becomes of each is seen in the events")]
mod attack;
mod by_hand;
#[path = "../common/certificate.rs"]
mod certificate;
#[path = "../../common/mod.rs"]
mod common;
mod comparison;
#[path = "../common/content.rs"]
mod content;
#[path = "../common/front.rs"]
mod front;
#[path = "../common/hang_up.rs"]
mod hang_up;
mod odd;
mod programs;
#[path = "../common/registry_client.rs"]
mod registry_client;
mod table;
#[path = "../common/upstream.rs"]
mod upstream;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{Received, receiver};
use http::Response;
use tokio::sync::mpsc::UnboundedReceiver;
use tower_registry_notifications::event::{Envelope, Event};
use tower_registry_notifications::{Endpoint, Format, Notifier, SourceRecord};

use crate::certificate::Certificate;
use crate::comparison::Comparison;
use crate::front::{MINUTE, ProxySetup, TestServer, is_layer};
use crate::hang_up::Sender;
use crate::registry_client::TestClient;
use crate::upstream::{Logged, Setup, Upstream};

/// Requests that a client hangs up on.
const HANG_UPS: usize = 150;

/// What differs between the runs.
#[derive(Clone, Copy, Default)]
struct Scenario<'a> {
    name: &'a str,
    certificate: Option<&'a Certificate>,
    redirects: bool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proxy_posts_what_distribution_posts() {
    both_say_the_same(Scenario {
        name: "plain",
        ..Scenario::default()
    })
    .await;
}

/// HTTP/2 by ALPN, to a registry that is written in Go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proxy_posts_the_same_over_tls() {
    both_say_the_same(Scenario {
        name: "TLS",
        certificate: Some(&Certificate::new()),
        ..Scenario::default()
    })
    .await;
}

/// Clients get blobs from the storage, whose answers the proxy does not see.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proxy_posts_the_same_with_redirected_blobs() {
    both_say_the_same(Scenario {
        name: "redirects",
        redirects: true,
        ..Scenario::default()
    })
    .await;
}

async fn both_say_the_same(scenario: Scenario<'_>) {
    let (port_a, mut a) = receiver(Box::new(|_| Response::builder())).await;
    let (port_b, mut b) = receiver(Box::new(|_| Response::builder())).await;
    let upstream = Upstream::start(Setup {
        webhook: port_a,
        certificate: scenario.certificate,
        redirects: scenario.redirects,
        ..Setup::default()
    })
    .await;
    let endpoint = Endpoint::new("b", format!("http://127.0.0.1:{port_b}/"));
    let notifier = Notifier::builder()
        .source(SourceRecord::new("proxy"))
        .include_references(true)
        .endpoint(endpoint.format(Format::V1).timeout(MINUTE))
        .build()
        .unwrap();
    let wiring = ProxySetup {
        certificate: scenario.certificate,
        untag_lookup: true,
        ..ProxySetup::default()
    };
    let front = TestServer::proxy(&upstream.url, notifier.clone(), wiring).await;
    let port = front.port;
    let scheme = scenario.certificate.map_or("http", |_| "https");
    let base = format!("{scheme}://127.0.0.1:{port}");
    let authority = scenario.certificate.map(|it| it.certificate.as_path());
    let client = TestClient::new(&base, authority).redirected(scenario.redirects);
    let direct = TestClient::new(&upstream.url, authority).named("direct");

    let pushed = by_hand::use_registry(&client).await;
    odd::use_registry(&client, &pushed.blob).await;
    odd::forwarded(&client).await;
    if scenario.certificate.is_none() {
        hang_up(port).await;
        behind_another_proxy(&upstream, &notifier, &client).await;
    }
    let before = upstream.requests(0, &direct).await.len();
    programs::use_skopeo(port, upstream.folder.path()).await;
    programs::use_buildah(port, upstream.folder.path()).await;
    let by_programs = upstream.requests(before, &direct).await;
    programs::delete_with_skopeo(port).await;
    by_hand::delete(&client, pushed).await;
    direct.push_blob("end", "end", 0).await;
    let a = until_end(&mut a).await;
    // As an operator does it: the server first, then what is left of its work.
    drop(client);
    front.stop().await;
    let report = notifier.shutdown(MINUTE).await;
    assert!(report.is_drained(), "{report:?}");
    let b: Vec<_> = std::iter::from_fn(|| b.try_recv().ok())
        .flat_map(events)
        .collect();

    let log = upstream.requests(0, &direct).await;
    let mut comparison = Comparison::new(a, b, &log);
    if scenario.certificate.is_some() {
        // An https upstream is asked by its own name.
        let (_, own_host) = upstream.url.split_once("://").unwrap();
        comparison.rename_host(own_host, &format!("127.0.0.1:{port}"));
    }
    comparison.assert_urls(&base);
    comparison.assert_many(&["test/", "skopeo/", "Buildah/"]);
    let (all, of_programs) = (own(&log), own(&by_programs));
    println!(
        "{}: the layer's own requests: {all:?}; while skopeo and buildah pushed and pulled: \
         {of_programs:?}",
        scenario.name
    );
    let unequal = comparison.finish(scenario.name);
    assert!(unequal.is_empty(), "unexplained:\n{}", unequal.join("\n"));
    assert!(of_programs.is_empty(), "{of_programs:?}");
    let about_blobs = all.keys().filter(|it| it.ends_with("/blobs/"));
    assert_eq!(about_blobs.count(), 0, "the layer asked for blobs");
}

/// How many requests the layer itself sent, by method and kind.
fn own(log: &[Logged]) -> BTreeMap<String, usize> {
    let mut own = BTreeMap::new();
    for it in log.iter().filter(|it| is_layer(&it.agent)) {
        let (method, target) = it.request.split_once(' ').unwrap();
        let kinds = ["/blobs/", "/manifests/", "/tags/"];
        let kind = kinds.iter().find(|kind| target.contains(**kind));
        let kind = format!("{method} {}", kind.map_or(target, |kind| kind));
        *own.entry(kind).or_default() += 1;
    }
    own
}

/// Clients that are gone before the registry has answered.
async fn hang_up(port: u16) {
    let attacks = attack::prepare(port, HANG_UPS).await;
    let mut sender = Sender::new(port);
    let mut random = fastrand::Rng::with_seed(8);
    for attack in attacks {
        let delay = Duration::from_millis(10).mul_f64(random.f64().powi(2));
        sender.send(&attack.request, attack.manner, delay).await;
    }
}

/// What a proxy in front says of clients counts where it is trusted.
async fn behind_another_proxy(upstream: &Upstream, notifier: &Notifier, client: &TestClient) {
    let wiring = ProxySetup {
        trust_forwarded: true,
        ..ProxySetup::default()
    };
    let front = TestServer::proxy(&upstream.url, notifier.clone(), wiring).await;
    let client = client.at(front.port).named(comparison::FORWARDED);
    odd::forwarded(&client).await;
    drop(client);
    front.stop().await;
}

fn events(received: Received) -> Vec<Event> {
    assert_eq!(received.headers["content-type"], Format::V1.content_type());
    let envelope: Envelope = serde_json::from_slice(&received.body).unwrap();
    envelope.events
}

/// Takes the registry's events until it tells of the last request, which is the
/// only one in the repository `end`.
async fn until_end(received: &mut UnboundedReceiver<Received>) -> Vec<Event> {
    let mut all = Vec::new();
    loop {
        let next = tokio::time::timeout(MINUTE, received.recv()).await;
        for event in events(next.expect("the end was not told").unwrap()) {
            if event.target.repository == "end" {
                return all;
            }
            all.push(event);
        }
    }
}
