//! JetStream as the store behind a queue: [`LentEvents`].

use std::ops::Range;
use std::sync::Arc;

use super::admitted::{AdmittedEvents, End};
use crate::queue::{PageLimits, Position, Refill, Reload, Store};

/// The store of a worker's queue. It lends what a consumer holds, which is bounded by
/// the number of events that the server has under way. The queue has all of it and never
/// asks for more.
#[derive(Debug)]
pub(super) struct LentEvents(pub(super) Arc<AdmittedEvents>);

impl Store for LentEvents {
    fn refill(&self, _: Position, _: PageLimits, _: Refill) {}

    fn reload(&self, _: &str, _: Range<Position>, _: PageLimits, _: Reload) {}

    fn can_reload(&self) -> bool {
        false
    }

    fn settle(&self, position: Position) {
        self.0.end(position, End::Delivered);
    }

    fn bury(&self, position: Position) {
        self.0.end(position, End::Dead);
    }

    /// Ends the event. If it stayed in the stream, it would be delivered again when its
    /// lease ends, and be given up again.
    fn lose(&self, position: Position) {
        self.0.end(position, End::Dead);
    }

    fn may_deliver(&self, position: Position) -> bool {
        self.0.is_leased(position)
    }

    fn give_back(&self, position: Position) {
        self.0.end(position, End::Returned);
    }

    fn kept_in(&self) -> &str {
        self.0.kept_in()
    }
}
