//! The reader's side of a queue: takes events, and says how they end.

use std::sync::Arc;

use super::entry::Entry;
use super::queue::Queue;
use super::state::State;
use super::store::Position;

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
        let more = state.serve();
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
