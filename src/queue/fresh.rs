//! Events that the reader has not looked at: [`Fresh`].

use std::collections::VecDeque;

use super::entry::Entry;

/// How much has to wait before the reader is woken: this many events, or events of this
/// many bytes in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Threshold {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

impl Threshold {
    /// The next event wakes the reader.
    pub(crate) const NEXT: Self = Self {
        events: 1,
        bytes: usize::MAX,
    };

    /// No event wakes the reader.
    pub(crate) const NEVER: Self = Self {
        events: usize::MAX,
        bytes: usize::MAX,
    };
}

/// Events that the reader has not looked at, oldest first.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    entries: VecDeque<Entry>,
    /// The memory of the events.
    bytes: usize,
}

impl Fresh {
    pub(super) fn push(&mut self, entry: Entry) {
        self.bytes += entry.memory();
        self.entries.push_back(entry);
    }

    pub(super) fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        self.bytes -= entry.memory();
        Some(entry)
    }

    pub(super) fn first(&self) -> Option<&Entry> {
        self.entries.front()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether so much waits.
    pub(super) fn reaches(&self, threshold: Threshold) -> bool {
        self.len() >= threshold.events || self.bytes >= threshold.bytes
    }

    /// Whether another event of these bytes is the one that reaches the threshold.
    pub(super) fn reaches_with(&self, bytes: usize, threshold: Threshold) -> bool {
        let missing = threshold.bytes.saturating_sub(self.bytes);
        self.len() + 1 == threshold.events || (1..=bytes).contains(&missing)
    }

    /// Removes events, and appends them to `removed`.
    pub(super) fn remove(&mut self, is_removed: impl Fn(&Entry) -> bool, removed: &mut Vec<Entry>) {
        for entry in std::mem::take(self).entries {
            match is_removed(&entry) {
                true => removed.push(entry),
                false => self.push(entry),
            }
        }
    }

    /// Removes all events. Does not copy them, because there may be very many.
    pub(super) fn drain(&mut self) -> Vec<Entry> {
        Vec::from(std::mem::take(self).entries)
    }
}
