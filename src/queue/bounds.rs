//! How much a queue may hold: [`Limits`], and what counts against them.

use super::store::PageLimits;

/// The bounds of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The largest number of events that wait or are under way.
    pub(crate) events: usize,
    /// The largest number of bytes that they take in memory.
    pub(crate) bytes: usize,
}

/// Why the queue does not take an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is no room now.
    Full,
    /// There never will be room: the event alone is larger than the byte bound.
    TooLarge {
        /// The bytes that the event takes.
        bytes: usize,
        /// The bound.
        most: usize,
    },
    /// The queue takes no more events.
    Closed,
}

/// The assumed size of an event, in bytes, while there are none to take the average of.
const AVERAGE: usize = 1 << 10;

/// The largest number of events that a queue reads ahead of its reader, if they wait in a
/// store: enough to deliver from while the next ones are read.
const WINDOW: usize = 10_000;

/// The events in memory, counted against the limits.
///
/// An event counts from its acceptance until it is settled, but not while it is
/// only in the store.
#[derive(Debug)]
pub(super) struct Bounds {
    limits: Limits,
    /// The number of events from a store that are in memory at most.
    window: usize,
    events: usize,
    bytes: usize,
    /// The events that are larger than the byte bound by themselves.
    large_events: usize,
    large_bytes: usize,
    /// The events that cannot make room because the reader has them.
    taken_events: usize,
    taken_bytes: usize,
}

impl Bounds {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            window: limits.events.min(WINDOW),
            events: 0,
            bytes: 0,
            large_events: 0,
            large_bytes: 0,
            taken_events: 0,
            taken_bytes: 0,
        }
    }

    pub(super) fn check(&self, memory: usize) -> Result<(), Refused> {
        self.check_size(memory)?;
        if self.events >= self.limits.events || memory > self.limits.bytes - self.bytes_capped() {
            return Err(Refused::Full);
        }
        Ok(())
    }

    /// Refuses an event that would not fit into an empty queue.
    pub(super) fn check_size(&self, memory: usize) -> Result<(), Refused> {
        let most = self.limits.bytes;
        if memory > most {
            return Err(Refused::TooLarge {
                bytes: memory,
                most,
            });
        }
        Ok(())
    }

    /// Whether the event fits if everything that waits makes room for it.
    pub(super) fn can_make_room(&self, memory: usize) -> bool {
        self.taken_events < self.limits.events
            && self.taken_bytes.saturating_add(memory) <= self.limits.bytes
    }

    /// Whether an event fits that a store hands over. It must not have to wait until other
    /// events end, which may fail for days. Therefore the last event may exceed the byte
    /// bound, and one event that is larger than the whole bound does not count against it.
    ///
    /// Any event fits if the queue has only the `lone` events that are in memory only,
    /// because they may be waiting for it.
    pub(super) fn fits_window(&self, memory: usize, lone: usize) -> bool {
        let fits = match memory > self.limits.bytes {
            true => self.large_events == 0,
            false => self.bytes_capped() < self.limits.bytes,
        };
        self.events <= lone || (fits && self.events < self.window)
    }

    /// Returns how much more a store may hand over.
    pub(super) fn room(&self) -> PageLimits {
        PageLimits {
            events: self.window.saturating_sub(self.events),
            bytes: self.limits.bytes - self.bytes_capped(),
        }
    }

    /// Whether at least half of the window is free.
    pub(super) fn is_half_empty(&self) -> bool {
        let room = self.room();
        room.events >= self.window.div_ceil(2) && room.bytes >= self.limits.bytes / 2
    }

    /// Whether this many events that are set aside leave too little of the window for
    /// others.
    pub(super) fn too_many_aside(&self, events: usize, bytes: usize) -> bool {
        events >= self.window / 4 || bytes >= self.limits.bytes / 4
    }

    /// Whether too many lanes wait for their events to look at further events.
    pub(super) fn too_many_absent(&self, lanes: usize) -> bool {
        lanes > self.window
    }

    /// Whether an event of average size fits.
    pub(super) fn has_room(&self) -> bool {
        let average = self.bytes.checked_div(self.events).unwrap_or(AVERAGE);
        self.check(average.min(self.limits.bytes)).is_ok()
    }

    /// Returns the bytes that count against the bound, at most the bound itself. Events that
    /// a store hands over may exceed it: the last that found room, one that others of its
    /// repository wait for, and one that is larger by itself.
    fn bytes_capped(&self) -> usize {
        let beside = match self.large_events {
            1 => self.large_bytes,
            _ => 0,
        };
        self.bytes.saturating_sub(beside).min(self.limits.bytes)
    }

    pub(super) fn add(&mut self, memory: usize) {
        self.events += 1;
        self.bytes += memory;
        if memory > self.limits.bytes {
            self.large_events += 1;
            self.large_bytes += memory;
        }
    }

    pub(super) fn remove(&mut self, memory: usize) {
        self.events = self.events.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(memory);
        if memory > self.limits.bytes {
            self.large_events = self.large_events.saturating_sub(1);
            self.large_bytes = self.large_bytes.saturating_sub(memory);
        }
    }

    /// Notes that the reader has taken an event.
    pub(super) fn take(&mut self, memory: usize) {
        self.taken_events += 1;
        self.taken_bytes += memory;
    }

    /// Notes that the reader has put an event back, or that the event has ended.
    pub(super) fn untake(&mut self, memory: usize) {
        self.taken_events = self.taken_events.saturating_sub(1);
        self.taken_bytes = self.taken_bytes.saturating_sub(memory);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.limits);
    }

    pub(super) fn events(&self) -> usize {
        self.events
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
