//! Events in the order in which they may leave: [`Line`].
//!
//! Events of one repository leave in the order of their acceptance, and never
//! while others of that repository are under way. What is accepted goes into
//! one line for all repositories, so that a write costs no more than a push.
//! Only when the reader finds an event whose repository is busy does it put it
//! aside, into that repository's lane; a lane whose events wait goes before the
//! line, since they are older.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use crate::event::SharedEvent;

/// An event with its place in the order of acceptance.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    place: u64,
    pub(crate) event: SharedEvent,
}

#[derive(Debug, Default)]
pub(super) struct Line {
    /// What nobody has looked at yet, oldest first.
    fresh: VecDeque<Entry>,
    /// Repositories that are busy or have events put aside.
    lanes: HashMap<Arc<str>, Lane>,
    /// Lanes that may go on, and those that may not, by their oldest event.
    ready: BTreeMap<u64, Arc<str>>,
    held: BTreeMap<u64, Arc<str>>,
    next_place: u64,
}

#[derive(Debug, Default)]
struct Lane {
    aside: VecDeque<Entry>,
    busy: bool,
}

impl Line {
    pub(super) fn push(&mut self, event: SharedEvent) {
        let place = self.next_place;
        self.next_place += 1;
        self.fresh.push_back(Entry { place, event });
    }

    /// The next event whose repository is not busy.
    pub(super) fn take(&mut self) -> Option<Entry> {
        loop {
            let ready = self.ready.first_key_value().map(|(place, _)| *place);
            let fresh = self.fresh.front().map(|entry| entry.place);
            if ready.is_some_and(|ready| fresh.is_none_or(|fresh| ready < fresh)) {
                return self.take_ready();
            }
            let entry = self.fresh.pop_front()?;
            let Some((repository, lane)) = self.lanes.get_key_value(entry.event.repository())
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
            if let Some(lane) = self.lanes.get_mut(entry.event.repository()) {
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

    /// Puts back what was taken last.
    pub(super) fn put_back(&mut self, entry: Entry) {
        let repository: Arc<str> = entry.event.repository().into();
        let lane = self.lanes.entry(repository.clone()).or_default();
        if let Some(next) = lane.aside.front() {
            self.ready.remove(&next.place);
        }
        self.ready.insert(entry.place, repository);
        lane.aside.push_front(entry);
    }

    /// Makes the repository busy; `None` if it was.
    pub(super) fn occupy(&mut self, repository: &str) -> Option<Arc<str>> {
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

    /// The repository may go on.
    pub(super) fn free(&mut self, repository: &Arc<str>) {
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

    /// Drops the oldest event that is not under way.
    pub(super) fn drop_oldest(&mut self) -> Option<SharedEvent> {
        let place = |index: &BTreeMap<u64, Arc<str>>| index.first_key_value().map(|(it, _)| *it);
        let fresh = self.fresh.front().map(|entry| entry.place);
        let (ready, held) = (place(&self.ready), place(&self.held));
        let oldest = [fresh, ready, held].into_iter().flatten().min()?;
        let entry = if fresh == Some(oldest) {
            self.fresh.pop_front()?
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
        Some(entry.event)
    }

    /// Since when the oldest event that is not under way has waited.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let aside = |lane: &Arc<str>| self.lanes.get(lane)?.aside.front();
        let fronts = [
            self.fresh.front(),
            self.ready.values().next().and_then(aside),
            self.held.values().next().and_then(aside),
        ];
        let oldest = fronts.into_iter().flatten().min_by_key(|it| it.place)?;
        Some(oldest.event.since())
    }

    /// All events that are not under way, in the order of acceptance.
    pub(super) fn drain(&mut self) -> Vec<SharedEvent> {
        let mut rest: Vec<Entry> = self.fresh.drain(..).collect();
        for lane in self.lanes.values_mut() {
            rest.extend(lane.aside.drain(..));
        }
        self.ready.clear();
        self.held.clear();
        rest.sort_by_key(|entry| entry.place);
        rest.into_iter().map(|entry| entry.event).collect()
    }

    #[cfg(test)]
    pub(super) fn is_clear(&self) -> bool {
        self.lanes.is_empty() && self.fresh.is_empty()
    }
}
