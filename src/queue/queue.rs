//! The queue, and what both of its sides use: [`Queue`].

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::bounds::{Limits, Refused};
use super::fresh::Threshold;
use super::state::State;
use super::store::Store;

/// A queue, bounded in events and in bytes.
///
/// An event counts against the bounds until it is [settled](Self::settle_all) or
/// [forgotten](Self::forget), but not while only the store has it.
pub(crate) struct Queue {
    state: Mutex<State>,
    /// `None` if all events are in memory only.
    pub(super) store: Option<Box<dyn Store>>,
    /// Wakes the reader to take events.
    pub(super) changed: Notify,
    /// Wakes the reader to give events back.
    pub(super) revoked: Notify,
    /// The wall clock.
    pub(super) clock: fn() -> SystemTime,
    /// Called with the number of events that the store lacks.
    pub(super) missing: Box<dyn Fn(usize) + Send + Sync>,
}

/// A queue at one moment, as its reader sees it.
pub(crate) struct QueueSnapshot {
    /// Whether no write is accepted any more.
    pub(crate) closed: bool,
    /// Number of events that wait or are under way.
    pub(crate) events: usize,
    /// When the oldest event that is not under way was accepted.
    pub(crate) oldest: Option<Instant>,
}

impl Queue {
    /// A queue without events, which has them in memory only. `accepted` is
    /// called with the number of events that the queue accepts, also if their
    /// writer has stopped waiting for the answer. It must not block and must not
    /// call the queue.
    #[cfg(test)]
    pub(crate) fn new(
        limits: Limits,
        accepted: impl Fn(usize) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Self::of(limits, None, SystemTime::now, accepted, |_| {})
    }

    /// A queue that is a window over `store`. The store
    /// [announces](Self::announce) the events that it has already. `clock` is the
    /// wall clock.
    #[cfg(test)]
    pub(crate) fn over(
        store: impl Store + 'static,
        limits: Limits,
        clock: fn() -> SystemTime,
        accepted: impl Fn(usize) + Send + Sync + 'static,
        missing: impl Fn(usize) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Self::of(limits, Some(Box::new(store)), clock, accepted, missing)
    }

    /// A queue over a store, or without one. `missing` is called with the number of
    /// events that the store had and has no more, although the queue has not ended
    /// them.
    pub(crate) fn of(
        limits: Limits,
        store: Option<Box<dyn Store>>,
        clock: fn() -> SystemTime,
        accepted: impl Fn(usize) + Send + Sync + 'static,
        missing: impl Fn(usize) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State::new(limits, store.is_some(), accepted)),
            store,
            changed: Notify::new(),
            revoked: Notify::new(),
            clock,
            missing: Box::new(missing),
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when there may be more to take, or the queue was closed. A change between
    /// two calls is not missed: `Notify` keeps one permit for the one reader.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Closes the queue for writers, and refuses the events of writers that wait. A store
    /// may still hand over events that it has.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let waiting = state.waiters.take();
        drop(state);
        for waiting in waiting {
            waiting.answer(Err(Refused::Closed));
        }
        self.changed.notify_one();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Whether an event of average size would be accepted now.
    pub(crate) fn has_room(&self) -> bool {
        let state = self.state();
        !state.closed && state.waiters.is_empty() && state.bounds.has_room()
    }

    /// Returns the number of events that wait or are under way, and the bytes of those that
    /// are in memory.
    pub(crate) fn size(&self) -> (usize, usize) {
        let state = self.state();
        (state.size(), state.bounds.bytes())
    }

    /// Returns how many events the store has that do not count in the
    /// [size](Self::size), because they were never offered and have not been read. May
    /// block.
    pub(crate) fn unoffered(&self) -> usize {
        let ranges = self.state().window.unoffered();
        // Without the lock: the store reads.
        let Some(store) = &self.store else { return 0 };
        ranges.into_iter().map(|it| store.unoffered(it)).sum()
    }

    /// Returns when the oldest event that is not under way was accepted.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.state().lanes.oldest()
    }

    /// Returns where events that are not settled are kept when the process ends.
    pub(crate) fn kept_in(&self) -> Option<&str> {
        self.store.as_ref().map(|store| store.kept_in())
    }

    /// Returns a snapshot for a reader that is about to wait. The reader is woken once the
    /// events that it has not looked at reach `wakes_at`: at once if they do already. If no
    /// event waits or is under way, the next one wakes it.
    pub(crate) fn watch(&self, wakes_at: Threshold) -> QueueSnapshot {
        let mut state = self.state();
        let snapshot = QueueSnapshot {
            closed: state.closed,
            events: state.size(),
            oldest: state.lanes.oldest(),
        };
        state.wakes_at = match snapshot.events {
            0 => Threshold::NEXT,
            _ => wakes_at,
        };
        let wakes = state.lanes.fresh().reaches(state.wakes_at);
        drop(state);
        self.wake(wakes);
        snapshot
    }

    /// Wakes the reader if it has to be told of an event.
    pub(super) fn wake(&self, wakes: bool) {
        if wakes {
            self.changed.notify_one();
        }
    }

    /// Removes a writer that has stopped waiting. Returns `false` if it has its answer
    /// already.
    pub(super) fn withdraw(&self, ticket: u64) -> bool {
        let mut state = self.state();
        let Some(withdrawn) = state.waiters.remove(ticket) else {
            return false;
        };
        // Its event may have been too large for room that is enough for the writers behind
        // it.
        let more = state.serve();
        drop(state);
        drop(withdrawn);
        self.wake(more);
        true
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("store", &self.store)
            .field("size", &self.size())
            .finish_non_exhaustive()
    }
}
