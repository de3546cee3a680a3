//! Metrics of JetStream. The docs of [the module](super) list them.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

const PUBLISHED: &str = "registry_notifications_jetstream_published_total";
const DUPLICATES: &str = "registry_notifications_jetstream_duplicates_total";
const RETRIES: &str = "registry_notifications_jetstream_retries_total";
const WAITING: &str = "registry_notifications_jetstream_waiting";
const LAG: &str = "registry_notifications_jetstream_lag";
const AGED_OUT: &str = "registry_notifications_jetstream_aged_out_total";

/// The metrics of a sink. They are looked up once: a recorder searches for each by name.
pub(super) struct SinkMetrics {
    pub(super) published: Counter,
    pub(super) duplicates: Counter,
    pub(super) retries: Counter,
    pub(super) waiting: Gauge,
}

impl SinkMetrics {
    /// Describes them, and registers them at zero.
    pub(super) fn register() -> Self {
        describe_counter!(PUBLISHED, "Events that JetStream acknowledged");
        let duplicates = "Events that JetStream had already when it acknowledged them";
        describe_counter!(DUPLICATES, duplicates);
        describe_counter!(RETRIES, "Publishes that were not the first of their events");
        describe_gauge!(WAITING, "Events that wait for an acknowledgement");
        let metrics = Self {
            published: counter!(PUBLISHED),
            duplicates: counter!(DUPLICATES),
            retries: counter!(RETRIES),
            waiting: gauge!(WAITING),
        };
        for counter in [&metrics.published, &metrics.duplicates, &metrics.retries] {
            counter.increment(0);
        }
        metrics.waiting.set(0.0);
        metrics
    }
}

/// Describes the metrics of a worker.
pub(super) fn register_worker() {
    describe_gauge!(
        LAG,
        "Events of a partition that an endpoint does not have yet"
    );
    let aged = "Times that events were too old for the stream before an endpoint had them";
    describe_counter!(AGED_OUT, aged);
}

pub(super) fn lag(endpoint: &str, partition: usize, events: u64) {
    let labels = [
        ("endpoint", endpoint.to_owned()),
        ("partition", partition.to_string()),
    ];
    #[allow(clippy::cast_precision_loss, reason = "of far fewer events than 2^52")]
    gauge!(LAG, &labels).set(events as f64);
}

pub(super) fn aged_out(endpoint: &str) {
    counter!(AGED_OUT, "endpoint" => endpoint.to_owned()).increment(1);
}
