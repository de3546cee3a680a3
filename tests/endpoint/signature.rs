//! Signatures as receivers verify them: those of an endpoint with two secrets,
//! over retries, batches and batches that are split.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use http::Response;
use standardwebhooks::Webhook;
use tokio::sync::mpsc::UnboundedReceiver;
use tower_registry_notifications::endpoint::{Backoff, Batch};
use tower_registry_notifications::event::Envelope;
use tower_registry_notifications::sink::Sink as _;
use tower_registry_notifications::{Endpoint, Notifier};

use crate::common::scripted::{PostedRequest, Reply, event, scripted};
use crate::common::{Received, receiver};

const OLD: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const NEW: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwJPlDE3kkcgU=";
const OTHER: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

async fn notifier(endpoint: Endpoint, events: usize) -> Notifier {
    let notifier = Notifier::builder().endpoint(endpoint).build().unwrap();
    for number in 0..events {
        notifier.sink().write(&event("app", number)).await.unwrap();
    }
    notifier
}

fn id(got: &PostedRequest) -> String {
    got.headers["webhook-id"].to_str().unwrap().to_owned()
}

/// Over a connection: what arrives is what was signed.
async fn received(n: usize, from: &mut UnboundedReceiver<Received>) -> Vec<Received> {
    let mut all = Vec::new();
    for _ in 0..n {
        let one = tokio::time::timeout(MINUTE, from.recv()).await;
        all.push(one.expect("nothing came").unwrap());
    }
    all
}

#[tokio::test]
async fn either_secret_verifies_and_the_retry_has_the_same_id() {
    let answer = |n| Response::builder().status(if n == 0 { 500 } else { 200 });
    let (port, mut requests) = receiver(Box::new(answer)).await;
    let endpoint = Endpoint::new("e", format!("http://127.0.0.1:{port}/"))
        .sign([NEW, OLD])
        .retry(Backoff::new().base(Duration::from_millis(1)).cap(SECOND));
    let before = SystemTime::now();
    let notifier = notifier(endpoint, 2).await;
    let requests = received(3, &mut requests).await;
    assert!(notifier.shutdown(MINUTE).await.is_drained());
    let after = SystemTime::now();

    let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let times = seconds(before).as_secs()..=seconds(after).as_secs();
    for request in &requests {
        for secret in [NEW, OLD] {
            let receiver = Webhook::new(secret).unwrap();
            receiver.verify(&request.body, &request.headers).unwrap();
            let mut changed = request.body.to_vec();
            *changed.last_mut().unwrap() ^= 1;
            receiver.verify(&changed, &request.headers).unwrap_err();
        }
        let stranger = Webhook::new(OTHER).unwrap();
        let verified = stranger.verify(&request.body, &request.headers);
        verified.unwrap_err();

        let signatures = request.headers["webhook-signature"].to_str().unwrap();
        assert_eq!(signatures.split(' ').count(), 2, "{signatures}");
        let time = request.headers["webhook-timestamp"].to_str().unwrap();
        assert!(times.contains(&time.parse().unwrap()), "{time}");
        let envelope: Envelope = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(request.headers["webhook-id"], *envelope.events[0].id);
    }
    assert_eq!(
        requests[0].headers["webhook-id"],
        requests[1].headers["webhook-id"]
    );
    assert_ne!(
        requests[1].headers["webhook-id"],
        requests[2].headers["webhook-id"]
    );
}

/// The time of a signature is the system's, which does not stand still: the
/// second attempt begins when the script lets a second of it pass.
#[tokio::test(start_paused = true)]
async fn the_timestamp_is_the_attempt_s() {
    let (client, log) = scripted(|n, _| {
        if n > 0 {
            return Reply::Status(200);
        }
        let start = SystemTime::now();
        let second = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        while second(SystemTime::now()).as_secs() == second(start).as_secs() {
            std::thread::yield_now();
        }
        Reply::Status(500)
    });
    let endpoint = Endpoint::new("e", "http://receiver").client(client);
    let notifier = notifier(endpoint.sign([NEW]), 1).await;
    assert!(notifier.shutdown(HOUR).await.is_drained());
    let got = log.got();
    let times: Vec<u64> = got
        .iter()
        .map(|got| got.headers["webhook-timestamp"].to_str().unwrap())
        .map(|time| time.parse().unwrap())
        .collect();
    assert!(times.len() == 2 && times[0] < times[1], "{times:?}");
    assert_eq!(id(&got[0]), id(&got[1]));
    assert_ne!(
        got[0].headers["webhook-signature"],
        got[1].headers["webhook-signature"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_keeps_its_id_and_each_part_of_a_split_one_has_its_own() {
    let (client, log) = scripted(|n, events| match n {
        // Unavailable twice, after which the batch is halved, and then the
        // culprit is found.
        0 | 1 => Reply::Status(503),
        3 => Reply::Reset,
        _ if events.iter().any(|it| it == "app/5") => Reply::Status(400),
        _ => Reply::Status(200),
    });
    let endpoint = Endpoint::new("e", "http://receiver").client(client);
    let batch = Batch::of(8).linger(SECOND);
    let notifier = notifier(endpoint.sign([NEW]).batch(batch), 16).await;
    assert!(notifier.shutdown(HOUR).await.is_drained());
    let got = log.got();
    let sizes: Vec<_> = got.iter().map(|got| got.events.len()).collect();
    assert_eq!(sizes, [8, 8, 4, 4, 2, 1, 1, 2, 8]);

    // An id stands for a set of events, and for no other.
    let mut sets: Vec<_> = got.iter().map(|got| (id(got), &got.events)).collect();
    sets.sort();
    sets.dedup();
    let ids: HashSet<_> = sets.iter().map(|(id, _)| id).collect();
    let events: HashSet<_> = sets.iter().map(|(_, events)| events).collect();
    assert_eq!((ids.len(), events.len()), (sets.len(), sets.len()));
    assert_eq!(sets.len(), 8);
    assert_eq!(id(&got[0]), id(&got[1]));
    for id in ids {
        assert!(!id.contains('.'), "{id}");
    }
}
