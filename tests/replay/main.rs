//! What real registries did and posted, recorded: the layer must say the same,
//! to the byte.
//!
//! To replay the `*.jsonl.zst` files of another folder, and see a line about each:
//!
//! ```text
//! REPLAY_CORPUS=<folder> cargo test --test replay -- --nocapture
//! ```
//!
//! # What a recording determines
//!
//! Of each delivery all but five facts follow from the request, the response and
//! the exchanges before: these are compared to the byte, also where the reference
//! deliberately differs from the layer (`reference.rs`). Those five are taken from
//! the recording, and held against what is known of them (`check.rs`):
//!
//! | fact | what is known of it |
//! | --- | --- |
//! | `id` | a UUID, of one version throughout, of one event only; one of version 7 is as old as its event |
//! | `timestamp` | near the response's `Date`, and never before that of an earlier delivery |
//! | `request.id` | as `id`, but shared by all events of the exchange, and by no other |
//! | `request.addr` | compared if the request has `X-Forwarded-For` or `X-Real-IP`; else a peer, the same in all events of the exchange |
//! | `source` | one throughout |
//!
//! None of the project's own recordings has such a header. There each value is also
//! pinned: the runs of addresses openly, all five by their digest.

#![allow(clippy::unwrap_used)]

mod altered;
mod check;
mod corpus;
mod made;
mod reference;
mod registry;
mod transparent;

use std::collections::BTreeMap;

use altered::{Change, Original, ShownBy};
use check::{Replayed, Summary, check, compare, encode, format, read};
use corpus::{Exchange, Place, send};
use http::{Method, Response};
use http_body::Body;
use http_body_util::BodyExt as _;
use reference::{Difference, PEER};
use registry::{Registry, State};
use tower::Layer as _;
use tower_registry_notifications::layer::{PeerAddr, TrustedProxies};
use tower_registry_notifications::sink::ChannelSink;
use tower_registry_notifications::{Format, NotificationLayer, Notifier};

/// Reads as hyper does: not past the last byte that was announced.
async fn read_announced<R: Body + Unpin>(response: Response<R>, length: usize)
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

/// Sends every exchange through the layer, with the model behind it.
pub(crate) async fn replay(exchanges: &[Exchange], lookup: bool) -> Vec<Replayed> {
    let registry = Registry::default();
    let (sink, mut sent) = ChannelSink::new(100);
    let notifier = Notifier::builder().sink(sink).include_references(true);
    let mut service = NotificationLayer::new(notifier.build().unwrap())
        .trusted_proxies(TrustedProxies::all())
        .untag_lookup(lookup)
        .stat_with(registry.stat_service())
        .layer(registry.service());
    let mut replayed = Vec::new();
    for exchange in exchanges {
        registry.expect(exchange);
        let only_there = registry.look(|before| reference::only_there(exchange, before));
        let only_there =
            only_there.filter(|(difference, _)| !lookup || *difference != Difference::Untagged);
        let mut request = exchange.request();
        let peer = PeerAddr(PEER.parse().unwrap());
        request.extensions_mut().insert(peer);
        let response = send(&mut service, request).await;
        let length = response.body().size_hint().lower();
        if exchange.n.is_multiple_of(3) {
            read_announced(response, length as usize).await;
        } else {
            response.into_body().collect().await.unwrap();
        }
        let ours = std::iter::from_fn(|| sent.try_recv());
        let ours = ours.map(|event| event.to_event()).collect();
        replayed.push(Replayed { ours, only_there });
    }
    replayed
}

async fn summarize(file: &str, exchanges: &[Exchange], lookup: bool) -> Summary {
    let replayed = replay(exchanges, lookup).await;
    let summary = check(exchanges, &replayed, format(file));
    let summary = summary.unwrap_or_else(|mismatch| panic!("{file}, {mismatch}"));
    println!(
        "{file}, tag lookup {}: {} exchanges, {} deliveries, {} identical, {:?}",
        if lookup { "on" } else { "off" },
        summary.exchanges,
        summary.deliveries,
        summary.identical,
        summary.differences,
    );
    summary
}

#[tokio::test]
async fn every_recorded_delivery_is_ours_too() {
    let mut found = Vec::new();
    for (file, exchanges) in corpus::files() {
        let without = summarize(file, exchanges, false).await;
        let with = summarize(file, exchanges, true).await;
        assert!(!with.differences.contains_key(&Difference::Untagged));
        assert_eq!(with.taken, without.taken);
        found.push((&**file, without));
    }
    if corpus::is_foreign() {
        return;
    }
    use Difference::{FailedPush, RefusedPull, Untagged};
    let connection = |port: u16, count| (format!("127.0.0.1:{port}"), count);
    let v2_8 = Summary {
        exchanges: 1166,
        deliveries: 748,
        identical: 729,
        differences: [(FailedPush, 1), (Untagged, 18)].into(),
        connections: vec![connection(58936, 52), connection(58954, 696)],
        taken: "sha256:c367b558bab9eaa78635523a9f39f3b1fafcf311e4e47ff0dbd493bdf48ca5eb".into(),
    };
    let v3 = Summary {
        exchanges: 1209,
        deliveries: 757,
        identical: 750,
        differences: [(RefusedPull, 2), (FailedPush, 1), (Untagged, 4)].into(),
        connections: vec![connection(49304, 757)],
        taken: "sha256:512f5c8abcafe73119ee8d71ed97f6178103ac86bd203ccd7641e6b107c536fa".into(),
    };
    let wanted = [
        ("conformance-v2.8.jsonl.zst", v2_8),
        ("conformance-v3.jsonl.zst", v3),
    ];
    assert_eq!(found, wanted);
}

/// Whether the model answers a recorded GET or HEAD as the registry did.
async fn agrees(state: &State, exchange: &Exchange) -> Result<(), String> {
    let (status, recorded) = (exchange.response.status, &exchange.response);
    let method: Method = exchange.request.method.parse().unwrap();
    let answer = state.answer(&method, exchange.path());
    // A part, and nothing new, prove that there is something.
    let found = match status {
        200 | 206 | 304 | 412 | 416 => 200,
        404 => 404,
        other => return Err(format!("{other} of a read")),
    };
    if answer.status() != found {
        return Err(format!("{} instead of {status}", answer.status()));
    }
    let (head, body) = answer.into_parts();
    let tags = matches!(exchange.place(), Some(Place::Tags { .. }));
    let names: &[_] = match status {
        200 if tags => &[],
        200 => &["content-type", "docker-content-digest", "content-length"],
        206 => &["content-type", "docker-content-digest"],
        _ => return Ok(()),
    };
    for name in names {
        let ours = head.headers.get(*name).map(|value| value.to_str().unwrap());
        let theirs = recorded.headers.get(name);
        if ours != theirs {
            return Err(format!("{name}: {ours:?} instead of {theirs:?}"));
        }
    }
    let body = body.collect().await.unwrap().to_bytes();
    let list = |json: &[u8]| {
        let list: serde_json::Value = serde_json::from_slice(json).unwrap();
        let tags: Option<Vec<String>> = serde_json::from_value(list["tags"].clone()).unwrap();
        let mut tags = tags.unwrap_or_default();
        tags.sort();
        tags
    };
    let same = match () {
        () if tags => list(&body) == list(&recorded.body),
        () => status == 206 || body == recorded.body,
    };
    same.then_some(()).ok_or_else(|| "another content".into())
}

#[tokio::test]
async fn the_model_answers_every_recorded_read_as_the_registry_did() {
    for (file, exchanges) in corpus::files() {
        let mut state = State::default();
        let (mut reads, mut unknown) = (0, 0);
        for exchange in exchanges {
            let place = exchange.place();
            let named = !matches!(place, None | Some(Place::Upload { .. }));
            let read = ["GET", "HEAD"].contains(&&*exchange.request.method);
            // A part of a list, and a tag that the registry could not look for.
            let special =
                exchange.request.uri.contains("/tags/list?") || exchange.response.status == 500;
            if named && read && !special {
                reads += 1;
                if let Err(why) = agrees(&state, exchange).await {
                    // What another corpus does not show being pushed is learned when seen.
                    assert!(corpus::is_foreign(), "{file} {}: {why}", exchange.n);
                    unknown += 1;
                }
            }
            state.learn(exchange);
        }
        println!("{file}: {reads} reads, {unknown} answered differently by the model");
        assert!(reads > 0);
    }
}

#[test]
fn every_recorded_delivery_survives_parsing() {
    for (file, exchanges) in corpus::files() {
        for delivery in exchanges.iter().flat_map(|it| &it.deliveries) {
            let event = read(delivery).unwrap();
            assert_eq!(&encode(&event, format(file)), delivery);
        }
    }
}

/// Alters a copy of the recording for each seed; every change must show.
fn alter(
    original: &Original<'_>,
    changes: impl IntoIterator<Item = (Change, usize)>,
    shown: &mut BTreeMap<ShownBy, usize>,
) {
    for (seed, (change, at)) in changes.into_iter().enumerate() {
        if let Some(by) = original.alter(change, at, seed as u64) {
            *shown.entry(by).or_default() += 1;
        }
    }
}

#[tokio::test]
async fn every_alteration_of_a_recording_shows() {
    for (file, exchanges) in corpus::files() {
        let replayed = replay(exchanges, false).await;
        let original = Original::new(exchanges, &replayed, format(file));
        let mut shown = BTreeMap::new();
        // Where the reference differs, every kind of change.
        let different = original.different().into_iter();
        let every = different.flat_map(|at| Change::ALL.map(|change| (change, at)));
        alter(&original, every, &mut shown);
        // Elsewhere, a sample.
        let mut rng = fastrand::Rng::with_seed(1);
        let posted = original.posted();
        if posted.is_empty() {
            continue;
        }
        let sample = (0..600).map(|_| {
            (
                rng.choice(Change::ALL).unwrap(),
                posted[rng.usize(..posted.len())],
            )
        });
        alter(&original, sample.collect::<Vec<_>>(), &mut shown);
        println!("{file}: alterations shown by {shown:?}");
        assert!(corpus::is_foreign() || shown[&ShownBy::Check] > 500);
    }
}

#[tokio::test]
async fn names_forms_chunks_and_forwarded_addresses_are_understood() {
    let exchanges = made::recording();
    for lookup in [false, true] {
        let summary = summarize("made by hand", &exchanges, lookup).await;
        let untagged = summary.differences.contains_key(&Difference::Untagged);
        assert_eq!(untagged, !lookup);
        assert_eq!(summary.connections, [(made::CONNECTION.into(), 12)]);
        assert_eq!(summary.deliveries, 14);
    }
}

#[tokio::test]
async fn every_alteration_of_a_recording_made_by_hand_shows() {
    let exchanges = made::recording();
    for lookup in [false, true] {
        let replayed = replay(&exchanges, lookup).await;
        let original = Original::new(&exchanges, &replayed, Format::V2);
        let posted = original.posted().into_iter();
        let every = posted.flat_map(|at| Change::ALL.map(|change| (change, at)));
        let every: Vec<_> = every.collect();
        let mut shown = BTreeMap::new();
        alter(&original, [&*every; 4].concat(), &mut shown);
        println!("made by hand: alterations shown by {shown:?}");
    }
}

#[tokio::test]
async fn the_tags_that_went_with_a_manifest_come_in_any_order_after_it() {
    let exchanges = made::recording();
    let at = exchanges.iter().position(|it| it.deliveries.len() > 3);
    let at = at.unwrap();
    for lookup in [false, true] {
        let replayed = replay(&exchanges, lookup).await;
        let fits = |order: [usize; 4]| {
            let deliveries = order.map(|nth| exchanges[at].deliveries[nth].clone());
            compare(&exchanges[at], &deliveries, &replayed[at], Format::V2).is_ok()
        };
        let orders = [
            [1, 2, 3],
            [1, 3, 2],
            [2, 1, 3],
            [2, 3, 1],
            [3, 1, 2],
            [3, 2, 1],
        ];
        for [a, b, c] in orders {
            assert!(fits([0, a, b, c]), "{a} {b} {c}");
            assert!(!fits([a, 0, b, c]), "{a} {b} {c}");
            assert!(!fits([0, a, b, b]), "{a} {b} {b}");
        }
    }
}
