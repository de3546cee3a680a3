use std::sync::atomic::{AtomicU64, Ordering};

use super::{Position, Reply, Store};
use crate::event::SharedEvent;

/// A store without memory of its own: the entries of the queue hold the events,
/// and they end with the process.
#[derive(Debug, Default)]
pub(crate) struct MemoryStore {
    next: AtomicU64,
}

impl Store for MemoryStore {
    fn append(&self, _: &SharedEvent) -> Position {
        Position(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// The queue never drops an event of this store from memory.
    fn load(&self, _: Position, reply: Reply) {
        reply.answer(None);
    }

    fn settle(&self, _: Position) {}

    fn kept_in(&self) -> Option<&str> {
        None
    }
}
