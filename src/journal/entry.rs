//! An event on its way into the journal: [`Entry`].

use std::num::NonZeroU64;
use std::time::SystemTime;

use crate::event::SharedEvent;

use super::bits::{EndpointId, Wanted};

/// An event, and the endpoints that want it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) event: SharedEvent,
    pub(super) wanted: Wanted,
    pub(super) number: Number,
}

/// Which number an event gets at its endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    /// The next number of each endpoint.
    Next,
    /// The number that the event had before, if any: it is sent again.
    Kept(Option<NonZeroU64>),
}

impl Number {
    /// Returns the number at an endpoint whose next number is `next`, or 0 if the event has
    /// none.
    pub(super) fn take(self, next: &mut u64) -> u64 {
        match self {
            Self::Kept(number) => number.map_or(0, NonZeroU64::get),
            Self::Next => {
                *next += 1;
                *next - 1
            }
        }
    }
}

impl Entry {
    /// Returns the start of the event's age. The age of an event that is sent again begins
    /// anew, or its endpoint and the limits would give it up at once.
    pub(super) fn since(&self) -> SystemTime {
        let accepted_at = self.event.accepted_at();
        match self.number {
            Number::Next => accepted_at,
            Number::Kept(_) => accepted_at.max(SystemTime::now()),
        }
    }

    /// Returns the entry of an event that one endpoint gets again.
    pub(super) fn again(
        event: SharedEvent,
        endpoint: EndpointId,
        number: Option<NonZeroU64>,
    ) -> Self {
        Self {
            event,
            wanted: [endpoint].into_iter().collect(),
            number: Number::Kept(number),
        }
    }
}
