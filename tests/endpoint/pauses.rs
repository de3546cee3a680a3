//! When an endpoint that fails tries again: pauses, `Retry-After` and the breaker.

use std::time::Duration;

use tokio::time::sleep;
use tower_registry_notifications::dead_letter::Reason;
use tower_registry_notifications::endpoint::{Backoff, Breaker, EndpointState};

use crate::common::scripted::Reply;

use super::failing::*;

#[tokio::test(start_paused = true)]
async fn the_breaker_delays_later_events_as_the_reference_does() {
    let (endpoint, log) = endpoint(|n, _| match n {
        0..4 => Reply::Status(400),
        4..6 => Reply::Answer(429, ("retry-after", "3000"), String::new()),
        _ => Reply::Status(200),
    });
    let breaker = Breaker::new().threshold(3).backoff(10 * SECOND);
    let notifier = notifier(endpoint.retry(breaker).concurrency(4));
    write(&notifier, "a", 0..1).await;
    sleep(MINUTE).await;
    write(&notifier, "b", 0..1).await;
    assert!(notifier.shutdown(HOUR).await.is_drained());
    assert_eq!(log.seconds(), [0, 0, 0, 10, 20, 30, 40, 60]);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured() {
    let (endpoint, log) = endpoint(|n, _| match n {
        0 => Reply::Answer(429, ("retry-after", "100"), String::new()),
        1 => Reply::Answer(503, ("retry-after", "9999999"), String::new()),
        _ => Reply::Status(204),
    });
    let notifier = notifier(endpoint.concurrency(9));
    write(&notifier, "a", 0..1).await;
    sleep(SECOND).await;
    // The endpoint is left alone, not only the event.
    write(&notifier, "b", 0..1).await;
    sleep(SECOND).await;
    let now = status(&notifier);
    assert_eq!(now.state, EndpointState::Failing);
    assert_eq!(now.next_attempt, Some(98 * SECOND));
    assert_eq!(now.oldest_pending, Some(2 * SECOND));
    assert!(notifier.shutdown(3 * HOUR).await.is_drained());
    assert_eq!(log.seconds(), [0, 100, 3700, 3700]);
    assert_eq!(log.accepted().len(), 2);
}

/// Nothing waits for another attempt then, and yet there is more to deliver.
#[tokio::test(start_paused = true)]
async fn a_paused_endpoint_resumes_after_an_event_was_given_up() {
    for early in [1, 3] {
        let (endpoint, log) = endpoint(|n, _| match n {
            0 => Reply::Answer(503, ("retry-after", "100"), String::new()),
            _ => Reply::Status(200),
        });
        let (notifier, mut letters) = with_letters(endpoint.retry(Backoff::new().attempts(1)));
        write(&notifier, "a", 0..early).await;
        sleep(SECOND).await;
        write(&notifier, "a", early..4).await;
        sleep(MINUTE).await;
        assert_eq!(status(&notifier).pending, 3);
        sleep(MINUTE).await;
        assert_eq!(log.accepted(), names("a", 1..4));
        assert_eq!(log.seconds(), [0, 100, 100, 100]);
        assert_eq!(letters.try_recv().unwrap().reason, Reason::GaveUp);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_a_paused_endpoint_with_events() {
    for (events, seconds) in [(1, 0), (3, 100)] {
        let (endpoint, log) = endpoint(|n, _| match n {
            0 => Reply::Answer(503, ("retry-after", "100"), String::new()),
            _ => Reply::Status(200),
        });
        let (notifier, mut letters) = with_letters(endpoint.retry(Backoff::new().attempts(1)));
        write(&notifier, "a", 0..events).await;
        assert_eq!(letters.recv().await.unwrap().reason, Reason::GaveUp);
        sleep(Duration::from_millis(1)).await;
        let start = tokio::time::Instant::now();
        assert!(notifier.shutdown(HOUR).await.is_drained());
        assert_eq!(start.elapsed().as_secs_f64().round() as u64, seconds);
        assert_eq!(log.accepted(), names("a", 1..events));
        assert!(letters.try_recv().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_that_fail_together_are_one_failure() {
    let (endpoint, log) = endpoint(|n, _| match n {
        0..4 => Reply::Status(500),
        _ => Reply::Status(200),
    });
    let breaker = Breaker::new().threshold(2).backoff(10 * SECOND);
    let notifier = notifier(endpoint.retry(breaker).concurrency(4));
    for repository in ["a", "b", "c", "d"] {
        write(&notifier, repository, 0..1).await;
    }
    assert!(notifier.shutdown(HOUR).await.is_drained());
    assert_eq!(log.seconds(), [0; 8]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_began_before_the_failure_does_not_open_the_gate() {
    let (endpoint, log) = endpoint(|n, events| match &*events[0] {
        "slow/0" => Reply::Late(2 * SECOND),
        _ if n == 1 => Reply::Answer(503, ("retry-after", "100"), String::new()),
        _ => Reply::Status(200),
    });
    let notifier = notifier(endpoint.timeout(MINUTE).concurrency(2));
    write(&notifier, "slow", 0..1).await;
    write(&notifier, "asks", 0..1).await;
    sleep(3 * SECOND).await;
    assert_eq!(log.accepted(), ["slow/0"]);
    write(&notifier, "new", 0..1).await;
    assert!(notifier.shutdown(HOUR).await.is_drained());
    assert_eq!(log.seconds(), [0, 0, 100, 100]);
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_one_attempt_at_a_time_until_one_succeeds() {
    let (endpoint, log) = endpoint(|n, _| match n {
        0 => Reply::Status(500),
        _ => Reply::Late(SECOND),
    });
    let endpoint = endpoint.timeout(MINUTE).retry(Breaker::new());
    let notifier = notifier(endpoint.concurrency(3));
    for repository in ["a", "b", "c", "d", "e", "f"] {
        write(&notifier, repository, 0..1).await;
    }
    assert!(notifier.shutdown(HOUR).await.is_drained());
    assert_eq!(log.seconds(), [0, 0, 0, 1, 2, 2, 2]);
}

/// A number that no integer holds is a long time, and not none.
#[tokio::test(start_paused = true)]
async fn a_retry_after_of_any_size_is_an_hour_at_most() {
    for (value, pause) in [
        ("120", 120),
        ("99999", 3600),
        ("18446744073709551616", 3600),
        ("99999999999999999999999999999999999999999999999999", 3600),
        ("-5", 0),
        ("soon", 0),
    ] {
        let (endpoint, log) = endpoint(move |n, _| match n {
            0 => Reply::Answer(503, ("retry-after", value), String::new()),
            _ => Reply::Status(200),
        });
        let notifier = notifier(endpoint);
        write(&notifier, "a", 0..1).await;
        assert!(notifier.shutdown(2 * HOUR).await.is_drained());
        let seconds = log.seconds();
        assert!(
            (pause..=pause + 1).contains(&seconds[1]),
            "{value}: {seconds:?}"
        );
    }
}
