//! Metrics that belong to no endpoint. The docs of
//! [`Notifier`](crate::Notifier) list all of them.

use std::fmt;
use std::sync::OnceLock;

use metrics::{Counter, counter, describe_counter};

use crate::event::{Action, Kind};

const EMITTED: &str = "registry_notifications_emitted_total";
const UNACCEPTED: &str = "registry_notifications_unaccepted_total";
const MISSING_FACTS: &str = "registry_notifications_missing_facts_total";
const UNKNOWN_OUTCOMES: &str = "registry_notifications_unknown_outcomes_total";
const DETACHED_TIMEOUTS: &str = "registry_notifications_detached_timeouts_total";
const AMBIGUOUS_NAMES: &str = "registry_notifications_ambiguous_names_total";

/// Describes these metrics, and registers those with known labels at zero.
pub(crate) fn register() {
    describe_counter!(EMITTED, "Events by action and kind");
    describe_counter!(UNACCEPTED, "Events that a sink did not accept");
    describe_counter!(MISSING_FACTS, "Facts that no source had for an event");
    let unknown = "Requests of which it is unknown whether they changed the registry";
    describe_counter!(UNKNOWN_OUTCOMES, unknown);
    let detached = "Requests that were given up after their clients had hung up";
    describe_counter!(DETACHED_TIMEOUTS, detached);
    let ambiguous = "Events whose repository can be read in more than one way";
    describe_counter!(AMBIGUOUS_NAMES, ambiguous);
    for counter in [UNKNOWN_OUTCOMES, DETACHED_TIMEOUTS, AMBIGUOUS_NAMES] {
        counter!(counter).increment(0);
    }
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

/// Counts a request that may or may not have changed the registry.
pub(crate) fn unknown_outcome() {
    counter!(UNKNOWN_OUTCOMES).increment(1);
}

/// Counts a request without a client that was given up.
pub(crate) fn detached_timeout() {
    counter!(DETACHED_TIMEOUTS).increment(1);
}

/// Counts an event whose repository can be read in more than one way.
pub(crate) fn ambiguous_name() {
    counter!(AMBIGUOUS_NAMES).increment(1);
}

/// Counts events by action and kind. Its handles are looked up once, because every
/// event is counted here.
#[derive(Default)]
pub(crate) struct EmittedCounters([[OnceLock<Counter>; Kind::ALL.len()]; Action::ALL.len()]);

impl EmittedCounters {
    /// Registers the counters of all actions and kinds that occur together at zero.
    pub(crate) fn register(&self) {
        for action in Action::ALL {
            for kind in Kind::ALL
                .into_iter()
                .filter(|kind| action.applies_to(*kind))
            {
                self.counter(action, kind).increment(0);
            }
        }
    }

    pub(crate) fn add(&self, action: Action, kind: Kind) {
        self.counter(action, kind).increment(1);
    }

    fn counter(&self, action: Action, kind: Kind) -> &Counter {
        self.0[action as usize][kind as usize]
            .get_or_init(|| counter!(EMITTED, "action" => action.as_str(), "kind" => kind.as_str()))
    }
}

impl fmt::Debug for EmittedCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmittedCounters").finish_non_exhaustive()
    }
}
