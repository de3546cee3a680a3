//! The queue in memory.
//!
//! # Order
//!
//! Events of one repository leave in the order of their acceptance, and never
//! while others of that repository are under way. What is accepted goes into
//! one line for all repositories, so that a write costs no more than a push.
//! Only when the reader finds an event whose repository is busy does it put it
//! aside, into that repository's lane; a lane whose events wait goes before the
//! line, since they are older.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

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

/// An event with its place in the order of acceptance.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    place: u64,
    pub(crate) event: SharedEvent,
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
    /// The line: what nobody has looked at yet, oldest first.
    line: VecDeque<Entry>,
    /// Repositories that are busy or have events put aside.
    lanes: HashMap<Arc<str>, Lane>,
    /// Lanes that may go on, and those that may not, by their oldest event.
    ready: BTreeMap<u64, Arc<str>>,
    held: BTreeMap<u64, Arc<str>>,
    next_place: u64,
    events: usize,
    bytes: usize,
    /// Those of them that cannot make room, for the reader has them.
    taken: usize,
    taken_bytes: usize,
    /// Writers that wait for room.
    writers: usize,
    closed: bool,
}

#[derive(Debug, Default)]
struct Lane {
    aside: VecDeque<Entry>,
    busy: bool,
}

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
        let place = state.next_place;
        state.next_place += 1;
        let event = event.clone();
        state.line.push_back(Entry { place, event });
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
                Err(Refused::Full) => match state.drop_oldest() {
                    Some(oldest) => dropped.push(oldest),
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
        let entry = state.take()?;
        state.taken += 1;
        state.taken_bytes += entry.event.memory();
        Some(entry)
    }

    /// Puts back what was taken last.
    pub(crate) fn put_back(&self, entry: Entry) {
        let mut state = self.state();
        state.forget_taken(&entry.event);
        state.put_back(entry);
    }

    /// The repositories of a batch are busy until they are released.
    pub(crate) fn seal<'a>(&self, events: impl IntoIterator<Item = &'a SharedEvent>) -> Lanes {
        let mut state = self.state();
        let mut lanes = Vec::with_capacity(1);
        for event in events {
            if let Some(lane) = state.occupy(&event.target.repository) {
                lanes.push(lane);
            }
        }
        Lanes(lanes)
    }

    /// The repositories of a batch may go on.
    pub(crate) fn release(&self, lanes: Lanes) {
        let mut state = self.state();
        lanes.0.iter().for_each(|lane| state.free(lane));
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
        let state = self.state();
        let aside = |lane: &Arc<str>| state.lanes.get(lane)?.aside.front();
        let fronts = [
            state.line.front(),
            state.ready.values().next().and_then(aside),
            state.held.values().next().and_then(aside),
        ];
        let oldest = fronts.into_iter().flatten().min_by_key(|it| it.place)?;
        Some(oldest.event.since())
    }

    /// All events that are not under way, in the order of acceptance.
    pub(crate) fn drain(&self) -> Vec<SharedEvent> {
        let mut state = self.state();
        let mut rest: Vec<Entry> = state.line.drain(..).collect();
        for lane in state.lanes.values_mut() {
            rest.extend(lane.aside.drain(..));
        }
        state.ready.clear();
        state.held.clear();
        rest.sort_by_key(|entry| entry.place);
        rest.into_iter().map(|entry| entry.event).collect()
    }
}

/// The repositories of a batch that is under way.
#[derive(Debug, Default)]
#[must_use = "their repositories stay busy until they are released"]
pub(crate) struct Lanes(Vec<Arc<str>>);

impl State {
    fn take(&mut self) -> Option<Entry> {
        loop {
            let ready = self.ready.first_key_value().map(|(place, _)| *place);
            let line = self.line.front().map(|entry| entry.place);
            if ready.is_some_and(|ready| line.is_none_or(|line| ready < line)) {
                return self.take_ready();
            }
            let entry = self.line.pop_front()?;
            let Some((repository, lane)) =
                self.lanes.get_key_value(&*entry.event.target.repository)
            else {
                return Some(entry);
            };
            // Behind those of its repository that wait already.
            if lane.aside.is_empty() {
                let index = if lane.busy {
                    &mut self.held
                } else {
                    &mut self.ready
                };
                index.insert(entry.place, repository.clone());
            }
            if let Some(lane) = self.lanes.get_mut(&*entry.event.target.repository) {
                lane.aside.push_back(entry);
            }
        }
    }

    fn take_ready(&mut self) -> Option<Entry> {
        let (_, repository) = self.ready.pop_first()?;
        let lane = self.lanes.get_mut(&repository)?;
        let entry = lane.aside.pop_front();
        match lane.aside.front() {
            Some(next) => {
                self.ready.insert(next.place, repository);
            }
            None => {
                self.lanes.remove(&repository);
            }
        }
        entry
    }

    fn put_back(&mut self, entry: Entry) {
        let repository: Arc<str> = entry.event.target.repository.as_str().into();
        let lane = self.lanes.entry(repository.clone()).or_default();
        if let Some(next) = lane.aside.front() {
            self.ready.remove(&next.place);
        }
        self.ready.insert(entry.place, repository);
        lane.aside.push_front(entry);
    }

    /// Makes the repository busy; `None` if it was.
    fn occupy(&mut self, repository: &str) -> Option<Arc<str>> {
        let (key, waits) = match self.lanes.get_key_value(repository) {
            Some((_, lane)) if lane.busy => return None,
            Some((key, lane)) => (key.clone(), lane.aside.front().map(|entry| entry.place)),
            None => (repository.into(), None),
        };
        self.lanes.entry(key.clone()).or_default().busy = true;
        if let Some(place) = waits {
            self.ready.remove(&place);
            self.held.insert(place, key.clone());
        }
        Some(key)
    }

    fn free(&mut self, repository: &Arc<str>) {
        let Some(lane) = self.lanes.get_mut(repository) else {
            return;
        };
        lane.busy = false;
        match lane.aside.front() {
            Some(next) => {
                self.held.remove(&next.place);
                self.ready.insert(next.place, repository.clone());
            }
            None => {
                self.lanes.remove(repository);
            }
        }
    }

    fn forget(&mut self, event: &SharedEvent) {
        self.events = self.events.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(event.memory());
    }

    fn forget_taken(&mut self, event: &SharedEvent) {
        self.taken = self.taken.saturating_sub(1);
        self.taken_bytes = self.taken_bytes.saturating_sub(event.memory());
    }

    /// Drops the oldest event that is not under way.
    fn drop_oldest(&mut self) -> Option<SharedEvent> {
        let place = |index: &BTreeMap<u64, Arc<str>>| index.first_key_value().map(|(it, _)| *it);
        let line = self.line.front().map(|entry| entry.place);
        let (ready, held) = (place(&self.ready), place(&self.held));
        let oldest = [line, ready, held].into_iter().flatten().min()?;
        let entry = if line == Some(oldest) {
            self.line.pop_front()?
        } else if ready == Some(oldest) {
            self.take_ready()?
        } else {
            let (_, repository) = self.held.pop_first()?;
            let lane = self.lanes.get_mut(&repository)?;
            let entry = lane.aside.pop_front()?;
            if let Some(next) = lane.aside.front() {
                self.held.insert(next.place, repository);
            }
            entry
        };
        self.forget(&entry.event);
        Some(entry.event)
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
