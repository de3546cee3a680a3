//! Writes to a queue: events that are in memory only.

use std::num::NonZeroU64;
use std::sync::Arc;

use tokio::time::Instant;

use super::bounds::Refused;
use super::entry::{Entry, memory_of};
use super::queue::{Queue, State};
use super::waiter::{self, Waiter};
use crate::event::SharedEvent;

/// An event that is written to a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admission<'a> {
    pub(crate) event: &'a SharedEvent,
    pub(crate) numbering: Numbering,
}

/// Which number an event gets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Numbering {
    /// The next one of the queue.
    Next,
    /// The one that it had when it was accepted before.
    Kept(Option<NonZeroU64>),
}

impl<'a> From<&'a SharedEvent> for Admission<'a> {
    fn from(event: &'a SharedEvent) -> Self {
        let numbering = Numbering::Next;
        Self { event, numbering }
    }
}

impl Queue {
    /// Numbers an event that is refused for good, so that a receiver notices that
    /// it is missing.
    pub(crate) fn number_refused(&self, numbering: Numbering) -> Option<NonZeroU64> {
        let has_store = self.store.is_some();
        self.state().window.number(numbering, has_store)
    }

    /// Accepts the event if there is room and no other writer waits for it.
    ///
    /// Where the queue has a store, the event is in memory only, and comes after
    /// everything that the store has offered.
    pub(crate) fn push<'a>(&self, write: impl Into<Admission<'a>>) -> Result<(), Refused> {
        let Admission { event, numbering } = write.into();
        let mut state = self.state();
        state.check_open(event)?;
        if !state.waiting.is_empty() {
            return Err(Refused::Full);
        }
        state.bounds.check(memory_of(event))?;
        self.admit(&mut state, event.clone(), numbering, Instant::now());
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Accepts the event and drops the oldest ones that wait until it fits; none
    /// if it would not fit without all of them.
    pub(crate) fn push_dropping<'a>(
        &self,
        write: impl Into<Admission<'a>>,
        dropped: &mut Vec<Entry>,
    ) -> Result<(), Refused> {
        let Admission { event, numbering } = write.into();
        let mut state = self.state();
        state.check_open(event)?;
        if !state.bounds.can_make_room(memory_of(event)) {
            return Err(Refused::Full);
        }
        while state.bounds.check(memory_of(event)).is_err() {
            let Some(oldest) = state.lanes.drop_oldest() else {
                return Err(Refused::Full);
            };
            state.bounds.remove(oldest.memory());
            state.window.ends(&oldest);
            dropped.push(oldest);
        }
        self.admit(&mut state, event.clone(), numbering, Instant::now());
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Accepts the event, now (`None`) or as soon as there is room and all
    /// writers that came before have been served.
    ///
    /// The place in the order is taken by this call, not by the first poll of
    /// the waiter: a later write that finds room must not overtake it.
    pub(crate) fn push_or_wait<'a>(
        self: &Arc<Self>,
        write: impl Into<Admission<'a>>,
    ) -> Result<Option<Waiter>, Refused> {
        let Admission { event, numbering } = write.into();
        let mut state = self.state();
        state.check_open(event)?;
        if state.waiting.is_empty() && state.bounds.check(memory_of(event)).is_ok() {
            self.admit(&mut state, event.clone(), numbering, Instant::now());
            drop(state);
            self.changed.notify_one();
            return Ok(None);
        }
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        let (waiting, waiter) = waiter::pair(self.clone(), ticket, event.clone(), numbering);
        state.waiting.push_back(waiting);
        Ok(Some(waiter))
    }

    fn admit(&self, state: &mut State, event: SharedEvent, numbering: Numbering, since: Instant) {
        state.bounds.add(memory_of(&event));
        let number = state.window.number(numbering, self.store.is_some());
        let entry = state.window.accept(event, number, since);
        if let Some(entry) = entry {
            state.lanes.push(entry);
        }
        (self.accepted)(1);
    }

    /// Serves the writers that wait, as far as there is room. Returns whether
    /// the reader has more to take.
    pub(super) fn serve(&self, state: &mut State) -> bool {
        let mut any = false;
        while let Some(first) = state.waiting.front() {
            if state.bounds.check(memory_of(&first.event)).is_err() {
                break;
            }
            let Some(waiting) = state.waiting.pop_front() else {
                break;
            };
            self.admit(
                state,
                waiting.event.clone(),
                waiting.numbering,
                waiting.since,
            );
            waiting.answer(Ok(()));
            any = true;
        }
        any
    }

    /// Removes a writer that stopped waiting. Returns whether it still waited:
    /// if not, it has its answer.
    pub(super) fn withdraw(&self, ticket: u64) -> bool {
        let mut state = self.state();
        let found = { &state.waiting }.binary_search_by_key(&ticket, |it| it.ticket);
        let Ok(index) = found else { return false };
        let withdrawn = state.waiting.remove(index);
        // It may have been too large for the room that others fit into.
        let more = self.serve(&mut state);
        drop(state);
        drop(withdrawn);
        if more {
            self.changed.notify_one();
        }
        true
    }
}
