//! What a notifier writes to: [`Destination`].

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::time::Instant;

use super::{Acceptance, Sink};
use crate::event::SharedEvent;

/// An event that is offered to a destination.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer<'a> {
    pub(crate) event: &'a SharedEvent,
    pub(crate) turn: Attempt,
    /// When it is offered. The clock is read once for all destinations.
    pub(crate) at: Instant,
}

impl<'a> Offer<'a> {
    /// An offer that is made now.
    pub(crate) fn now(event: &'a SharedEvent, turn: Attempt) -> Self {
        let at = Instant::now();
        Self { event, turn, at }
    }
}

/// Which of the offers of an event it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// A write, which is not repeated. It may wait for room, and if the event is not
    /// accepted, it becomes a dead letter where there are any.
    Only,
    /// One that is repeated until the event is accepted.
    First,
    Again,
    /// If the event is not accepted, it becomes a dead letter where there are any.
    Last,
}

impl Attempt {
    /// Whether the event was not offered before.
    pub(crate) fn is_first(self) -> bool {
        matches!(self, Self::Only | Self::First)
    }

    /// Whether the event is offered again if it is not accepted.
    pub(crate) fn is_repeated(self) -> bool {
        matches!(self, Self::First | Self::Again)
    }
}

/// Something that a notifier writes to.
pub(crate) trait Destination: Send + Sync {
    /// Whether an event would be accepted now.
    fn is_ready(&self) -> bool;

    /// Offers an event.
    fn offer(&self, offer: Offer<'_>) -> Acceptance;

    /// No more events will come.
    fn close(&self);
}

/// Any sink. It has no dead letters.
pub(crate) struct Plain(pub(crate) Arc<dyn Sink>);

impl Destination for Plain {
    fn is_ready(&self) -> bool {
        self.0.is_ready()
    }

    fn offer(&self, offer: Offer<'_>) -> Acceptance {
        self.0.write(offer.event)
    }

    fn close(&self) {
        self.0.close();
    }
}

/// Everything that a notifier writes to. One that fails or panics harms no other: the
/// registry has acted, and the others need the event.
#[derive(Clone)]
pub(crate) struct Destinations(Arc<[Arc<dyn Destination>]>);

impl Destinations {
    pub(crate) fn new(destinations: impl IntoIterator<Item = Arc<dyn Destination>>) -> Self {
        Self(destinations.into_iter().collect())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<dyn Destination>> {
        self.0.iter()
    }
}

/// Offers an event. A panic is an error.
#[inline]
pub(super) fn offer(destination: &dyn Destination, offer: Offer<'_>) -> Acceptance {
    Acceptance::catching(|| destination.offer(offer))
}

impl Sink for Destinations {
    fn write(&self, event: &SharedEvent) -> Acceptance {
        let once = Offer::now(event, Attempt::Only);
        Acceptance::all(self.iter().map(|it| offer(&**it, once)))
    }

    /// Whether all are ready. One that panics is not.
    fn is_ready(&self) -> bool {
        let ready = |it: &Arc<dyn Destination>| catch_unwind(AssertUnwindSafe(|| it.is_ready()));
        self.iter().all(|it| ready(it).unwrap_or(false))
    }

    fn close(&self) {
        for destination in self.iter() {
            // One that panics must not keep the others open.
            let _panicked = catch_unwind(AssertUnwindSafe(|| destination.close()));
        }
    }
}
