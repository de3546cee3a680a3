//! Events that a store lends for a time.
//!
//! A store that several processes share lends its events. When the time is over, another
//! process may have them, and delivering them here would break their order. Therefore
//! the worker checks before each attempt whether an event [may](Queue::may_deliver) be
//! delivered, and gives back those that may not. A store that [revokes](Queue::revoke)
//! events gets them back at once, except those with an attempt under way.

use std::sync::Arc;
use std::time::SystemTime;

use super::entry::{Entry, Now};
use super::queue::Queue;
use super::store::Stored;

impl Queue {
    /// Takes events that a store lends, whatever their number and size, which the store
    /// bounds. `new` of them were not here before.
    #[cfg_attr(
        not(feature = "jetstream"),
        allow(dead_code, reason = "no other store lends its events")
    )]
    pub(crate) fn borrow_events(&self, events: Vec<Stored>, new: usize) {
        let now = Now::of(SystemTime::now);
        let mut state = self.state();
        for stored in events {
            let entry = Entry::of_store(stored, now);
            state.bounds.add(entry.memory());
            state.lanes.push(entry);
        }
        (state.accepted)(new);
        drop(state);
        self.changed.notify_one();
    }

    /// Asks the reader to give back the events that must not be delivered any more.
    #[cfg_attr(
        not(feature = "jetstream"),
        allow(dead_code, reason = "no other store lends its events")
    )]
    pub(crate) fn revoke(&self) {
        self.revoked.notify_one();
    }

    /// Resolves when events are to be given back.
    pub(crate) async fn revoked(&self) {
        self.revoked.notified().await;
    }

    /// Whether an event may be delivered now.
    pub(crate) fn may_deliver(&self, entry: &Entry) -> bool {
        match (&self.store, entry.position()) {
            (Some(store), Some(position)) => store.may_deliver(position),
            _ => true,
        }
    }

    /// Gives back an event that was taken.
    pub(crate) fn give_back(&self, entry: &Entry) {
        self.forget(entry);
        if let (Some(store), Some(position)) = (&self.store, entry.position()) {
            store.give_back(position);
        }
    }

    /// Gives back the waiting events that must not be delivered any more.
    pub(crate) fn give_back_waiting(self: &Arc<Self>) {
        let mut state = self.state();
        let given = state.lanes.remove(|entry| !self.may_deliver(entry));
        for entry in &given {
            // Counted as taken by the reader, because forgetting an event undoes that too.
            state.bounds.take(entry.memory());
        }
        drop(state);
        given.iter().for_each(|entry| self.give_back(entry));
    }
}
