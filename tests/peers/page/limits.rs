//! What clients of the page can use up.

use std::time::Duration;

use examples::admin::Admin;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tower_registry_notifications::Notifier;

use crate::stage::{SECOND, Stage, request, send};

/// Sends a request and returns the connection with the beginning of the response.
async fn ask(stage: &Stage, head: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(stage.page).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    (stream, answer)
}

fn events(stage: &Stage) -> String {
    format!("GET /debug/events HTTP/1.1\r\nhost: {}\r\n\r\n", stage.page)
}

/// A thousand clients want the stream of events: some get it, and neither they nor the
/// others keep anybody from looking at the status.
#[tokio::test(flavor = "multi_thread")]
async fn streams_of_events_are_bounded_and_others_are_still_served() {
    let stage = Stage::new(vec![], false).await;
    let mut open = Vec::new();
    let mut refused = 0;
    for _ in 0..1000 {
        let (stream, answer) = ask(&stage, &events(&stage)).await;
        match answer {
            answer if answer.starts_with("HTTP/1.1 200 ") => open.push(stream),
            answer if answer.starts_with("HTTP/1.1 503 ") => {
                assert!(answer.contains("connection: close"), "{answer}");
                refused += 1;
            }
            answer => panic!("{answer}"),
        }
    }
    println!(
        "of 1000 clients {} have a stream, {refused} were refused",
        open.len()
    );
    assert_eq!((open.len(), refused), (64, 936));
    let status = request(&stage, Method::GET, "debug/notifications", &[]).await;
    assert_eq!(status.0, StatusCode::OK);
    drop(open);
    // The server learns of it a moment later.
    while !ask(&stage, &events(&stage)).await.1.contains(" 200 OK") {
        tokio::task::yield_now().await;
    }
    stage.notifier.shutdown(SECOND).await;
}

/// The clock is paused: the time passes at once.
#[tokio::test(start_paused = true)]
async fn a_client_that_sends_nothing_is_hung_up_on() {
    let stage = Stage::new(vec![], false).await;
    let start = tokio::time::Instant::now();
    for head in ["", "GET / HT", "GET / HTTP/1.1\r\nhost: x\r\n"] {
        let mut stream = TcpStream::connect(stage.page).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        // It may be reset.
        let _ended = stream.read_to_end(&mut rest).await;
        let rest = String::from_utf8_lossy(&rest).into_owned();
        assert!(!rest.contains("200"), "{rest}");
    }
    assert!(
        start.elapsed() < Duration::from_secs(120),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_request_that_is_too_long_is_refused() {
    let stage = Stage::new(vec![], false).await;
    for length in [60_000, 1_000_000] {
        let query = "q".repeat(length);
        let head = format!("GET /?{query} HTTP/1.1\r\nhost: {}\r\n\r\n", stage.page);
        let mut stream = TcpStream::connect(stage.page).await.unwrap();
        // The rest may not be read.
        let _refused = stream.write_all(head.as_bytes()).await;
        let mut answer = vec![0; 4096];
        let length = stream.read(&mut answer).await.unwrap_or_default();
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4");
        assert_eq!(refused, head.len() > 64 << 10, "{answer}");
    }
    let status = request(&stage, Method::GET, "debug/notifications", &[]).await;
    assert_eq!(status.0, StatusCode::OK);
}

/// Whatever is asked for in whatever way, nothing changes without `--admin`, and no
/// response lacks the policy.
#[tokio::test]
async fn other_methods_and_odd_requests_change_nothing() {
    let stage = Stage::new(vec![], false).await;
    let host = stage.page;
    for (line, wanted) in [
        ("HEAD / HTTP/1.1", "200"),
        ("HEAD /debug/events HTTP/1.1", "200"),
        ("GET /nothing HTTP/1.1", "404"),
        ("GET /../../etc/passwd HTTP/1.1", "404"),
        ("GET //evil.example/ HTTP/1.1", "404"),
        ("GET http://evil.example/ HTTP/1.1", "200"),
        ("POST / HTTP/1.1", "403"),
        ("PUT /debug/letters HTTP/1.1", "403"),
        ("DELETE /debug/letters HTTP/1.1", "403"),
        ("OPTIONS /admin/letters/purge HTTP/1.1", "403"),
        ("TRACE / HTTP/1.1", "403"),
        ("GET /admin/letters/purge HTTP/1.1", "405"),
        ("BREW / HTTP/1.1", "403"),
        ("GET / HTTP/1.0", "200"),
        ("GET / HTTP/3.7", "400"),
    ] {
        let head = format!("{line}\r\nhost: {host}\r\ncontent-length: 0\r\n\r\n");
        let (_stream, answer) = ask(&stage, &head).await;
        let status = answer.split(' ').nth(1);
        assert_eq!(status, Some(wanted), "{line}: {answer}");
        if wanted != "400" {
            let policy = "content-security-policy: default-src 'none'; script-src 'sha256-";
            assert!(answer.contains(policy), "{line}: {answer}");
        }
    }
    for hosts in [
        "",
        "host: a\r\nhost: b\r\n",
        "host: \r\n",
        "host: a b\r\n",
        "host: u@127.0.0.1\r\n",
    ] {
        let (_stream, answer) = ask(&stage, &format!("GET / HTTP/1.1\r\n{hosts}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{hosts}: {answer}");
    }
    for (host, wanted) in [
        ("localhost", "200"),
        ("LOCALHOST:5080", "200"),
        ("[::1]:5080", "200"),
        ("192.0.2.7", "200"),
        ("localhost.evil.example", "403"),
        ("127.0.0.1.nip.io", "403"),
        ("0x7f.1", "403"),
        ("evil.example", "403"),
    ] {
        let (_stream, answer) =
            ask(&stage, &format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
        assert_eq!(answer.split(' ').nth(1), Some(wanted), "{host}: {answer}");
    }
}

#[tokio::test]
async fn every_documented_path_is_served() {
    let stage = Stage::new(vec![], false).await;
    let docs = include_str!("../../../docs/page.md").lines();
    let rows = docs.filter_map(|line| line.strip_prefix("| `/"));
    let paths: Vec<_> = rows.filter_map(|row| row.split('`').next()).collect();
    assert_eq!(paths.len(), 5);
    for path in paths {
        let got = request(&stage, Method::HEAD, path, &[]).await;
        assert_eq!(got.0, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn without_a_recorder_metrics_say_what_is_missing() {
    let notifier = Notifier::builder().build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    Admin::default().serve(listener, notifier, None, false);
    let request = Request::get(format!("http://{address}/metrics"));
    let (status, text) = send(request.body(Full::default()).unwrap()).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(text.contains("--features prometheus"), "{text}");
}

/// The stream of events that a page gets after this event, until `word` has come.
async fn stream_after(stage: &Stage, last: &str, word: &str) -> String {
    let head = format!(
        "GET /debug/events HTTP/1.1\r\nhost: {}\r\nlast-event-id: {last}\r\n\r\n",
        stage.page
    );
    let (mut stream, mut text) = ask(stage, &head).await;
    while !text.contains(word) {
        let mut more = vec![0; 4096];
        let length = stream.read(&mut more).await.unwrap();
        assert!(length > 0, "it ended without {word}: {text}");
        text += &String::from_utf8_lossy(&more[..length]);
    }
    text
}

#[tokio::test]
async fn a_page_that_reconnects_goes_on_where_it_was() {
    let stage = Stage::new(vec![], false).await;
    for tag in ["one", "two", "three"] {
        stage.push(tag, "alice").await;
    }
    let all = stream_after(&stage, "", "three").await;
    let ids: Vec<_> = all
        .lines()
        .filter_map(|it| it.strip_prefix("id: "))
        .collect();
    assert_eq!(ids.len(), 3, "{all}");
    let rest = stream_after(&stage, ids[1], "three").await;
    assert!(!rest.contains("\"two\""), "{rest}");
    // What another process numbered says nothing here, and neither does nonsense.
    let (start, _) = ids[0].split_once('-').unwrap();
    let [beyond, most] = [4, u64::MAX].map(|number| format!("{start}-{number}"));
    for last in ["1-2", "-", "x", &beyond, &most] {
        let all = stream_after(&stage, last, "three").await;
        assert!(all.contains("\"one\""), "{last}: {all}");
    }
    // More were missed than are kept.
    for number in 0..510 {
        stage.push(&format!("v{number}"), "alice").await;
    }
    let rest = stream_after(&stage, ids[1], "\"v509\"").await;
    assert!(rest.contains("event: gap"), "{rest}");
    stage.notifier.shutdown(SECOND).await;
}
