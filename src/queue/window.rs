//! How far a queue has read its store: [`Window`].
//!
//! `next` is the position that the queue goes on with: everything below has come
//! to it, or had ended before. `end` lies behind the newest event that the store
//! is known to have. The queue is *behind* while `next < end`.
//!
//! An event that is offered while the queue is behind stays in the store, even
//! if there is room, and moves `end` only: those before it come first. When the
//! queue is not behind, the event is taken and moves both. A page of the store
//! moves `next`, and may pass `end` when it holds what is offered only later. An
//! offer below `next` has come with a page already. Since all of that happens
//! with the queue's lock held, nothing is lost or taken twice in between.
//!
//! How many events only the store has is counted exactly: those between `next` and
//! `end` here, and those of each repository that are set aside in its
//! [lane](super::lane). What has not come when the queue has read past it is
//! missing: damage took it from the store.
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
    /// Events that the store has between `next` and `end`, but for those that it
    /// never offers.
    pub(super) unread: usize,
    /// Events at or behind `end` that have come with a page: they are offered later.
    pub(super) early: usize,
    /// Events in memory only that have others before them in the store.
    late: VecDeque<Entry>,
    /// Events below this position become dead letters, unless they are under way.
    pub(super) expired: Position,
    /// Where the store may have events that it never offers; see
    /// [`recover`](super::Queue::recover).
    unoffered: Vec<Range<Position>>,
    /// How many events were accepted in memory only, ever and not ended.
    accepted: u64,
    pub(super) in_memory: usize,
    /// Whether nobody reads any more. What the store has stays there.
    pub(super) over: bool,
}

impl Window {
    pub(super) fn is_behind(&self) -> bool {
        self.next < self.end
    }

    /// Events that are in memory only and have not ended.
    pub(super) fn in_memory(&self) -> usize {
        self.in_memory
    }

    /// Whether an event that is offered has come with a page already, or has expired.
    pub(super) fn has_come(&self, position: Position) -> bool {
        position < self.next.max(self.expired)
    }

    /// An event at or behind `next` has come with a page, or has expired. Returns
    /// whether it counts as accepted only now: it is never offered, or was settled
    /// before and comes again.
    pub(super) fn comes(&mut self, position: Position) -> bool {
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

    /// The store has events up to `end`, some of which it never offers. Returns how
    /// many of those have come already.
    pub(super) fn recover(&mut self, end: Position) -> usize {
        let unoffered = self.end.max(self.next)..end;
        if !unoffered.is_empty() {
            self.unoffered.push(unoffered);
        }
        self.end = self.end.max(end);
        // Everything that is offered below `end` was offered before.
        std::mem::take(&mut self.early)
    }

    /// The queue has read up to `next`. Returns how many events are missing.
    pub(super) fn reads_up_to(&mut self, next: Position) -> usize {
        self.next = self.next.max(next);
        let read = self.next;
        self.unoffered.retain(|range| read < range.end);
        match self.is_behind() {
            true => 0,
            false => std::mem::take(&mut self.unread),
        }
    }

    /// Gives an event in memory only its place. Returns `None` if it has to wait
    /// for those before it.
    pub(super) fn accept(
        &mut self,
        event: SharedEvent,
        number: Option<NonZeroU64>,
        since: Instant,
    ) -> Option<Entry> {
        self.accepted += 1;
        self.in_memory += 1;
        let place = Place::in_memory(self.end.max(self.next), self.accepted);
        let entry = Entry::new(place, number, since, event);
        if self.is_behind() {
            self.late.push_back(entry);
            return None;
        }
        Some(entry)
    }

    /// An event has ended, or is left to the store.
    pub(super) fn ends(&mut self, entry: &Entry) {
        if !entry.is_stored() {
            self.in_memory = self.in_memory.saturating_sub(1);
        }
    }

    /// The oldest event that is late, if all those before it have come.
    pub(super) fn late(&mut self, next: Position) -> Option<Entry> {
        let comes = self.late.front().is_some_and(|it| it.place.end <= next);
        if !comes {
            return None;
        }
        self.late.pop_front()
    }

    /// Nobody reads any more: only the store has these events, besides those that it
    /// has anyway. Removes those that wait here.
    pub(super) fn leave(&mut self, stored: usize) -> VecDeque<Entry> {
        self.over = true;
        self.unread += stored;
        std::mem::take(&mut self.late)
    }

    /// Forgets everything but that the store has so many events.
    pub(super) fn clear(&mut self, stored: usize) {
        self.in_memory = 0;
        self.unread = 0;
        self.leave(stored);
    }
}
