//! Metrics of the journal. The docs of [`Notifier`](crate::Notifier) list them.

use std::time::{Duration, SystemTime};

use ::metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

use crate::journal::JournalStatus;

const UP: &str = "registry_notifications_journal_up";
const BYTES: &str = "registry_notifications_journal_bytes";
const EVENTS: &str = "registry_notifications_journal_events";
const AGE: &str = "registry_notifications_journal_age_seconds";
const LETTERS: &str = "registry_notifications_journal_dead_letters";
const DROPPED: &str = "registry_notifications_journal_dead_letters_dropped_total";
const DAMAGED: &str = "registry_notifications_journal_damaged_total";
const SYNCS: &str = "registry_notifications_journal_syncs_total";
const STORED: &str = "registry_notifications_journal_stored_total";
const SYNC: &str = "registry_notifications_journal_sync_seconds";
const NOT_DURABLE: &str = "registry_notifications_not_durable_total";

/// How often the metrics are brought up to date.
const REFRESH: Duration = Duration::from_secs(10);

struct Recorder {
    up: Gauge,
    bytes: Gauge,
    events: Gauge,
    age: Gauge,
    letters: Gauge,
    dropped: Counter,
    damaged: Counter,
    syncs: Counter,
    stored: Counter,
}

impl Recorder {
    fn new() -> Self {
        describe_gauge!(UP, "Whether the journal works");
        describe_gauge!(BYTES, Unit::Bytes, "What events take in the journal");
        describe_gauge!(EVENTS, "Events in the journal");
        let age = "Age of the oldest event in the journal that an endpoint waits for";
        describe_gauge!(AGE, Unit::Seconds, age);
        describe_gauge!(LETTERS, "Dead letters in the journal");
        describe_counter!(DROPPED, "Dead letters that the journal's limit removed");
        describe_counter!(DAMAGED, "Events that damage of the journal took");
        describe_counter!(SYNCS, "Commits of the journal");
        describe_counter!(STORED, "Events that the journal has stored");
        Self {
            up: gauge!(UP),
            bytes: gauge!(BYTES),
            events: gauge!(EVENTS),
            age: gauge!(AGE),
            letters: gauge!(LETTERS),
            dropped: counter!(DROPPED),
            damaged: counter!(DAMAGED),
            syncs: counter!(SYNCS),
            stored: counter!(STORED),
        }
    }

    fn update(&self, status: &JournalStatus) {
        self.up.set(if status.error.is_none() { 1.0 } else { 0.0 });
        self.bytes.set(status.bytes as f64);
        self.events.set(status.events as f64);
        let age = status.oldest.map(|it| SystemTime::now().duration_since(it));
        let age = age.and_then(Result::ok).unwrap_or_default();
        self.age.set(age.as_secs_f64());
        self.letters.set(status.dead_letters as f64);
        self.dropped.absolute(status.dead_letters_dropped);
        self.damaged.absolute(status.damaged);
        self.syncs.absolute(status.syncs);
        self.stored.absolute(status.stored);
    }
}

/// Returns the histogram of the duration of commits.
pub(super) fn syncs() -> Histogram {
    let text = "Duration of a commit of the journal, its sync included";
    describe_histogram!(SYNC, Unit::Seconds, text);
    histogram!(SYNC)
}

/// Returns the counter of events that are in memory only.
pub(super) fn not_durable() -> Counter {
    let text = "Events that the journal could not store and that are in memory only";
    describe_counter!(NOT_DURABLE, text);
    let counter = counter!(NOT_DURABLE);
    counter.increment(0);
    counter
}

/// Brings the metrics up to date as long as there is a status, that is, a notifier.
pub(super) fn watch(status: impl Fn() -> Option<JournalStatus> + Send + Sync + 'static) {
    let recorder = Recorder::new();
    if let Some(status) = status() {
        recorder.update(&status);
    }
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    runtime.spawn(async move {
        loop {
            tokio::time::sleep(REFRESH).await;
            let Some(status) = status() else { return };
            recorder.update(&status);
        }
    });
}
