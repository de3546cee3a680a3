//! The cards of endpoints.

use http::{Response, StatusCode};
use serde_json::json;
use tokio::net::TcpListener;
use tower_registry_notifications::Endpoint;

use crate::chromium::Chromium;
use crate::common;
use crate::stage::{SECOND, Stage, expression};

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
