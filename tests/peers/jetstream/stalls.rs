//! Endpoints that are down for longer than the server waits for an acknowledgement.

use tokio::time::{sleep, timeout};

use crate::receiver::Receiver;
use crate::server::{Server, Version};
use crate::worker::{SECOND, settings, until, worker, write};

/// Retries wait in the worker, for longer than the server waits for an
/// acknowledgement, and nothing overtakes them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_down_for_longer_than_the_wait_gets_everything_once_and_in_order() {
    for version in Version::ALL {
        let server = Server::start(version);
        let settings = settings(&server);
        let (down, up) = (Receiver::start().await, Receiver::start().await);
        down.refuse(true);
        let worker = worker(&settings, &[("down", &down), ("up", &up)]).await;
        write(&settings, 10, 0..20).await;
        until(&up, 200).await;
        sleep(9 * SECOND).await;
        assert_eq!(down.events(), 0);
        down.refuse(false);
        until(&down, 200).await;
        for receiver in [&down, &up] {
            let summary = receiver.summary();
            assert_eq!((summary.events, summary.repeats), (200, 0), "{version:?}");
            assert_eq!(summary.out_of_order, Vec::<String>::new());
        }
        worker.shutdown(10 * SECOND).await;
    }
}

/// An endpoint is down for longer than the wait for acknowledgements, the pin and the
/// duplicate window. The others do not notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_stall_of_an_endpoint_affects_no_other() {
    long_stall(Version::New, 64).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_stall_without_pins_affects_no_other() {
    long_stall(Version::Old, 1).await;
}

/// `in_flight` is how many events of a partition a worker holds at most.
async fn long_stall(version: Version, in_flight: u64) {
    const REPOSITORIES: usize = 50;
    let events = if std::env::var_os("JETSTREAM_SOAK").is_some() {
        2000
    } else {
        60
    };
    let total = REPOSITORIES * events;
    let server = Server::start(version);
    let settings = settings(&server).duplicate_window(2 * SECOND);
    let (down, up) = (Receiver::start().await, Receiver::start().await);
    down.refuse(true);
    let worker = worker(&settings, &[("down", &down), ("up", &up)]).await;
    write(&settings, REPOSITORIES, 0..events).await;
    until(&up, total).await;
    sleep(9 * SECOND).await;
    assert_eq!(down.events(), 0);
    // Bounded, whatever waits in the stream.
    let pending = worker.status().notifier.endpoints[0].pending;
    assert!(pending <= 4 * in_flight, "{pending}");
    let lag = || {
        worker.status().lag[0]
            .partitions
            .iter()
            .flatten()
            .sum::<u64>()
    };
    timeout(10 * SECOND, async {
        while lag() != total as u64 {
            sleep(SECOND / 10).await;
        }
    })
    .await
    .unwrap();
    down.refuse(false);
    until(&down, total).await;
    for receiver in [&down, &up] {
        let summary = receiver.summary();
        println!("{version:?}: {summary:?} of {total}");
        assert_eq!((summary.events, summary.repeats), (total, 0));
        assert_eq!(summary.out_of_order, Vec::<String>::new());
    }
    worker.shutdown(10 * SECOND).await;
}

/// The stream drops what is too old, and the worker tells so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_were_too_old_are_noticed() {
    let server = Server::start(Version::New);
    let settings = settings(&server)
        .max_age(4 * SECOND)
        .duplicate_window(2 * SECOND);
    let receiver = Receiver::start().await;
    receiver.refuse(true);
    let worker = worker(&settings, &[("e", &receiver)]).await;
    // More than are under way at a time.
    write(&settings, 1, 0..200).await;
    sleep(8 * SECOND).await;
    receiver.refuse(false);
    until(&receiver, 64).await;
    write(&settings, 1, 200..201).await;
    until(&receiver, 65).await;
    worker.shutdown(10 * SECOND).await;
    assert!(receiver.events() < 201);
    assert!(worker.status().aged_out > 0);
}
