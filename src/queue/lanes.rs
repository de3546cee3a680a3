//! Events in the order in which they may leave: [`Lanes`].
//!
//! Events of one repository leave in the order of their places, and never while others
//! of that repository are under way. Accepted events go into one line for all
//! repositories, so that a write costs no more than a push. If the reader finds an event
//! whose repository is busy, it sets the event aside, into the [lane](Lane) of that
//! repository. A lane that is not busy comes before the line, because its events are
//! older.
//!
//! If many events of one repository are set aside, those that a store has are dropped
//! from memory and loaded again when their turn comes. A repository whose events fail for
//! days then costs a handful of events, however many wait behind the first.

use std::collections::{BTreeSet, HashMap, hash_map};
use std::ops::Range;
use std::sync::Arc;

use tokio::time::Instant;

use super::bounds::Bounds;
use super::entry::{Entry, Place};
use super::fresh::Fresh;
use super::lane::{Lane, Loaded, Reloaded, Slot};
use super::store::Position;

#[derive(Debug, Default)]
pub(super) struct Lanes {
    fresh: Fresh,
    /// Repositories that are busy or have events set aside.
    lanes: HashMap<Arc<str>, Lane>,
    /// Lanes with events, by the place of their first slot. Each is in exactly one index:
    /// `ready` if it is not busy, `held` if it is busy, `absent` if it is not busy and its
    /// first slot is a rest.
    ready: Index,
    held: Index,
    absent: Index,
    aside_totals: AsideTotals,
    /// Number of events in lanes that only the store has.
    resting: usize,
}

type Index = BTreeSet<(Place, Arc<str>)>;

/// The number and bytes of events in memory that are set aside.
#[derive(Debug, Default)]
struct AsideTotals {
    events: usize,
    bytes: usize,
}

impl AsideTotals {
    fn add(&mut self, entry: &Entry) {
        self.events += 1;
        self.bytes += entry.memory();
    }

    fn remove(&mut self, entry: &Entry) {
        self.events -= 1;
        self.bytes -= entry.memory();
    }
}

impl Lanes {
    pub(super) fn push(&mut self, entry: Entry) {
        self.fresh.push(entry);
    }

    /// Removes and returns the next event whose repository is not busy. If a store
    /// `can_reload` events, those that are set aside may be dropped from memory.
    pub(super) fn take(&mut self, bounds: &mut Bounds, can_reload: bool) -> Option<Entry> {
        loop {
            let ready = self.ready.first().map(|(place, _)| *place);
            let fresh = self.fresh.first().map(|entry| entry.place);
            if ready.is_some_and(|ready| fresh.is_none_or(|fresh| ready < fresh)) {
                let (_, repository) = self.ready.pop_first()?;
                return self.pop(&repository);
            }
            let entry = self.fresh.pop()?;
            // Without a lane, no event of the repository is under way or set aside.
            if !self.lanes.contains_key(entry.repository()) {
                return Some(entry);
            }
            self.set_aside(entry, bounds, can_reload);
        }
    }

    /// Puts an event after those of its repository that are set aside already.
    fn set_aside(&mut self, entry: Entry, bounds: &mut Bounds, can_reload: bool) {
        let Some((repository, _)) = self.lanes.get_key_value(entry.repository()) else {
            return;
        };
        let repository = repository.clone();
        let Some(lane) = self.lanes.get_mut(&repository) else {
            return;
        };
        let (events, bytes) = (self.aside_totals.events, self.aside_totals.bytes);
        let crowded = bounds.too_many_aside(events, bytes);
        self.aside_totals.add(&entry);
        if let Some(evicted) = lane.push(entry, can_reload, crowded) {
            self.aside_totals.remove(&evicted);
            bounds.remove(evicted.memory());
            self.resting += 1;
        }
        // The lane was empty and in no index. Otherwise it is in one already, by its first
        // slot, which has not changed.
        if lane.len() == 1 {
            self.index(&repository);
        }
    }

    /// Removes the oldest event of a lane. The lane must have been removed from its index,
    /// and its first event must be in memory.
    fn pop(&mut self, repository: &Arc<str>) -> Option<Entry> {
        let entry = self.lanes.get_mut(repository)?.pop();
        self.index_or_remove(repository);
        self.aside_totals.remove(entry.as_ref()?);
        entry
    }

    /// Enters a lane into the index that it belongs to.
    fn index(&mut self, repository: &Arc<str>) {
        let Some(lane) = self.lanes.get(repository) else {
            return;
        };
        let Some(first) = lane.first() else {
            return;
        };
        let index = match (lane.busy, first) {
            (true, _) => &mut self.held,
            (false, Slot::Loaded(_)) => &mut self.ready,
            (false, Slot::Rest(_)) => &mut self.absent,
        };
        index.insert((first.place(), repository.clone()));
    }

    /// Enters a lane into its index, or removes it if it is idle.
    fn index_or_remove(&mut self, repository: &Arc<str>) {
        if self.lanes.get(repository).is_some_and(Lane::is_idle) {
            self.lanes.remove(repository);
        } else {
            self.index(repository);
        }
    }

    /// Removes a lane from its index.
    fn unindex(&mut self, repository: &Arc<str>) {
        let first = self.lanes.get(repository).and_then(Lane::first);
        if let Some(place) = first.map(Slot::place) {
            let key = (place, repository.clone());
            for index in [&mut self.ready, &mut self.held, &mut self.absent] {
                index.remove(&key);
            }
        }
    }

    /// Puts back the event that was taken last.
    pub(super) fn put_back(&mut self, entry: Entry) {
        let repository: Arc<str> = entry.repository().into();
        self.unindex(&repository);
        self.aside_totals.add(&entry);
        let lane = self.lanes.entry(repository.clone()).or_default();
        lane.push_front(entry);
        self.index(&repository);
    }

    /// Makes the repository busy. Returns `None` if it was busy already.
    pub(super) fn occupy(&mut self, repository: &str) -> Option<Arc<str>> {
        let Some((key, lane)) = self.lanes.get_key_value(repository) else {
            // Most have no events aside, and are in no index.
            let key: Arc<str> = repository.into();
            self.lanes.insert(key.clone(), Lane::busy());
            return Some(key);
        };
        if lane.busy {
            return None;
        }
        let key = key.clone();
        self.unindex(&key);
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.busy = true;
        }
        self.index(&key);
        Some(key)
    }

    /// Ends that the repository is busy.
    pub(super) fn free(&mut self, repository: Arc<str>) {
        let hash_map::Entry::Occupied(found) = self.lanes.entry(repository) else {
            return;
        };
        if found.get().is_empty() {
            found.remove();
            return;
        }
        let repository = found.key().clone();
        self.unindex(&repository);
        if let Some(lane) = self.lanes.get_mut(&repository) {
            lane.busy = false;
        }
        self.index(&repository);
    }

    /// Returns the first lane whose events are not in memory, and their positions in the
    /// store. `read` is the position up to which the queue has read the store.
    pub(super) fn wanted(&self, read: Position) -> Option<(Arc<str>, Range<Position>)> {
        let (_, repository) = self.absent.first()?;
        match self.lanes.get(repository)?.first()? {
            Slot::Rest(rest) => Some((repository.clone(), rest.range(self.read_up_to(read)))),
            Slot::Loaded(_) => None,
        }
    }

    /// Returns the position up to which the reader has looked at events. Later events are
    /// not part of a rest, even if their position is below `read`.
    fn read_up_to(&self, read: Position) -> Position {
        match self.fresh.first() {
            Some(entry) => entry.position().unwrap_or(entry.place.end),
            None => read,
        }
    }

    /// Puts the first events of a rest into memory. Adds none if the rest no longer exists.
    pub(super) fn reload(
        &mut self,
        repository: &Arc<str>,
        loaded: Loaded,
        read: Position,
    ) -> Option<Reloaded> {
        let read_up_to = self.read_up_to(read);
        let events = loaded.entries.len();
        let bytes: usize = loaded.entries.iter().map(Entry::memory).sum();
        self.unindex(repository);
        let lane = self.lanes.get_mut(repository);
        let reloaded = lane.and_then(|lane| lane.reload(loaded, read_up_to));
        self.index_or_remove(repository);
        self.resting -= reloaded?.fewer;
        self.aside_totals.events += events;
        self.aside_totals.bytes += bytes;
        reloaded
    }

    /// Ends an event that is set aside and that only the store has. Returns whether it was
    /// counted, or `None` if it is not set aside.
    pub(super) fn end_resting(
        &mut self,
        repository: &str,
        position: Position,
        read: Position,
    ) -> Option<bool> {
        let read_up_to = self.read_up_to(read);
        let lane = self.lanes.get_mut(repository)?;
        let counted = lane.end_resting(position, read_up_to)?;
        self.resting -= usize::from(counted);
        Some(counted)
    }

    /// Returns the number of events that are set aside and that only the store has.
    pub(super) fn resting(&self) -> usize {
        self.resting
    }

    /// Removes events that are in memory and not under way.
    pub(super) fn remove(&mut self, is_removed: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let mut removed = Vec::new();
        self.fresh.remove(&is_removed, &mut removed);
        let from_lanes = removed.len();
        let repositories: Vec<_> = self.lanes.keys().cloned().collect();
        for repository in repositories {
            self.unindex(&repository);
            if let Some(lane) = self.lanes.get_mut(&repository) {
                lane.remove(&is_removed, &mut removed);
            }
            self.index_or_remove(&repository);
        }
        // Events of the line do not count as set aside.
        removed[from_lanes..]
            .iter()
            .for_each(|entry| self.aside_totals.remove(entry));
        removed
    }

    /// Drops the oldest event in memory that is not under way.
    pub(super) fn drop_oldest(&mut self) -> Option<Entry> {
        let is_loaded = |(_, repository): &&(Place, Arc<str>)| {
            let lane = self.lanes.get(repository);
            matches!(lane.and_then(Lane::first), Some(Slot::Loaded(_)))
        };
        let fresh = self.fresh.first().map(|entry| entry.place);
        let (ready, held) = (self.ready.first(), self.held.iter().find(is_loaded));
        let aside = ready.into_iter().chain(held).min().cloned();
        match (fresh, aside) {
            (fresh, Some(aside)) if fresh.is_none_or(|fresh| aside.0 < fresh) => {
                self.unindex(&aside.1);
                self.pop(&aside.1)
            }
            _ => self.fresh.pop(),
        }
    }

    /// Returns when the oldest event that is not under way was accepted.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let aside = |index: &Index| {
            let (place, repository) = index.first()?;
            let first = self.lanes.get(repository)?.first()?;
            Some((*place, first.since()))
        };
        let fresh = self.fresh.first();
        let fronts = [
            fresh.map(|entry| (entry.place, entry.since())),
            aside(&self.ready),
            aside(&self.held),
            aside(&self.absent),
        ];
        let oldest = fronts.into_iter().flatten().min();
        oldest.map(|(_, since)| since)
    }

    /// Returns the events that the reader has not looked at.
    pub(super) fn fresh(&self) -> &Fresh {
        &self.fresh
    }

    /// Returns the number of lanes that wait for their events.
    pub(super) fn absent(&self) -> usize {
        self.absent.len()
    }

    /// Removes all events in memory that are not under way and returns them in
    /// the order of acceptance.
    pub(super) fn drain(&mut self) -> Vec<Entry> {
        let mut drained = self.fresh.drain();
        let lanes = self.lanes.values_mut();
        drained.extend(lanes.flat_map(Lane::drain));
        for index in [&mut self.ready, &mut self.held, &mut self.absent] {
            index.clear();
        }
        self.aside_totals = AsideTotals::default();
        self.resting = 0;
        drained.sort_by_key(|entry| entry.place);
        drained
    }

    #[cfg(test)]
    pub(super) fn is_clear(&self) -> bool {
        let aside = (self.aside_totals.events, self.aside_totals.bytes);
        let empty = self.lanes.is_empty() && self.fresh.is_empty();
        empty && aside == (0, 0) && self.resting == 0
    }

    /// Slots that are set aside, rests included.
    #[cfg(test)]
    pub(super) fn slots(&self) -> usize {
        self.lanes.values().map(Lane::len).sum()
    }
}
