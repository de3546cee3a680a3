//! Users' clients and sinks that panic.

use std::sync::Arc;
use std::time::Duration;

use tower_registry_notifications::dead_letter::{DeadLetter, DeadLetterSink};
use tower_registry_notifications::endpoint::{Backoff, Overflow};
use tower_registry_notifications::sink::{Acceptance, Sink as _};
use tower_registry_notifications::{Endpoint, Notifier};

use crate::common::scripted::{Reply, event, scripted};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn a_client_that_panics_is_an_error_of_the_attempt() {
    let (client, log) = scripted(|n, _| match n {
        0 | 3 => panic!("in the client"),
        _ => Reply::Status(200),
    });
    let endpoint = Endpoint::new("e", "http://receiver").client(client);
    let notifier = Notifier::builder().endpoint(endpoint).build().unwrap();
    for tag in 0..3 {
        notifier.sink().write(&event("a", tag)).await.unwrap();
    }
    assert!(notifier.shutdown(HOUR).await.is_drained());
    assert_eq!(log.accepted(), ["a/0", "a/1", "a/2"]);
    let status = notifier.status().endpoints.remove(0);
    assert_eq!((status.errors, status.retries, status.successes), (2, 2, 3));
}

/// Panics at once, or later.
struct PanickingSink(bool);

impl DeadLetterSink for PanickingSink {
    fn bury(&self, _: &Arc<DeadLetter>) -> Acceptance {
        match self.0 {
            true => panic!("at once"),
            false => Acceptance::pending(async { panic!("later") }),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_panicking_dead_letter_sink_loses_letters_only() {
    for at_once in [true, false] {
        let (client, log) = scripted(|n, _| match n {
            0 => Reply::Status(400),
            1 => Reply::Status(500),
            _ => Reply::Status(200),
        });
        let endpoint = Endpoint::new("e", "http://receiver")
            .client(client)
            .retry(Backoff::new().attempts(1))
            .queue_events(3)
            .queue_bytes(usize::MAX)
            .overflow(Overflow::RejectNewest)
            .dead_letters(PanickingSink(at_once));
        let notifier = Notifier::builder().endpoint(endpoint).build().unwrap();
        for tag in 0..3 {
            notifier.sink().write(&event("a", tag)).await.unwrap();
        }
        let full = notifier.sink().write(&event("a", 3)).await;
        assert!(full.unwrap_err().is_full());
        assert!(notifier.shutdown(HOUR).await.is_drained());
        assert_eq!(log.accepted(), ["a/2"]);
        let status = notifier.status().endpoints.remove(0);
        assert_eq!((status.dead_letters, status.lost), (3, 3));
    }
}

/// A worker that is gone takes nothing with it silently.
#[test]
fn writes_fail_when_the_runtime_is_gone() {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let notifier = runtime.block_on(async {
        let (client, _) = scripted(|_, _| Reply::Hang);
        let endpoint = Endpoint::new("e", "http://receiver").client(client);
        let notifier = Notifier::builder().endpoint(endpoint).build().unwrap();
        notifier.sink().write(&event("a", 0)).await.unwrap();
        tokio::task::yield_now().await;
        notifier
    });
    drop(runtime);
    let write = notifier.sink().write(&event("a", 1));
    let answer = futures_util::future::FutureExt::now_or_never(write);
    assert!(answer.unwrap().unwrap_err().is_closed());
}
