//! Events in the order in which they may leave: [`Lanes`].
//!
//! Events of one repository leave in the order of their positions, and never
//! while others of that repository are under way. Accepted events go into one
//! line for all repositories, so that a write costs no more than a push. Only
//! when the reader finds an event whose repository is busy does it put the event
//! aside, into that repository's lane. A lane that is not busy goes before the
//! line, because its events are older.
//!
//! A lane may hold positions without their events. The events of a durable
//! store are dropped from memory when many of one repository are set aside, and
//! loaded again when their turn comes. A repository whose events fail for days
//! then costs its positions, and not its events.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use super::bounds::Bounds;
use super::store::Position;
use crate::event::SharedEvent;

/// An accepted event with its place in the order.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    position: Position,
    /// When the queue was offered the event.
    since: Instant,
    pub(crate) event: SharedEvent,
}

impl Entry {
    pub(super) fn new(position: Position, since: Instant, event: SharedEvent) -> Self {
        Self {
            position,
            since,
            event,
        }
    }

    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// The start of the event's age.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// The repository, whose events keep their order.
    pub(crate) fn repository(&self) -> &str {
        self.event.repository()
    }

    /// The bytes that the event takes in memory.
    pub(super) fn memory(&self) -> usize {
        self.event.memory()
    }
}

/// Events of one lane that stay in memory, if the store has the others.
const LOADED: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// Events that the reader has not looked at yet, oldest first.
    fresh: VecDeque<Entry>,
    /// Repositories that are busy or have events set aside.
    lanes: HashMap<Arc<str>, Lane>,
    /// Lanes with events, each by its oldest position and in exactly one index:
    /// not busy, busy, or not busy with the oldest event not in memory.
    ready: Index,
    held: Index,
    absent: Index,
    /// Positions that the store is to load, and their repositories.
    requested: HashMap<Position, Arc<str>>,
    /// Those of them that it was not asked for yet.
    wanted: Vec<Position>,
    /// Positions that are without their event.
    unloaded: usize,
}

type Index = BTreeMap<Position, Arc<str>>;

#[derive(Debug, Default)]
struct Lane {
    aside: VecDeque<Slot>,
    busy: bool,
}

#[derive(Debug)]
struct Slot {
    position: Position,
    since: Instant,
    /// `None` while only the store has it.
    event: Option<SharedEvent>,
}

impl From<Entry> for Slot {
    fn from(entry: Entry) -> Self {
        Self {
            position: entry.position,
            since: entry.since,
            event: Some(entry.event),
        }
    }
}

impl Slot {
    fn into_entry(self) -> Option<Entry> {
        Some(Entry::new(self.position, self.since, self.event?))
    }
}

impl Lanes {
    pub(super) fn push(&mut self, entry: Entry) {
        self.fresh.push_back(entry);
    }

    /// The next event whose repository is not busy. With `evict`, events that
    /// are set aside may be dropped from memory, and then count no more against
    /// these bounds.
    pub(super) fn take(&mut self, mut evict: Option<&mut Bounds>) -> Option<Entry> {
        loop {
            let ready = self.ready.first_key_value().map(|(position, _)| *position);
            let fresh = self.fresh.front().map(|entry| entry.position);
            if ready.is_some_and(|ready| fresh.is_none_or(|fresh| ready < fresh)) {
                let (_, repository) = self.ready.pop_first()?;
                return self.pop(&repository)?.into_entry();
            }
            let entry = self.fresh.pop_front()?;
            if !self.lanes.contains_key(entry.repository()) {
                return Some(entry);
            }
            self.set_aside(entry, evict.as_deref_mut());
        }
    }

    /// Puts an event behind those of its repository that wait already.
    fn set_aside(&mut self, entry: Entry, evict: Option<&mut Bounds>) {
        let Some((repository, _)) = self.lanes.get_key_value(entry.repository()) else {
            return;
        };
        let repository = repository.clone();
        let Some(lane) = self.lanes.get_mut(&repository) else {
            return;
        };
        let memory = entry.memory();
        let mut slot = Slot::from(entry);
        if let Some(bounds) = evict.filter(|_| lane.aside.len() >= LOADED) {
            slot.event = None;
            bounds.remove(memory);
            self.unloaded += 1;
        }
        lane.aside.push_back(slot);
        if lane.aside.len() == 1 {
            self.index(&repository);
        }
    }

    /// Removes the oldest event of a lane, whose index entry is gone already.
    fn pop(&mut self, repository: &Arc<str>) -> Option<Slot> {
        let lane = self.lanes.get_mut(repository)?;
        let slot = lane.aside.pop_front();
        if lane.aside.is_empty() && !lane.busy {
            self.lanes.remove(repository);
        } else {
            self.index(repository);
        }
        slot
    }

    /// Enters a lane into the index that it belongs to.
    fn index(&mut self, repository: &Arc<str>) {
        let Some(lane) = self.lanes.get(repository) else {
            return;
        };
        let Some(oldest) = lane.aside.front() else {
            return;
        };
        let index = match (lane.busy, &oldest.event) {
            (true, _) => &mut self.held,
            (false, Some(_)) => &mut self.ready,
            (false, None) => &mut self.absent,
        };
        index.insert(oldest.position, repository.clone());
        if !lane.busy && oldest.event.is_none() {
            let (position, wanted) = (oldest.position, &mut self.wanted);
            self.requested.entry(position).or_insert_with(|| {
                wanted.push(position);
                repository.clone()
            });
        }
    }

    /// Removes a lane from its index.
    fn unindex(&mut self, repository: &str) {
        let oldest = self.lanes.get(repository).and_then(|it| it.aside.front());
        if let Some(position) = oldest.map(|slot| slot.position) {
            for index in [&mut self.ready, &mut self.held, &mut self.absent] {
                index.remove(&position);
            }
        }
    }

    /// Puts back the event that was taken last.
    pub(super) fn put_back(&mut self, entry: Entry) {
        let repository: Arc<str> = entry.repository().into();
        self.unindex(&repository);
        let lane = self.lanes.entry(repository.clone()).or_default();
        lane.aside.push_front(entry.into());
        self.index(&repository);
    }

    /// Makes the repository busy; `None` if it was.
    pub(super) fn occupy(&mut self, repository: &str) -> Option<Arc<str>> {
        let key = match self.lanes.get_key_value(repository) {
            Some((_, lane)) if lane.busy => return None,
            Some((key, _)) => key.clone(),
            None => repository.into(),
        };
        self.unindex(&key);
        self.lanes.entry(key.clone()).or_default().busy = true;
        self.index(&key);
        Some(key)
    }

    /// Lets the repository go on.
    pub(super) fn free(&mut self, repository: &Arc<str>) {
        self.unindex(repository);
        let Some(lane) = self.lanes.get_mut(repository) else {
            return;
        };
        lane.busy = false;
        if lane.aside.is_empty() {
            self.lanes.remove(repository);
        } else {
            self.index(repository);
        }
    }

    /// The positions that the store is to load now, each told once.
    pub(super) fn wanted(&mut self) -> Vec<Position> {
        std::mem::take(&mut self.wanted)
    }

    /// The store answers for a position: with its event, or with nothing if it
    /// does not have it any more. Returns whether the position was asked for.
    pub(super) fn loaded(&mut self, position: Position, event: Option<SharedEvent>) -> bool {
        let Some(repository) = self.requested.remove(&position) else {
            return false;
        };
        self.unindex(&repository);
        let lane = self.lanes.get_mut(&repository);
        let oldest = lane.and_then(|lane| lane.aside.front_mut());
        let Some(oldest) = oldest.filter(|slot| slot.position == position) else {
            self.index(&repository);
            return false;
        };
        self.unloaded -= 1;
        match event {
            Some(event) => {
                oldest.event = Some(event);
                self.index(&repository);
            }
            None => {
                self.pop(&repository);
            }
        }
        true
    }

    /// The store did not answer for a position: it is asked again.
    pub(super) fn not_loaded(&mut self, position: Position) {
        if self.requested.contains_key(&position) {
            self.wanted.push(position);
        }
    }

    /// Drops the oldest event in memory that is not under way.
    pub(super) fn drop_oldest(&mut self) -> Option<Entry> {
        let first = |index: &Index| index.first_key_value().map(|(position, _)| *position);
        let loaded = |index: &Index| {
            let oldest = |lane: &Arc<str>| self.lanes.get(lane)?.aside.front();
            let mut slots = index.values().filter_map(oldest);
            slots
                .find(|slot| slot.event.is_some())
                .map(|it| it.position)
        };
        let fresh = self.fresh.front().map(|entry| entry.position);
        let (ready, held) = (first(&self.ready), loaded(&self.held));
        let oldest = [fresh, ready, held].into_iter().flatten().min()?;
        if fresh == Some(oldest) {
            return self.fresh.pop_front();
        }
        let repository = self.ready.remove(&oldest);
        let repository = repository.or_else(|| self.held.remove(&oldest))?;
        self.pop(&repository)?.into_entry()
    }

    /// When the oldest event that is not under way was accepted.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let aside = |index: &Index| {
            let slot = self.lanes.get(index.values().next()?)?.aside.front()?;
            Some((slot.position, slot.since))
        };
        let fronts = [
            self.fresh
                .front()
                .map(|entry| (entry.position, entry.since)),
            aside(&self.ready),
            aside(&self.held),
            aside(&self.absent),
        ];
        let oldest = fronts.into_iter().flatten().min();
        oldest.map(|(_, since)| since)
    }

    /// Positions that are without their event.
    pub(super) fn unloaded(&self) -> usize {
        self.unloaded
    }

    /// Removes all events in memory that are not under way and returns them in
    /// the order of acceptance.
    pub(super) fn drain(&mut self) -> Vec<Entry> {
        // Without a copy: there may be very many.
        let mut rest = Vec::from(std::mem::take(&mut self.fresh));
        for lane in self.lanes.values_mut() {
            rest.extend(lane.aside.drain(..).filter_map(Slot::into_entry));
        }
        for index in [&mut self.ready, &mut self.held, &mut self.absent] {
            index.clear();
        }
        self.requested.clear();
        self.wanted.clear();
        self.unloaded = 0;
        rest.sort_by_key(|entry| entry.position);
        rest
    }

    #[cfg(test)]
    pub(super) fn is_clear(&self) -> bool {
        self.lanes.is_empty() && self.fresh.is_empty() && self.requested.is_empty()
    }
}
