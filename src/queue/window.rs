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
    /// The bytes of the event at `next`, if it did not fit.
    pub(super) lacks: usize,
    /// The lane whose events the store was asked for, and from where on.
    pub(super) reloading: Option<(Arc<str>, Position)>,
    /// How many events only the store has. Below zero while a page holds events
    /// that are offered later.
    pub(super) left: i64,
    /// Events in memory only that have others before them in the store.
    late: VecDeque<Entry>,
    /// Events below this position become dead letters, unless they are under way.
    pub(super) expired: Position,
    /// Where the store may have events that it never offers; see
    /// [`recover`](super::Queue::recover).
    pub(super) unoffered: Vec<Range<Position>>,
    /// How many events were accepted in memory only, ever and not ended.
    accepted: u64,
    pub(super) in_memory: usize,
}

impl Window {
    pub(super) fn is_behind(&self) -> bool {
        self.next < self.end
    }

    /// Events that only the store has.
    pub(super) fn left(&self) -> usize {
        usize::try_from(self.left).unwrap_or(0)
    }

    /// Events that are in memory only and have not ended.
    pub(super) fn in_memory(&self) -> usize {
        self.in_memory
    }

    pub(super) fn is_unoffered(&self, position: Position) -> bool {
        self.unoffered.iter().any(|range| range.contains(&position))
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

    /// Removes the events that wait here.
    pub(super) fn drain(&mut self) -> VecDeque<Entry> {
        std::mem::take(&mut self.late)
    }

    /// Forgets everything but that the store has so many events.
    pub(super) fn clear(&mut self, stored: usize) {
        self.late.clear();
        self.in_memory = 0;
        self.left = i64::try_from(stored).unwrap_or(i64::MAX);
    }
}
