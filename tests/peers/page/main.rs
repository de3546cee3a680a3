//! The page of the examples in a real browser, Debian's Chromium without a
//! window: what it shows, and what other sites can do to it.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod chromium;
#[path = "../../common/mod.rs"]
mod common;
mod limits;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use examples::admin::{Admin, Section};
use examples::image::{Image, MANIFEST};
use examples::registry;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_registry_notifications::endpoint::Backoff;
use tower_registry_notifications::event::Envelope;
use tower_registry_notifications::journal::Journal;
use tower_registry_notifications::sink::Sink as _;
use tower_registry_notifications::{Endpoint, Notifier, NotifierBuilder};

use crate::chromium::Chromium;

const SECOND: Duration = Duration::from_secs(1);

/// A registry with one image, and its page.
struct Stage {
    registry: SocketAddr,
    page: SocketAddr,
    notifier: Notifier,
}

impl Stage {
    async fn new(endpoints: Vec<Endpoint>, writable: bool) -> Self {
        Self::of(notifier(endpoints), writable).await
    }

    async fn of(notifier: NotifierBuilder, writable: bool) -> Self {
        let recorder = PrometheusBuilder::new().build_recorder().handle();
        let mut admin = Admin::default().with_metrics(move || recorder.render());
        let notifier = admin.watch(notifier).build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let page = listener.local_addr().unwrap();
        admin.serve(listener, notifier.clone(), None, writable);

        let image = Image::new("amd64", "hello.txt", b"hello").unwrap();
        let registry = registry::empty();
        registry::seed(&registry, "demo/hello", "latest", &image)
            .await
            .unwrap();
        let app = ferro_oci_server::router(registry);
        let app = registry::with_notifications(app, notifier.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let registry = listener.local_addr().unwrap();
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(axum::serve(listener, app).into_future());
        Self {
            registry,
            page,
            notifier,
        }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.page)
    }

    /// Pushes the image again under this tag, as this user.
    async fn push(&self, tag: &str, user: &str) {
        let image = Image::new("amd64", "hello.txt", b"hello").unwrap();
        let url = format!("http://{}/v2/demo/hello/manifests/{tag}", self.registry);
        let credentials = STANDARD.encode(format!("{user}:secret"));
        let request = Request::put(url)
            .header("content-type", MANIFEST)
            .header("authorization", format!("Basic {credentials}"))
            .body(Full::from(image.manifest.bytes.clone()))
            .unwrap();
        assert_eq!(send(request).await.0, StatusCode::CREATED);
    }
}

/// A builder with endpoints that try again soon.
fn notifier(endpoints: Vec<Endpoint>) -> NotifierBuilder {
    let backoff = Backoff::new().base(SECOND / 10).cap(SECOND / 10);
    let retrying = endpoints.into_iter().map(|it| it.retry(backoff.clone()));
    retrying.fold(Notifier::builder(), NotifierBuilder::endpoint)
}

async fn send(request: Request<Full<Bytes>>) -> (StatusCode, String) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let (head, body) = client.request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, String::from_utf8(body.to_vec()).unwrap())
}

fn now() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs_f64() * 1000.0
}

fn expression(selector: &str) -> String {
    format!("document.querySelector({})", json!(selector))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_appears_within_a_second() {
    let stage = Stage::new(vec![], false).await;
    let mut browser = Chromium::start("none.example").await;
    let text = browser.open(&stage.url()).await;
    assert!(
        text.contains("No endpoint is configured") || text.contains("Loading"),
        "{text}"
    );
    browser
        .until("document.getElementById('live').textContent === 'live'")
        .await;
    browser
        .eval(
            "window.seen = until(() => [...document.querySelectorAll('#events tr')] \
               .some((row) => row.innerText.includes('v1'))).then(() => Date.now()); 1",
        )
        .await;
    stage.push("v1", "alice").await;
    let pushed = now();
    let seen = browser.eval("window.seen").await.as_f64().unwrap();
    println!("saw the push {:.0} ms after its response", seen - pushed);
    assert!(seen - pushed < 1000.0, "{} ms", seen - pushed);
    let row = browser
        .eval("document.querySelector('#events tr').innerText")
        .await;
    let row = row.as_str().unwrap();
    for word in ["push", "demo/hello", "v1", "manifest", "alice"] {
        assert!(row.contains(word), "{word}: {row}");
    }
    browser
        .until(
            "document.querySelector('#emitted [data-action=push]').innerText.startsWith('1 push')",
        )
        .await;
    assert_eq!(browser.errors(), [""; 0]);
    stage.notifier.shutdown(SECOND).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_an_event_becomes_html_and_filters_select_events() {
    let stage = Stage::new(vec![], false).await;
    let hostile =
        "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>";
    // Before the page is opened: it shows what was there.
    stage.push("v1", hostile).await;
    stage.push("v2", "bob").await;
    let mut browser = Chromium::start("none.example").await;
    browser.open(&stage.url()).await;
    browser
        .until("document.querySelectorAll('#events tr').length === 2")
        .await;
    let shown = browser
        .eval("document.querySelectorAll('#events tr')[1].cells[4].textContent")
        .await;
    assert_eq!(shown, hostile);
    assert_eq!(browser.eval("document.images.length").await, 0);
    assert_eq!(
        browser.eval("document.title").await,
        "Registry notifications"
    );
    // The policy keeps to it, whatever the script did.
    for attempt in [
        "document.body.innerHTML = '<b>x</b>'",
        "document.body.setAttribute('onclick', 'alert(1)')",
        "document.createElement('script').textContent = 'alert(1)'",
    ] {
        let caught = format!(
            "(() => {{ try {{ {attempt}; return ''; }} catch (error) {{ return error.name; }} }})()"
        );
        assert_eq!(browser.eval(&caught).await, "TypeError", "{attempt}");
    }

    let mut visible = async |input: &str, value: &str| {
        browser
            .eval(&format!(
                "(() => {{ const it = document.getElementById('{input}'); it.value = '{value}'; \
                 it.dispatchEvent(new Event('input')); \
                 return [...document.querySelectorAll('#events tr')].filter((row) => !row.hidden).length; }})()"
            ))
            .await
    };
    assert_eq!(visible("actor", "BOB").await, 1);
    assert_eq!(visible("actor", "").await, 2);
    assert_eq!(visible("repository", "hello").await, 2);
    assert_eq!(visible("repository", "other").await, 0);
    assert_eq!(visible("repository", "").await, 2);
    assert_eq!(visible("action", "delete").await, 0);
    assert_eq!(visible("action", "push").await, 2);
    println!("saw the hostile name as text, and one of two events with actor bob");
    stage.notifier.shutdown(SECOND).await;
}

/// A name that writes from right to left, or is as long as may be, changes nothing of
/// what stands beside it.
#[tokio::test(flavor = "multi_thread")]
async fn odd_names_are_shown_as_they_are() {
    let stage = Stage::new(vec![], false).await;
    let long = "a".repeat(255);
    let turned = "user\u{202e}nimda\u{2066}\u{200b}\"quoted\"";
    stage.push("v1", turned).await;
    stage.push("v2", &long).await;
    let mut browser = Chromium::start("none.example").await;
    let phone = json!({ "width": 390, "height": 740, "deviceScaleFactor": 2, "mobile": true });
    browser
        .call("Emulation.setDeviceMetricsOverride", phone)
        .await;
    browser.open(&stage.url()).await;
    browser
        .until("document.querySelectorAll('#events tr').length === 2")
        .await;
    let shown = browser
        .eval("document.querySelectorAll('#events tr')[1].cells[4].innerText")
        .await;
    assert_eq!(shown, "user\\u202enimda\\u2066\\u200b\"quoted\"");
    // Whatever the names are, nothing is out of sight.
    for width in [390, 1280] {
        let device =
            json!({ "width": width, "height": 740, "deviceScaleFactor": 1, "mobile": true });
        browser
            .call("Emulation.setDeviceMetricsOverride", device)
            .await;
        let page = browser.eval("document.documentElement.scrollWidth").await;
        assert_eq!(page, width);
        let right = browser.eval(RIGHTMOST).await.as_f64().unwrap();
        println!("saw nothing beyond {right} of {width} pixels");
        assert!(right <= width.into(), "{right} of {width}");
        let height = browser
            .eval("Math.max(...[...document.querySelectorAll('#events tr')].map((it) => it.offsetHeight))")
            .await;
        assert!(height.as_i64().unwrap() < 150, "{height}");
    }
    stage.notifier.shutdown(SECOND).await;
}

/// Where the rightmost cell or button ends.
const RIGHTMOST: &str = "Math.max(...[...document.querySelectorAll('td, button, input')] \
    .map((it) => it.getBoundingClientRect().right))";

/// The page is made anew each second; what somebody selects or presses stays.
#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_selects_or_presses_outlives_a_refresh() {
    let (port, _received) = common::receiver(Box::new(|_| Response::builder().status(422))).await;
    let url = format!("http://127.0.0.1:{port}/events");
    let stage = Stage::new(vec![Endpoint::new("scanner", url)], true).await;
    stage.push("v1", "alice").await;
    let mut browser = Chromium::start("none.example").await;
    browser.open(&stage.url()).await;
    browser
        .until("document.querySelectorAll('#letters tr').length === 1")
        .await;
    browser
        .eval(
            "window.button = document.querySelector('#letters [data-do=send]'); \
             window.card = document.querySelector('[data-endpoint=scanner] .error'); \
             getSelection().selectAllChildren(card); 1",
        )
        .await;
    let selected = browser.eval("getSelection().toString()").await;
    let selected = selected.as_str().unwrap();
    assert!(selected.contains("422 Unprocessable Entity"), "{selected}");
    // Another letter, so that both the table and the card change.
    stage.push("v2", "alice").await;
    browser
        .until("document.querySelectorAll('#letters tr').length === 2")
        .await;
    browser
        .until("document.querySelector('[data-endpoint=scanner]').innerText.includes('422 Unprocessable Entity: 2')")
        .await;
    let kept = browser
        .eval(
            "[button.isConnected, button.closest('tr').innerText.includes('v1'), card.isConnected]",
        )
        .await;
    assert_eq!(kept, json!([true, true, true]));
    let selected = browser.eval("getSelection().toString()").await;
    let selected = selected.as_str().unwrap();
    assert!(selected.contains("422 Unprocessable Entity"), "{selected}");
    stage.notifier.shutdown(SECOND).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_receiver_turns_the_endpoint_red() {
    // A port that nobody listens on until the receiver comes back.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = port.local_addr().unwrap();
    drop(port);
    let url = format!("http://user:hush@{address}/events");
    let stage = Stage::new(vec![Endpoint::new("scanner", url)], false).await;
    let mut browser = Chromium::start("none.example").await;
    let light = json!({ "features": [{ "name": "prefers-color-scheme", "value": "light" }] });
    browser.call("Emulation.setEmulatedMedia", light).await;
    browser.open(&stage.url()).await;
    let card = expression("[data-endpoint=scanner]");
    let colour = format!("getComputedStyle({card}).borderLeftColor");
    browser
        .until(&format!("{card}?.dataset.state === 'delivering'"))
        .await;
    let green = browser.eval(&colour).await;
    stage.push("v1", "alice").await;
    browser
        .until(&format!("{card}?.dataset.state === 'failing'"))
        .await;
    let red = browser.eval(&colour).await;
    assert_eq!(
        (&green, &red),
        (&json!("rgb(26, 127, 75)"), &json!("rgb(194, 47, 47)"))
    );
    browser
        .until(&format!("{card}.innerText.includes('failing since')"))
        .await;
    let text = browser.eval(&format!("{card}.innerText")).await;
    let text = text.as_str().unwrap();
    for words in [
        "failing",
        "1 event",
        "next attempt",
        "Connection refused",
        "failed attempts",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains("hush"), "{text}");
    let bars = browser
        .until(&format!("{card}.querySelectorAll('rect.failed').length"))
        .await;
    println!("saw {green} become {red}, and {bars} bar of failures in the plot; it says:\n{text}");

    // On a phone in the dark nothing is wider than the screen.
    let dark = json!({ "features": [{ "name": "prefers-color-scheme", "value": "dark" }] });
    browser.call("Emulation.setEmulatedMedia", dark).await;
    let phone = json!({ "width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": true });
    browser
        .call("Emulation.setDeviceMetricsOverride", phone)
        .await;
    let width = browser.eval("document.documentElement.scrollWidth").await;
    let back = browser
        .eval("getComputedStyle(document.body).backgroundColor")
        .await;
    assert_eq!((width, back), (json!(360), json!("rgb(18, 22, 28)")));

    let listener = TcpListener::bind(address).await.unwrap();
    let receiver = axum::Router::new().fallback(async || StatusCode::OK);
    tokio::spawn(axum::serve(listener, receiver).into_future());
    browser
        .until(&format!("{card}?.dataset.state === 'delivering'"))
        .await;
    browser
        .until(&format!("{card}.querySelectorAll('rect.delivered').length"))
        .await;
    assert_eq!(browser.errors(), [""; 0]);
    stage.notifier.shutdown(SECOND).await;
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

/// What delivers events that others have accepted sees them nowhere but in a queue.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_a_worker_says_that_it_sees_no_events() {
    let mut admin = Admin::default();
    let notifier = admin.keep_letters(notifier(vec![])).build().unwrap();
    let lag =
        || json!({ "stream": "events", "lag": [{ "endpoint": "ci", "partitions": [null, 3] }] });
    admin.show(Section::new("jetstream", lag));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let page = listener.local_addr().unwrap();
    admin.serve(listener, notifier.clone(), None, false);
    let mut browser = Chromium::start("none.example").await;
    browser.open(&format!("http://{page}/")).await;
    let words = "This process delivers events that others have accepted";
    browser
        .until(&format!(
            "document.getElementById('no-events').innerText.startsWith('{words}')"
        ))
        .await;
    let hidden = browser
        .eval("document.getElementById('event-table').checkVisibility()")
        .await;
    assert_eq!(hidden, false);
    let section = browser
        .eval("document.querySelector('[data-section=jetstream]').innerText")
        .await;
    let section = section.as_str().unwrap().replace(char::is_whitespace, " ");
    assert!(section.starts_with("JetStream"), "{section}");
    assert!(section.contains("partitions –, 3"), "{section}");
    assert_eq!(browser.errors(), [""; 0]);
    notifier.shutdown(SECOND).await;
}

fn event_id(body: &[u8]) -> String {
    let mut envelope: Envelope = serde_json::from_slice(body).unwrap();
    envelope.events.remove(0).id.to_string()
}

/// A page of another site, in the same browser.
async fn other_site() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = hyper::service::service_fn(async |_| {
                let response = Response::builder().header("content-type", "text/html");
                let response = response.body(Full::<Bytes>::from("<p>another site"));
                Ok::<_, Infallible>(response.unwrap())
            });
            tokio::spawn(async move {
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                // A browser that closes a connection is no concern of the test.
                let _ = server.serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn other_sites_neither_read_nor_change_anything() {
    let (port, _received) = common::receiver(Box::new(|_| Response::builder().status(422))).await;
    let url = format!("http://127.0.0.1:{port}/events");
    let stage = Stage::new(vec![Endpoint::new("scanner", url)], true).await;
    stage.push("v1", "alice").await;
    let mut browser = Chromium::start("rebound.example").await;
    browser.open(&stage.url()).await;
    browser
        .until("document.querySelectorAll('#letters tr').length === 1")
        .await;

    let site = other_site().await;
    browser
        .open(&format!("http://localhost:{}/", site.port()))
        .await;
    let page = stage.url();
    // Nor does it hold a stream of events open.
    let outcome = browser
        .eval(&format!(
            "fetch('{page}debug/events', {{ mode: 'no-cors' }}).then((it) => it.text()).then((it) => it.length, (error) => error.name)"
        ))
        .await;
    println!("another site's stream of events came to {outcome}");
    for options in [
        "{ method: 'POST', mode: 'no-cors' }",
        "{ method: 'POST', mode: 'no-cors', credentials: 'include', body: 'x' }",
        "{ method: 'POST', headers: { 'x-notifications-admin': '1' } }",
        "{ method: 'GET' }",
    ] {
        let outcome = browser
            .eval(&format!(
                "fetch('{page}admin/letters/purge', {options}).then((it) => it.type, (error) => error.name)"
            ))
            .await;
        println!("another site's fetch with {options} came to {outcome}");
        assert!(
            ["opaque", "TypeError"].contains(&outcome.as_str().unwrap()),
            "{options}: {outcome}"
        );
    }
    // Another name for this machine is the same origin as itself: the server refuses it.
    let rebound = format!("http://rebound.example:{}/", stage.page.port());
    let text = browser.open(&rebound).await;
    assert!(
        text.contains("not served under the name rebound.example"),
        "{text}"
    );
    let outcome = browser
        .eval(
            "fetch('/admin/letters/purge', { method: 'POST', headers: { 'x-notifications-admin': '1' } }) \
             .then((it) => it.status)",
        )
        .await;
    assert_eq!(outcome, 403);
    println!("saw under another name: {text}");
    let letters = request(&stage, Method::GET, "debug/letters", &[]).await;
    let letters: Value = serde_json::from_str(&letters.1).unwrap();
    assert_eq!(letters["letters"].as_array().unwrap().len(), 1);
    stage.notifier.shutdown(SECOND).await;
}

async fn request(
    stage: &Stage,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, String) {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", stage.url()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(request.body(Full::default()).unwrap()).await
}

/// What old browsers and programs send, which no browser of today does.
#[tokio::test]
async fn a_change_needs_the_header_and_may_come_from_no_other_origin() {
    let admin = ("x-notifications-admin", "1");
    let (writable, read_only) = (
        Stage::new(vec![], true).await,
        Stage::new(vec![], false).await,
    );
    let own = format!("http://{}", writable.page);
    let wanted = StatusCode::NO_CONTENT;
    for (headers, status) in [
        (&[admin][..], wanted),
        (&[admin, ("origin", &own)], wanted),
        (&[admin, ("sec-fetch-site", "same-origin")], wanted),
        (&[], StatusCode::FORBIDDEN),
        (&[("origin", &own)], StatusCode::FORBIDDEN),
        (
            &[admin, ("origin", "http://evil.example")],
            StatusCode::FORBIDDEN,
        ),
        (&[admin, ("origin", "null")], StatusCode::FORBIDDEN),
        (
            &[admin, ("sec-fetch-site", "same-site")],
            StatusCode::FORBIDDEN,
        ),
        (
            &[admin, ("sec-fetch-site", "cross-site")],
            StatusCode::FORBIDDEN,
        ),
        (&[admin, ("sec-fetch-site", "none")], StatusCode::FORBIDDEN),
        (&[admin, ("host", "evil.example")], StatusCode::FORBIDDEN),
        (
            &[admin, ("host", "127.0.0.1.evil.example:80")],
            StatusCode::FORBIDDEN,
        ),
        (
            &[admin, ("host", "evil.example@127.0.0.1")],
            StatusCode::BAD_REQUEST,
        ),
    ] {
        let got = request(&writable, Method::POST, "admin/letters/send", headers).await;
        assert_eq!(got.0, status, "{headers:?}: {}", got.1);
        let got = request(&read_only, Method::POST, "admin/letters/send", headers).await;
        assert!(got.0.is_client_error(), "{headers:?}: {}", got.1);
    }
    for (headers, status) in [
        (&[][..], StatusCode::OK),
        (&[("sec-fetch-site", "none")], StatusCode::OK),
        (&[("sec-fetch-site", "same-origin")], StatusCode::OK),
        (&[("sec-fetch-site", "cross-site")], StatusCode::FORBIDDEN),
        (&[("sec-fetch-site", "same-site")], StatusCode::FORBIDDEN),
        (
            &[
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "no-cors"),
            ],
            StatusCode::FORBIDDEN,
        ),
        // A link that somebody follows.
        (
            &[
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "navigate"),
            ],
            StatusCode::OK,
        ),
    ] {
        for path in ["", "debug/notifications", "debug/letters"] {
            let got = request(&read_only, Method::GET, path, headers).await;
            assert_eq!(got.0, status, "{path} {headers:?}: {}", got.1);
        }
    }
    for (path, status) in [
        ("admin/letters/burn", StatusCode::NOT_FOUND),
        ("admin/letters/7/send", StatusCode::NOT_FOUND),
        ("admin/letters/7/burn", StatusCode::NOT_FOUND),
        ("admin/endpoints/none/enable", StatusCode::NOT_FOUND),
    ] {
        let got = request(&writable, Method::POST, path, &[admin]).await;
        assert_eq!(got.0, status, "{path}: {}", got.1);
    }
    // Prometheus scrapes by any name, and what it gets names no repository.
    let scraped = request(
        &writable,
        Method::GET,
        "metrics",
        &[("host", "registry:5080")],
    )
    .await;
    assert_eq!(scraped.0, StatusCode::OK);
    let refused = request(
        &writable,
        Method::GET,
        "debug/events",
        &[("host", "registry:5080")],
    )
    .await;
    assert_eq!(refused.0, StatusCode::FORBIDDEN);
}
