//! How far a queue has read its store: [`Window`].
//!
//! `next` is the position at which the queue continues to read: every event below it has
//! come to the queue or had ended before. `end` is the position after the newest event
//! that the store is known to have. The queue is *behind* while `next < end`.
//!
//! An event that is offered while the queue is behind stays in the store, even if there
//! is room, and moves only `end`: the events before it come first. If the queue is not
//! behind, the event is taken and moves both. A page of the store moves `next`, and moves
//! it past `end` if it has events that are offered only later. An event that is offered
//! below `next` has already come with a page. All of this happens while the queue's lock
//! is held, so nothing is lost or taken twice.
//!
//! The events that only the store has are counted exactly: those between `next` and
//! `end` here, and those that are set aside in the [lane](super::lane) of each
//! repository. If an event has not come when the queue has read past it, it is missing:
//! the store has lost it to damage.
//!
//! An event that is accepted in memory only, because the store is not available,
//! comes after all that the store has offered so far. While the queue is behind,
//! it waits here until everything before it has come.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::Arc;

use tokio::time::Instant;

use super::entry::{Entry, Place};
use super::store::Position;
use crate::event::SharedEvent;

#[derive(Debug, Default)]
pub(super) struct Window {
    pub(super) next: Position,
    pub(super) end: Position,
    /// Whether a question for the events from `next` on is open.
    pub(super) asked: bool,
    /// The bytes of the event at `next`, if it did not fit. Else 0.
    pub(super) lacks: usize,
    /// The lane whose events the store was asked for, and from where on.
    pub(super) reloading: Option<(Arc<str>, Position)>,
    /// Number of events that the store has between `next` and `end`, except those that it
    /// never offers.
    pub(super) unread: usize,
    /// Number of events at or after `end` that have come with a page and are offered later.
    pub(super) early: usize,
    /// Events in memory only that have others before them in the store.
    late: VecDeque<Entry>,
    /// Events below this position become dead letters, unless they are under way.
    pub(super) expired: Position,
    /// The positions at which the store may have events that it never offers; see
    /// [`recover`](super::Queue::recover).
    unoffered: Vec<Range<Position>>,
    /// Number of events that were accepted in memory only, since the start.
    accepted: u64,
    /// Number of those that have not ended.
    pub(super) in_memory: usize,
    /// Whether the reader has ended. The events of the store then stay there.
    pub(super) over: bool,
}

impl Window {
    pub(super) fn is_behind(&self) -> bool {
        self.next < self.end
    }

    /// Returns the number of events that are in memory only and have not ended.
    pub(super) fn in_memory(&self) -> usize {
        self.in_memory
    }

    /// Whether an event that is offered has come with a page already, or has expired.
    pub(super) fn has_come(&self, position: Position) -> bool {
        position < self.next.max(self.expired)
    }

    /// Notes that an event at or after `next` has come with a page, or has expired. Returns
    /// whether it counts as accepted only now, because it is never offered, or was settled
    /// before and comes again.
    pub(super) fn comes(&mut self, position: Position) -> bool {
        // The store has committed the event, and offers it after this page.
        if position >= self.end {
            self.early += 1;
            return false;
        }
        if self.unoffered.iter().any(|it| it.contains(&position)) {
            return true;
        }
        let counted = self.unread > 0;
        self.unread -= usize::from(counted);
        !counted
    }

    /// Notes that the store has events up to `end`, some of which it never offers. Returns
    /// how many of those have come already.
    pub(super) fn recover(&mut self, end: Position) -> usize {
        let unoffered = self.end.max(self.next)..end;
        if !unoffered.is_empty() {
            self.unoffered.push(unoffered);
        }
        self.end = self.end.max(end);
        // Everything that is offered below `end` was offered before.
        std::mem::take(&mut self.early)
    }

    /// Returns where the store may have events that were never offered and have not come.
    pub(super) fn unoffered(&self) -> Vec<Range<Position>> {
        let ranges = self.unoffered.iter();
        let rest = ranges.map(|it| it.start.max(self.next)..it.end);
        rest.filter(|it| !it.is_empty()).collect()
    }

    /// Notes that the queue has read up to `next`. Returns how many events are missing.
    pub(super) fn reads_up_to(&mut self, next: Position) -> usize {
        self.next = self.next.max(next);
        let read = self.next;
        self.unoffered.retain(|range| read < range.end);
        // At `end`, every event has come: those that are still counted do not exist.
        match self.is_behind() {
            true => 0,
            false => std::mem::take(&mut self.unread),
        }
    }

    /// Gives a place to an event that is in memory only. Returns `None` if the event has to
    /// wait for those before it.
    #[inline]
    pub(super) fn accept(
        &mut self,
        event: SharedEvent,
        number: Option<NonZeroU64>,
        since: Instant,
    ) -> Option<Entry> {
        self.accepted += 1;
        self.in_memory += 1;
        // After everything that the store has, and after earlier events in memory.
        let place = Place::in_memory(self.end.max(self.next), self.accepted);
        let entry = Entry::new(place, number, since, event);
        if self.is_behind() {
            self.late.push_back(entry);
            return None;
        }
        Some(entry)
    }

    /// Notes that an event has ended, or is left to the store.
    pub(super) fn ends(&mut self, entry: &Entry) {
        if !entry.is_stored() {
            self.in_memory = self.in_memory.saturating_sub(1);
        }
    }

    /// Returns the oldest late event, if all events before it have come.
    pub(super) fn late(&mut self, next: Position) -> Option<Entry> {
        let comes = self.late.front().is_some_and(|it| it.place.end <= next);
        if !comes {
            return None;
        }
        self.late.pop_front()
    }

    /// Notes that the reader has ended, and that only the store has `stored` events more
    /// than were counted here. Removes the late events.
    pub(super) fn leave(&mut self, stored: usize) -> VecDeque<Entry> {
        self.over = true;
        self.unread += stored;
        std::mem::take(&mut self.late)
    }

    /// Forgets everything except that the store has this many events.
    pub(super) fn clear(&mut self, stored: usize) {
        self.in_memory = 0;
        self.unread = 0;
        self.leave(stored);
    }
}
