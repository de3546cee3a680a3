//! The metric of events that are not in the journal. The docs of
//! [`Notifier`](crate::Notifier) list it.

use metrics::{Counter, counter, describe_counter};

const NOT_DURABLE: &str = "registry_notifications_not_durable_total";

/// The counter of events that are in memory only.
pub(super) fn not_durable() -> Counter {
    let text = "Events that the journal could not store and that are in memory only";
    describe_counter!(NOT_DURABLE, text);
    let counter = counter!(NOT_DURABLE);
    counter.increment(0);
    counter
}
