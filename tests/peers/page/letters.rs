//! The table of dead letters.

use http::{Method, Response};
use tower_registry_notifications::Endpoint;
use tower_registry_notifications::event::Envelope;
use tower_registry_notifications::journal::Journal;
use tower_registry_notifications::sink::Sink as _;

use crate::chromium::Chromium;
use crate::common;
use crate::stage::{SECOND, Stage, expression, notifier, request};

fn event_id(body: &[u8]) -> String {
    let mut envelope: Envelope = serde_json::from_slice(body).unwrap();
    envelope.events.remove(0).id.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_sent_again_and_another_is_purged() {
    let status = |n: usize| Response::builder().status(if n < 2 { 422 } else { 200 });
    let (port, mut received) = common::receiver(Box::new(status)).await;
    let url = format!("http://127.0.0.1:{port}/events");
    let stage = Stage::new(vec![Endpoint::new("scanner", url)], true).await;
    let mut browser = Chromium::start("none.example").await;
    browser.open(&stage.url()).await;
    stage.push("v1", "alice").await;
    stage.push("v2", "alice").await;
    let ids: Vec<_> = [received.recv().await, received.recv().await]
        .map(|got| event_id(&got.unwrap().body))
        .into();
    browser
        .until("document.querySelectorAll('#letters tr').length === 2")
        .await;
    let letter = browser
        .eval("document.querySelectorAll('#letters tr')[0].innerText")
        .await;
    let letter = letter.as_str().unwrap();
    for words in [
        "push",
        "v1",
        "scanner",
        "rejected",
        "422 Unprocessable Entity",
        "Send again",
    ] {
        assert!(letter.contains(words), "{words}: {letter}");
    }
    println!("saw the letter: {}", letter.replace('\n', " "));
    let click =
        |what: &str| expression(&format!("#letters tr:first-child [data-do={what}]")) + ".click()";
    browser.eval(&click("send")).await;
    let again = received.recv().await.unwrap();
    assert_eq!(event_id(&again.body), ids[0]);
    browser
        .until("document.querySelectorAll('#letters tr').length === 1")
        .await;
    browser.eval(&click("purge")).await;
    browser
        .until("document.querySelectorAll('#letters tr').length === 0")
        .await;
    let shown = browser
        .eval("document.getElementById('letter-actions').checkVisibility()")
        .await;
    assert_eq!(shown, false, "there is nothing left to send or purge");
    let status = stage.notifier.status().endpoints.remove(0);
    assert_eq!((status.successes, status.dead_letters), (1, 2));
    assert!(received.try_recv().is_err(), "a purged letter was sent");
    println!(
        "saw it sent again with its id {}, and the other one purged",
        ids[0]
    );
    stage.notifier.shutdown(SECOND).await;
}

/// The letters of a journal outlive the process that wrote them, and the configuration
/// of their endpoint.
#[tokio::test(flavor = "multi_thread")]
async fn letters_of_a_journal_are_listed_sent_again_and_purged() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notifications");
    let status = |n: usize| Response::builder().status(if n < 3 { 422 } else { 200 });
    let (port, mut received) = common::receiver(Box::new(status)).await;
    let url = format!("http://127.0.0.1:{port}/events");
    let builder = |names: &[&str]| {
        let endpoints = names.iter().map(|name| Endpoint::new(*name, &url));
        notifier(endpoints.collect()).journal(Journal::open(&file).unwrap())
    };
    // An earlier process, with an endpoint that is no longer configured.
    let earlier = builder(&["scanner", "old"]).build().unwrap();
    let event = common::scripted::event("demo/hello", "v1");
    earlier.sink().write(&event).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.push(event_id(&received.recv().await.unwrap().body));
    }
    assert_eq!(ids[0], ids[1]);
    assert!(earlier.shutdown(SECOND).await.is_drained());
    drop(earlier);

    let stage = Stage::of(builder(&["scanner"]), true).await;
    let mut browser = Chromium::start("none.example").await;
    browser.open(&stage.url()).await;
    browser
        .until("document.querySelectorAll('#letters tr').length === 2")
        .await;
    stage.push("v2", "alice").await;
    ids.push(event_id(&received.recv().await.unwrap().body));
    browser
        .until("document.querySelectorAll('#letters tr').length === 3")
        .await;
    let text = browser
        .eval("document.getElementById('letter-table').innerText")
        .await;
    let text = text.as_str().unwrap();
    for words in [
        "v1",
        "v2",
        "old",
        "scanner",
        "rejected",
        "422",
        "push of a manifest",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    println!(
        "saw the letters of the journal: {}",
        text.replace('\n', " ")
    );

    let press = |row: &str, what: &str| {
        let rows = "[...document.querySelectorAll('#letters tr')]";
        format!(
            "{rows}.find((it) => it.innerText.includes('{row}')).querySelector('[data-do={what}]').click()"
        )
    };
    // That endpoint is not there: the letter stays.
    browser.eval(&press("old", "send")).await;
    browser
        .until("document.getElementById('trouble').innerText === 'not sent: no endpoint named old is configured'")
        .await;
    browser.eval(&press("v2", "send")).await;
    let again = received.recv().await.unwrap();
    assert_eq!(event_id(&again.body), ids[2]);
    browser
        .until("document.querySelectorAll('#letters tr').length === 2")
        .await;
    browser.eval(&press("old", "purge")).await;
    browser
        .until("document.querySelectorAll('#letters tr').length === 1")
        .await;
    browser
        .eval("document.getElementById('send-all').click()")
        .await;
    let again = received.recv().await.unwrap();
    assert_eq!(event_id(&again.body), ids[0]);
    browser
        .until("document.getElementById('no-letters').checkVisibility()")
        .await;
    assert_eq!(browser.errors().len(), 1, "{:?}", browser.errors());
    let journal = stage.notifier.status().journal.unwrap();
    assert_eq!((journal.dead_letters, journal.error), (0, None));
    stage.notifier.shutdown(SECOND).await;
}

/// Two requests at a time send a letter once.
#[tokio::test(flavor = "multi_thread")]
async fn a_letter_of_a_journal_is_sent_once_however_often_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let status = |n: usize| Response::builder().status(if n == 0 { 422 } else { 200 });
    let (port, mut received) = common::receiver(Box::new(status)).await;
    let url = format!("http://127.0.0.1:{port}/events");
    let journal = Journal::open(folder.path().join("notifications")).unwrap();
    let builder = notifier(vec![Endpoint::new("scanner", url)]).journal(journal);
    let stage = Stage::of(builder, true).await;
    stage.push("v1", "alice").await;
    received.recv().await.unwrap();
    while stage.notifier.status().journal.unwrap().dead_letters == 0 {
        tokio::task::yield_now().await;
    }
    let admin = [("x-notifications-admin", "1")];
    let paths = ["send", "1/send", "send", "1/send", "0/send", "send"];
    let paths = paths.map(|it| format!("admin/letters/{it}"));
    let all = paths
        .iter()
        .map(|path| request(&stage, Method::POST, path, &admin));
    let answers = futures_util::future::join_all(all).await;
    received.recv().await.unwrap();
    assert!(stage.notifier.shutdown(SECOND).await.is_drained());
    assert!(received.try_recv().is_err(), "{answers:?}");
    assert_eq!(stage.notifier.status().endpoints[0].successes, 1);
}
