//! Metrics of a journal; the [module docs](super) list them.

use std::time::{Duration, SystemTime};

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

use super::batch::millis;
use super::state::State;

const UP: &str = "registry_notifications_journal_up";
const BYTES: &str = "registry_notifications_journal_bytes";
const EVENTS: &str = "registry_notifications_journal_events";
const OLDEST: &str = "registry_notifications_journal_oldest_seconds";
const LETTERS: &str = "registry_notifications_journal_dead_letters";
const DAMAGED: &str = "registry_notifications_journal_damaged";
const SYNCS: &str = "registry_notifications_journal_syncs_total";
const SYNC_EVENTS: &str = "registry_notifications_journal_sync_events";
const SYNC_SECONDS: &str = "registry_notifications_journal_sync_seconds";

pub(super) struct Metrics {
    up: Gauge,
    bytes: Gauge,
    events: Gauge,
    oldest: Gauge,
    letters: Gauge,
    damaged: Gauge,
    syncs: Counter,
    sync_events: Histogram,
    sync_seconds: Histogram,
}

impl Metrics {
    pub(super) fn register() -> Self {
        describe_gauge!(UP, "Whether the journal works");
        describe_gauge!(BYTES, "Bytes that events take in the journal");
        describe_gauge!(EVENTS, "Events in the journal");
        describe_gauge!(OLDEST, "Age of the oldest event that an endpoint waits for");
        describe_gauge!(LETTERS, "Dead letters in the journal");
        describe_gauge!(DAMAGED, "Events that damage of the journal's file took");
        describe_counter!(SYNCS, "Commits of the journal");
        describe_histogram!(SYNC_EVENTS, "Events in a commit of the journal");
        describe_histogram!(SYNC_SECONDS, "Duration of a commit of the journal");
        Self {
            up: gauge!(UP),
            bytes: gauge!(BYTES),
            events: gauge!(EVENTS),
            oldest: gauge!(OLDEST),
            letters: gauge!(LETTERS),
            damaged: gauge!(DAMAGED),
            syncs: counter!(SYNCS),
            sync_events: histogram!(SYNC_EVENTS),
            sync_seconds: histogram!(SYNC_SECONDS),
        }
    }

    pub(super) fn publish(&self, state: &State, works: bool) {
        self.up.set(f64::from(u8::from(works)));
        self.bytes.set(state.bytes as f64);
        self.events.set(state.events as f64);
        let age = match state.oldest {
            0 => 0,
            oldest => millis(SystemTime::now()).saturating_sub(oldest),
        };
        self.oldest.set(Duration::from_millis(age).as_secs_f64());
        self.letters.set(state.letters as f64);
        self.damaged.set(state.damaged as f64);
    }

    pub(super) fn committed(&self, events: usize, duration: Duration) {
        self.syncs.increment(1);
        if events > 0 {
            self.sync_events.record(events as f64);
        }
        self.sync_seconds.record(duration);
    }
}
