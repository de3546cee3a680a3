//! The metrics of an endpoint, through the [`metrics`] facade: [`Recorder`].

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

use crate::endpoint::dead_letter::Reason;

const EVENTS: &str = "registry_notifications_events_total";
const PENDING: &str = "registry_notifications_pending_total";
const STATUS: &str = "registry_notifications_status_total";
const UNSUPPORTED: &str = "registry_notifications_unsupported_total";
const RETRIES: &str = "registry_notifications_retries_total";
const LOST: &str = "registry_notifications_lost_total";
const DEAD_LETTERS: &str = "registry_notifications_dead_letters_total";
const QUEUE_AGE: &str = "registry_notifications_queue_age_seconds";
const DELIVERY: &str = "registry_notifications_delivery_seconds";
const END_TO_END: &str = "registry_notifications_end_to_end_seconds";
const BATCH: &str = "registry_notifications_batch_events";

/// The metrics of one endpoint.
pub(super) struct Recorder {
    endpoint: String,
    pub(super) events: Counter,
    pub(super) successes: Counter,
    pub(super) failures: Counter,
    pub(super) errors: Counter,
    pub(super) lost: Counter,
    pub(super) unsupported: Counter,
    pub(super) retries: Counter,
    pub(super) pending: Gauge,
    pub(super) queue_age: Gauge,
    pub(super) delivery: Histogram,
    pub(super) end_to_end: Histogram,
    pub(super) batch: Histogram,
}

impl Recorder {
    pub(super) fn new(endpoint: &str) -> Self {
        describe();
        let name = || endpoint.to_owned();
        let of = |kind: &'static str| counter!(EVENTS, "type" => kind, "endpoint" => name());
        Self {
            events: of("Events"),
            successes: of("Successes"),
            failures: of("Failures"),
            errors: of("Errors"),
            lost: counter!(LOST, "endpoint" => name()),
            unsupported: counter!(UNSUPPORTED, "endpoint" => name()),
            retries: counter!(RETRIES, "endpoint" => name()),
            pending: gauge!(PENDING, "endpoint" => name()),
            queue_age: gauge!(QUEUE_AGE, "endpoint" => name()),
            delivery: histogram!(DELIVERY, "endpoint" => name()),
            end_to_end: histogram!(END_TO_END, "endpoint" => name()),
            batch: histogram!(BATCH, "endpoint" => name()),
            endpoint: name(),
        }
        .at_zero()
    }

    /// Registers every series at zero so that `rate()` sees the first increment.
    fn at_zero(self) -> Self {
        for reason in Reason::ALL {
            self.dead_letters(reason).increment(0);
        }
        self
    }

    /// Returns the counter of responses with one status, such as `200 OK`.
    pub(super) fn status(&self, code: &str) -> Counter {
        counter!(STATUS, "code" => code.to_owned(), "endpoint" => self.endpoint.clone())
    }

    pub(super) fn dead_letters(&self, reason: Reason) -> Counter {
        let reason = reason.as_str();
        counter!(DEAD_LETTERS, "reason" => reason, "endpoint" => self.endpoint.clone())
    }
}

fn describe() {
    describe_counter!(
        EVENTS,
        "Events accepted by the queue and by the receiver, and attempts that failed"
    );
    describe_gauge!(PENDING, "Events that wait or are under way");
    describe_counter!(STATUS, "Responses of the receiver by status");
    describe_counter!(RETRIES, "Attempts after the first at the same events");
    let unsupported = "Events that the filter wants and the format cannot carry";
    describe_counter!(UNSUPPORTED, unsupported);
    describe_counter!(LOST, "Dead letters that no dead-letter sink has kept");
    describe_counter!(DEAD_LETTERS, "Events that will not be tried again");
    let age = "Age of the oldest event that is not settled";
    describe_gauge!(QUEUE_AGE, Unit::Seconds, age);
    describe_histogram!(DELIVERY, Unit::Seconds, "Duration of attempts");
    let end_to_end = "From the acceptance of an event by the queue to that by the receiver";
    describe_histogram!(END_TO_END, Unit::Seconds, end_to_end);
    describe_histogram!(BATCH, "Events in a request");
}
