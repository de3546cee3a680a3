//! An event on its way into the journal: [`Entry`].

use std::num::NonZeroU64;
use std::time::SystemTime;

use crate::event::SharedEvent;

use super::bits::{EndpointId, Wanted};

/// An event, and who wants it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) event: SharedEvent,
    pub(super) wanted: Wanted,
    pub(super) number: Number,
}

/// Which number an event gets at its endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    /// The next one of each endpoint.
    Next,
    /// The one that it had before, if it had one: it is sent again.
    Kept(Option<NonZeroU64>),
}

impl Number {
    /// The number at an endpoint whose next number is `next`. 0 if there is none.
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
    /// The start of the event's age. One that is sent again is as young as a new one,
    /// or its endpoint and the limits would give it up at once.
    pub(super) fn since(&self) -> SystemTime {
        let accepted_at = self.event.accepted_at();
        match self.number {
            Number::Next => accepted_at,
            Number::Kept(_) => accepted_at.max(SystemTime::now()),
        }
    }

    /// An event that one endpoint gets again.
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
