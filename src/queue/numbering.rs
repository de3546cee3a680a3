//! The numbers by which receivers notice a missing event: [`Numbers`].

use std::num::NonZeroU64;

/// Which number an event gets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Numbering {
    /// The next one of the queue.
    Next,
    /// The one that it had when it was accepted before.
    Kept(Option<NonZeroU64>),
}

/// Numbers events that no store has.
#[derive(Debug)]
pub(super) struct Numbers {
    /// The last number that an event got.
    last: u64,
    /// A store numbers its own events, and does not know of others: they get no
    /// number.
    has_store: bool,
}

impl Numbers {
    pub(super) fn new(has_store: bool) -> Self {
        Self { last: 0, has_store }
    }

    /// The number of an event that the store does not have.
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
