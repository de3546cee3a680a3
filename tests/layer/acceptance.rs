//! Responses wait for the sinks: sinks that answer late, refuse or hang, with fail-open and
//! with fail-closed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use http::StatusCode;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::sync::oneshot;
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};
use tower_registry_notifications::event::{Action, SharedEvent};
use tower_registry_notifications::sink::{Acceptance, ChannelSink, Sink, SinkError};
use tower_registry_notifications::{NotificationLayer, Notifier};

use crate::stage::{
    BLOB, Incoming, MUTATIONS, always, drain, frames, full, request, response, slow_registry,
};

/// Accepts or refuses an event when the test says so.
#[derive(Clone, Default)]
struct Slow(Arc<Mutex<Vec<oneshot::Sender<bool>>>>);

impl Sink for Slow {
    fn write(&self, _: &SharedEvent) -> Acceptance {
        let (sender, answer) = oneshot::channel();
        self.0.lock().unwrap().push(sender);
        Acceptance::pending(async move {
            match answer.await {
                Ok(true) => Ok(()),
                _ => Err(SinkError::full()),
            }
        })
    }
}

impl Slow {
    fn answer(&self, accepted: bool) {
        let sender = self.0.lock().unwrap().remove(0);
        sender.send(accepted).unwrap();
    }
}

#[tokio::test]
async fn the_last_byte_waits_for_the_sink() {
    let sink = Slow::default();
    let notifier = Notifier::builder().sink(sink.clone()).build().unwrap();
    let registry = service_fn(async |_: Incoming| {
        let body = frames(["ab", "cd"]);
        Ok::<_, BoxError>(response(200, &[("content-length", "4")], body))
    });
    for (fail_closed, taken) in [(false, true), (false, false), (true, true), (true, false)] {
        let layer = NotificationLayer::new(notifier.clone()).fail_closed(fail_closed);
        let get = layer.layer(registry).oneshot(request("GET", BLOB, &[], ""));
        let mut body = get.await.unwrap().into_body();
        let first = body.frame().await.unwrap().unwrap();
        assert_eq!(first.into_data().unwrap(), "ab");
        assert!(sink.0.lock().unwrap().is_empty(), "the pull is not over");
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut pinned = std::pin::Pin::new(&mut body);
        assert!(matches!(pinned.as_mut().poll_frame(&mut cx), Poll::Pending));
        assert!(!pinned.is_end_stream());
        sink.answer(taken);
        let last = body.frame().await.unwrap();
        assert_eq!(last.is_ok(), taken || !fail_closed);
        if let Ok(last) = last {
            assert_eq!(last.into_data().unwrap(), "cd");
            assert!(body.frame().await.is_none());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_hangs_holds_a_response_for_five_seconds() {
    let sink = Slow::default();
    let notifier = Notifier::builder().sink(sink.clone()).build().unwrap();
    let registry = service_fn(async |_: Incoming| Ok::<_, BoxError>(response(202, &[], full(""))));
    for (fail_closed, status) in [(false, 202), (true, 503)] {
        let layer = NotificationLayer::new(notifier.clone()).fail_closed(fail_closed);
        let start = tokio::time::Instant::now();
        let delete = layer
            .layer(registry)
            .oneshot(request("DELETE", BLOB, &[], ""));
        let response = delete.await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 5);
        assert_eq!(response.status(), status);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body.is_empty(), !fail_closed);
        if fail_closed {
            let error: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(error["errors"][0]["code"], "UNAVAILABLE");
        }
    }
}

/// Accepts an event if it is open, and says so.
#[derive(Clone, Default)]
struct Valve {
    open: Arc<AtomicBool>,
    ready: Arc<AtomicBool>,
    accepted: Arc<Mutex<Vec<SharedEvent>>>,
}

impl Sink for Valve {
    fn write(&self, event: &SharedEvent) -> Acceptance {
        if !self.open.load(Ordering::Relaxed) {
            return Acceptance::failed(SinkError::full());
        }
        self.accepted.lock().unwrap().push(event.clone());
        Acceptance::accepted()
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }
}

const MUTATIONS_ELSEWHERE: [(&str, &str); 3] = [
    ("PUT", "/opaque/upload/42?digest=sha256:01"),
    ("PUT", "/v2/_X/manifests/-t"),
    ("DELETE", "/api/repositories/a"),
];

#[tokio::test(start_paused = true)]
async fn fail_closed_refuses_before_the_registry_acts() {
    let valve = Valve::default();
    let notifier = Notifier::builder().sink(valve.clone()).build().unwrap();
    let committed = Arc::new(Mutex::new(Vec::new()));
    let layer = NotificationLayer::new(notifier).fail_closed(true);
    let service = layer.layer(slow_registry(committed.clone()));
    for (method, uri) in MUTATIONS.into_iter().chain(MUTATIONS_ELSEWHERE) {
        let response = service
            .clone()
            .oneshot(request(method, uri, &[], ""))
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{uri}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let error: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(error["errors"][0]["code"], "UNAVAILABLE");
    }
    assert!(committed.lock().unwrap().is_empty());
    // A pull is not a change. It is refused when its event is.
    let head = service
        .oneshot(request("HEAD", BLOB, &[], ""))
        .await
        .unwrap();
    assert_eq!(committed.lock().unwrap().len(), 1);
    assert_eq!(head.status(), StatusCode::CREATED);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_fails_after_the_registry_has_acted_is_tried_again() {
    let valve = Valve::default();
    valve.ready.store(true, Ordering::Relaxed);
    let notifier = Notifier::builder().sink(valve.clone()).build().unwrap();
    let layer = NotificationLayer::new(notifier.clone()).fail_closed(true);
    let service = layer.layer(slow_registry(Arc::default()));
    let began = tokio::time::Instant::now();
    let response = service
        .oneshot(request("DELETE", BLOB, &[], ""))
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(began.elapsed().as_secs(), 5);
    assert!(valve.accepted.lock().unwrap().is_empty());
    tokio::time::sleep(Duration::from_secs(60)).await;
    valve.open.store(true, Ordering::Relaxed);
    assert!(
        notifier
            .shutdown(Duration::from_secs(60))
            .await
            .is_drained()
    );
    let accepted = valve.accepted.lock().unwrap();
    assert_eq!(accepted.len(), 1);
    assert_eq!(accepted[0].action(), Action::Delete);
}

#[tokio::test]
async fn a_push_that_nothing_attributes_is_refused_with_fail_closed() {
    let (sink, mut events) = ChannelSink::new(8);
    let notifier = Notifier::builder().sink(sink).build().unwrap();
    for (location, fail_closed, status, count) in [
        ("/elsewhere", true, 503, 0),
        ("/elsewhere", false, 201, 0),
        ("/v2/a/blobs/sha256:01", true, 201, 1),
    ] {
        let registry = service_fn(move |_: Incoming| async move {
            Ok::<_, BoxError>(response(201, &[("location", location)], full("")))
        });
        let layer = NotificationLayer::new(notifier.clone()).fail_closed(fail_closed);
        let uri = "/opaque/upload/42?digest=sha256:01";
        let put = layer.layer(registry).oneshot(request("PUT", uri, &[], ""));
        assert_eq!(put.await.unwrap().status(), status, "{location}");
        assert_eq!(drain(&mut events).len(), count, "{location}");
    }
}

#[tokio::test]
async fn a_refused_head_has_no_body() {
    let sink = Slow::default();
    let notifier = Notifier::builder().sink(sink.clone()).build().unwrap();
    let registry = service_fn(async |_: Incoming| {
        Ok::<_, BoxError>(response(200, &[("content-length", "4")], full("")))
    });
    let layer = NotificationLayer::new(notifier)
        .fail_closed(true)
        .detached_timeout(Duration::ZERO);
    let mut head = Box::pin(
        layer
            .layer(registry)
            .oneshot(request("HEAD", BLOB, &[], "")),
    );
    assert!(head.as_mut().now_or_never().is_none());
    sink.answer(false);
    // Tried again at its limit, and refused again.
    let refused = loop {
        tokio::select! {
            refused = &mut head => break refused.unwrap(),
            () = tokio::task::yield_now() => {
                if !sink.0.lock().unwrap().is_empty() {
                    sink.answer(false);
                }
            }
        }
    };
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.body().size_hint().exact(), Some(0));
    let body = refused.into_body().collect().await.unwrap().to_bytes();
    assert!(body.is_empty());
}

#[tokio::test]
async fn a_refusal_shows_nothing_of_the_response() {
    let case = always!(202, &[("x-inner", "x")], full("inner")).set(|it| it.fail_closed(true));
    // A channel without a subscriber takes nothing.
    let (sink, events) = ChannelSink::new(1);
    drop(events);
    let notifier = Notifier::builder().sink(sink).build().unwrap();
    for (fail_closed, status) in [(true, 503), (false, 202)] {
        let serve = case.serve;
        let registry = service_fn(move |request: Incoming| {
            let (parts, _) = request.into_parts();
            std::future::ready(Ok::<_, BoxError>(serve(&parts)))
        });
        let layer = NotificationLayer::new(notifier.clone()).fail_closed(fail_closed);
        let delete = request("DELETE", BLOB, &[], "");
        let response = layer.layer(registry).oneshot(delete).await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers().contains_key("x-inner"), !fail_closed);
        let kind = response.headers().get("content-type").cloned();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        if !fail_closed {
            assert_eq!(body, "inner");
            continue;
        }
        assert_eq!(kind.unwrap(), "application/json");
        let error: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(error["errors"][0]["code"], "UNAVAILABLE");
    }
}
