//! What is due for a partition: leases that end, the gate, progress.

use std::ops::RangeToInclusive;
use std::time::Duration;

use tokio::time::Instant;

use super::{Action, Gate, PROGRESS, Partition, State};

/// The pause between two questions to the server.
const ASK_AGAIN: Duration = Duration::from_millis(500);

impl<T> Partition<T> {
    /// Does what is due. Call it after whatever was told, and now and then.
    pub(in crate::jetstream::consumer) fn act(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.lapse(now);
        if std::mem::take(&mut self.revoked) {
            actions.push(Action::Revoke);
        }
        self.open(now, actions);
        if self.gate == Gate::Open {
            for (sequence, held) in &mut self.held {
                if held.state == State::Gathered {
                    held.state = State::Admitted;
                    self.admitted += 1;
                    actions.push(Action::Admit(*sequence));
                }
            }
        }
        self.tell(now, actions);
        let leased = self.held.values().filter(|it| it.state == State::Admitted);
        self.lease.set(leased.map(|held| held.until).min());
    }

    /// Drops what was held for too long.
    fn lapse(&mut self, now: Instant) {
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

    /// Opens the gate if everything is held that the server waits for.
    fn open(&mut self, now: Instant, actions: &mut Vec<Action>) {
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
    fn gathered(&self, sequences: RangeToInclusive<u64>) -> usize {
        let held = self.held.range(sequences).map(|(_, held)| held.state);
        held.filter(|state| *state == State::Gathered).count()
    }

    /// Reports progress and ends of events to the server.
    fn tell(&mut self, now: Instant, actions: &mut Vec<Action>) {
        // Without the pin progress is not reported: the server is to deliver the events to
        // the worker that has it. Acknowledgements are, because they are true.
        let keeps = self.gate != Gate::Shut;
        for (sequence, held) in &mut self.held {
            if now < held.tell || now >= held.until {
                continue;
            }
            match held.state {
                State::Gathered | State::Admitted if keeps => {
                    actions.push(Action::Progress(*sequence));
                }
                State::Settled => actions.push(Action::Acknowledge(*sequence)),
                _ => continue,
            }
            held.tell = now + self.ack_wait / (2 * PROGRESS);
        }
    }
}
