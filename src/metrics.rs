//! What is told to the recorder of the [`metrics`] facade. The table of it is
//! in the docs of [`Notifier`](crate::Notifier).

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

use crate::endpoint::Reason;

const EVENTS: &str = "registry_notifications_events_total";
const PENDING: &str = "registry_notifications_pending_total";
const STATUS: &str = "registry_notifications_status_total";
const RETRIES: &str = "registry_notifications_retries_total";
const LOST: &str = "registry_notifications_lost_total";
const DEAD_LETTERS: &str = "registry_notifications_dead_letters_total";
const QUEUE_AGE: &str = "registry_notifications_queue_age_seconds";
const DELIVERY: &str = "registry_notifications_delivery_seconds";
const END_TO_END: &str = "registry_notifications_end_to_end_seconds";
const BATCH: &str = "registry_notifications_batch_events";
const UNACCEPTED: &str = "registry_notifications_unaccepted_total";
const MISSING_FACTS: &str = "registry_notifications_missing_facts_total";
const UNKNOWN_OUTCOMES: &str = "registry_notifications_unknown_outcomes_total";
const DETACHED_TIMEOUTS: &str = "registry_notifications_detached_timeouts_total";
const AMBIGUOUS_NAMES: &str = "registry_notifications_ambiguous_names_total";

/// An event was not accepted by all sinks.
pub(crate) fn unaccepted() {
    counter!(UNACCEPTED).increment(1);
}

/// No source had a fact that an event should have.
pub(crate) fn missing_fact(fact: &'static str) {
    counter!(MISSING_FACTS, "fact" => fact).increment(1);
}

/// A request may or may not have changed the registry.
pub(crate) fn unknown_outcome() {
    counter!(UNKNOWN_OUTCOMES).increment(1);
}

/// A request without a client was given up.
pub(crate) fn detached_timeout() {
    counter!(DETACHED_TIMEOUTS).increment(1);
}

/// The path of a request can be read in more than one way.
pub(crate) fn ambiguous_name() {
    counter!(AMBIGUOUS_NAMES).increment(1);
}

/// The metrics of one endpoint.
pub(crate) struct EndpointMetrics {
    endpoint: String,
    pub(crate) events: Counter,
    pub(crate) successes: Counter,
    pub(crate) failures: Counter,
    pub(crate) errors: Counter,
    pub(crate) lost: Counter,
    pub(crate) retries: Counter,
    pub(crate) pending: Gauge,
    pub(crate) queue_age: Gauge,
    pub(crate) delivery: Histogram,
    pub(crate) end_to_end: Histogram,
    pub(crate) batch: Histogram,
}

impl EndpointMetrics {
    pub(crate) fn new(endpoint: &str) -> Self {
        describe();
        let name = || endpoint.to_owned();
        let of = |kind: &'static str| counter!(EVENTS, "type" => kind, "endpoint" => name());
        Self {
            events: of("Events"),
            successes: of("Successes"),
            failures: of("Failures"),
            errors: of("Errors"),
            lost: counter!(LOST, "endpoint" => name()),
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

    /// What has not happened is there too, as zero: a first time is not seen by
    /// `rate` otherwise.
    fn at_zero(self) -> Self {
        for reason in Reason::ALL {
            self.dead_letters(reason).increment(0);
        }
        counter!(UNACCEPTED).increment(0);
        self
    }

    /// Counts the answers of one status, `200 OK`.
    pub(crate) fn status(&self, code: &str) -> Counter {
        counter!(STATUS, "code" => code.to_owned(), "endpoint" => self.endpoint.clone())
    }

    pub(crate) fn dead_letters(&self, reason: Reason) -> Counter {
        let reason = reason.as_str();
        counter!(DEAD_LETTERS, "reason" => reason, "endpoint" => self.endpoint.clone())
    }
}

fn describe() {
    describe_counter!(EVENTS, "Events by what became of them");
    describe_gauge!(PENDING, "Events that wait or are under way");
    describe_counter!(STATUS, "Answers of the receiver by status");
    describe_counter!(RETRIES, "Attempts that were not the first at their events");
    describe_counter!(LOST, "Events that no sink of dead letters has");
    describe_counter!(DEAD_LETTERS, "Events that will not be tried again");
    let age = "How long the oldest event that is not delivered has waited";
    describe_gauge!(QUEUE_AGE, Unit::Seconds, age);
    describe_histogram!(DELIVERY, Unit::Seconds, "Duration of attempts");
    let end_to_end = "From the acceptance of events to that by the receiver";
    describe_histogram!(END_TO_END, Unit::Seconds, end_to_end);
    describe_histogram!(BATCH, "Events in a request");
    describe_counter!(UNACCEPTED, "Events that a sink did not accept");
    let unknown = "Requests of which it is unknown whether they changed the registry";
    describe_counter!(UNKNOWN_OUTCOMES, unknown);
    let detached = "Requests that were given up after their clients had hung up";
    describe_counter!(DETACHED_TIMEOUTS, detached);
    describe_counter!(
        AMBIGUOUS_NAMES,
        "Events whose repository can be read in two ways"
    );
    describe_counter!(MISSING_FACTS, "Facts that no source had for an event");
}
