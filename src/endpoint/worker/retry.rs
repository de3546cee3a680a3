//! What happens to a part that was not accepted: it is parked until its next
//! attempt, halved, or given up.

use std::time::Duration;

use tokio::time::Instant;

use super::Worker;
use crate::endpoint::batch::after;
use crate::endpoint::dead_letter::{Cause, Reason};

/// The number of failed attempts from which on a batch is halved at each further one.
/// The first failure may be the receiver's fault; a repeated one may be an event's.
const REPEATED: u32 = 2;

impl Worker {
    /// Parks the part until it is due, or gives it up. Returns when the next
    /// attempt is due.
    pub(super) fn retry(
        &mut self,
        id: u64,
        epoch: u64,
        retry_after: Option<Duration>,
        cause: Cause,
    ) -> Option<Instant> {
        let now = Instant::now();
        let retry_after = retry_after.filter(|_| self.retry.policy().honours_retry_after());
        let retry_after = retry_after.unwrap_or_default();
        let gate = &mut self.in_flight.gate;
        gate.fails(epoch, id);
        let policy = self.retry.policy();
        let wait = policy.endpoint_wait(gate.failures(), gate.events(), self.random.f64());
        gate.shut(after(now, wait.max(retry_after)));
        let shut_until = gate.shut_until(now);
        self.counts.gate(gate.failures(), shut_until);
        let part = self.in_flight.part(id)?;
        let expired = part.entries.iter().filter(|it| self.queue.is_expired(it));
        let expired = expired.count();
        if expired == part.entries.len() {
            // The store needs their space, whichever of them is at fault.
            self.bury(id, Reason::Expired, cause);
            return None;
        }
        let attempts = part.attempts;
        let gives_up = expired > 0 || policy.gives_up(attempts, part.age());
        let mut due = || after(now, policy.event_wait(attempts, self.random.f64()));
        let (first, second) = (due(), due());
        if gives_up || attempts >= REPEATED {
            // One event of many may be at fault. Each is given up by its own age, and
            // only after an attempt at it alone: if the attempts are used up, each half
            // gets one more.
            let used_up = policy.gives_up(attempts, Duration::ZERO);
            let halved = self.in_flight.halve(id, used_up.into(), second);
            if gives_up && !halved {
                self.bury(id, Reason::GaveUp, cause);
                return None;
            }
        }
        self.in_flight.park(id, first);
        Some(first.max(shut_until.unwrap_or(first)))
    }

    /// Halves the part, or makes dead letters of it. Returns when the next
    /// attempt is due.
    pub(super) fn reject(&mut self, id: u64, cause: Cause) -> Option<Instant> {
        let now = Instant::now();
        // The receiver rejected the batch and not yet any single event, so this attempt
        // does not count for the halves.
        if self.in_flight.halve(id, 1, now) {
            self.in_flight.park(id, now);
            return Some(now);
        }
        self.bury(id, Reason::Rejected, cause);
        None
    }
}
