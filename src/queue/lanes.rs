//! Events in the order in which they may leave: [`Lanes`].
//!
//! Events of one repository leave in the order of their places, and never
//! while others of that repository are under way. Accepted events go into one
//! line for all repositories, so that a write costs no more than a push. Only
//! when the reader finds an event whose repository is busy does it put the event
//! aside, into that repository's lane. A lane that is not busy goes before the
//! line, because its events are older.
//!
//! A lane may have a [`Rest`]: events that only the store has. Where many of one
//! repository are set aside, those that a store has are dropped from memory, and
//! loaded again when their turn comes. A repository whose events fail for days
//! then costs a handful of events, however many wait behind the first.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use tokio::time::Instant;

use super::bounds::Bounds;
use super::entry::{Entry, Place};
use super::store::Position;

/// Events of one lane that stay in memory, if the store has the others.
const LOADED: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// Events that the reader has not looked at yet, oldest first.
    fresh: VecDeque<Entry>,
    /// Repositories that are busy or have events set aside.
    lanes: HashMap<Arc<str>, Lane>,
    /// Lanes with events, each by the place of its first slot and in exactly one
    /// index: not busy, busy, or not busy and the first slot is a rest.
    ready: Index,
    held: Index,
    absent: Index,
    /// Events in memory that are set aside, and their bytes.
    aside_events: usize,
    aside_bytes: usize,
}

type Index = BTreeSet<(Place, Arc<str>)>;

#[derive(Debug, Default)]
struct Lane {
    /// In the order of their places. Two rests never stand side by side, and
    /// behind a rest there is in memory only what no store has.
    aside: VecDeque<Slot>,
    rests: usize,
    busy: bool,
}

#[derive(Debug)]
enum Slot {
    Loaded(Entry),
    Rest(Rest),
}

/// Events of a lane that only the store has.
#[derive(Debug)]
struct Rest {
    /// The position of the first of them, or one before that.
    from: Position,
    /// Where what follows in the lane begins. `None` at the end of a lane: up to
    /// the first event that the reader has not looked at.
    to: Option<Position>,
    /// The first of them was accepted then, or later.
    since: Instant,
}

/// What may be dropped from memory, because a store has it.
pub(super) struct Evict<'a> {
    pub(super) bounds: &'a mut Bounds,
    /// How many events only the store has.
    pub(super) left: &'a mut i64,
}

impl Evict<'_> {
    fn evict(&mut self, entry: &Entry) {
        self.bounds.remove(entry.memory());
        *self.left += 1;
    }
}

impl Slot {
    fn place(&self) -> Place {
        match self {
            Self::Loaded(entry) => entry.place,
            Self::Rest(rest) => Place::stored(rest.from),
        }
    }

    fn since(&self) -> Instant {
        match self {
            Self::Loaded(entry) => entry.since(),
            Self::Rest(rest) => rest.since,
        }
    }
}

impl Lanes {
    pub(super) fn push(&mut self, entry: Entry) {
        self.fresh.push_back(entry);
    }

    /// The next event whose repository is not busy. With `evict`, events that
    /// are set aside may be dropped from memory.
    pub(super) fn take(&mut self, mut evict: Option<Evict<'_>>) -> Option<Entry> {
        loop {
            let ready = self.ready.first().map(|(place, _)| *place);
            let fresh = self.fresh.front().map(|entry| entry.place);
            if ready.is_some_and(|ready| fresh.is_none_or(|fresh| ready < fresh)) {
                let (_, repository) = self.ready.pop_first()?;
                return self.pop(&repository);
            }
            let entry = self.fresh.pop_front()?;
            if !self.lanes.contains_key(entry.repository()) {
                return Some(entry);
            }
            self.set_aside(entry, evict.as_mut());
        }
    }

    /// Puts an event behind those of its repository that wait already.
    fn set_aside(&mut self, entry: Entry, evict: Option<&mut Evict<'_>>) {
        let Some((repository, _)) = self.lanes.get_key_value(entry.repository()) else {
            return;
        };
        let repository = repository.clone();
        let Some(lane) = self.lanes.get_mut(&repository) else {
            return;
        };
        let evict = evict.filter(|_| entry.is_stored());
        match (lane.aside.back_mut(), entry.position(), evict) {
            // Events before it are not in memory: it must not overtake them.
            (Some(Slot::Rest(_)), Some(_), Some(evict)) => return evict.evict(&entry),
            (Some(Slot::Rest(rest)), _, _) => rest.to = Some(entry.place.end),
            (_, Some(from), Some(evict)) => {
                let (events, bytes) = (self.aside_events, self.aside_bytes);
                let many = lane.aside.len() >= LOADED || lane.rests > 0;
                if many || evict.bounds.too_many_aside(events, bytes) {
                    evict.evict(&entry);
                    lane.rests += 1;
                    let (to, since) = (None, entry.since());
                    lane.aside.push_back(Slot::Rest(Rest { from, to, since }));
                    return self.index_first(&repository);
                }
            }
            _ => {}
        }
        self.aside_events += 1;
        self.aside_bytes += entry.memory();
        lane.aside.push_back(Slot::Loaded(entry));
        self.index_first(&repository);
    }

    /// Enters a lane into its index after its first slot was added.
    fn index_first(&mut self, repository: &Arc<str>) {
        if self
            .lanes
            .get(repository)
            .is_some_and(|it| it.aside.len() == 1)
        {
            self.index(repository);
        }
    }

    /// Removes the oldest event of a lane, whose index entry is gone already.
    fn pop(&mut self, repository: &Arc<str>) -> Option<Entry> {
        let lane = self.lanes.get_mut(repository)?;
        let slot = lane.aside.pop_front();
        if lane.aside.is_empty() && !lane.busy {
            self.lanes.remove(repository);
        } else {
            self.index(repository);
        }
        match slot? {
            Slot::Loaded(entry) => {
                self.aside_events -= 1;
                self.aside_bytes -= entry.memory();
                Some(entry)
            }
            // Only lanes whose first event is in memory are popped.
            Slot::Rest(_) => None,
        }
    }

    /// Enters a lane into the index that it belongs to.
    fn index(&mut self, repository: &Arc<str>) {
        let Some(lane) = self.lanes.get(repository) else {
            return;
        };
        let Some(first) = lane.aside.front() else {
            return;
        };
        let index = match (lane.busy, first) {
            (true, _) => &mut self.held,
            (false, Slot::Loaded(_)) => &mut self.ready,
            (false, Slot::Rest(_)) => &mut self.absent,
        };
        index.insert((first.place(), repository.clone()));
    }

    /// Removes a lane from its index.
    fn unindex(&mut self, repository: &Arc<str>) {
        let first = self.lanes.get(repository).and_then(|it| it.aside.front());
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
        let lane = self.lanes.entry(repository.clone()).or_default();
        self.aside_events += 1;
        self.aside_bytes += entry.memory();
        lane.aside.push_front(Slot::Loaded(entry));
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

    /// Enters a lane into its index, or removes it if it has no purpose.
    fn index_or_remove(&mut self, repository: &Arc<str>) {
        let idle = |lane: &Lane| lane.aside.is_empty() && !lane.busy;
        if self.lanes.get(repository).is_some_and(idle) {
            self.lanes.remove(repository);
        } else {
            self.index(repository);
        }
    }

    /// The lane whose turn comes first of those without their events in memory,
    /// and where the store has these. `read` is how far the queue has read the
    /// store.
    pub(super) fn wanted(&self, read: Position) -> Option<(Arc<str>, Range<Position>)> {
        let (_, repository) = self.absent.first()?;
        match self.lanes.get(repository)?.aside.front()? {
            Slot::Rest(rest) => Some((repository.clone(), rest.from..self.end_of(rest, read))),
            Slot::Loaded(_) => None,
        }
    }

    /// Where a rest ends. What the reader has not looked at is no part of it,
    /// although its position is below `read`.
    fn end_of(&self, rest: &Rest, read: Position) -> Position {
        let looked_at = || match self.fresh.front() {
            Some(entry) => entry.position().unwrap_or(entry.place.end),
            None => read,
        };
        rest.to.unwrap_or_else(looked_at)
    }

    /// Adds the events that the rest of a lane began with. The rest goes on at
    /// `next`, or has ended. Returns false, and adds none, if there is no such
    /// rest any more.
    pub(super) fn reloaded(
        &mut self,
        (repository, from): (&Arc<str>, Position),
        entries: Vec<Entry>,
        next: Position,
        read: Position,
    ) -> bool {
        let lane = self.lanes.get(repository);
        let aside = lane.map(|lane| &lane.aside).into_iter().flatten();
        // An event may have been put back before it.
        let found = { aside }.enumerate().find_map(|(index, slot)| match slot {
            Slot::Rest(rest) if rest.from == from => Some((index, self.end_of(rest, read))),
            _ => None,
        });
        let Some((index, end)) = found else {
            return false;
        };
        self.unindex(repository);
        let Some(lane) = self.lanes.get_mut(repository) else {
            return false;
        };
        let mut behind = lane.aside.split_off(index);
        let rest = behind.pop_front();
        let last = entries.last().map(Entry::since);
        self.aside_events += entries.len();
        self.aside_bytes += entries.iter().map(Entry::memory).sum::<usize>();
        lane.aside.extend(entries.into_iter().map(Slot::Loaded));
        if let Some(Slot::Rest(mut rest)) = rest
            && next < end
        {
            rest.from = next;
            rest.since = last.unwrap_or(rest.since);
            lane.aside.push_back(Slot::Rest(rest));
        } else {
            lane.rests -= 1;
        }
        lane.aside.append(&mut behind);
        self.index_or_remove(repository);
        true
    }

    /// Whether an event is part of the rest of its lane.
    pub(super) fn rests_at(&self, repository: &str, position: Position, read: Position) -> bool {
        let lane = self.lanes.get(repository);
        let mut aside = lane.map(|lane| &lane.aside).into_iter().flatten();
        aside.any(|slot| match slot {
            Slot::Rest(rest) => (rest.from..self.end_of(rest, read)).contains(&position),
            Slot::Loaded(_) => false,
        })
    }

    /// Removes events that are in memory and not under way.
    pub(super) fn remove(&mut self, is_removed: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let mut removed = Vec::new();
        let fresh = std::mem::take(&mut self.fresh);
        for entry in fresh {
            match is_removed(&entry) {
                true => removed.push(entry),
                false => self.fresh.push_back(entry),
            }
        }
        let repositories: Vec<_> = self.lanes.keys().cloned().collect();
        for repository in repositories {
            self.unindex(&repository);
            let Some(lane) = self.lanes.get_mut(&repository) else {
                continue;
            };
            for slot in std::mem::take(&mut lane.aside) {
                match slot {
                    Slot::Loaded(entry) if is_removed(&entry) => {
                        self.aside_events -= 1;
                        self.aside_bytes -= entry.memory();
                        removed.push(entry);
                    }
                    slot => lane.aside.push_back(slot),
                }
            }
            self.index_or_remove(&repository);
        }
        removed
    }

    /// Drops the oldest event in memory that is not under way.
    pub(super) fn drop_oldest(&mut self) -> Option<Entry> {
        let is_loaded = |(_, repository): &&(Place, Arc<str>)| {
            let lane = self.lanes.get(repository);
            matches!(lane.and_then(|it| it.aside.front()), Some(Slot::Loaded(_)))
        };
        let fresh = self.fresh.front().map(|entry| entry.place);
        let (ready, held) = (self.ready.first(), self.held.iter().find(is_loaded));
        let aside = ready.into_iter().chain(held).min().cloned();
        match (fresh, aside) {
            (fresh, Some(aside)) if fresh.is_none_or(|fresh| aside.0 < fresh) => {
                self.unindex(&aside.1);
                self.pop(&aside.1)
            }
            _ => self.fresh.pop_front(),
        }
    }

    /// When the oldest event that is not under way was accepted.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let aside = |index: &Index| {
            let (place, repository) = index.first()?;
            let first = self.lanes.get(repository)?.aside.front()?;
            Some((*place, first.since()))
        };
        let fresh = self.fresh.front();
        let fronts = [
            fresh.map(|entry| (entry.place, entry.since())),
            aside(&self.ready),
            aside(&self.held),
            aside(&self.absent),
        ];
        let oldest = fronts.into_iter().flatten().min();
        oldest.map(|(_, since)| since)
    }

    /// Whether the reader has looked at every event.
    pub(super) fn is_looked_through(&self) -> bool {
        self.fresh.is_empty()
    }

    /// Lanes that wait for their events.
    pub(super) fn absent(&self) -> usize {
        self.absent.len()
    }

    /// Removes all events in memory that are not under way and returns them in
    /// the order of acceptance.
    pub(super) fn drain(&mut self) -> Vec<Entry> {
        // Without a copy: there may be very many.
        let mut drained = Vec::from(std::mem::take(&mut self.fresh));
        for lane in self.lanes.values_mut() {
            lane.rests = 0;
            let loaded = lane.aside.drain(..).filter_map(|slot| match slot {
                Slot::Loaded(entry) => Some(entry),
                Slot::Rest(_) => None,
            });
            drained.extend(loaded);
        }
        for index in [&mut self.ready, &mut self.held, &mut self.absent] {
            index.clear();
        }
        (self.aside_events, self.aside_bytes) = (0, 0);
        drained.sort_by_key(|entry| entry.place);
        drained
    }

    #[cfg(test)]
    pub(super) fn is_clear(&self) -> bool {
        let aside = (self.aside_events, self.aside_bytes);
        self.lanes.is_empty() && self.fresh.is_empty() && aside == (0, 0)
    }

    /// Slots that are set aside, rests included.
    #[cfg(test)]
    pub(super) fn slots(&self) -> usize {
        self.lanes.values().map(|lane| lane.aside.len()).sum()
    }
}
