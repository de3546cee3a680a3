//! What keeps events that outlive the process: [`Store`].
//!
//! A queue keeps its order and its bounds in memory, whatever its store. The
//! store has every event that it hands over, and keeps it until it is settled.
//! The memory of a queue is bounded by its window, whatever the backlog.
//!
//! # What a store promises
//!
//! - **Positions** grow in the order of acceptance, with or without gaps. The
//!   queue delivers the events of one repository in the order of their
//!   positions. A position is never given to a second event, even after a
//!   restart.
//! - **Offer.** A store that several queues share, or that waits for a sync,
//!   stores an event first and then [offers](super::Queue::offer) it to each
//!   queue that wants it, in the order of positions. Every event is offered
//!   once, whether or not the window takes it. The store
//!   [announces](super::Queue::announce) events from before a restart.
//! - **Refill.** An event that finds the window full stays in the store, and so
//!   do all after it: from then on the queue is *behind*. When the queue has room
//!   again, it asks for what follows with [`Store::refill`], one question at a time,
//!   until it has read up to the newest event that was offered. No event is left
//!   out or repeated, whatever is offered while a question is open and whether or
//!   not the answer contains it already.
//! - **Reload.** When many events of one repository wait behind one that fails,
//!   the queue drops them from memory and asks for them with [`Store::reload`]
//!   when their turn comes. A repository that fails for days then costs a
//!   handful of events, however many wait behind it, and the window continues
//!   with other repositories. A store that cannot find the events of a repository
//!   says so with [`Store::can_reload`]: then they stay in memory and fill the
//!   window.
//! - **Answers** come at once or later, from any thread. The lock of the queue is
//!   not held while the store is asked. A store that cannot answer for a while keeps
//!   the reply or drops it. If it drops the reply, it is asked again when the reader
//!   takes events the next time.
//! - **Settle** ends an event at this queue's endpoint: it was delivered, or its
//!   dead letter was kept. Positions are settled in any order, each at most
//!   once. A store may settle lazily: after a crash, an event that was settled
//!   shortly before may come again. An event that is never settled (its dead
//!   letter was lost, the process ended) stays in the store.
//! - **Loans.** A store may [lend](super::leased) events for a time only.
//! - **Removal.** A store that ends events because of its own limits passes them to
//!   [`expire`](super::Queue::expire) first.
//! - **Damage.** Events that a store can no longer read are left out of its answers.
//!   The queue counts them as missing when it has read past them.
//! - **Shutdown.** The events that a store has are left where they are. Those
//!   that are in memory only become dead letters.
//!
//! # Numbers and ages
//!
//! Each endpoint counts the events that it accepts, from 1 and without gaps, so
//! that a receiver notices a missing one. The store gives the number when it
//! accepts the event, and keeps it with the event. Without a store the queue
//! counts, and an event that it refuses for good takes a number too.
//!
//! Ages are measured with the process's monotonic clock, which changes of the wall
//! clock do not affect. The time of acceptance is converted once, when the entry is
//! made.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use crate::event::SharedEvent;

/// The place of an event in its store, and in the order of acceptance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Position(pub(crate) u64);

impl Position {
    /// Returns the position after this one.
    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Returns the position before this one.
    pub(crate) fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// An event that a store hands over.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) position: Position,
    /// The number of the event at this endpoint, from 1. 0 if it has none.
    pub(crate) number: u64,
    pub(crate) accepted_at: SystemTime,
    pub(crate) event: SharedEvent,
}

/// The largest answer that is asked for. The first event is always part of it, whatever
/// its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageLimits {
    pub(crate) events: usize,
    /// In memory, as [`SharedEvent::memory`] counts.
    pub(crate) bytes: usize,
}

/// Events that are not settled, in the order of their positions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    pub(crate) events: Vec<Stored>,
    /// The position to continue with. Every event below it is part of this page or of an
    /// earlier one.
    pub(crate) next: Position,
}

/// Holds the events of one queue. The [module docs](self) are its contract.
pub(crate) trait Store: fmt::Debug + Send + Sync {
    /// Passes the events from a position on to `reply`, as many as exist and `most` allows.
    fn refill(&self, from: Position, most: PageLimits, reply: Refill);

    /// Passes the events of one repository to `reply` whose positions are in
    /// `range`, as many as exist and `most` allows. An answer may be empty and only continue
    /// at a later position.
    fn reload(&self, repository: &str, range: Range<Position>, most: PageLimits, reply: Reload);

    /// Whether the store answers [`reload`](Self::reload).
    fn can_reload(&self) -> bool {
        true
    }

    /// Ends the event at `position`: it was delivered, or its dead letter was
    /// kept.
    fn settle(&self, position: Position);

    /// Ends the event at `position`: its dead letter was kept. Settles it by
    /// default.
    fn bury(&self, position: Position) {
        self.settle(position);
    }

    /// Notes that the event at `position` will not be tried again and that its dead letter
    /// is lost. Does nothing by default: the event stays in the store.
    fn lose(&self, _position: Position) {}

    /// Whether the event at `position` may be delivered now. It always may by
    /// default.
    fn may_deliver(&self, _position: Position) -> bool {
        true
    }

    /// Takes back the event at `position`, which must not be delivered any more.
    /// Does nothing by default.
    fn give_back(&self, _position: Position) {}

    /// Returns the number of events in `range` that were never offered: their writes seemed
    /// to fail. Called at the end, and may block. Defaults to 0.
    fn unoffered(&self, _range: Range<Position>) -> usize {
        0
    }

    /// Returns where the events are kept when the process ends, in words for people ("the
    /// journal /var/lib/…").
    fn kept_in(&self) -> &str;
}

/// Takes the answers of a store. The queue implements it.
pub(super) trait AnswerReceiver: fmt::Debug + Send + Sync {
    /// Takes the answer to [`Store::refill`]. `None` if the store has dropped the
    /// question.
    fn refilled(&self, page: Option<Page>);

    /// Takes the answer to [`Store::reload`]. `None` if the store has dropped the question.
    fn reloaded(&self, page: Option<Page>);
}

/// Takes the answer to [`Store::refill`].
#[derive(Debug)]
pub(crate) struct Refill(Option<Arc<dyn AnswerReceiver>>);

#[cfg_attr(
    not(test),
    allow(dead_code, reason = "without stores, nobody hands over events")
)]
impl Refill {
    pub(super) fn new(asker: Arc<dyn AnswerReceiver>) -> Self {
        Self(Some(asker))
    }

    /// Answers with the events that come next.
    pub(crate) fn answer(mut self, page: Page) {
        if let Some(asker) = self.0.take() {
            asker.refilled(Some(page));
        }
    }
}

impl Drop for Refill {
    fn drop(&mut self) {
        if let Some(asker) = self.0.take() {
            asker.refilled(None);
        }
    }
}

/// Takes the answer to [`Store::reload`].
#[derive(Debug)]
pub(crate) struct Reload(Option<Arc<dyn AnswerReceiver>>);

#[cfg_attr(
    not(test),
    allow(dead_code, reason = "without stores, nobody hands over events")
)]
impl Reload {
    pub(super) fn new(asker: Arc<dyn AnswerReceiver>) -> Self {
        Self(Some(asker))
    }

    /// Answers with the events of the repository.
    pub(crate) fn answer(mut self, page: Page) {
        if let Some(asker) = self.0.take() {
            asker.reloaded(Some(page));
        }
    }
}

impl Drop for Reload {
    fn drop(&mut self) {
        if let Some(asker) = self.0.take() {
            asker.reloaded(None);
        }
    }
}
