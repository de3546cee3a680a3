//! What Prometheus scrapes.

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};

/// How often the recorder aggregates histogram samples, so that they do not pile up if
/// nothing scrapes `/metrics`.
const UPKEEP: Duration = Duration::from_secs(5);

/// Buckets of durations, in seconds. Deliveries take milliseconds, and events may wait for
/// hours while a receiver is down.
const SECONDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0,
];
/// Buckets of batch sizes, in events.
const EVENTS: [f64; 7] = [1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 1000.0];

/// Installs a recorder for all metrics of the process, and returns what renders them. Call
/// this before the notifier is built: its counters are registered with the recorder that is
/// installed at that time.
///
/// # Errors
///
/// If another recorder is installed already.
pub fn record() -> Result<impl Fn() -> String + Send + Sync + 'static, BuildError> {
    // Without buckets, these would be summaries, which cannot be aggregated across nodes.
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
    Ok(move || handle.render())
}
