//! What real registries did and posted, recorded: the layer must say the same,
//! to the byte.
//!
//! `REPLAY_CORPUS=<folder>` replays another folder's files.

#![allow(clippy::unwrap_used)]

#[path = "common/corpus.rs"]
mod corpus;

use std::collections::BTreeMap;

use corpus::{Exchange, Registry, send};
use http::Response;
use http_body::Body;
use http_body_util::BodyExt as _;
use tower::Layer as _;
use tower_registry_notifications::{
    Action, ChannelSink, Envelope, Event, Events, Format, NotificationLayer, Notifier,
    TrustedProxies,
};

/// How an exchange deliberately differs from the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Difference {
    /// The reference posts a pull and then refuses it, or has nothing new to give.
    RefusedPull,
    /// The reference posts a push whose tagging then fails.
    FailedPush,
    /// The reference also posts the tags that went with a manifest.
    Untagged,
}

fn format(file: &str) -> Format {
    match file.contains("v2.8") {
        true => Format::V1,
        false => Format::V2,
    }
}

/// The events so far, with what differs from run to run as recorded.
fn events(events: &mut Events, deliveries: &[String]) -> Vec<Event> {
    let mut got = Vec::new();
    while let Some(event) = events.try_recv() {
        let mut event = event.to_event();
        if let Some(delivery) = deliveries.get(got.len()) {
            let recorded: Envelope = serde_json::from_str(delivery).unwrap();
            let recorded = &recorded.events[0];
            let mut request = event.request.clone();
            request.id.clone_from(&recorded.request.id);
            request.addr.clone_from(&recorded.request.addr);
            event.id.clone_from(&recorded.id);
            event.timestamp = recorded.timestamp;
            event.source = recorded.source.clone();
            event.request = request;
        }
        got.push(event);
    }
    got
}

/// Reads as hyper does: not past the last byte that was announced.
async fn read<R: Body + Unpin>(response: Response<R>, length: usize)
where
    R::Error: std::fmt::Debug,
{
    let mut body = response.into_body();
    let mut rest = length;
    while rest > 0 {
        let frame = body.frame().await.unwrap().unwrap();
        rest -= frame.data_ref().map_or(0, bytes::Buf::remaining);
    }
}

/// Why the reference posted what comes after the `got` deliveries that are ours too.
fn explain(exchange: &Exchange, got: usize) -> Option<Difference> {
    let theirs = exchange.deliveries.get(got..)?;
    let theirs: Vec<Event> = theirs
        .iter()
        .flat_map(|it| serde_json::from_str::<Envelope>(it).unwrap().events)
        .collect();
    let all = |action| !theirs.is_empty() && theirs.iter().all(|it| it.action == action);
    let of_tag = |event: &Event| {
        let target = &event.target;
        !target.tag.is_empty() && target.descriptor.digest.is_empty()
    };
    let blob = exchange.request.uri.contains("/blobs/");
    match (&*exchange.request.method, exchange.response.status, got) {
        ("GET" | "HEAD", 304 | 416, 0) if blob && all(Action::Pull) => {
            Some(Difference::RefusedPull)
        }
        ("GET" | "HEAD", 400 | 404, 0) if !blob && all(Action::Pull) => {
            Some(Difference::RefusedPull)
        }
        ("PUT", 500, 0) if !blob && all(Action::Push) => Some(Difference::FailedPush),
        ("DELETE", 202, 1) if all(Action::Delete) && theirs.iter().all(of_tag) => {
            Some(Difference::Untagged)
        }
        _ => None,
    }
}

async fn replay(file: &str, exchanges: &[Exchange], lookup: bool) -> BTreeMap<Difference, usize> {
    let registry = Registry::default();
    let (sink, mut sent) = ChannelSink::new(100);
    let notifier = Notifier::builder().sink(sink).include_references(true);
    let mut service = NotificationLayer::new(notifier.build().unwrap())
        .trusted_proxies(TrustedProxies::all())
        .untag_lookup(lookup)
        .layer(registry.service());
    let (mut identical, mut differences) = (0, BTreeMap::new());
    for exchange in exchanges {
        registry.expect(exchange);
        let response = send(&mut service, exchange).await;
        let length = response.body().size_hint().lower();
        if exchange.n % 3 == 0 {
            read(response, length as usize).await;
        } else {
            response.into_body().collect().await.unwrap();
        }
        let got: Vec<_> = events(&mut sent, &exchange.deliveries)
            .into_iter()
            .map(|event| String::from_utf8(Envelope::new([event]).encode(format(file))).unwrap())
            .collect();
        let same = got.iter().zip(&exchange.deliveries).all(|(a, b)| a == b);
        if same && got.len() == exchange.deliveries.len() {
            identical += got.len();
            continue;
        }
        let difference = explain(exchange, got.len()).filter(|_| same);
        let Some(difference) = difference else {
            let Exchange { n, request, .. } = exchange;
            let (got, want) = (got.join("\n"), exchange.deliveries.join("\n"));
            panic!(
                "{file} {n}: {} {}\n{got}\ninstead of\n{want}",
                request.method, request.uri
            );
        };
        identical += got.len();
        *differences.entry(difference).or_default() += 1;
    }
    let deliveries: usize = exchanges.iter().map(|it| it.deliveries.len()).sum();
    println!(
        "{file}, tag lookup {}: {} exchanges, {deliveries} deliveries, {identical} identical, {differences:?}",
        if lookup { "on" } else { "off" },
        exchanges.len(),
    );
    differences
}

#[tokio::test]
async fn every_recorded_delivery_is_ours_too() {
    let mut found = Vec::new();
    for (file, exchanges) in corpus::files() {
        let without = replay(&file, &exchanges, false).await;
        let with = replay(&file, &exchanges, true).await;
        assert!(!with.contains_key(&Difference::Untagged), "{with:?}");
        found.push((file, exchanges.len(), without));
    }
    if std::env::var_os("REPLAY_CORPUS").is_none() {
        use Difference::{FailedPush, RefusedPull, Untagged};
        let v2_8 = [(FailedPush, 1), (Untagged, 18)];
        let v3 = [(RefusedPull, 2), (FailedPush, 1), (Untagged, 4)];
        assert_eq!(
            found,
            [
                ("conformance-v2.8.jsonl.zst".into(), 1166, v2_8.into()),
                ("conformance-v3.jsonl.zst".into(), 1209, v3.into()),
            ]
        );
    }
}

#[test]
fn every_recorded_delivery_survives_parsing() {
    for (file, exchanges) in corpus::files() {
        for delivery in exchanges.iter().flat_map(|it| &it.deliveries) {
            let envelope: Envelope = serde_json::from_str(delivery).unwrap();
            assert_eq!(&envelope.encode(format(&file)), delivery.as_bytes());
        }
    }
}
