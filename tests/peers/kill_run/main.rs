//! The registry example with a journal, killed at random moments under load and
//! started again: every operation that was acknowledged has its event at the
//! receiver, none is invented, and the order of each repository holds. The same
//! with the receiver dying, and with both. In `stream.rs` the registry's journal stands
//! before JetStream, and registry, server and worker are killed.
//!
//! `KILL_RUN_KILLS=300` does more than the usual number, and `KILL_RUN_SEED`
//! repeats the same moments.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod account;
mod client;
#[path = "../example.rs"]
mod example;
#[path = "../jetstream/program.rs"]
#[allow(dead_code, reason = "this test stops no worker")]
mod program;
mod receiver;
mod registry;
#[path = "../jetstream/server.rs"]
#[allow(dead_code, reason = "this test needs a single server")]
mod server;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::sleep;

use crate::account::Account;
use crate::client::Clients;
use crate::receiver::Receiver;
use crate::registry::Registry;

const KILLS: u64 = 30;

/// Who dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Registry,
    Receiver,
    Both,
}

fn setting(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(default, |text| text.parse().unwrap())
}

async fn run(victim: Victim) {
    let kills = setting("KILL_RUN_KILLS", KILLS);
    let seed = setting("KILL_RUN_SEED", fastrand::u64(..));
    let mut random = Rng::with_seed(seed);
    let account = Arc::new(Account::default());
    let mut receiver = Receiver::start(account.clone(), random.fork()).await;
    let folder = tempfile::tempdir().unwrap();
    let mut registry = Registry::start(folder.path(), &["--endpoint", &receiver.url()]);
    registry.is_up().await;
    let clients = Clients::start(&registry, &account);
    for _ in 0..kills {
        sleep(Duration::from_millis(random.u64(5..250))).await;
        if victim != Victim::Receiver {
            registry.kill();
        }
        if victim != Victim::Registry {
            receiver.kill();
            sleep(Duration::from_millis(random.u64(0..100))).await;
            receiver.revive().await;
        }
        if victim != Victim::Receiver {
            registry.revive();
            registry.is_up().await;
        }
    }
    clients.stop().await;
    account.until_complete().await;
    let said = registry.stop();
    println!(
        "{victim:?}, seed {seed}, {kills} kills: {}",
        account.summary()
    );
    account.check(&format!("KILL_RUN_SEED={seed}"));
    assert!(said.contains("All events were delivered."), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_operation_has_its_event_although_the_registry_is_killed() {
    run(Victim::Registry).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_operation_has_its_event_although_the_receiver_dies() {
    run(Victim::Receiver).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_operation_has_its_event_although_both_die() {
    run(Victim::Both).await;
}
