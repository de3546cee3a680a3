//! The queue in memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::line::{Entry, Line};
use crate::event::SharedEvent;

/// What happens to an event that finds its queue full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// It is lost, and its write fails.
    #[default]
    RejectNewest,
    /// The oldest event that waits makes room for it. Those under way stay.
    DropOldest,
    /// It waits for room, and its write with it. With
    /// [`fail_closed`](crate::NotificationLayer::fail_closed), a request whose
    /// event finds no room in time fails. An event whose write is dropped
    /// meanwhile is lost as one that finds no room.
    Wait,
}

/// Bounds of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Most events that wait or are under way.
    pub(crate) events: usize,
    /// Most bytes that they take in memory.
    pub(crate) bytes: usize,
}

/// Why the queue does not take an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Full,
    Closed,
}

/// A queue in memory, bounded in events and in bytes, for one reader.
///
/// An event counts against the bounds until it is [settled](Self::settle).
#[derive(Debug)]
pub(crate) struct MemoryQueue {
    state: Mutex<State>,
    /// Wakes the reader.
    changed: Notify,
    /// Wakes the writer whose turn it is.
    room: Notify,
    /// Writers that wait for room take turns in the order of their arrival.
    turn: tokio::sync::Mutex<()>,
    limits: Limits,
}

#[derive(Debug, Default)]
struct State {
    line: Line,
    /// Events that wait or are under way, and the bytes that they take.
    events: usize,
    bytes: usize,
    /// Those of them that cannot make room, for the reader has them.
    taken: usize,
    taken_bytes: usize,
    /// Writers that wait for room.
    writers: usize,
    closed: bool,
}

impl State {
    fn forget(&mut self, event: &SharedEvent) {
        self.events = self.events.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(event.memory());
    }

    fn forget_taken(&mut self, event: &SharedEvent) {
        self.taken = self.taken.saturating_sub(1);
        self.taken_bytes = self.taken_bytes.saturating_sub(event.memory());
    }
}

/// The repositories of a batch that is under way.
#[derive(Debug, Default)]
#[must_use = "their repositories stay busy until they are released"]
pub(crate) struct Lanes(Vec<Arc<str>>);

impl MemoryQueue {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            state: Mutex::default(),
            changed: Notify::new(),
            room: Notify::new(),
            turn: tokio::sync::Mutex::default(),
            limits,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the event if there is room, and nobody waits for it.
    pub(crate) fn push(&self, event: &SharedEvent) -> Result<(), Refused> {
        let mut state = self.state();
        if !state.closed && state.writers > 0 {
            return Err(Refused::Full);
        }
        self.push_into(&mut state, event)?;
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    fn push_into(&self, state: &mut State, event: &SharedEvent) -> Result<(), Refused> {
        let memory = event.memory();
        if state.closed {
            return Err(Refused::Closed);
        }
        // One that is larger than all bounds must not wait for ever.
        let fits = state.bytes.saturating_add(memory) <= self.limits.bytes || state.events == 0;
        if state.events >= self.limits.events || !fits {
            return Err(Refused::Full);
        }
        state.bytes += memory;
        state.events += 1;
        state.line.push(event.clone());
        Ok(())
    }

    /// Takes the event, and drops the oldest ones that wait until it fits; none
    /// if it would not fit without all of them.
    pub(crate) fn push_dropping(
        &self,
        event: &SharedEvent,
        dropped: &mut Vec<SharedEvent>,
    ) -> Result<(), Refused> {
        let mut state = self.state();
        let least = state.taken_bytes.saturating_add(event.memory());
        if state.taken > 0 && least > self.limits.bytes && !state.closed {
            return Err(Refused::Full);
        }
        loop {
            match self.push_into(&mut state, event) {
                Err(Refused::Full) => match state.line.drop_oldest() {
                    Some(oldest) => {
                        state.forget(&oldest);
                        dropped.push(oldest);
                    }
                    None => return Err(Refused::Full),
                },
                answer => {
                    drop(state);
                    self.changed.notify_one();
                    return answer;
                }
            }
        }
    }

    /// Takes the event as soon as there is room, after those that wait already.
    pub(crate) async fn push_waiting(&self, event: &SharedEvent) -> Result<(), Refused> {
        let waiting = Waiting::new(self);
        let turn = self.turn.lock().await;
        loop {
            let room = self.room.notified();
            let answer = self.push_into(&mut self.state(), event);
            if answer != Err(Refused::Full) {
                drop(waiting);
                drop(turn);
                self.changed.notify_one();
                return answer;
            }
            room.await;
        }
    }

    /// The next event whose repository is not busy, in the order of
    /// acceptance. Its repository is not busy before it is [sealed](Self::seal).
    pub(crate) fn take(&self) -> Option<Entry> {
        let mut state = self.state();
        let entry = state.line.take()?;
        state.taken += 1;
        state.taken_bytes += entry.event.memory();
        Some(entry)
    }

    /// Puts back what was taken last.
    pub(crate) fn put_back(&self, entry: Entry) {
        let mut state = self.state();
        state.forget_taken(&entry.event);
        state.line.put_back(entry);
    }

    /// The repositories of a batch are busy until they are released.
    pub(crate) fn seal<'a>(&self, events: impl IntoIterator<Item = &'a SharedEvent>) -> Lanes {
        let mut state = self.state();
        let mut lanes = Vec::with_capacity(1);
        for event in events {
            if let Some(lane) = state.line.occupy(event.repository()) {
                lanes.push(lane);
            }
        }
        Lanes(lanes)
    }

    /// The repositories of a batch may go on.
    pub(crate) fn release(&self, lanes: Lanes) {
        let mut state = self.state();
        lanes.0.iter().for_each(|lane| state.line.free(lane));
    }

    /// The event was delivered, or is a dead letter: there is room again.
    pub(crate) fn settle(&self, event: &SharedEvent) {
        let mut state = self.state();
        state.forget(event);
        state.forget_taken(event);
        let writers = state.writers;
        drop(state);
        if writers > 0 {
            self.room.notify_one();
        }
    }

    /// Resolves when there may be more to take, or the queue was closed.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Takes no more events.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_one();
        // The next in turn finds its own notice when it looks.
        self.room.notify_one();
    }

    /// Whether an event of ordinary size would be taken now.
    pub(crate) fn has_room(&self) -> bool {
        let state = self.state();
        !state.closed && state.events < self.limits.events && state.bytes < self.limits.bytes
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Events that wait or are under way, and the bytes that they take.
    pub(crate) fn size(&self) -> (usize, usize) {
        let state = self.state();
        (state.events, state.bytes)
    }

    /// Since when the oldest event that is not under way has waited.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.state().line.oldest()
    }

    /// All events that are not under way, in the order of acceptance.
    pub(crate) fn drain(&self) -> Vec<SharedEvent> {
        self.state().line.drain()
    }
}

/// A writer that waits; also when it is dropped on the way.
struct Waiting<'a>(&'a MemoryQueue);

impl<'a> Waiting<'a> {
    fn new(queue: &'a MemoryQueue) -> Self {
        queue.state().writers += 1;
        Self(queue)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.writers -= 1;
        let writers = state.writers;
        drop(state);
        // What woke this one may have been meant for the next.
        if writers > 0 {
            self.0.room.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
