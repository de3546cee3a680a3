//! The snapshot of a notifier: [`NotifierStatus`].

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;

use crate::endpoint::EndpointStatus;
use crate::event::{Action, Kind, SourceRecord};
#[cfg(feature = "journal")]
use crate::journal::JournalStatus;

/// A snapshot of a [`Notifier`](crate::Notifier), without secrets.
///
/// Its JSON is an object with these fields: `source` as in events, `started_at` in
/// RFC 3339, `emitted` as `{"push":{"manifest":2,"blob":5},…}`, the numbers
/// `unaccepted`, `detached` and `not_durable`, `endpoints` as [`EndpointStatus`]
/// describes them, and with the feature `journal` also `journal`, which is `null`
/// without a journal.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct NotifierStatus {
    /// The source of all events.
    pub source: SourceRecord,
    /// When the notifier was built.
    #[serde(with = "crate::event::optional_timestamp")]
    pub started_at: Option<SystemTime>,
    /// Events since the notifier was built, by action and kind, whether or not a sink
    /// accepted them.
    pub emitted: BTreeMap<Action, BTreeMap<Kind, u64>>,
    /// Events that at least one sink did not accept.
    pub unaccepted: u64,
    /// Requests that continue although their clients have disconnected.
    pub detached: u64,
    /// The endpoints, in the order of the configuration.
    pub endpoints: Vec<EndpointStatus>,
    /// Events that the journal could not store, so that the queues took them
    /// into memory only. 0 without a journal.
    pub not_durable: u64,
    /// The journal, if there is one.
    #[cfg(feature = "journal")]
    pub journal: Option<JournalStatus>,
}
