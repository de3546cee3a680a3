//! The table of events.

use std::time::{SystemTime, UNIX_EPOCH};

use examples::admin::{Admin, Section};
use serde_json::json;
use tokio::net::TcpListener;

use crate::chromium::Chromium;
use crate::stage::{SECOND, Stage, notifier};

fn now() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs_f64() * 1000.0
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
