//! The time for which events are held, which avoids repeats.
//!
//! An event is dropped unless it came, or the server confirmed its progress, within
//! [`LEASE`] of the time after which the server delivers it again. When one event is
//! dropped, the [`Lease`] of all that the gate has admitted ends, because later events
//! would overtake it. Without the lease, a worker that continues after a stop would
//! deliver everything that it holds again, after another worker has delivered it.

use tokio::time::Instant;

use super::gate::Gate;
use super::{PROGRESS, Partition, State};
use crate::jetstream::consumer::lease::Lease;

/// The part of the server's wait for which an event is held without confirmed progress.
pub(super) const LEASE: f64 = 0.8;

impl<T> Partition<T> {
    pub(super) fn until(&self, since: Instant) -> Instant {
        since + self.hold
    }

    /// Notes that the server has confirmed the progress of an event that was reported at
    /// that time. The lease counts from the report: when it arrived is not known.
    pub(in crate::jetstream::consumer) fn progressed(&mut self, sequence: u64, told: Instant) {
        let (until, tell) = (self.until(told), told + self.ack_wait / PROGRESS);
        if let Some(held) = self.held.get_mut(&sequence)
            && matches!(held.state, State::Gathered | State::Admitted)
        {
            held.until = held.until.max(until);
            held.tell = tell;
        }
    }

    /// Ends the lease, and begins another. Events under the old one must come back.
    pub(super) fn renew(&mut self, now: Instant) {
        self.lease.revoke();
        self.lease = Lease::new(now);
        self.revoked |= self.admitted > 0;
    }

    /// Drops what was held for too long.
    pub(super) fn lapse(&mut self, now: Instant) {
        let mut lapsed = false;
        self.held.retain(|_, held| {
            let over = now >= held.until;
            match held.state {
                State::Gathered if over => {
                    lapsed = true;
                    return false;
                }
                State::Admitted if over => {
                    lapsed = true;
                    held.state = State::Lapsed;
                }
                _ => {}
            }
            true
        });
        if !lapsed {
            return;
        }
        match self.gate {
            Gate::Shut => self.renew(now),
            _ if self.pins => self.gather(now),
            // Without pins at most one event is held, so there is nothing to gather.
            _ => self.renew(now),
        }
    }
}
