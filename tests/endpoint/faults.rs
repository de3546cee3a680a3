//! Receivers that fail, in all the ways that they do: nothing is lost, nothing
//! blocked, order kept.

use std::time::Duration;

use tokio::time::sleep;
use tower_registry_notifications::dead_letter::{DeadLetterChannel, DeadLetters, Reason};
use tower_registry_notifications::endpoint::{
    Backoff, Batch, Breaker, EndpointState, EndpointStatus, StatusMeaning,
};
use tower_registry_notifications::sink::Sink as _;
use tower_registry_notifications::{Endpoint, Notifier};

use crate::common::scripted::{Log, Reply, event, scripted};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// An endpoint whose receiver follows the script, and what that saw.
fn endpoint(script: impl Fn(usize, &[String]) -> Reply + Send + Sync + 'static) -> (Endpoint, Log) {
    let (client, log) = scripted(script);
    let endpoint = Endpoint::new("e", "http://receiver").client(client);
    (endpoint.timeout(SECOND), log)
}

fn notifier(endpoint: Endpoint) -> Notifier {
    Notifier::builder().endpoint(endpoint).build().unwrap()
}

fn with_letters(endpoint: Endpoint) -> (Notifier, DeadLetters) {
    let (channel, letters) = DeadLetterChannel::new(1000);
    (notifier(endpoint.dead_letters(channel)), letters)
}

async fn write(notifier: &Notifier, repository: &str, tags: std::ops::Range<usize>) {
    for tag in tags {
        notifier
            .sink()
            .write(&event(repository, tag))
            .await
            .unwrap();
    }
}

fn status(notifier: &Notifier) -> EndpointStatus {
    notifier.status().endpoints.remove(0)
}

fn names(repository: &str, tags: std::ops::Range<usize>) -> Vec<String> {
    tags.map(|tag| format!("{repository}/{tag}")).collect()
}

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
