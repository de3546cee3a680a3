//! Events pass through the registry's journal, JetStream and a worker, and each of the
//! three programs is killed in turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use tokio::time::sleep;

use crate::account::Account;
use crate::client::Clients;
use crate::program::Program;
use crate::receiver::Receiver;
use crate::registry::Registry;
use crate::server::{Server, Version};
use crate::setting;

/// Rounds of the short form.
const KILLS: u64 = 8;

/// The most events that arrive between two kills.
const EVENTS: usize = 150;

/// How long they may take: the next worker waits for the last one's leases.
const PATIENCE: Duration = Duration::from_secs(60);

/// The shortest wait that there is, in seconds.
const ACK_WAIT: &str = "6";

/// Waits until the receiver has so many events more.
async fn progress(account: &Account, events: usize) {
    let (began, wanted) = (Instant::now(), account.received() + events);
    while account.received() < wanted {
        let summary = account.summary();
        assert!(began.elapsed() < PATIENCE, "nothing arrives: {summary}");
        sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_operation_has_its_event_although_registry_server_and_worker_are_killed()
{
    run(Version::New).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_operation_has_its_event_although_an_old_server_is_among_the_killed() {
    run(Version::Old).await;
}

async fn run(version: Version) {
    let kills = setting("KILL_RUN_KILLS", KILLS);
    let seed = setting("KILL_RUN_SEED", fastrand::u64(..));
    let mut random = Rng::with_seed(seed);
    let account = Arc::new(Account::default());
    let receiver = Receiver::start(account.clone(), random.fork()).await;
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(version);
    let nats = server.url();
    let mut registry = Registry::start(folder.path(), &["--nats", &nats]);
    registry.is_up().await;
    let url = receiver.url();
    let arguments = ["--nats", &nats, "--endpoint", &url, "--ack-wait", ACK_WAIT];
    let arguments = arguments.map(str::to_owned);
    let mut worker = Program::start(&arguments);
    let clients = Clients::start(&registry, &account);
    for round in 0..kills {
        progress(&account, random.usize(1..EVENTS)).await;
        // In the fourth round of each four, all of them.
        let (registry_dies, server_dies, worker_dies) = match round % 4 {
            0 => (true, false, false),
            1 => (false, true, false),
            2 => (false, false, true),
            _ => (true, true, true),
        };
        if registry_dies {
            registry.kill();
        }
        if worker_dies {
            worker.kill();
        }
        if server_dies {
            server.kill();
            sleep(Duration::from_millis(random.u64(0..500))).await;
            server.restart();
        }
        if registry_dies {
            registry.revive();
            registry.is_up().await;
        }
        if worker_dies {
            worker = Program::start(&arguments);
        }
    }
    clients.stop().await;
    account.until_complete().await;
    let said = registry.stop();
    println!("seed {seed}, {kills} rounds: {}", account.summary());
    account.check(&format!("KILL_RUN_SEED={seed}"));
    assert!(said.contains("All events were delivered."), "{said}");
    assert!(worker.end());
}
