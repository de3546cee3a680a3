//! The proxy before a real distribution registry that posts its own
//! notifications: both must say the same, whatever clients do.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "differential/by_hand.rs"]
mod by_hand;
#[path = "common/certificate.rs"]
mod certificate;
#[path = "differential/client.rs"]
mod client;
mod common;
#[path = "../examples/support/pace.rs"]
mod pace;
#[path = "differential/programs.rs"]
mod programs;
#[path = "../examples/support/proxy.rs"]
mod proxy;
#[path = "../examples/support/serve.rs"]
mod serve;
#[path = "differential/table.rs"]
mod table;
#[path = "../examples/support/tls.rs"]
mod tls;
#[path = "differential/upstream.rs"]
mod upstream;

use std::sync::Arc;
use std::time::Duration;

use common::{Received, receiver};
use http::Response;
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedReceiver;
use tower::util::BoxCloneService;
use tower::{Layer as _, service_fn};
use tower_registry_notifications::{
    ActorRecord, Endpoint, Envelope, Event, Format, NotificationLayer, Notifier, SourceRecord,
};

use crate::certificate::Certificate;
use crate::client::TestClient;
use crate::proxy::{Place, Proxy};
use crate::table::Table;
use crate::upstream::Upstream;

const MINUTE: Duration = Duration::from_secs(60);

/// A test never passes without the programs that it is about.
fn missing(program: &str, error: &std::io::Error) -> String {
    format!("cannot run {program}: {error}. This test needs it: apt-get install {program}")
}

/// The proxy with the layer, and TLS on both sides if there is a certificate;
/// the port that it listens on.
async fn serve(upstream: &str, notifier: Notifier, certificate: Option<&Certificate>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let place = Place {
        upstream,
        upstream_ca: certificate.map(|it| it.certificate.as_path()),
        patience: MINUTE,
        https: certificate.is_some(),
        trust_forwarded: false,
    };
    let proxy = Arc::new(Proxy::new(&place).unwrap());
    let layer = NotificationLayer::new(notifier)
        .https(certificate.is_some())
        .untag_lookup(true)
        // Whose token this is, the registry knows and HTTP does not show.
        .actor(|parts| {
            let given = parts.headers.get("authorization")?;
            let is_token = given.to_str().ok()?.starts_with("Bearer a.token.of-the-");
            is_token.then(|| ActorRecord::new("silly"))
        });
    let service = layer.layer(service_fn(move |request| proxy.forward(request)));
    let service = BoxCloneService::new(service);
    let never = std::future::pending::<()>();
    let tls = certificate.map(Certificate::acceptor);
    tokio::spawn(serve::serve(listener, tls, service, never, MINUTE));
    port
}

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
    let upstream = Upstream::start(port_a, certificate).await;
    let endpoint = Endpoint::new("b", format!("http://127.0.0.1:{port_b}/"));
    let notifier = Notifier::builder()
        .source(SourceRecord::new("proxy"))
        .include_references(true)
        .endpoint(endpoint.format(Format::V1).timeout(MINUTE))
        .build()
        .unwrap();
    let port = serve(&upstream.url, notifier, certificate).await;
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
    let own = |event: &Event| event.request.user_agent.starts_with(env!("CARGO_PKG_NAME"));
    let (stats, a): (Vec<_>, Vec<_>) = a.into_iter().partition(own);
    assert!(!b.iter().any(own), "the layer told of its own requests");
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
