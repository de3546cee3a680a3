//! Where the events of a queue live: [`Store`].
//!
//! A queue keeps its lanes and its bounds in memory, whatever its store. The
//! store decides whether events survive the process, and which
//! [`Position`] each event has.
//!
//! # What a store promises
//!
//! - **Positions** grow in the order of acceptance. The queue delivers the
//!   events of one repository in the order of their positions. A position is
//!   never given to a second event while an entry with it exists, in this
//!   process or, if the store is durable, in the store: positions of a durable
//!   store go on after a restart where they were.
//! - **Append** takes responsibility for an event. The queue calls it with its
//!   own lock held, after the bounds have admitted the event, so that positions
//!   have the order of the lanes. It must not block and must not call the queue.
//!   A store that has to wait (for a sync, for an acknowledgement) or that
//!   serves several queues stores the event *first* and hands it to the queues
//!   afterwards, in the order of positions; `append` then only looks up the
//!   position that the event has already.
//! - **Settle** ends an event at this queue's endpoint: it was delivered, or its
//!   dead letter was kept. Positions are settled in any order, each at most
//!   once. A durable store may settle lazily: after a crash, an event that was
//!   settled shortly before may come again. An event that is never settled (its
//!   dead letter was lost, the process ended) stays in a durable store.
//! - **Load** gets an event back whose position the queue kept while it dropped
//!   the event from memory. Only a durable store is asked. The answer goes
//!   through the [`Reply`], at once or later, from any thread; a reply that is
//!   dropped is asked for again. The queue asks for one event a repository at a
//!   time, so a store is wise to keep what lies close to it.
//! - **Shutdown.** The events that a durable store holds are left where they
//!   are. Those of any other store become dead letters.
//!
//! Ages count on the process's monotonic clock, which wall clock changes do not
//! disturb. A durable store that hands over an event from an earlier process
//! converts the time of acceptance once, when the entry is made.

mod memory;

use std::fmt;
use std::sync::Arc;

pub(crate) use self::memory::MemoryStore;
use super::Queue;
use crate::event::SharedEvent;

/// The place of an event in its store, and in the order of acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Position(pub(crate) u64);

/// Holds the events of one queue. The [module docs](self) are its contract.
pub(crate) trait Store: fmt::Debug + Send + Sync {
    /// Takes responsibility for `event` and returns its position.
    fn append(&self, event: &SharedEvent) -> Position;

    /// Loads the event at `position` and passes it to `reply`.
    fn load(&self, position: Position, reply: Reply);

    /// Ends the event at `position`: it was delivered, or its dead letter was
    /// kept.
    fn settle(&self, position: Position);

    /// Where the events are kept when the process ends, in words for people
    /// ("the journal /var/lib/…"). `None` if they end with the process.
    fn kept_in(&self) -> Option<&str>;
}

/// Takes the event that a store was asked to load.
#[derive(Debug)]
pub(crate) struct Reply {
    queue: Option<Arc<Queue>>,
    position: Position,
}

impl Reply {
    pub(super) fn new(queue: Arc<Queue>, position: Position) -> Self {
        Self {
            queue: Some(queue),
            position,
        }
    }

    /// Answers with the event. `None` says that the store does not have it any
    /// more, because its own limits removed it: the store has accounted for
    /// that, and the queue forgets the position.
    pub(crate) fn answer(mut self, event: Option<SharedEvent>) {
        if let Some(queue) = self.queue.take() {
            queue.loaded(self.position, event);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            queue.not_loaded(self.position);
        }
    }
}
