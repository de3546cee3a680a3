//! What operators look at: `/metrics` for Prometheus, and the state of each
//! endpoint as JSON under `/debug/notifications`.

use std::io;
use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower_registry_notifications::Notifier;

/// How often the recorder folds what it has seen of distributions, so that
/// they do not grow where nobody scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// Keeps all metrics of the process from now on: to be called before the
/// notifier is built, whose counters go to the recorder that is there then.
pub(crate) fn record() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new().install_recorder()?;
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
