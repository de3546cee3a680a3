//! Ends events that a store gives up because of its own limits.

use std::collections::HashMap;

use super::entry::{Entry, Now, memory_of};
use super::queue::Queue;
use super::store::{Position, Stored};

#[cfg_attr(
    not(any(test, feature = "journal")),
    allow(dead_code, reason = "only the journal has limits")
)]
impl Queue {
    /// Whether the store has given up an event that is under way.
    pub(crate) fn is_expired(&self, entry: &Entry) -> bool {
        let expired = self.state().window.expired;
        entry.position().is_some_and(|it| it < expired)
    }

    /// Takes the events that the store gives up, which are all that it has up to the last
    /// of them. Returns those that become dead letters, oldest first. They count as under
    /// way until they are settled or forgotten. Events that are under way already stay with
    /// the reader, which gives them up when their attempt fails.
    pub(crate) fn expire(&self, events: Vec<Stored>) -> Vec<Entry> {
        let Some(end) = events.last().map(|last| last.position.next()) else {
            return Vec::new();
        };
        let now = Now::of(self.clock);
        let mut state = self.state();
        let state = &mut *state;
        let (window, bounds, lanes) = (&mut state.window, &mut state.bounds, &mut state.lanes);
        let before = window.expired;
        window.expired = before.max(end);
        let is_expired = |entry: &Entry| entry.position().is_some_and(|it| it < end);
        let mut loaded: HashMap<Option<Position>, Entry> = lanes
            .remove(is_expired)
            .into_iter()
            .map(|entry| (entry.position(), entry))
            .collect();
        let (mut expired, mut uncounted) = (Vec::new(), 0);
        for stored in events {
            let position = stored.position;
            if let Some(entry) = loaded.remove(&Some(position)) {
                expired.push(entry);
                continue;
            }
            // Events that had expired before were counted then.
            let counted = match position < window.next {
                _ if position < before => None,
                true => lanes.end_resting(stored.event.repository(), position, window.next),
                false => Some(!window.comes(position)),
            };
            let Some(counted) = counted else { continue };
            uncounted += usize::from(!counted);
            bounds.add(memory_of(&stored.event));
            expired.push(Entry::of_store(stored, now));
        }
        (state.accepted)(uncounted);
        expired.extend(loaded.into_values());
        expired.sort_by_key(|entry| entry.place);
        expired.iter().for_each(|it| bounds.take(it.memory()));
        expired
    }
}
