//! What a receiver's status means: rejected events, split batches, disabled endpoints.

use std::time::Duration;

use tokio::time::sleep;
use tower_registry_notifications::dead_letter::Reason;
use tower_registry_notifications::endpoint::{Backoff, Batch, EndpointState, StatusMeaning};

use crate::common::scripted::Reply;

use super::failing::*;

#[tokio::test(start_paused = true)]
async fn a_rejected_event_is_a_dead_letter_and_the_queue_goes_on() {
    let (endpoint, log) = endpoint(|_, events| match &*events[0] {
        "a/2" => Reply::Answer(422, ("x", "y"), "no <such> field".repeat(100)),
        _ => Reply::Status(200),
    });
    let (notifier, mut letters) = with_letters(endpoint);
    write(&notifier, "a", 0..5).await;
    assert!(notifier.shutdown(MINUTE).await.is_drained());
    assert_eq!(log.seconds(), [0; 5]);
    assert_eq!(log.accepted(), ["a/0", "a/1", "a/3", "a/4"]);
    let letter = letters.recv().await.unwrap();
    assert_eq!((&*letter.endpoint, letter.reason), ("e", Reason::Rejected));
    assert_eq!(letter.error.as_deref(), Some("422 Unprocessable Entity"));
    assert!(letter.answer.starts_with("no <such> field"));
    assert_eq!(letter.answer.len(), 1024);
    assert_eq!(letter.attempts, 1);
    assert!(letter.first_attempt.is_some() && letter.first_attempt == letter.last_attempt);
    assert_eq!(letter.event.tag(), "2");
    let status = status(&notifier);
    assert_eq!((status.dead_letters, status.lost), (1, 0));
    assert_eq!(status.state, EndpointState::Delivering);
    assert!(letters.try_recv().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_rejected_batch_is_split_until_the_rejected_event_is_alone() {
    let (endpoint, log) = endpoint(|n, events| match n {
        _ if events.iter().any(|it| it == "a/5") => Reply::Status(400),
        2 => Reply::Status(500),
        _ => Reply::Status(200),
    });
    let batch = Batch::of(16).linger(SECOND);
    // To split it takes more attempts than an event has.
    let endpoint = endpoint.batch(batch).retry(Backoff::new().attempts(2));
    let (notifier, mut letters) = with_letters(endpoint);
    write(&notifier, "a", 0..16).await;
    assert!(notifier.shutdown(MINUTE).await.is_drained());
    let mut expected = names("a", 0..16);
    expected.remove(5);
    assert_eq!(log.accepted(), expected);
    let sizes: Vec<_> = log.got().iter().map(|got| got.events.len()).collect();
    assert_eq!(sizes, [16, 8, 4, 4, 4, 2, 1, 1, 2, 8]);
    assert_eq!(letters.recv().await.unwrap().event.tag(), "5");
    assert!(letters.try_recv().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_gone_gets_nothing_until_it_is_enabled() {
    let (endpoint, log) = endpoint(|n, _| match n {
        1 | 5 => Reply::Status(410),
        _ => Reply::Status(200),
    });
    let (notifier, mut letters) = with_letters(endpoint);
    write(&notifier, "a", 0..3).await;
    sleep(HOUR).await;
    assert_eq!(log.seconds(), [0, 0]);
    assert_eq!(status(&notifier).state, EndpointState::Disabled);
    write(&notifier, "b", 0..1).await;
    assert!(!notifier.enable("other"));
    assert!(notifier.enable("e"));
    assert!(!notifier.enable("e"));
    sleep(SECOND).await;
    assert_eq!(log.accepted(), ["a/0", "a/1", "a/2", "b/0"]);
    assert_eq!(status(&notifier).state, EndpointState::Delivering);
    assert_eq!(log.seconds()[2..], [3600; 3]);
    write(&notifier, "a", 3..6).await;
    sleep(SECOND).await;
    let start = tokio::time::Instant::now();
    let report = notifier.shutdown(HOUR).await;
    assert_eq!(start.elapsed(), Duration::ZERO, "waited for nothing");
    assert_eq!(report.left[0].events(), 3);
    for (tag, attempts) in [("3", 1), ("4", 0), ("5", 0)] {
        let letter = letters.recv().await.unwrap();
        assert_eq!(letter.reason, Reason::Shutdown);
        assert_eq!((letter.event.tag(), letter.attempts), (tag, attempts));
    }
}

/// An expired token refuses everything. Batches stay whole, and the endpoint as a
/// whole waits: the attempts are those of one event, whatever there is to do.
#[tokio::test(start_paused = true)]
async fn a_401_for_everything_causes_no_storm() {
    for batch in [1, 100] {
        for concurrency in [1, 8] {
            let (endpoint, log) = endpoint(|_, _| Reply::Status(401));
            let endpoint = endpoint.batch(Batch::of(batch)).concurrency(concurrency);
            let (notifier, mut letters) = with_letters(endpoint);
            for repository in 0..100 {
                write(&notifier, &format!("r{repository}"), 0..10).await;
            }
            sleep(HOUR).await;
            let attempts = log.got().len();
            // An attempt every 150 s on average, and those until the cap is reached.
            assert!(
                (10..=100).contains(&attempts),
                "{attempts} attempts in an hour"
            );
            let now = status(&notifier);
            assert_eq!((now.pending, now.dead_letters), (1000, 0));
            assert_eq!(now.statuses["401 Unauthorized"], attempts as u64);
            assert!(letters.try_recv().is_none());
        }
    }
}

/// Only what says that an event is at fault.
#[tokio::test(start_paused = true)]
async fn batches_are_split_and_events_rejected_by_four_statuses_only() {
    for code in 400..=599 {
        let rejects = [400, 413, 415, 422].contains(&code);
        let (endpoint, log) = endpoint(move |n, events| {
            let bad = events.iter().any(|event| event == "bad/0");
            match bad && (rejects || n < 5) {
                true => Reply::Status(code),
                false => Reply::Status(200),
            }
        });
        let (notifier, mut letters) = with_letters(endpoint.batch(Batch::of(3)));
        for repository in ["a", "bad", "b"] {
            write(&notifier, repository, 0..1).await;
        }
        if code == 410 {
            sleep(MINUTE).await;
            assert_eq!(status(&notifier).state, EndpointState::Disabled);
            continue;
        }
        assert!(notifier.shutdown(24 * HOUR).await.is_drained());
        let accepted = log.accepted();
        let letter = letters.try_recv().map(|letter| letter.reason);
        if rejects {
            assert_eq!(letter, Some(Reason::Rejected), "{code}");
            assert_eq!(accepted, ["a/0", "b/0"], "{code}");
        } else {
            assert_eq!(letter, None, "{code}");
            assert_eq!(accepted.len(), 3, "{code}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_status_means_what_the_endpoint_says() {
    let (endpoint, log) = endpoint(|n, _| Reply::Status([409, 404, 302, 503, 200, 410][n]));
    let endpoint = endpoint
        .on_status(409, StatusMeaning::Accept)
        .on_status(404, StatusMeaning::Reject)
        .on_status(300..=399, StatusMeaning::Accept)
        .on_status(410, StatusMeaning::Accept);
    let (notifier, mut letters) = with_letters(endpoint);
    write(&notifier, "a", 0..5).await;
    assert!(notifier.shutdown(HOUR).await.is_drained());
    assert_eq!(log.got().len(), 6);
    let letter = letters.try_recv().unwrap();
    assert_eq!(letter.error.as_deref(), Some("404 Not Found"));
    let now = status(&notifier);
    assert_eq!((now.successes, now.failures, now.dead_letters), (4, 2, 1));
    let statuses = now.settings["on_status"].as_array().unwrap().iter();
    let statuses: Vec<_> = statuses.map(|rule| &rule["statuses"]).collect();
    assert_eq!(statuses, ["409", "404", "300-399", "410"]);
}
