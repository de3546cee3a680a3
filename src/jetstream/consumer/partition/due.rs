//! What is due for a partition.

use tokio::time::Instant;

use super::gate::Gate;
use super::{Action, PROGRESS, Partition, State};

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
