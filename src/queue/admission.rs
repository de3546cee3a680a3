//! The writer's side of a queue: events that are in memory only.

use std::num::NonZeroU64;
use std::sync::{Arc, MutexGuard};

use tokio::time::Instant;

use super::bounds::Refused;
use super::entry::{Entry, memory_of};
use super::numbering::Numbering;
use super::queue::Queue;
use super::state::State;
use super::waiter::Waiter;
use crate::event::SharedEvent;

/// An event that is written to a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admission<'a> {
    pub(crate) event: &'a SharedEvent,
    pub(crate) numbering: Numbering,
    /// When it was accepted: the start of its age.
    pub(crate) since: Instant,
}

impl<'a> From<&'a SharedEvent> for Admission<'a> {
    fn from(event: &'a SharedEvent) -> Self {
        Self {
            event,
            numbering: Numbering::Next,
            since: Instant::now(),
        }
    }
}

impl Queue {
    /// Numbers an event that is refused for good, so that a receiver notices that
    /// it is missing.
    pub(crate) fn number_refused(&self, numbering: Numbering) -> Option<NonZeroU64> {
        self.state().numbers.take(numbering)
    }

    /// Accepts the event if there is room and no other writer waits for it.
    ///
    /// If the queue has a store, the event is in memory only, and comes after everything
    /// that the store has offered.
    pub(crate) fn push<'a>(&self, write: impl Into<Admission<'a>>) -> Result<(), Refused> {
        let write = write.into();
        let (state, memory) = self.open_for(write)?;
        // Writers that wait come first, even if this smaller event would fit.
        if !state.waiters.is_empty() {
            return Err(Refused::Full);
        }
        state.bounds.check(memory)?;
        self.admit(state, write);
        Ok(())
    }

    /// Accepts the event and drops the oldest waiting ones until it fits. Drops none if it
    /// would not fit even without all of them.
    pub(crate) fn push_dropping<'a>(
        &self,
        write: impl Into<Admission<'a>>,
        dropped: &mut Vec<Entry>,
    ) -> Result<(), Refused> {
        let write = write.into();
        let (mut state, memory) = self.open_for(write)?;
        // Events that the reader has cannot be dropped. If they leave no room, dropping the
        // others would not help.
        if !state.bounds.can_make_room(memory) {
            return Err(Refused::Full);
        }
        while state.bounds.check(memory).is_err() {
            let Some(oldest) = state.lanes.drop_oldest() else {
                return Err(Refused::Full);
            };
            state.bounds.remove(oldest.memory());
            state.window.ends(&oldest);
            dropped.push(oldest);
        }
        self.admit(state, write);
        Ok(())
    }

    /// Accepts the event now (`None`), or as soon as there is room and all earlier writers
    /// have been served.
    ///
    /// This call takes the place in the order, not the first poll of the waiter: a later
    /// write that finds room must not overtake it.
    pub(crate) fn push_or_wait<'a>(
        self: &Arc<Self>,
        write: impl Into<Admission<'a>>,
    ) -> Result<Option<Waiter>, Refused> {
        let write = write.into();
        let (mut state, memory) = self.open_for(write)?;
        if state.waiters.is_empty() && state.bounds.check(memory).is_ok() {
            self.admit(state, write);
            return Ok(None);
        }
        let (ticket, answer) = state
            .waiters
            .add(write.event.clone(), write.numbering, write.since);
        drop(state);
        // A batch does not linger while a writer waits.
        self.changed.notify_one();
        Ok(Some(Waiter::new(self.clone(), ticket, answer)))
    }

    /// Locks the queue for a write, and returns the memory that its event takes. Fails if
    /// the queue is closed or could never hold the event.
    fn open_for(&self, write: Admission<'_>) -> Result<(MutexGuard<'_, State>, usize), Refused> {
        let memory = memory_of(write.event);
        let state = self.state();
        state.check_open(memory)?;
        Ok((state, memory))
    }

    /// Adds the event to the queue, and wakes the reader after the lock is released.
    #[inline]
    fn admit(&self, mut state: MutexGuard<'_, State>, write: Admission<'_>) {
        let wakes = state.admit(write.event.clone(), write.numbering, write.since);
        drop(state);
        self.wake(wakes);
    }
}
