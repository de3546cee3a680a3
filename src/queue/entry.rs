//! An accepted event with its place in the order: [`Entry`].

use std::num::NonZeroU64;
use std::time::SystemTime;

use tokio::time::Instant;

use super::store::{Position, Stored};
use crate::event::SharedEvent;

/// An accepted event with its place in the order.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(super) place: Place,
    number: Option<NonZeroU64>,
    /// When the event was accepted.
    since: Instant,
    pub(crate) event: SharedEvent,
}

/// The place of an entry in the order of acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Every event of the store below this position comes before the entry. The store has
    /// the entry itself at the position just below, unless it is in memory only.
    pub(super) end: Position,
    /// 0 if the store has the entry. Entries that are in memory only count from
    /// 1, and come after what the store has.
    after: u64,
}

impl Place {
    /// Returns the place of an event that the store has.
    pub(super) fn stored(position: Position) -> Self {
        let end = position.next();
        Self { end, after: 0 }
    }

    /// Returns the place of the `after`-th event that is in memory only. It comes after the
    /// events that the store has below `end`.
    pub(super) fn in_memory(end: Position, after: u64) -> Self {
        Self { end, after }
    }
}

/// The present, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    instant: Instant,
    wall: SystemTime,
}

impl Now {
    /// Reads the monotonic clock and the wall clock.
    pub(super) fn of(clock: fn() -> SystemTime) -> Self {
        Self {
            instant: Instant::now(),
            wall: clock(),
        }
    }
}

impl Entry {
    /// Returns the entry of an event that the store has.
    pub(super) fn of_store(stored: Stored, now: Now) -> Self {
        let age = { now.wall }.duration_since(stored.accepted_at);
        let since = now.instant.checked_sub(age.unwrap_or_default());
        let place = Place::stored(stored.position);
        let number = NonZeroU64::new(stored.number);
        Self::new(place, number, since.unwrap_or(now.instant), stored.event)
    }

    pub(super) fn new(
        place: Place,
        number: Option<NonZeroU64>,
        since: Instant,
        event: SharedEvent,
    ) -> Self {
        Self {
            place,
            number,
            since,
            event,
        }
    }

    /// Returns the position in the store, or `None` if the event is in memory only.
    pub(crate) fn position(&self) -> Option<Position> {
        self.is_stored().then(|| self.place.end.previous())
    }

    /// Whether a store has the event, so that it outlives the process.
    pub(crate) fn is_stored(&self) -> bool {
        self.place.after == 0
    }

    /// Returns the number of the event among those that were written to its endpoint, from
    /// 1 and without gaps. `None` if the event was accepted while its store, which gives the
    /// numbers, was not available.
    pub(crate) fn number(&self) -> Option<NonZeroU64> {
        self.number
    }

    /// Returns the start of the event's age.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// Returns the repository, whose events keep their order.
    pub(crate) fn repository(&self) -> &str {
        self.event.repository()
    }

    /// Returns the bytes that the event takes in a queue.
    pub(super) fn memory(&self) -> usize {
        memory_of(&self.event)
    }
}

/// Returns the bytes that an event takes in a queue: its own, and twice those of its entry,
/// because a list of entries may have as much spare capacity as it has entries.
pub(super) fn memory_of(event: &SharedEvent) -> usize {
    event.memory() + 2 * size_of::<Entry>()
}
