//! The proxy before a real distribution registry that posts its own
//! notifications: both must say the same, whatever clients do.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "differential/by_hand.rs"]
mod by_hand;
#[path = "common/certificate.rs"]
mod certificate;
mod common;
#[path = "common/front.rs"]
mod front;
#[path = "../examples/support/pace.rs"]
mod pace;
#[path = "differential/programs.rs"]
mod programs;
#[path = "../examples/support/proxy.rs"]
mod proxy;
#[path = "common/registry_client.rs"]
mod registry_client;
#[path = "../examples/support/serve.rs"]
mod serve;
#[path = "differential/table.rs"]
mod table;
#[path = "../examples/support/tls.rs"]
mod tls;
#[path = "common/upstream.rs"]
mod upstream;

use common::{Received, receiver};
use http::Response;
use tokio::sync::mpsc::UnboundedReceiver;
use tower_registry_notifications::{Endpoint, Envelope, Event, Format, Notifier, SourceRecord};

use crate::certificate::Certificate;
use crate::front::{Front, MINUTE, Wiring, is_own};
use crate::registry_client::TestClient;
use crate::table::Table;
use crate::upstream::{Setup, Upstream};

/// Takes events until both sides have been told of the last request, which is
/// the only one in the repository `end`.
async fn until_end(received: &mut UnboundedReceiver<Received>) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let next = tokio::time::timeout(MINUTE, received.recv()).await;
        let received = next.expect("the end was not told").unwrap();
        let envelope: Envelope = serde_json::from_slice(&received.body).unwrap();
        assert_eq!(received.headers["content-type"], Format::V1.content_type());
        for event in envelope.events {
            if event.target.repository == "end" {
                return events;
            }
            events.push(event);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proxy_says_what_distribution_says() {
    both_say_the_same(None).await;
}

/// HTTP/2 by ALPN, to a registry that is written in Go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_it_does_over_tls() {
    both_say_the_same(Some(&Certificate::new())).await;
}

async fn both_say_the_same(certificate: Option<&Certificate>) {
    let (port_a, mut a) = receiver(Box::new(|_| Response::builder())).await;
    let (port_b, mut b) = receiver(Box::new(|_| Response::builder())).await;
    let upstream = Upstream::start(Setup {
        webhook: port_a,
        certificate,
        ..Setup::default()
    })
    .await;
    let endpoint = Endpoint::builder("b", format!("http://127.0.0.1:{port_b}/"));
    let notifier = Notifier::builder()
        .source(SourceRecord::new("proxy"))
        .include_references(true)
        .endpoint(endpoint.format(Format::V1).timeout(MINUTE))
        .build()
        .unwrap();
    let wiring = Wiring {
        certificate,
        untag_lookup: true,
        ..Wiring::default()
    };
    let front = Front::proxy(&upstream.url, notifier, wiring).await;
    let port = front.port;
    let scheme = certificate.map_or("http", |_| "https");
    let base = format!("{scheme}://127.0.0.1:{port}");
    let authority = certificate.map(|it| it.certificate.as_path());
    let client = TestClient::new(&base, authority);
    let pushed = by_hand::use_registry(&client).await;
    programs::use_skopeo(port, upstream.folder.path()).await;
    programs::use_buildah(port, upstream.folder.path()).await;
    by_hand::delete(&client, pushed).await;
    client.push_blob("end", "end", 0).await;
    let (a, b) = (until_end(&mut a).await, until_end(&mut b).await);

    // What the layer asks the registry itself is a pull to it, by its own user agent.
    let (stats, a): (Vec<_>, Vec<_>) = a.into_iter().partition(is_own);
    assert!(!b.iter().any(is_own), "the layer told of its own requests");
    let mut a = a;
    if certificate.is_some() {
        // An https upstream is asked by its own name.
        let (_, own_host) = upstream.url.split_once("://").unwrap();
        a.iter_mut().for_each(|event| {
            assert_eq!(event.request.host, own_host);
            let mut request = (*event.request).clone();
            request.host = format!("127.0.0.1:{port}");
            event.request = request.into();
        });
    }
    let table = Table::new(&a, &b);
    table.print();
    println!(
        "{} pulls are the proxy's own stats and lookups of tags",
        stats.len()
    );

    let urls = b.iter().map(|event| &*event.target.url);
    let urls: Vec<_> = urls.filter(|url| !url.is_empty()).collect();
    assert!(urls.iter().all(|url| url.starts_with(&base)), "{urls:?}");
    for program in ["test/", "skopeo/", "Buildah/"] {
        let by = |event: &&Event| event.request.user_agent.starts_with(program);
        let count = a.iter().filter(by).count();
        println!("{count} events by {program}");
        assert!(count > 10, "{count} events by {program} are too few");
    }
    let unequal = table.unequal();
    assert!(unequal.is_empty(), "unexplained:\n{}", unequal.join("\n"));
}
