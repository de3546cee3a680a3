//! The two ends of an event at an endpoint: delivered, or a dead letter.

use http::StatusCode;
use tokio::time::Instant;

use super::Worker;
use crate::endpoint::dead_letter::{Cause, Reason};

impl Worker {
    /// Settles the events of a part that the receiver has accepted.
    pub(super) fn delivered(&mut self, id: u64, status: StatusCode, now: Instant) {
        if let Some(part) = self.in_flight.take_part(id) {
            self.counts.accepted(status, &part.entries, now);
            self.queue.settle_all(&part.entries);
        }
        self.in_flight.advance(id, &self.queue, now);
    }

    /// Makes dead letters of the first part of a batch. Its repositories stay busy until
    /// the letters are decided.
    pub(super) fn bury(&mut self, id: u64, reason: Reason, cause: Cause) {
        let Some(part) = self.in_flight.take_part(id) else {
            return;
        };
        let (dead_letters, queue) = (self.dead_letters.clone(), self.queue.clone());
        let letter_write = async move {
            let entries = part.into_entries();
            dead_letters
                .bury_all(&queue, entries, reason, &cause, None, drop)
                .await;
            id
        };
        self.in_flight.letter_writes.push(Box::pin(letter_write));
    }
}
