//! What operators look at: `/metrics` for Prometheus, and the state of each
//! endpoint as JSON under `/debug/notifications`.

use std::io;
use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower_registry_notifications::Notifier;

/// How often the recorder folds what it has seen of distributions, so that
/// they do not grow where nobody scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// Buckets of durations: deliveries take milliseconds, and events may wait for
/// hours while a receiver is down.
const SECONDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0,
];
/// Buckets of batches.
const EVENTS: [f64; 7] = [1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 1000.0];

/// Keeps all metrics of the process from now on: to be called before the
/// notifier is built, whose counters go to the recorder that is there then.
pub(crate) fn record() -> Result<PrometheusHandle, BuildError> {
    // Without buckets they would be summaries, which do not add up.
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_events".into()), &EVENTS)?
        .install_recorder()?;
    let recorder = handle.clone();
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(UPKEEP);
        loop {
            ticks.tick().await;
            recorder.run_upkeep();
        }
    });
    Ok(handle)
}

/// Serves both paths until the task is aborted. They show no secrets, but who
/// pushes what is nobody's business either: listen on an address of your own
/// network.
pub(crate) fn serve(
    listener: TcpListener,
    metrics: PrometheusHandle,
    notifier: Notifier,
) -> JoinHandle<io::Result<()>> {
    const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
    let metrics = async move || ([(CONTENT_TYPE, TEXT)], metrics.render());
    let status = async move || Json(notifier.status());
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/debug/notifications", get(status));
    tokio::spawn(axum::serve(listener, router).into_future())
}
