use serde::Serialize;

use crate::endpoint::EndpointStatus;
use crate::event::SourceRecord;
#[cfg(feature = "journal")]
use crate::journal::JournalStatus;

/// A snapshot of a [`Notifier`](crate::Notifier), without secrets.
///
/// Its JSON is an object with `source`, as in events, `endpoints`, a list of
/// [`EndpointStatus`], `not_durable`, and with the feature `journal` also
/// `journal`, which is `null` without a journal.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct NotifierStatus {
    /// The source of all events.
    pub source: SourceRecord,
    /// The endpoints, in the order of the configuration.
    pub endpoints: Vec<EndpointStatus>,
    /// Events that the journal could not store, so that the queues took them
    /// into memory only. 0 without a journal.
    pub not_durable: u64,
    /// The journal, if there is one.
    #[cfg(feature = "journal")]
    pub journal: Option<JournalStatus>,
}
