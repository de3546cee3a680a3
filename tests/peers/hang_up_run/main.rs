//! Clients that hang up while a real registry acts: every change in the
//! registry must have its event, and no event may be without a change.
//!
//! docker-registry stands behind the proxy. Its own notifications and what is
//! in it afterwards are the truth. Each request has a user agent of its own,
//! which both sides put into their events.
//!
//! `HANG_UP_REQUESTS` and `HANG_UP_SEED` change the number of requests and
//! their delays.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod attack;
#[path = "../common/certificate.rs"]
mod certificate;
#[path = "../../common/collected.rs"]
mod collected;
#[path = "../../common/mod.rs"]
mod common;
#[path = "../common/content.rs"]
mod content;
#[path = "../common/front.rs"]
mod front;
#[path = "../common/hang_up.rs"]
mod hang_up;
#[path = "../common/registry_client.rs"]
mod registry_client;
#[path = "../../common/tally.rs"]
mod tally;
#[path = "../common/upstream.rs"]
mod upstream;

use std::collections::BTreeSet;
use std::time::Duration;

use common::raw::{RawConnection, RawRequest};
use common::{receiver, setting};
use futures_util::StreamExt as _;
use http::Response;
use tower_registry_notifications::{Endpoint, Format, Notifier, SourceRecord};

use crate::attack::{AGENT, Attack, CLIENTS, KINDS};
use crate::collected::Collected;
use crate::content::{INDEX, with_token};
use crate::front::{MINUTE, ProxySetup, TestServer};
use crate::hang_up::{MANNERS, Sender};
use crate::tally::{Occurrence, Tally};
use crate::upstream::{Setup, Upstream};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_change_has_its_event_when_clients_hang_up() {
    let count = setting("HANG_UP_REQUESTS", 2100).max(2000);
    let seed = setting("HANG_UP_SEED", 8);
    let (port_a, a) = receiver(Box::new(|_| Response::builder())).await;
    let (port_b, b) = receiver(Box::new(|_| Response::builder())).await;
    let (registry_told, proxy_told) = (Collected::of(a), Collected::of(b));
    let upstream = Upstream::start(Setup {
        webhook: port_a,
        in_memory: true,
        ..Setup::default()
    })
    .await;
    let endpoint = Endpoint::new("b", format!("http://127.0.0.1:{port_b}/"));
    let notifier = Notifier::builder()
        .source(SourceRecord::new("proxy"))
        .endpoint(endpoint.format(Format::V1).timeout(MINUTE))
        .build()
        .unwrap();
    let front = TestServer::proxy(&upstream.url, notifier.clone(), ProxySetup::default()).await;
    let direct = upstream.port();

    let attacks = attack::prepare(direct, count as usize).await;
    let answered = run(&attacks, front.port, seed).await;
    // As an operator does it: the server first, then what is left of its work.
    front.stop().await;
    let report = notifier.shutdown(MINUTE).await;
    assert!(report.is_drained(), "{report:?}");
    settle(direct, &registry_told).await;

    let happenings = |told: &Collected| {
        let events = told.by(AGENT).into_iter();
        events.map(|event| Occurrence::of(&event, AGENT))
    };
    let tally = Tally::new(happenings(&registry_told), happenings(&proxy_told));
    let [acted, told] = tally.numbers();
    print(&attacks, &acted, &told);
    println!(
        "hang-up run, seed {seed}: {} requests, {answered} answered before the client hung up; {}",
        attacks.len(),
        tally.summary()
    );
    assert_state(direct, &attacks, &acted).await;
    assert!(answered < attacks.len() / 2, "too few hung up in time");
    assert!(acted.len() > attacks.len() / 4, "too few had an effect");
    let unequal = tally.unequal();
    let first: Vec<_> = unequal.iter().take(20).map(|(_, text)| &**text).collect();
    assert!(unequal.is_empty(), "for example:\n{}", first.join("\n"));
}

/// Sends everything; how many requests were answered before the client hung up.
async fn run(attacks: &[Attack], port: u16, seed: u64) -> usize {
    let clients = (0..CLIENTS).map(|client| async move {
        let mut random = fastrand::Rng::with_seed(seed ^ (client as u64) << 32);
        let mut sender = Sender::new(port);
        let mut answered = 0;
        for attack in attacks.iter().skip(client).step_by(CLIENTS) {
            // Most of the registry's work is done in the first milliseconds.
            let delay = Duration::from_millis(10).mul_f64(random.f64().powi(2));
            answered += usize::from(sender.send(&attack.request, attack.manner, delay).await);
        }
        answered
    });
    let clients = futures_util::future::join_all(clients).await;
    clients.into_iter().sum()
}

/// Waits until the registry has acted on all requests and has told of it. A
/// request of our own shows each time that its notifications have come so far.
async fn settle(direct: u16, told: &Collected) {
    let mut connection = RawConnection::open(direct).await;
    let (mut before, mut quiet) = (usize::MAX, 0);
    for round in 0.. {
        let agent = format!("settle/{round}");
        let pull = RawRequest::new("HEAD", format!("/v2/source/blobs/{}", attack::source().1));
        let answer = connection.send(&with_token(pull, &agent)).await;
        assert_eq!(answer.status, 200);
        let marked = async {
            while told.by(&agent).is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let marked = tokio::time::timeout(MINUTE, marked).await;
        marked.expect("the registry does not tell of its requests");
        let now = told.by(AGENT).len();
        quiet = if now == before { quiet + 1 } else { 0 };
        if quiet == 3 {
            return;
        }
        before = now;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The registry's notifications must be what its contents say, or they would be
/// no truth.
async fn assert_state(direct: u16, attacks: &[Attack], acted: &BTreeSet<usize>) {
    let checks = futures_util::stream::iter(attacks).map(async |attack: &Attack| {
        let mut connection = RawConnection::open(direct).await;
        let check = RawRequest::new("HEAD", attack.trace.clone());
        let check = check.header("Accept", INDEX);
        let status = connection.send(&with_token(check, "check")).await.status;
        let is_there = match status {
            200 => true,
            404 => false,
            _ => panic!("{status} for {}", attack.trace),
        };
        let is_done = is_there != attack.kind.deletes();
        assert_eq!(is_done, acted.contains(&attack.number), "{attack:?}");
    });
    checks.buffer_unordered(CLIENTS).collect::<Vec<()>>().await;
}

/// How many requests there were of each kind, and how many of them each side
/// has told of.
fn print(attacks: &[Attack], acted: &BTreeSet<usize>, told: &BTreeSet<usize>) {
    println!("request         hung up by           sent  acted   told");
    for kind in KINDS {
        for manner in MANNERS {
            let these = attacks.iter();
            let these = these.filter(|it| it.kind == kind && it.manner == manner);
            let numbers: BTreeSet<_> = these.map(|it| it.number).collect();
            let (sent, kind, manner) = (numbers.len(), format!("{kind:?}"), manner.name());
            let [acted, told] = [acted, told].map(|of| numbers.intersection(of).count());
            println!("{kind:<15} {manner:<18} {sent:>6} {acted:>6} {told:>6}");
        }
    }
}
