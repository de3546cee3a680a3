//! Metrics that belong to no endpoint. The docs of
//! [`Notifier`](crate::Notifier) list all of them.

use metrics::{counter, describe_counter};

const UNACCEPTED: &str = "registry_notifications_unaccepted_total";
const MISSING_FACTS: &str = "registry_notifications_missing_facts_total";

/// Describes these metrics, and registers at zero what is known beforehand.
pub(crate) fn register() {
    describe_counter!(UNACCEPTED, "Events that a sink did not accept");
    describe_counter!(MISSING_FACTS, "Facts that no source had for an event");
    counter!(UNACCEPTED).increment(0);
}

/// Counts an event that was not accepted by all sinks.
pub(crate) fn unaccepted() {
    counter!(UNACCEPTED).increment(1);
}

/// Counts a fact that an event lacks because no source had it.
pub(crate) fn missing_fact(fact: &'static str) {
    counter!(MISSING_FACTS, "fact" => fact).increment(1);
}
