//! The gate, which keeps the order.
//!
//! Under a new pin nothing is delivered to the endpoint at first. The partition asks the
//! server how far it has delivered and how many of these events are not acknowledged, and
//! gathers them. The gate opens when that many are held, and delivery continues in the
//! order of the stream. The gate shuts again when anything is missing: a lease has ended,
//! or the numbers of the deliveries have a gap because a connection was lost with
//! deliveries in it. The number of events that are held is never limited below the number
//! that the server has under way, or the gate would never open.
//!
//! The same number is not always the same events: one that is held here and was
//! acknowledged by another worker would count in place of one that is missing. Therefore
//!
//! - only events that have come since the gate shut count. Those held before are dropped,
//!   at once or when they come back from the queue, and the server delivers them again;
//! - the server's counts must add up. Nothing that is gathered is acknowledged here, so a
//!   count that falls shows an acknowledgement that another worker had under way when it
//!   lost the pin. Gathering then begins again.

use std::ops::RangeToInclusive;
use std::time::Duration;

use tokio::time::Instant;

use super::{Action, Partition, Progress, State};

/// The pause between two questions to the server.
const ASK_AGAIN: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// Another worker or no worker has the pin.
    Shut,
    /// This worker has the pin, and gathers the events that are not acknowledged.
    Gathering {
        since: Instant,
        /// When to ask, if all that was admitted has come back.
        ask: Instant,
        /// The first answer.
        first: Option<Progress>,
        /// The last answer.
        told: Option<Progress>,
    },
    Open,
}

impl<T> Partition<T> {
    /// Takes the server's answer to a question that was asked at that time.
    ///
    /// An answer counts only if the question was asked after gathering began, and while no
    /// acknowledgement was under way that it may or may not include.
    pub(in crate::jetstream::consumer) fn answered(&mut self, asked: Instant, progress: Progress) {
        let settling = self.is_settling(asked);
        if let Gate::Gathering {
            since, first, told, ..
        } = &mut self.gate
            && asked >= *since
            && self.admitted == 0
            && !settling
        {
            first.get_or_insert(progress);
            *told = Some(progress);
        }
    }

    /// Shuts the gate until everything that the server waits for has come again. Events
    /// that are held do not count, because another worker may have acknowledged them.
    pub(super) fn gather(&mut self, now: Instant) {
        self.renew(now);
        self.held.retain(|_, held| {
            if held.state == State::Admitted {
                held.state = State::Lapsed;
            }
            held.state != State::Gathered
        });
        self.gate = Gate::Gathering {
            since: now,
            ask: now,
            first: None,
            told: None,
        };
    }

    /// Opens the gate if everything is held that the server waits for.
    pub(super) fn open(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let settling = self.is_settling(now);
        let Gate::Gathering {
            since,
            ask,
            first,
            told,
        } = &mut self.gate
        else {
            return;
        };
        // The events of an earlier opening have to come back first: until then the queue
        // may still deliver one of them. The server's counts are of use only when no
        // acknowledgement is under way, which they may or may not include.
        if self.admitted > 0 || settling {
            *ask = now;
            (*first, *told) = (None, None);
            return;
        }
        let asks = now >= *ask;
        if asks {
            *ask = now + ASK_AGAIN;
        }
        let since = *since;
        if let (Some(first), Some(told)) = (*first, *told) {
            let gathered = self.gathered(..=told.delivered);
            let since = gathered.saturating_sub(self.gathered(..=first.delivered));
            // The count has fallen, so another worker has acknowledged an event that may be
            // held here.
            if told.pending < first.pending + since {
                return self.gather(now);
            }
            if gathered == told.pending {
                self.gate = Gate::Open;
                return;
            }
        }
        // If the server no longer waits for an event that is held, the counts never match.
        // After two waits gathering begins again with nothing, and the server delivers
        // again whatever it still waits for.
        if now >= since + self.ack_wait * 2 {
            return self.gather(now);
        }
        if asks {
            actions.push(Action::Ask);
        }
    }

    /// Returns how many of these events are held for the gate.
    pub(super) fn gathered(&self, sequences: RangeToInclusive<u64>) -> usize {
        let held = self.held.range(sequences).map(|(_, held)| held.state);
        held.filter(|state| *state == State::Gathered).count()
    }
}
