//! The events of one repository that are set aside: [`Lane`].
//!
//! A lane has two kinds of slots: an event in memory, and a [`Rest`], which stands for
//! events that only the store has. The invariants: two rests are never adjacent, and
//! events after a rest are in memory only if no store has them.

use std::collections::VecDeque;
use std::ops::Range;

use tokio::time::Instant;

use super::entry::{Entry, Place};
use super::store::Position;

/// The number of events of a lane that stay in memory if the store has the others.
const LOADED: usize = 16;

/// The events of one repository that are set aside, in the order of their places.
#[derive(Debug, Default)]
pub(super) struct Lane {
    aside: VecDeque<Slot>,
    rests: usize,
    /// Whether events of the repository are under way.
    pub(super) busy: bool,
}

#[derive(Debug)]
pub(super) enum Slot {
    Loaded(Entry),
    Rest(Rest),
}

/// Events of a lane that only the store has.
#[derive(Debug)]
pub(super) struct Rest {
    /// The position of the first of these events, or an earlier one.
    from: Position,
    /// The position at which the next slot begins. `None` in the last slot of a lane, which
    /// extends to the first event that the reader has not looked at.
    to: Option<Position>,
    /// When the first of these events was accepted, or an earlier time.
    since: Instant,
    /// The number of events.
    events: usize,
}

/// Events that a store has loaded again, in answer to the question for a [`Rest`].
pub(super) struct Loaded {
    /// Where the rest began when the store was asked.
    pub(super) from: Position,
    pub(super) entries: Vec<Entry>,
    /// The position at which the rest continues.
    pub(super) next: Position,
}

/// The result of loading events of a [`Rest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reloaded {
    /// By how many events the count of the rest has decreased.
    pub(super) fewer: usize,
    /// How many of those have not come although the rest has ended.
    pub(super) missing: usize,
    /// Number of events that have come and were not counted.
    pub(super) uncounted: usize,
}

impl Slot {
    pub(super) fn place(&self) -> Place {
        match self {
            Self::Loaded(entry) => entry.place,
            Self::Rest(rest) => Place::stored(rest.from),
        }
    }

    pub(super) fn since(&self) -> Instant {
        match self {
            Self::Loaded(entry) => entry.since(),
            Self::Rest(rest) => rest.since,
        }
    }
}

impl Rest {
    /// Returns the positions of these events in the store. `looked_at` is the position from
    /// which on the reader has not looked at events.
    pub(super) fn range(&self, looked_at: Position) -> Range<Position> {
        self.from..self.to.unwrap_or(looked_at)
    }
}

impl Lane {
    /// Returns the lane of a repository that has events under way, and none aside.
    pub(super) fn busy() -> Self {
        Self {
            busy: true,
            ..Self::default()
        }
    }

    pub(super) fn first(&self) -> Option<&Slot> {
        self.aside.front()
    }

    pub(super) fn len(&self) -> usize {
        self.aside.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.aside.is_empty()
    }

    /// Whether the lane can be removed.
    pub(super) fn is_idle(&self) -> bool {
        self.is_empty() && !self.busy
    }

    /// Puts an event after the others. Returns it if it is to leave memory, because the
    /// lane is long or the queue is `crowded` with events that are set aside. It can leave
    /// memory only if a store can load it again, which `evicts` says.
    pub(super) fn push(&mut self, entry: Entry, evicts: bool, crowded: bool) -> Option<Entry> {
        let is_long = self.aside.len() >= LOADED || self.rests > 0;
        let position = entry.position().filter(|_| evicts);
        match (self.aside.back_mut(), position) {
            // Events before it are not in memory, and it must not overtake them.
            (Some(Slot::Rest(rest)), Some(_)) => {
                rest.events += 1;
                return Some(entry);
            }
            (Some(Slot::Rest(rest)), None) => rest.to = Some(entry.place.end),
            (_, Some(from)) if is_long || crowded => {
                self.aside.push_back(Slot::Rest(Rest {
                    from,
                    to: None,
                    since: entry.since(),
                    events: 1,
                }));
                self.rests += 1;
                return Some(entry);
            }
            _ => {}
        }
        self.aside.push_back(Slot::Loaded(entry));
        None
    }

    /// Puts an event before the others.
    pub(super) fn push_front(&mut self, entry: Entry) {
        self.aside.push_front(Slot::Loaded(entry));
    }

    /// Removes the first event, if it is in memory.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        match self.aside.pop_front()? {
            Slot::Loaded(entry) => Some(entry),
            rest @ Slot::Rest(_) => {
                self.aside.push_front(rest);
                None
            }
        }
    }

    /// Puts the first events of a rest into memory. Adds none if the rest no longer exists.
    pub(super) fn reload(&mut self, loaded: Loaded, looked_at: Position) -> Option<Reloaded> {
        // The rest is searched for because an event may have been put back before it.
        let is_meant = |slot: &Slot| matches!(slot, Slot::Rest(rest) if rest.from == loaded.from);
        let index = self.aside.iter().position(is_meant)?;
        let mut behind = self.aside.split_off(index);
        let Some(Slot::Rest(mut rest)) = behind.pop_front() else {
            return None;
        };
        let events = loaded.entries.len();
        let counted = events.min(rest.events);
        let mut reloaded = Reloaded {
            fewer: counted,
            missing: 0,
            uncounted: events - counted,
        };
        rest.events -= counted;
        rest.since = loaded.entries.last().map_or(rest.since, Entry::since);
        self.aside
            .extend(loaded.entries.into_iter().map(Slot::Loaded));
        if loaded.next < rest.range(looked_at).end {
            rest.from = loaded.next;
            self.aside.push_back(Slot::Rest(rest));
        } else {
            self.rests -= 1;
            reloaded.missing = rest.events;
            reloaded.fewer += rest.events;
        }
        self.aside.append(&mut behind);
        Some(reloaded)
    }

    /// Ends an event of this repository that is part of a rest. Returns whether the rest
    /// counted it, or `None` if it is part of none.
    pub(super) fn end_resting(&mut self, position: Position, looked_at: Position) -> Option<bool> {
        let rest = self.aside.iter_mut().find_map(|slot| match slot {
            Slot::Rest(rest) if rest.range(looked_at).contains(&position) => Some(rest),
            _ => None,
        })?;
        let counted = rest.events > 0;
        rest.events -= usize::from(counted);
        Some(counted)
    }

    /// Moves events in memory to `removed`.
    pub(super) fn remove(&mut self, is_removed: impl Fn(&Entry) -> bool, removed: &mut Vec<Entry>) {
        for slot in std::mem::take(&mut self.aside) {
            match slot {
                Slot::Loaded(entry) if is_removed(&entry) => removed.push(entry),
                slot => self.aside.push_back(slot),
            }
        }
    }

    /// Removes everything, and returns what was in memory.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Entry> {
        self.rests = 0;
        self.aside.drain(..).filter_map(|slot| match slot {
            Slot::Loaded(entry) => Some(entry),
            Slot::Rest(_) => None,
        })
    }
}
