//! What takes events out of the journal: [`Consumer`].

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::dead_letter::Reason;
use crate::event::SharedEvent;

use super::bits::EndpointId;

/// An endpoint that takes its events out of the journal.
#[derive(Clone, Debug)]
pub(crate) struct Attach {
    pub(crate) name: Arc<str>,
    /// Where it starts if the journal does not know it.
    pub(crate) start: Start,
}

/// Where an endpoint starts that the journal does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Start {
    /// With the events that are stored from now on.
    #[default]
    New,
    /// With the oldest event in the journal. It is handed all of them, and settles
    /// those that it does not want.
    Oldest,
}

/// An event of an endpoint as the journal has it.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// Its place among all events of the journal.
    pub(crate) position: u64,
    /// Its number among the events that the endpoint wants of one source
    /// instance, from 1. `None` if the endpoint did not want it when it came.
    pub(crate) number: Option<u64>,
    /// When the event was accepted, or sent again.
    pub(crate) since: SystemTime,
    /// Whether it came before the endpoint, which may not want it.
    pub(crate) adopted: bool,
    pub(crate) event: SharedEvent,
}

/// What waits for an endpoint when it is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backlog {
    pub(crate) endpoint: EndpointId,
    /// Its events.
    pub(crate) events: u64,
    /// Below this position there are events that came before the endpoint. They are
    /// none of `events`, because the endpoint may not want them.
    pub(crate) adopted: u64,
}

/// The queues behind a journal.
///
/// The journal's threads call it. It must not block, and must not keep a [`Journal`]
/// alive, or the journal would never be closed.
///
/// [`Journal`]: super::Journal
pub(crate) trait Consumer: Send + Sync + 'static {
    /// Takes the ids of its endpoints, in the order in which they were attached, each with
    /// what waits for it. All of that is at positions below `end`. No event is delivered
    /// before this call or during it: the queue would take it for the next one and skip
    /// those that wait.
    fn attached(&self, endpoints: &[Backlog], end: u64);

    /// Takes events that are on disk now, in the order of their positions. Calls for one
    /// endpoint leave out none of its events.
    fn deliver(&self, endpoint: EndpointId, events: &[Stored]);

    /// Ends events that go because of the journal's limits: they become dead
    /// letters with this reason. Each is to be [settled](super::Journal::settle)
    /// when its letter is kept or lost. The queue may hold some of them, even under
    /// way; others it never had. Returns whether all of them are on their way out:
    /// the journal counts on their space then, and ends no others in their place.
    fn expire(&self, endpoint: EndpointId, events: Vec<Stored>, reason: Reason) -> bool;

    /// A commit took so long, its sync included.
    fn synced(&self, duration: Duration);

    /// The journal was down and works again, with positions up to `end`. A write that
    /// failed may have succeeded nevertheless. Called before anything can be read, so
    /// that nobody meets such an event unprepared, and once more after that: reads
    /// that failed may be repeated then.
    fn recovered(&self, end: u64);
}
