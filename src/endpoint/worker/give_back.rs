//! Gives back events that the queue's store has only lent.

use tokio::time::Instant;

use super::Worker;

impl Worker {
    /// Whether all events of the part that is next may be delivered now.
    pub(super) fn may_deliver(&self, id: u64) -> bool {
        let part = self.in_flight.part(id);
        part.is_none_or(|part| part.entries.iter().all(|it| self.queue.may_deliver(it)))
    }

    /// Gives back everything that must not be delivered any more, except attempts under
    /// way, whose outcome decides, and dead letters.
    pub(super) fn give_back(&mut self) {
        let (queue, in_flight) = (&self.queue, &mut self.in_flight);
        let mut given = Vec::new();
        let keeps = |entry: &_| queue.may_deliver(entry);
        if let Some(forming) = &mut in_flight.forming {
            forming.retain(keeps, &mut given);
        }
        in_flight.forming = in_flight.forming.take().filter(|it| !it.is_empty());
        for id in in_flight.parked_ids() {
            in_flight.retain(id, keeps, &mut given, queue);
        }
        given.iter().for_each(|entry| queue.give_back(entry));
        queue.give_back_waiting();
    }

    /// Parks a batch whose events must not be delivered, and gives them back.
    pub(super) fn give_back_batch(&mut self, id: u64) {
        self.in_flight.park(id, Instant::now());
        self.give_back();
    }
}
