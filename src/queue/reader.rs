//! The reader's side of a queue: takes events, and reports how they ended.
//!
//! An event that was taken counts against the bounds until it is settled or forgotten.
//! The queue makes room first and tells the store after that, without its lock: a store
//! may call the queue.

use std::sync::Arc;

use super::entry::Entry;
use super::queue::Queue;
use super::state::State;
use super::store::Position;

/// The repositories of a batch that is under way.
#[derive(Debug, Default)]
#[must_use = "the repositories stay busy until they are released"]
pub(crate) struct BusyRepositories(Vec<Arc<str>>);

impl BusyRepositories {
    /// Splits off the repositories for which `other` is true.
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
    /// Number of events that the store has.
    pub(crate) stored: usize,
    /// Number of events that are lost.
    pub(crate) lost: usize,
}

impl Queue {
    /// Returns the next event whose repository is not busy, in the order of acceptance.
    /// This does not make its repository busy; [`occupy`](Self::occupy) does.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Entry> {
        let Some(store) = &self.store else {
            return self.next(false);
        };
        let can_reload = store.can_reload();
        let entry = self.next(can_reload);
        // Asked after an event was taken, because an empty queue is a reason to ask for
        // more.
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
        let State { lanes, bounds, .. } = &mut *state;
        let entry = lanes.take(bounds, can_reload)?;
        bounds.take(entry.memory());
        Some(entry)
    }

    /// Puts back the event that was taken last.
    pub(crate) fn put_back(&self, entry: Entry) {
        let mut state = self.state();
        state.bounds.untake(entry.memory());
        state.lanes.put_back(entry);
    }

    /// Makes the repositories of a batch busy until they are released.
    pub(crate) fn occupy(&self, entries: &[Entry]) -> BusyRepositories {
        let mut state = self.state();
        let mut occupied = Vec::with_capacity(1);
        for entry in entries {
            occupied.extend(state.lanes.occupy(entry.repository()));
        }
        BusyRepositories(occupied)
    }

    /// Ends that the repositories of a batch are busy.
    pub(crate) fn release(&self, occupied: BusyRepositories) {
        let mut state = self.state();
        occupied.0.into_iter().for_each(|it| state.lanes.free(it));
    }

    /// Ends events that were taken and delivered.
    pub(crate) fn settle_all(&self, entries: &[Entry]) {
        self.forget_all(entries);
        if let Some(store) = &self.store {
            let positions = entries.iter().filter_map(Entry::position);
            positions.for_each(|it| store.settle(it));
        }
    }

    /// Ends one event that was taken and delivered.
    #[cfg(test)]
    pub(crate) fn settle(&self, entry: &Entry) {
        self.settle_all(std::slice::from_ref(entry));
    }

    /// Ends that an event that was taken counts against the bounds. A store keeps it until
    /// it is settled.
    pub(crate) fn forget(&self, entry: &Entry) {
        self.forget_all(std::slice::from_ref(entry));
    }

    fn forget_all(&self, entries: &[Entry]) {
        let mut state = self.state();
        for entry in entries {
            let memory = entry.memory();
            state.bounds.remove(memory);
            state.bounds.untake(memory);
            state.window.ends(entry);
        }
        let wakes = state.serve();
        drop(state);
        self.wake(wakes);
    }

    /// Ends an event that was forgotten, or dropped for another: its dead letter
    /// was kept.
    pub(crate) fn settle_forgotten(&self, position: Option<Position>) {
        if let (Some(store), Some(position)) = (&self.store, position) {
            store.bury(position);
        }
    }

    /// Notes that the dead letter of a forgotten event is lost.
    pub(crate) fn lose_forgotten(&self, position: Option<Position>) {
        if let (Some(store), Some(position)) = (&self.store, position) {
            store.lose(position);
        }
    }

    /// Forgets all events, including those under way. Returns where they are. For a reader
    /// that has ended.
    pub(crate) fn abandon(&self) -> Abandoned {
        let mut state = self.state();
        let lost = state.window.in_memory();
        let stored = state.size() - lost;
        state.lanes.drain();
        state.bounds.clear();
        state.window.clear(stored);
        Abandoned { stored, lost }
    }

    /// Takes all events in memory that are not under way, in the order of
    /// acceptance. For a reader that ends.
    pub(crate) fn drain(&self) -> Vec<Entry> {
        let mut state = self.state();
        let resting = state.lanes.resting();
        let mut rest = state.lanes.drain();
        rest.extend(state.window.leave(resting));
        for entry in &rest {
            state.bounds.take(entry.memory());
        }
        rest
    }
}
