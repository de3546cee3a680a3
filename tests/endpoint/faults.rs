//! Receivers that fail: nothing is lost, nothing is blocked, and order is kept.

use std::time::Duration;

use tokio::time::sleep;
use tower_registry_notifications::dead_letter::Reason;
use tower_registry_notifications::endpoint::{Backoff, Batch, Breaker, EndpointState};

use crate::common::scripted::Reply;

use super::failing::*;

#[tokio::test(start_paused = true)]
async fn an_outage_of_any_kind_delays_and_loses_nothing() {
    for reply in [
        Reply::Reset,
        Reply::Hang,
        Reply::Status(500),
        Reply::Status(503),
        Reply::Status(408),
        Reply::Status(425),
        Reply::Status(302),
        // An ingress during a deployment, an expired token, a typo.
        Reply::Status(401),
        Reply::Status(403),
        Reply::Status(404),
        Reply::Status(405),
        Reply::Status(409),
    ] {
        for breaker in [false, true] {
            let reply = reply.clone();
            let (mut endpoint, log) = endpoint(move |n, _| match n {
                3..20 => reply.clone(),
                _ => Reply::Status(200),
            });
            if breaker {
                endpoint = endpoint.retry(Breaker::new());
            }
            let notifier = notifier(endpoint);
            write(&notifier, "a", 0..10).await;
            assert!(notifier.shutdown(HOUR).await.is_drained());
            assert_eq!(log.accepted(), names("a", 0..10));
            assert_eq!(log.most_at_once(), 1);
            let status = status(&notifier);
            assert_eq!((status.successes, status.retries), (10, 17));
            assert_eq!((status.lost, status.dead_letters), (0, 0));
            assert_eq!((status.pending, status.pending_bytes), (0, 0));
            assert_eq!(status.failures + status.errors, 17);
        }
    }
}

/// A pause that is over says nothing about a receiver that is still dead.
#[tokio::test(start_paused = true)]
async fn an_endpoint_is_failing_from_the_first_failure_until_the_receiver_answers() {
    let (endpoint, _) = endpoint(|n, _| match n {
        0..9 => Reply::Reset,
        9 => Reply::Hang,
        _ => Reply::Status(200),
    });
    let backoff = Backoff::new().base(SECOND).cap(SECOND);
    let notifier = notifier(endpoint.retry(backoff).timeout(MINUTE));
    assert_eq!(status(&notifier).state, EndpointState::Delivering);
    write(&notifier, "a", 0..1).await;
    write(&notifier, "b", 0..1).await;
    sleep(Duration::from_millis(1)).await;
    let mut waited = false;
    for second in 0..30 {
        let now = status(&notifier);
        assert_eq!(now.state, EndpointState::Failing, "{second} s: {now:?}");
        assert!(now.failing_since.is_some() && now.failures_in_a_row > 0);
        assert_eq!(now.last_error.as_deref(), Some("connection reset"));
        waited |= now
            .next_attempt
            .is_some_and(|wait| !wait.is_zero() && wait <= SECOND);
        sleep(SECOND).await;
    }
    assert!(waited, "no attempt was ever due");
    let hanging = status(&notifier);
    assert_eq!(hanging.next_attempt, None, "an attempt is under way");
    sleep(2 * MINUTE).await;
    let now = status(&notifier);
    assert_eq!(now.state, EndpointState::Delivering);
    assert_eq!((now.failing_since, now.failures_in_a_row), (None, 0));
    assert_eq!((now.successes, now.history.successes.iter().sum()), (2, 2));
    assert!(now.history.failures.iter().sum::<u64>() >= 9);
    assert_eq!(now.rates.failures_per_second, 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_failing_event_delays_its_repository_only() {
    let (endpoint, log) = endpoint(|_, events| match &*events[0] {
        "bad/0" => Reply::Status(500),
        _ => Reply::Status(200),
    });
    let backoff = Backoff::new().attempts(8).cap(MINUTE);
    let (notifier, mut letters) = with_letters(endpoint.retry(backoff));
    write(&notifier, "bad", 0..3).await;
    write(&notifier, "good", 0..3).await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(log.accepted(), names("good", 0..3));
    for tag in 3..300 {
        write(&notifier, "good", tag..tag + 1).await;
        sleep(SECOND).await;
        assert!(log.accepted().contains(&format!("good/{tag}")));
    }
    assert!(notifier.shutdown(HOUR).await.is_drained());
    let letter = letters.recv().await.unwrap();
    assert_eq!((letter.reason, letter.attempts), (Reason::GaveUp, 8));
    assert_eq!(letter.error.as_deref(), Some("500 Internal Server Error"));
    let accepted = log.accepted();
    let of = |repository: &str| -> Vec<_> {
        let of = accepted.iter().filter(|it| it.starts_with(repository));
        of.cloned().collect()
    };
    assert_eq!(of("bad"), names("bad", 1..3));
    assert_eq!(of("good"), names("good", 0..300));
}

#[tokio::test(start_paused = true)]
async fn a_batch_lingers_and_a_shutdown_cuts_it_short() {
    let (endpoint, log) = endpoint(|_, _| Reply::Status(200));
    let notifier = notifier(endpoint.batch(Batch::of(3).linger(MINUTE)));
    write(&notifier, "a", 0..1).await;
    sleep(40 * SECOND).await;
    write(&notifier, "a", 1..2).await;
    sleep(30 * SECOND).await;
    write(&notifier, "a", 2..3).await;
    sleep(SECOND).await;
    let start = tokio::time::Instant::now();
    assert!(notifier.shutdown(SECOND).await.is_drained());
    assert_eq!(start.elapsed(), Duration::ZERO);
    let sizes: Vec<_> = log.got().iter().map(|got| got.events.len()).collect();
    assert_eq!((sizes, log.seconds()), (vec![2, 1], vec![60, 71]));
}
