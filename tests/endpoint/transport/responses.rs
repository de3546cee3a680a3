//! Responses that are malformed, endless or too large.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use tower_registry_notifications::endpoint::Backoff;

use super::*;

/// A receiver that is broken, what the status says, and what it is once it is
/// repaired.
#[tokio::test]
async fn a_broken_receiver_is_an_error_of_the_attempt_and_loses_nothing() {
    let (right, wrong) = (Authority::new("right"), Authority::new("wrong"));
    let good = right.issue("localhost", 4000);
    let tls = |issued: &Issued| Behaviour::Tls(issued.server(None, "h2"), Answer::default());
    let raw =
        |once: &str, ever: &str| Behaviour::Raw(once.to_owned().into(), ever.to_owned().into());
    for (scheme, broken, words) in [
        (
            "https",
            tls(&wrong.issue("localhost", 4000)),
            &["UnknownIssuer"][..],
        ),
        (
            "https",
            tls(&right.issue("localhost", 2020)),
            &["certificate expired"],
        ),
        (
            "https",
            tls(&right.issue("elsewhere", 4000)),
            &["not valid for name \"localhost\""],
        ),
        (
            "https",
            Behaviour::Tls(good.server(Some(&wrong), "h2"), Answer::default()),
            &["CertificateRequired", "reset", "closed"],
        ),
        (
            "https",
            raw("HTTP/1.1 200 OK\r\n\r\n", ""),
            &["corrupt message"],
        ),
        ("https", raw("", ""), &["eof"]),
        (
            "http",
            raw("SSH-2.0-OpenSSH_9.6\r\n", ""),
            &["invalid HTTP version"],
        ),
        (
            "http",
            raw("\0\u{1}\u{2}garbage\r\n\r\n", ""),
            &["invalid HTTP"],
        ),
        ("http", raw("", ""), &["connection closed", "reset"]),
        (
            "http",
            raw("HTTP/1.1 99 No\r\n\r\n", ""),
            &["invalid HTTP status"],
        ),
        (
            "http",
            raw("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 20", ""),
            &["connection closed", "reset"],
        ),
    ] {
        let mut receiver = Receiver::new(broken).await;
        let mut endpoint = endpoint(receiver.url(scheme));
        let mut repaired = Behaviour::Http(Answer::default());
        if scheme == "https" {
            endpoint = endpoint.root_certificates(right.pem()).system_roots(false);
            repaired = tls(&good);
        }
        let notifier = notifier(endpoint);
        let written = write(&notifier, 3).await;
        let failing = until(&notifier, |it| it.errors >= 3).await;
        let error = failing.last_error.unwrap();
        assert!(
            words.iter().any(|it| error.contains(it)),
            "{words:?}: {error}"
        );
        assert_eq!((failing.successes, failing.pending), (0, 3));
        receiver.conduct.send_replace(repaired);
        let seen: Vec<_> = receiver.next(3).await.into_iter().map(|it| it.id).collect();
        assert_eq!(seen, written, "{words:?}");
        assert!(notifier.shutdown(MINUTE).await.is_drained());
        let status = status(&notifier);
        assert_eq!((status.successes, status.failures), (3, 0), "{words:?}");
        assert!(receiver.seen.try_recv().is_err(), "posted again");
    }
}

/// What may stand after a status line, and what repeats after that.
fn malformed() -> Vec<(String, String)> {
    let fields = |n: usize| (0..n).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    let once = |text: &str| (text.to_owned(), String::new());
    let filler = format!("x-filler: {}\r\n", "y".repeat(1000));
    vec![
        once("no field\r\ncontent-length: 0\r\n\r\n"),
        once("bad\u{1}name: x\r\ncontent-length: 0\r\n\r\n"),
        once("x: bad\u{0}value\r\ncontent-length: 0\r\n\r\n"),
        once(": x\r\ncontent-length: 0\r\n\r\n"),
        once("x : y\r\n folded\r\ncontent-length: 0\r\n\r\n"),
        once("retry-after: \u{e9}\r\ncontent-length: 0\r\n\r\n"),
        once("content-length: soon\r\n\r\n"),
        once("content-length: -1\r\n\r\n"),
        once("content-length: 99999999999999999999999\r\n\r\n"),
        once("content-length: 1\r\ncontent-length: 2\r\n\r\nxx"),
        once("content-length: 100\r\n\r\nless"),
        once("transfer-encoding: chunked\r\n\r\nno size\r\n"),
        once("transfer-encoding: chunked\r\n\r\nffffffffffffffffffff\r\n"),
        once("transfer-encoding: chunked\r\n\r\n5\r\nab"),
        once("transfer-encoding: x\r\ncontent-length: 3\r\n\r\nabc"),
        once(""),
        once("content-le"),
        once(&format!("{}content-length: 0\r\n\r\n", fields(200))),
        once(&format!("{}content-length: 0\r\n\r\n", fields(2000))),
        once(&format!("x-long: {}\r\n\r\n", "y".repeat(200 << 10))),
        (String::new(), filler),
        (String::new(), "y".into()),
    ]
}

/// A receiver that has said 200 has the event: it is not posted again, whatever
/// else is wrong with the response.
#[tokio::test]
async fn the_status_of_a_malformed_response_decides() {
    for (once, ever) in malformed() {
        for (line, counts) in [
            ("HTTP/1.1 200 OK\r\n", (3, 0, 0)),
            (
                "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.0 204 None\r\n",
                (3, 0, 0),
            ),
            ("HTTP/1.1 400 Bad Request\r\n", (0, 3, 3)),
        ] {
            let raw = Behaviour::Raw(format!("{line}{once}").into(), ever.clone().into());
            let receiver = Receiver::new(raw).await;
            let notifier = notifier(endpoint(receiver.url("http")).retry(Backoff::new()));
            write(&notifier, 3).await;
            assert!(notifier.shutdown(MINUTE).await.is_drained());
            let status = status(&notifier);
            let counted = (status.successes, status.failures, status.dead_letters);
            let told = once.chars().take(60).collect::<String>();
            assert_eq!(
                counted, counts,
                "{line:?} {told:?}: {:?}",
                status.last_error
            );
            assert_eq!(
                status.errors, 0,
                "{line:?} {told:?}: {:?}",
                status.last_error
            );
        }
    }
}

/// A line that is no header field costs nothing but itself. (A NUL in a value ends
/// the parsing: then there is only the status.)
#[tokio::test]
async fn the_fields_beside_a_malformed_one_are_read() {
    for line in ["no field", "bad\u{1}name: x", ": x", "x : y\r\n folded"] {
        let head = format!("HTTP/1.1 503 No\r\n{line}\r\nretry-after: 60\r\n");
        let raw = Behaviour::Raw(
            format!("{head}content-length: 0\r\n\r\n").into(),
            Bytes::new(),
        );
        let receiver = Receiver::new(raw).await;
        let notifier = notifier(endpoint(receiver.url("http")).retry(Backoff::new()));
        write(&notifier, 1).await;
        let failing = until(&notifier, |it| it.failures > 0).await;
        let pause = failing.next_attempt.unwrap_or_default();
        assert!(pause > Duration::from_secs(50), "{line:?}: {pause:?}");
        assert_eq!((failing.failures, failing.errors), (1, 0), "{line:?}");
    }
}

#[tokio::test]
async fn only_a_long_response_body_costs_the_connection() {
    for (length, connections) in [(0, 1), (1, 1), (60 << 10, 1), (4 << 20, 5)] {
        let mut receiver = Receiver::new(Behaviour::Http(Answer(0, length))).await;
        let notifier = notifier(endpoint(receiver.url("http")));
        write(&notifier, 5).await;
        assert!(notifier.shutdown(MINUTE).await.is_drained());
        let seen = receiver.next(5).await;
        let peers: HashSet<_> = seen.iter().map(|it| it.peer).collect();
        assert_eq!(peers.len(), connections, "{length}");
        assert_eq!(status(&notifier).errors, 0);
    }
}

#[tokio::test]
async fn headers_over_http_2_are_bounded_too() {
    let authority = Authority::new("private");
    let config = authority.issue("localhost", 4000).server(None, "h2");
    for (length, taken) in [(60_000, true), (200 << 10, false)] {
        let conduct = Behaviour::Tls(config.clone(), Answer(length, 0));
        let mut receiver = Receiver::new(conduct).await;
        let endpoint = endpoint(receiver.url("https")).root_certificates(authority.pem());
        let notifier = notifier(endpoint);
        write(&notifier, 1).await;
        receiver.next(1).await;
        let status = until(&notifier, |it| it.successes + it.errors > 0).await;
        assert_eq!(status.successes > 0, taken, "{status:?}");
    }
}

#[tokio::test]
async fn endless_informational_responses_time_out() {
    let raw = Behaviour::Raw(Bytes::new(), Bytes::from("HTTP/1.1 100 Continue\r\n\r\n"));
    let mut receiver = Receiver::new(raw).await;
    let endpoint = endpoint(receiver.url("http")).timeout(Duration::from_millis(200));
    let notifier = notifier(endpoint);
    let written = write(&notifier, 1).await;
    let failing = until(&notifier, |it| it.errors > 0).await;
    assert_eq!(failing.last_error.unwrap(), "no response within 200ms");
    receiver
        .conduct
        .send_replace(Behaviour::Http(Answer::default()));
    assert_eq!(receiver.next(1).await[0].id, written[0]);
}

#[tokio::test]
async fn a_response_with_a_broken_body_is_not_retried() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n";
    // Broken off, and never ending.
    for (body, ever) in [("some", ""), ("", "more")] {
        let raw = Behaviour::Raw(format!("{head}{body}").into(), ever.to_owned().into());
        let receiver = Receiver::new(raw).await;
        let notifier = notifier(endpoint(receiver.url("http")));
        write(&notifier, 3).await;
        assert!(notifier.shutdown(MINUTE).await.is_drained());
        let status = status(&notifier);
        assert_eq!((status.successes, status.errors), (3, 0), "{body:?}");
    }
}
