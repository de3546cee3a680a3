//! Where events live that outlive the process: [`Store`].
//!
//! A queue keeps its order and its bounds in memory, whatever its store. The
//! store has every event that it hands over, and keeps it until it is settled.
//! The memory of a queue is bounded by its window, whatever the backlog.
//!
//! # What a store promises
//!
//! - **Positions** grow in the order of acceptance, with or without gaps. The
//!   queue delivers the events of one repository in the order of their
//!   positions. A position is never given to a second event: positions go on
//!   after a restart where they were.
//! - **Offer.** A store that several queues share, or that waits for a sync,
//!   stores an event first and then [offers](super::Queue::offer) it to each
//!   queue that wants it, in the order of positions. Every event is offered
//!   once, whether or not the window takes it. What it has from before a
//!   restart, the store [announces](super::Queue::announce).
//! - **Refill.** An event that finds the window full stays in the store, and so
//!   do all after it: from then on the queue is *behind*. When it has room again,
//!   it asks for what follows with [`Store::refill`], one question at a time,
//!   until it has read up to the newest event that was offered. The hand-over
//!   has neither gap nor repeat, whatever is offered while a question is open
//!   and whether or not the answer contains it already.
//! - **Reload.** When many events of one repository wait behind one that fails,
//!   the queue drops them from memory and asks for them with [`Store::reload`]
//!   when their turn comes. A repository that fails for days then costs a
//!   handful of events, however many wait behind it, and the window goes on to
//!   other repositories. A store that cannot find the events of a repository
//!   says so with [`Store::can_reload`]: then they stay in memory, and fill the
//!   window.
//! - **Answers** come at once or later, from any thread. The lock of the queue is
//!   not held while the store is asked. A question whose reply is dropped is
//!   asked again when the reader looks for events the next time: a store that
//!   cannot answer for a while keeps the reply, or drops it.
//! - **Settle** ends an event at this queue's endpoint: it was delivered, or its
//!   dead letter was kept. Positions are settled in any order, each at most
//!   once. A store may settle lazily: after a crash, an event that was settled
//!   shortly before may come again. An event that is never settled (its dead
//!   letter was lost, the process ended) stays in the store.
//! - **Loans.** A store may [lend](super::leased) events for a time only.
//! - **Removal.** A store that ends events itself, by limits of its own, passes
//!   them to [`expire`](super::Queue::expire) before.
//! - **Damage.** Events that a store cannot read any more are left out of its
//!   answers. The queue counts them as missing when it has read past them.
//! - **Shutdown.** The events that a store has are left where they are. Those
//!   that are in memory only become dead letters.
//!
//! # Numbers and ages
//!
//! Each endpoint counts the events that it accepts, from 1 and without gaps, so
//! that a receiver notices a missing one. The store gives the number when it
//! accepts the event, and keeps it with the event; without a store the queue
//! counts, and an event that it refuses for good takes a number too. Ages count on the process's monotonic clock, which changes of the wall
//! clock do not disturb: the time of acceptance is converted once, when the
//! entry is made.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use crate::event::SharedEvent;

/// The place of an event in its store, and in the order of acceptance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Position(pub(crate) u64);

impl Position {
    /// The position after this one.
    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The position before this one.
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

/// How much an answer should hold at most. The first event is part of it
/// whatever its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) events: usize,
    /// In memory, as [`SharedEvent::memory`] counts.
    pub(crate) bytes: usize,
}

/// Events that are not settled, in the order of their positions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    pub(crate) events: Vec<Stored>,
    /// The position to go on with: below it there is nothing that is not part
    /// of this page, or of one before.
    pub(crate) next: Position,
}

/// Holds the events of one queue. The [module docs](self) are its contract.
pub(crate) trait Store: fmt::Debug + Send + Sync {
    /// Passes the events from a position on to `reply`, as many as there are and
    /// `most` allows.
    fn refill(&self, from: Position, most: Room, reply: Refill);

    /// Passes the events of one repository to `reply` whose positions are in
    /// `range`, as many as there are and `most` allows. An answer may be empty
    /// and only go on to a later position.
    fn reload(&self, repository: &str, range: Range<Position>, most: Room, reply: Reload);

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

    /// The event at `position` will not be tried again, and its dead letter is lost.
    /// Does nothing by default: the event stays in the store.
    fn lose(&self, _position: Position) {}

    /// Whether the event at `position` may be delivered now. It always may by
    /// default.
    fn may_deliver(&self, _position: Position) -> bool {
        true
    }

    /// Takes back the event at `position`, which must not be delivered any more.
    /// Does nothing by default.
    fn give_back(&self, _position: Position) {}

    /// Where the events are kept when the process ends, in words for people
    /// ("the journal /var/lib/…").
    fn kept_in(&self) -> &str;
}

/// Takes the answers of a store: its queue.
pub(super) trait Asker: fmt::Debug + Send + Sync {
    /// Takes the answer to [`Store::refill`]. `None` if the store has dropped the
    /// question.
    fn refilled(&self, page: Option<Page>);

    /// Takes the answer to [`Store::reload`], likewise.
    fn reloaded(&self, page: Option<Page>);
}

/// Takes the answer to [`Store::refill`].
#[derive(Debug)]
pub(crate) struct Refill(Option<Arc<dyn Asker>>);

#[cfg_attr(
    not(test),
    allow(dead_code, reason = "without stores, nobody hands over events")
)]
impl Refill {
    pub(super) fn new(asker: Arc<dyn Asker>) -> Self {
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
pub(crate) struct Reload(Option<Arc<dyn Asker>>);

#[cfg_attr(
    not(test),
    allow(dead_code, reason = "without stores, nobody hands over events")
)]
impl Reload {
    pub(super) fn new(asker: Arc<dyn Asker>) -> Self {
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
