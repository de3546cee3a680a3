use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::bounds::{Bounds, Limits, Refused};
use super::entry::{Entry, memory_of};
use super::lanes::{Evict, Lanes};
use super::store::{Position, Store};
use super::waiter::Waiting;
use super::window::Window;
use crate::event::SharedEvent;

/// A queue, bounded in events and in bytes.
///
/// An event counts against the bounds until it is [settled](Self::settle) or
/// [forgotten](Self::forget), but not while only the store has it.
pub(crate) struct Queue {
    state: Mutex<State>,
    /// `None` if all events are in memory only.
    pub(super) store: Option<Box<dyn Store>>,
    /// Wakes the reader.
    pub(super) changed: Notify,
    /// Wakes the reader to give events back.
    pub(super) revoked: Notify,
    /// Called with the number of accepted events, with the lock held.
    pub(super) accepted: Box<dyn Fn(usize) + Send + Sync>,
    /// The wall clock.
    pub(super) clock: fn() -> SystemTime,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) lanes: Lanes,
    pub(super) bounds: Bounds,
    pub(super) window: Window,
    /// Writers that wait for room, in the order in which they came. While there
    /// are any, no other write is accepted: it would overtake them.
    pub(super) waiting: VecDeque<Waiting>,
    pub(super) next_ticket: u64,
    pub(super) closed: bool,
}

/// The repositories of a batch that is under way.
#[derive(Debug, Default)]
#[must_use = "the repositories stay busy until they are released"]
pub(crate) struct Occupied(Vec<Arc<str>>);

impl Occupied {
    /// Moves the repositories that `other` is to hold out of this one.
    pub(crate) fn split_off(&mut self, other: impl Fn(&str) -> bool) -> Self {
        let all = std::mem::take(&mut self.0);
        let (theirs, ours) = all.into_iter().partition(|it| other(it));
        self.0 = ours;
        Self(theirs)
    }
}

/// The events that a reader has left, by where they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Abandoned {
    /// Those that the store has.
    pub(crate) stored: usize,
    /// Those that nothing has any more.
    pub(crate) lost: usize,
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
        Self::of(limits, None, SystemTime::now, accepted)
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
    ) -> Arc<Self> {
        Self::of(limits, Some(Box::new(store)), clock, accepted)
    }

    /// A queue over a store, or without one.
    pub(crate) fn of(
        limits: Limits,
        store: Option<Box<dyn Store>>,
        clock: fn() -> SystemTime,
        accepted: impl Fn(usize) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                lanes: Lanes::default(),
                bounds: Bounds::new(limits),
                window: Window::default(),
                waiting: VecDeque::new(),
                next_ticket: 0,
                closed: false,
            }),
            store,
            changed: Notify::new(),
            revoked: Notify::new(),
            accepted: Box::new(accepted),
            clock,
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next event whose repository is not busy, in the order of
    /// acceptance. Its repository is not busy before it is
    /// [occupied](Self::occupy).
    pub(crate) fn take(self: &Arc<Self>) -> Option<Entry> {
        let Some(store) = &self.store else {
            return self.next(false);
        };
        let can_reload = store.can_reload();
        let entry = self.next(can_reload);
        // After the look at the events: that there are none left is a reason to
        // ask for more.
        let asked = self.ask(&**store);
        match entry {
            // The answer to the question may be here already. If it comes later,
            // it wakes the reader.
            None if asked => self.next(can_reload),
            entry => entry,
        }
    }

    fn next(&self, can_reload: bool) -> Option<Entry> {
        let mut state = self.state();
        let State {
            lanes,
            bounds,
            window,
            ..
        } = &mut *state;
        let left = &mut window.left;
        let entry = lanes.take(match can_reload {
            true => Some(Evict { bounds, left }),
            false => None,
        })?;
        state.bounds.take(entry.memory());
        Some(entry)
    }

    /// Puts back the event that was taken last.
    pub(crate) fn put_back(&self, entry: Entry) {
        let mut state = self.state();
        state.bounds.untake(entry.memory());
        state.lanes.put_back(entry);
    }

    /// Makes the repositories of a batch busy until they are released.
    pub(crate) fn occupy(&self, entries: &[Entry]) -> Occupied {
        let mut state = self.state();
        let mut occupied = Vec::with_capacity(1);
        for entry in entries {
            occupied.extend(state.lanes.occupy(entry.repository()));
        }
        Occupied(occupied)
    }

    /// Lets the repositories of a batch go on.
    pub(crate) fn release(&self, occupied: Occupied) {
        let mut state = self.state();
        occupied.0.iter().for_each(|lane| state.lanes.free(lane));
    }

    /// Ends an event that was taken: it was delivered. There is room again.
    pub(crate) fn settle(&self, entry: &Entry) {
        self.forget(entry);
        if let (Some(store), Some(position)) = (&self.store, entry.position()) {
            store.settle(position);
        }
    }

    /// Makes room for others, and leaves the event to the store.
    pub(crate) fn forget(&self, entry: &Entry) {
        let mut state = self.state();
        state.bounds.remove(entry.memory());
        state.bounds.untake(entry.memory());
        state.window.ends(entry);
        let more = self.serve(&mut state);
        drop(state);
        if more {
            self.changed.notify_one();
        }
    }

    /// Ends an event that was forgotten, or dropped for another: its dead letter
    /// was kept.
    pub(crate) fn settle_forgotten(&self, position: Option<Position>) {
        if let (Some(store), Some(position)) = (&self.store, position) {
            store.bury(position);
        }
    }

    /// The dead letter of an event that was forgotten is lost.
    pub(crate) fn lose_forgotten(&self, position: Option<Position>) {
        if let (Some(store), Some(position)) = (&self.store, position) {
            store.lose(position);
        }
    }

    /// Forgets all events, those under way included, and returns what becomes of
    /// them. For a reader that has ended.
    pub(crate) fn abandon(&self) -> Abandoned {
        let mut state = self.state();
        let lost = state.window.in_memory();
        let stored = state.size() - lost;
        state.lanes.drain();
        state.bounds.clear();
        state.window.clear(stored);
        Abandoned { stored, lost }
    }

    /// Resolves when there may be more to take, or the queue was closed.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Takes no more events, and refuses those of the writers that wait. A store
    /// may still hand over events that it has.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
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
        !state.closed && state.waiting.is_empty() && state.bounds.has_room()
    }

    /// Events that wait or are under way, and the bytes that those of them take
    /// which are in memory.
    pub(crate) fn size(&self) -> (usize, usize) {
        let state = self.state();
        (state.size(), state.bounds.bytes())
    }

    /// When the oldest event that is not under way was accepted.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.state().lanes.oldest()
    }

    /// Where events that are not settled are kept when the process ends.
    pub(crate) fn kept_in(&self) -> Option<&str> {
        self.store.as_ref().map(|store| store.kept_in())
    }

    /// Takes all events in memory that are not under way, in the order of
    /// acceptance.
    pub(crate) fn drain(&self) -> Vec<Entry> {
        let mut state = self.state();
        let mut rest = state.lanes.drain();
        rest.extend(state.window.drain());
        for entry in &rest {
            state.bounds.take(entry.memory());
        }
        rest
    }
}

impl State {
    /// Events that wait or are under way.
    fn size(&self) -> usize {
        self.bounds.events() + self.window.left()
    }

    pub(super) fn check_open(&self, event: &SharedEvent) -> Result<(), Refused> {
        if self.closed {
            return Err(Refused::Closed);
        }
        self.bounds.check_size(memory_of(event))
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
