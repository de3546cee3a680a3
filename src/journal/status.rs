//! A snapshot of a journal: [`JournalStatus`].

use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

use super::journal::Journal;

/// A snapshot of a [`Journal`].
///
/// In JSON the fields have these names, except that durations are in seconds and their
/// names end in `_seconds`. Times are in the format of RFC 3339, and absent values are
/// `null`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct JournalStatus {
    /// Where the journal is.
    pub path: String,
    /// The error because of which the journal is down. `None` while it works.
    pub error: Option<String>,
    /// Bytes that events take in the file.
    pub bytes: u64,
    /// Events in the file: waiting, or kept for replay.
    pub events: u64,
    /// When the oldest event that any endpoint waits for was accepted.
    #[serde(with = "crate::event::optional_timestamp")]
    pub oldest: Option<SystemTime>,
    /// Dead letters in the file.
    pub dead_letters: u64,
    /// Bytes that they take.
    pub dead_letter_bytes: u64,
    /// Dead letters that were removed because of the limit, since the file was
    /// created.
    pub dead_letters_dropped: u64,
    /// Events lost to damage of the file, counted once for each endpoint that waited for
    /// them, since the file was created.
    pub damaged: u64,
    /// Commits since the journal was opened, each with its sync.
    pub syncs: u64,
    /// Events that were stored since the journal was opened.
    pub stored: u64,
    /// Events in one commit that stored any, on average.
    pub events_per_sync: f64,
    /// Duration of a commit, on average.
    #[serde(rename = "sync_duration_seconds", serialize_with = "seconds")]
    pub sync_duration: Duration,
    /// Duration of the longest commit.
    #[serde(rename = "longest_sync_seconds", serialize_with = "seconds")]
    pub longest_sync: Duration,
    /// The endpoints that the journal knows.
    pub endpoints: Vec<JournalEndpoint>,
}

/// One endpoint of a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct JournalEndpoint {
    /// Its name, which is its identity.
    pub name: String,
    /// Its events that are not settled.
    pub waiting: u64,
    /// Whether no endpoint of this name is configured. Always `true` while no
    /// notifier uses the journal.
    pub orphaned: bool,
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

impl Journal {
    /// Returns a snapshot: the events that wait, their bytes, and the duration of syncs.
    pub fn status(&self) -> JournalStatus {
        let shared = self.shared();
        let published = shared.published();
        let average = |total: Duration, count: u64| {
            total
                .checked_div(u32::try_from(count).unwrap_or(u32::MAX))
                .unwrap_or_default()
        };
        let state = published.state;
        JournalStatus {
            path: shared.location.clone(),
            error: published
                .error
                .map(|error| crate::error::with_causes(&error)),
            bytes: state.bytes,
            events: state.events,
            oldest: { Some(state.oldest).filter(|it| *it > 0) }
                .map(|it| SystemTime::UNIX_EPOCH + Duration::from_millis(it)),
            dead_letters: state.letters,
            dead_letter_bytes: state.letter_bytes,
            dead_letters_dropped: state.letters_dropped,
            damaged: state.damaged,
            syncs: published.syncs,
            stored: published.stored,
            events_per_sync: published.stored as f64 / published.storing.max(1) as f64,
            sync_duration: average(published.duration, published.syncs),
            longest_sync: published.longest,
            endpoints: { state.endpoints.iter() }
                .map(|endpoint| JournalEndpoint {
                    name: endpoint.name.to_string(),
                    waiting: endpoint.waiting,
                    orphaned: shared.is_orphan(endpoint.id),
                })
                .collect(),
        }
    }
}
