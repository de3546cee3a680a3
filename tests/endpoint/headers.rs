//! The headers of a request: what is configured replaces what this crate sets, and
//! bodies are signed as GitHub does.

use bytes::Bytes;
use hmac::{Hmac, Mac as _};
use http::{HeaderMap, Response};
use sha2::Sha256;
use tower_registry_notifications::endpoint::Batch;
use tower_registry_notifications::sink::Sink as _;
use tower_registry_notifications::{Endpoint, Format, Notifier};

use crate::common::scripted::event;
use crate::common::{Received, arrived, receiver};

const MINUTE: std::time::Duration = std::time::Duration::from_secs(60);

/// Writes events of several repositories at once; returns the requests.
async fn delivered(configure: impl FnOnce(Endpoint) -> Endpoint, events: usize) -> Vec<Received> {
    let (port, mut received) = receiver(Box::new(|_| Response::builder())).await;
    let endpoint = configure(Endpoint::new("e", format!("http://127.0.0.1:{port}/")));
    let notifier = Notifier::builder().endpoint(endpoint).build().unwrap();
    let sink = notifier.sink();
    let writes: Vec<_> = (0..events).map(|n| sink.write(&event("app", n))).collect();
    for write in writes {
        write.await.unwrap();
    }
    assert!(notifier.shutdown(MINUTE).await.is_drained());
    arrived(&mut received)
}

fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let values = headers.get_all(name).iter();
    values.map(|value| value.to_str().unwrap()).collect()
}

#[tokio::test]
async fn configured_headers_replace_ours() {
    let configure = |it: Endpoint| {
        it.header("Content-Type", "application/json")
            .header("USER-AGENT", "mine/1.0")
            .header("x-team", "a")
            .header("X-Team", "b")
            .header("Webhook-Id", "fixed")
            .sign(["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"])
    };
    let got = delivered(configure, 1).await;
    let headers = &got[0].headers;
    assert_eq!(all(headers, "content-type"), ["application/json"]);
    assert_eq!(all(headers, "user-agent"), ["mine/1.0"]);
    assert_eq!(all(headers, "x-team"), ["a", "b"]);
    assert_eq!(all(headers, "webhook-id"), ["fixed"]);
    assert_eq!(all(headers, "webhook-signature").len(), 1);
    let length = got[0].body.len().to_string();
    assert_eq!(all(headers, "content-length"), [&*length]);
}

#[tokio::test]
async fn headers_that_frame_a_message_are_refused() {
    for name in [
        "Content-Length",
        "transfer-encoding",
        "Connection",
        "TE",
        "Trailer",
        "Upgrade",
    ] {
        let endpoint = Endpoint::new("e", "http://receiver").header(name, "hush");
        let built = Notifier::builder().endpoint(endpoint).build();
        let error = built.unwrap_err().to_string();
        assert!(error.contains("sets this header itself"), "{error}");
        assert!(!error.contains("hush"), "{error}");
    }
}

/// Verifies a signature as go-github does, which Flux and Tekton use.
fn verify(header: &str, body: &Bytes, secret: &str) -> Result<(), String> {
    let (algorithm, hex) = header.split_once('=').ok_or("error parsing signature")?;
    if algorithm != "sha256" || hex.len() != 64 {
        return Err("unknown hash type prefix".into());
    }
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).map_err(|error| error.to_string());
    let signature: Result<Vec<u8>, _> = (0..hex.len()).step_by(2).map(byte).collect();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    mac.verify_slice(&signature?)
        .map_err(|_| "payload signature check failed".into())
}

#[tokio::test]
async fn bodies_are_signed_for_flux_and_tekton_beside_standard_webhooks() {
    let secrets = [("X-Signature", "flux token"), ("X-Hub-Signature-256", "ü")];
    let standard = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let configure = |mut it: Endpoint| {
        for (header, secret) in secrets {
            it = it.sign_hmac(header, secret);
        }
        it.sign([standard])
    };
    for batch in [1, 3] {
        let got = delivered(|it| configure(it).batch(Batch::of(batch)), 3).await;
        assert!(!got.is_empty());
        for Received { headers, body, .. } in &got {
            for (header, secret) in secrets {
                let [signature] = *all(headers, header) else {
                    panic!("{headers:?}");
                };
                verify(signature, body, secret).unwrap();
                verify(signature, body, "another").unwrap_err();
                verify(signature, &Bytes::from_static(b"{}"), secret).unwrap_err();
            }
            let receiver = standardwebhooks::Webhook::new(standard).unwrap();
            receiver.verify(body, headers).unwrap();
        }
    }
}

#[tokio::test]
async fn a_cloud_event_that_is_alone_is_no_batch() {
    let batches = |it: Endpoint| {
        let batch = Batch::of(2).linger(MINUTE);
        it.format(Format::CloudEvents).batch(batch)
    };
    let got = delivered(batches, 3).await;
    let types: Vec<_> = got.iter().map(|it| &it.headers["content-type"]).collect();
    let structured = "application/cloudevents+json";
    assert_eq!(types, ["application/cloudevents-batch+json", structured]);
    let batch: Vec<serde_json::Value> = serde_json::from_slice(&got[0].body).unwrap();
    assert_eq!(batch.len(), 2);
    let alone: serde_json::Value = serde_json::from_slice(&got[1].body).unwrap();
    assert_eq!(alone["specversion"], "1.0");
}
