//! The reference itself reads the same file.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "../../config/expected.rs"]
mod expected;

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tower_registry_notifications::endpoint::Breaker;
use tower_registry_notifications::event::Action;
use tower_registry_notifications::sink::Filter;
use tower_registry_notifications::{Config, Endpoint, Notifier, NotifierBuilder};

use expected::{of_reference, told};

const FILE: &str = include_str!("reference.yml");

/// A docker-registry process, ended with the test.
struct Reference(Child);

impl Drop for Reference {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().port()
}

/// What the reference says of its endpoints when it has read `FILE`.
async fn endpoints_of_the_reference() -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yml");
    std::fs::write(&file, FILE).unwrap();
    let debug = free_port();
    let process = Command::new("docker-registry")
        .arg("serve")
        .arg(&file)
        .env("REGISTRY_HTTP_ADDR", format!("127.0.0.1:{}", free_port()))
        .env("REGISTRY_HTTP_DEBUG_ADDR", format!("127.0.0.1:{debug}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _reference = Reference(process.unwrap_or_else(|error| {
        panic!("cannot run docker-registry: {error}. This test needs it: apt-get install docker-registry")
    }));
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let url: http::Uri = format!("http://127.0.0.1:{debug}/debug/vars")
        .parse()
        .unwrap();
    let up = async {
        loop {
            if let Ok(response) = client.get(url.clone()).await {
                let body = response.into_body().collect().await.unwrap().to_bytes();
                let vars: Value = serde_json::from_slice(&body).unwrap();
                // It listens before it has read the section.
                let endpoints = &vars["registry"]["notifications"]["endpoints"];
                if let Some(endpoints) = endpoints.as_array().filter(|it| it.len() == COUNT) {
                    break endpoints.clone();
                }
            }
            tokio::task::yield_now().await;
        }
    };
    let up = tokio::time::timeout(Duration::from_secs(60), up).await;
    up.expect("docker-registry does not say what it has read")
}

/// How many endpoints of the file are not disabled.
const COUNT: usize = 14;

fn texts(value: &Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items.map(|it| it.as_str().unwrap().into()).collect()
}

/// The endpoint as the reference has it.
fn builder(endpoint: &Value) -> Endpoint {
    let nanos = |key: &str| Duration::from_nanos(endpoint[key].as_u64().unwrap());
    let text = |key: &str| endpoint[key].as_str().unwrap();
    let action = |text: String| serde_json::from_value::<Action>(Value::from(text)).unwrap();
    let ignore = &endpoint["Ignore"];
    let filter = Filter::new()
        .ignore_media_types(texts(&endpoint["IgnoredMediaTypes"]))
        .ignore_media_types(texts(&ignore["MediaTypes"]))
        .ignore_actions(texts(&ignore["Actions"]).into_iter().map(action));
    let threshold = u32::try_from(endpoint["Threshold"].as_u64().unwrap()).unwrap();
    let breaker = Breaker::new()
        .threshold(threshold)
        .backoff(nanos("Backoff"));
    let mut builder = of_reference(text("name"), text("url"))
        .timeout(nanos("Timeout"))
        .retry(breaker)
        .filter(filter);
    for (name, values) in endpoint["Headers"].as_object().into_iter().flatten() {
        for value in texts(values) {
            builder = builder.header(name, value);
        }
    }
    builder
}

fn without_disabled(builder: &NotifierBuilder) -> String {
    let text = told(builder);
    let parts: Vec<_> = text.split("Endpoint").collect();
    let kept = parts.iter().filter(|it| !it.contains("disabled: true"));
    kept.copied().collect::<Vec<_>>().join("Endpoint")
}

#[tokio::test]
async fn the_reference_reads_the_same() {
    let endpoints = endpoints_of_the_reference().await;
    let reference = Notifier::builder().include_references(true);
    let reference = endpoints
        .iter()
        .map(builder)
        .fold(reference, NotifierBuilder::endpoint);
    let ours = Config::from_yaml(FILE).unwrap().notifier().unwrap();
    let end = |text: String| {
        // What follows the endpoints is gone with the last one if that is disabled.
        let text = text.split("\n    own_runtime").next().unwrap_or_default();
        text.trim_end_matches([' ', '\n', ']', '}', '.', ','])
            .to_owned()
    };
    assert_eq!(end(without_disabled(&ours)), end(told(&reference)));
    // Headers are shown nowhere.
    let headers: Vec<_> = endpoints.iter().map(|it| it["Headers"].clone()).collect();
    let expected = serde_json::json!({
        "X-One": ["a", "5", "5", "true", "0x10"], "x-two": [], "X-Three": ["", "", "b"],
    });
    assert!(
        headers
            .iter()
            .all(|it| it.is_null() || *it == expected || it == &serde_json::json!({}))
    );
    assert_eq!(headers.iter().filter(|it| **it == expected).count(), 2);
}
