//! The numbers of events, by which receivers notice a missing one: [`Numbers`].

use std::num::NonZeroU64;

/// Which number an event gets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Numbering {
    /// The next number of the queue.
    Next,
    /// The number that the event had when it was accepted before.
    Kept(Option<NonZeroU64>),
}

/// Numbers events that no store has.
#[derive(Debug)]
pub(super) struct Numbers {
    /// The last number that an event got.
    last: u64,
    /// Whether the queue has a store. A store numbers its own events and does not know of
    /// others, so those get no number.
    has_store: bool,
}

impl Numbers {
    pub(super) fn new(has_store: bool) -> Self {
        Self { last: 0, has_store }
    }

    /// Returns the number of an event that the store does not have.
    pub(super) fn take(&mut self, numbering: Numbering) -> Option<NonZeroU64> {
        match numbering {
            Numbering::Kept(number) => number,
            Numbering::Next if self.has_store => None,
            Numbering::Next => {
                self.last += 1;
                NonZeroU64::new(self.last)
            }
        }
    }
}
