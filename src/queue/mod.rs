//! Holds the accepted events of one endpoint until they are settled: [`Queue`].
//!
//! A queue is [lanes](lanes) for the order, [bounds](bounds) for the memory, and
//! a [store](store) in which the events live. It has many writers and one
//! reader.

mod bounds;
mod lanes;
mod store;
mod waiter;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use self::bounds::Bounds;
pub(crate) use self::bounds::{Limits, Refused};
pub(crate) use self::lanes::Entry;
use self::lanes::Lanes;
pub(crate) use self::store::MemoryStore;
pub(crate) use self::store::Position;
use self::store::{Reply, Store};
pub(crate) use self::waiter::Waiter;
use self::waiter::Waiting;
use crate::event::SharedEvent;

/// What happens to an event that finds its queue full.
///
/// An event that alone is larger than the queue's byte limit is refused in each
/// case, and makes no other event give way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// The write fails, and the event becomes a dead letter.
    #[default]
    RejectNewest,
    /// The oldest waiting events make room and become dead letters. Events
    /// under way stay.
    DropOldest,
    /// The write waits for room. Writers are served in the order in which they
    /// came. With [`fail_closed`](crate::NotificationLayer::fail_closed), a
    /// request whose event finds no room in time fails. An event whose write is
    /// dropped meanwhile becomes a dead letter.
    Wait,
}

/// A queue, bounded in events and in bytes.
///
/// An event counts against the bounds until it is [settled](Self::settle) or
/// [forgotten](Self::forget).
pub(crate) struct Queue {
    state: Mutex<State>,
    store: Box<dyn Store>,
    /// Wakes the reader.
    changed: Notify,
    /// Called for each accepted event, with the lock held.
    accepted: Box<dyn Fn() + Send + Sync>,
}

#[derive(Debug)]
struct State {
    lanes: Lanes,
    bounds: Bounds,
    /// Writers that wait for room, in the order in which they came. While there
    /// are any, no other write is accepted: it would overtake them.
    waiting: VecDeque<Waiting>,
    next_ticket: u64,
    closed: bool,
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

impl Queue {
    /// A queue without events. `accepted` is called for each event that the
    /// queue accepts, also if its writer has stopped waiting for the answer. It
    /// must not block and must not call the queue.
    pub(crate) fn new(
        limits: Limits,
        store: impl Store + 'static,
        accepted: impl Fn() + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                lanes: Lanes::default(),
                bounds: Bounds::new(limits),
                waiting: VecDeque::new(),
                next_ticket: 0,
                closed: false,
            }),
            store: Box::new(store),
            changed: Notify::new(),
            accepted: Box::new(accepted),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Accepts the event if there is room and no other writer waits for it.
    pub(crate) fn push(&self, event: &SharedEvent) -> Result<(), Refused> {
        let mut state = self.state();
        check_open(&state, event)?;
        if !state.waiting.is_empty() {
            return Err(Refused::Full);
        }
        state.bounds.check(event.memory())?;
        self.admit(&mut state, event.clone(), Instant::now());
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Accepts the event and drops the oldest ones that wait until it fits; none
    /// if it would not fit without all of them.
    pub(crate) fn push_dropping(
        &self,
        event: &SharedEvent,
        dropped: &mut Vec<Entry>,
    ) -> Result<(), Refused> {
        let mut state = self.state();
        check_open(&state, event)?;
        if !state.bounds.can_make_room(event.memory()) {
            return Err(Refused::Full);
        }
        while state.bounds.check(event.memory()).is_err() {
            let Some(oldest) = state.lanes.drop_oldest() else {
                return Err(Refused::Full);
            };
            state.bounds.remove(oldest.memory());
            dropped.push(oldest);
        }
        self.admit(&mut state, event.clone(), Instant::now());
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Accepts the event, now (`None`) or as soon as there is room and all
    /// writers that came before have been served.
    ///
    /// The place in the order is taken by this call, not by the first poll of
    /// the waiter: a later write that finds room must not overtake it.
    pub(crate) fn push_or_wait(
        self: &Arc<Self>,
        event: &SharedEvent,
    ) -> Result<Option<Waiter>, Refused> {
        let mut state = self.state();
        check_open(&state, event)?;
        if state.waiting.is_empty() && state.bounds.check(event.memory()).is_ok() {
            self.admit(&mut state, event.clone(), Instant::now());
            drop(state);
            self.changed.notify_one();
            return Ok(None);
        }
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        let (waiting, waiter) = waiter::pair(self.clone(), ticket, event.clone());
        state.waiting.push_back(waiting);
        Ok(Some(waiter))
    }

    fn admit(&self, state: &mut State, event: SharedEvent, since: Instant) {
        state.bounds.add(event.memory());
        let position = self.store.append(&event);
        state.lanes.push(Entry::new(position, since, event));
        (self.accepted)();
    }

    /// Serves the writers that wait, as far as there is room. Returns whether
    /// the reader has more to take.
    fn serve(&self, state: &mut State) -> bool {
        let mut any = false;
        while let Some(first) = state.waiting.front() {
            if state.bounds.check(first.event.memory()).is_err() {
                break;
            }
            let Some(waiting) = state.waiting.pop_front() else {
                break;
            };
            self.admit(state, waiting.event.clone(), waiting.since);
            waiting.answer(Ok(()));
            any = true;
        }
        any
    }

    /// Removes a writer that stopped waiting. Returns whether it still waited:
    /// if not, it has its answer.
    fn withdraw(&self, ticket: u64) -> bool {
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

    /// The next event whose repository is not busy, in the order of
    /// acceptance. Its repository is not busy before it is
    /// [occupied](Self::occupy).
    pub(crate) fn take(self: &Arc<Self>) -> Option<Entry> {
        let durable = self.store.kept_in().is_some();
        loop {
            let mut state = self.state();
            let wanted = state.lanes.wanted();
            if wanted.is_empty() {
                let State { lanes, bounds, .. } = &mut *state;
                let entry = lanes.take(durable.then_some(bounds))?;
                state.bounds.take(entry.memory());
                return Some(entry);
            }
            // The store may answer at once, and the answer takes the lock.
            drop(state);
            for position in wanted {
                let reply = Reply::new(self.clone(), position);
                self.store.load(position, reply);
            }
        }
    }

    fn loaded(&self, position: Position, event: Option<SharedEvent>) {
        let mut state = self.state();
        let memory = event.as_ref().map(SharedEvent::memory);
        if state.lanes.loaded(position, event)
            && let Some(memory) = memory
        {
            state.bounds.add(memory);
        }
        drop(state);
        self.changed.notify_one();
    }

    fn not_loaded(&self, position: Position) {
        self.state().lanes.not_loaded(position);
        self.changed.notify_one();
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
        self.store.settle(entry.position());
    }

    /// Makes room for others, and leaves the event to the store.
    pub(crate) fn forget(&self, entry: &Entry) {
        let mut state = self.state();
        state.bounds.remove(entry.memory());
        state.bounds.untake(entry.memory());
        let more = self.serve(&mut state);
        drop(state);
        if more {
            self.changed.notify_one();
        }
    }

    /// Ends an event that was forgotten, or dropped for another: its dead letter
    /// was kept.
    pub(crate) fn settle_forgotten(&self, position: Position) {
        self.store.settle(position);
    }

    /// Forgets all events, those under way included, and returns how many there
    /// were. For a reader that has ended.
    pub(crate) fn forget_all(&self) -> usize {
        let mut state = self.state();
        let events = state.bounds.events() + state.lanes.unloaded();
        state.lanes.drain();
        state.bounds.clear();
        events
    }

    /// Resolves when there may be more to take, or the queue was closed.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Takes no more events, and refuses those of the writers that wait.
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

    /// Events that wait or are under way, and the bytes that they take in
    /// memory.
    pub(crate) fn size(&self) -> (usize, usize) {
        let state = self.state();
        let events = state.bounds.events() + state.lanes.unloaded();
        (events, state.bounds.bytes())
    }

    /// When the oldest event that is not under way was accepted.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.state().lanes.oldest()
    }

    /// Where events that are not settled are kept when the process ends.
    pub(crate) fn kept_in(&self) -> Option<&str> {
        self.store.kept_in()
    }

    /// Takes all events that are not under way, in the order of acceptance.
    pub(crate) fn drain(&self) -> Vec<Entry> {
        let mut state = self.state();
        let rest = state.lanes.drain();
        for entry in &rest {
            state.bounds.take(entry.memory());
        }
        rest
    }
}

fn check_open(state: &State, event: &SharedEvent) -> Result<(), Refused> {
    if state.closed {
        return Err(Refused::Closed);
    }
    state.bounds.check_size(event.memory())
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("store", &self.store)
            .field("size", &self.size())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
