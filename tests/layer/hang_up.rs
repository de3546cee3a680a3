//! Clients that hang up.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use http::Request;
use tokio::sync::{mpsc, oneshot};
use tower::util::BoxCloneService;
use tower::{BoxError, Layer as _, Service as _, ServiceExt as _, service_fn};
use tower_registry_notifications::event::Action;
use tower_registry_notifications::sink::ChannelSink;
use tower_registry_notifications::{NotificationLayer, Notifier, StatBody};

use crate::stage::{
    BLOB, Incoming, MUTATIONS, Registry, drain, full, request, response, slow_registry,
};

#[tokio::test]
async fn a_push_has_its_event_although_the_client_hangs_up_during_the_stat() {
    let (sink, mut events) = ChannelSink::new(8);
    let notifier = Notifier::builder().sink(sink).build().unwrap();
    let (asked, mut asking) = mpsc::unbounded_channel();
    let registry = service_fn(async |_: Incoming| Ok::<_, BoxError>(response(201, &[], full(""))));
    let stat = service_fn(move |_: Request<StatBody>| {
        let asked = asked.clone();
        async move {
            let (go_on, wait) = oneshot::channel::<()>();
            asked.send(go_on)?;
            wait.await?;
            Ok::<_, BoxError>(response(200, &[("content-length", "7")], full("")))
        }
    });
    let layer = NotificationLayer::new(notifier).stat_with(stat);
    let mut service = layer.layer(registry);
    let push = request("PUT", "/v2/a/blobs/uploads/1?digest=sha256:01", &[], "");
    let mut response = Box::pin(service.call(push));
    assert!(response.as_mut().now_or_never().is_none());
    let go_on = asking.recv().await.unwrap();
    drop(response);
    go_on.send(()).unwrap();
    let event = events.recv().await.unwrap();
    assert_eq!((event.action(), event.length()), (Action::Push, 7));
}

#[tokio::test(start_paused = true)]
async fn every_change_has_its_event_although_the_client_hangs_up() {
    for fail_closed in [false, true] {
        let (sink, mut events) = ChannelSink::new(100);
        let notifier = Notifier::builder().sink(sink).build().unwrap();
        let committed = Arc::new(Mutex::new(Vec::new()));
        let layer = NotificationLayer::new(notifier.clone()).fail_closed(fail_closed);
        let mut service = layer.layer(slow_registry(committed.clone()));
        for (n, (method, uri)) in MUTATIONS.iter().cycle().take(100).enumerate() {
            let mut response = Box::pin(service.call(request(method, uri, &[], "")));
            // Dropped unpolled, polled once, or in the middle.
            match n % 3 {
                0 => {}
                1 => assert!(response.as_mut().now_or_never().is_none()),
                _ => {
                    let limit = Duration::from_millis(n as u64 % 5);
                    assert!(
                        tokio::time::timeout(limit, response.as_mut())
                            .await
                            .is_err()
                    );
                }
            }
        }
        let report = notifier.shutdown(Duration::from_secs(1)).await;
        assert!(report.is_drained(), "{report:?}");
        assert_eq!(committed.lock().unwrap().len(), 100);
        let count = drain(&mut events).len();
        assert_eq!(count, 100, "fail_closed: {fail_closed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_outside_of_the_layer_suppresses_no_event() {
    let (sink, mut events) = ChannelSink::new(100);
    let notifier = Notifier::builder().sink(sink).build().unwrap();
    let registry = slow_registry(Arc::default());
    let service = NotificationLayer::new(notifier).layer(registry);
    let service = tower::timeout::Timeout::new(service, Duration::from_millis(1));
    for (method, uri) in MUTATIONS {
        let response = service.clone().oneshot(request(method, uri, &[], "")).await;
        assert!(response.is_err());
    }
    for _ in MUTATIONS {
        events.recv().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_pull_is_not_continued_for_a_client_that_has_hung_up() {
    let (sink, mut events) = ChannelSink::new(100);
    let notifier = Notifier::builder().sink(sink).build().unwrap();
    let service = NotificationLayer::new(notifier.clone()).layer(slow_registry(Arc::default()));
    drop(
        service
            .oneshot(request("GET", BLOB, &[], ""))
            .now_or_never(),
    );
    assert!(notifier.shutdown(Duration::from_secs(1)).await.is_drained());
    assert!(events.try_recv().is_none());
}

/// Never responds, once it has acted.
fn hanging_registry() -> Registry {
    BoxCloneService::new(service_fn(|_: Incoming| std::future::pending()))
}

#[tokio::test(start_paused = true)]
async fn detached_work_ends_at_its_limit_and_is_counted() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let counts = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    for (limit, seconds) in [(None, 600), (Some(7), 7)] {
        let notifier = Notifier::builder().build().unwrap();
        let mut layer = NotificationLayer::new(notifier.clone());
        if let Some(limit) = limit {
            layer = layer.detached_timeout(Duration::from_secs(limit));
        }
        let service = layer.layer(hanging_registry());
        let response = service.oneshot(request("DELETE", BLOB, &[], ""));
        // The limit counts from the disconnect.
        let waited = tokio::time::timeout(Duration::from_secs(100), response).await;
        assert!(waited.is_err());
        let began = tokio::time::Instant::now();
        let report = notifier.shutdown(Duration::from_secs(10_000)).await;
        assert_eq!(began.elapsed().as_secs(), seconds);
        assert!(report.is_drained());
    }
    let counts = counts.render();
    let line = "registry_notifications_detached_timeouts_total 2";
    assert!(counts.contains(line), "{counts}");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_detached_work_within_its_deadline() {
    let (sink, mut events) = ChannelSink::new(100);
    let notifier = Notifier::builder().sink(sink).build().unwrap();
    let layer = NotificationLayer::new(notifier.clone());
    let registry = slow_registry(Arc::default());
    drop(layer.layer(registry).call(request("DELETE", BLOB, &[], "")));
    assert!(notifier.shutdown(Duration::from_secs(1)).await.is_drained());
    assert!(events.try_recv().is_some());

    let notifier = Notifier::builder().build().unwrap();
    let layer = NotificationLayer::new(notifier.clone());
    drop(
        layer
            .layer(hanging_registry())
            .call(request("DELETE", BLOB, &[], "")),
    );
    let began = tokio::time::Instant::now();
    let report = notifier.shutdown(Duration::from_secs(3)).await;
    assert_eq!(began.elapsed().as_secs(), 3);
    assert_eq!(report.unfinished, 1);
    assert!(!report.is_drained());
}
