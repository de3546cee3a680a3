//! Decides which events of a partition may be delivered to an endpoint, and in which
//! order: [`Partition`].
//!
//! This is a state machine without a clock and without a network: messages, answers and
//! the time are passed in, and it returns the [`Action`]s to take.
//!
//! # Why a pin is not enough
//!
//! The server pins a consumer to one worker at a time. When the pin moves, the events
//! that the last worker had not acknowledged are delivered again, each when *its* wait is
//! over, while newer ones are delivered at once. A worker that was stopped for a while
//! also does not know that it has lost the pin. So there are two more rules: the [gate]
//! keeps the order, and the [lease](hold) avoids repeats.
//!
//! Events that were admitted and not delivered come [back](Partition::returned). The gate
//! does not open before all of them have.
//!
//! # Servers without pins
//!
//! Such a consumer has at most one event under way, whichever worker gets it. It needs no
//! gate, and has the same lease.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use self::gate::Gate;
use self::hold::LEASE;
use super::lease::Lease;

/// Progress is reported after a fraction of the wait, `1 / PROGRESS`, and again after half
/// of that until it is confirmed.
const PROGRESS: u32 = 4;

/// The largest number of events that are remembered because their acknowledgement was not
/// confirmed. They are acknowledged if they come again.
const REMEMBERED: usize = 1024;

/// A step to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Ask the server how far it has delivered; then [`Partition::answered`].
    Ask,
    /// Tell the server that work on an event continues; then
    /// [`Partition::progressed`].
    Progress(u64),
    /// Acknowledge an event; then [`Partition::acknowledged`].
    Acknowledge(u64),
    /// Put an event into the queue, under this partition's lease.
    Admit(u64),
    /// Make the queue give back the admitted events, which must not be delivered now.
    Revoke,
}

/// A message as the server has delivered it.
#[derive(Clone, Debug)]
pub(super) struct Delivered<T> {
    /// The place in the stream.
    pub(super) sequence: u64,
    /// The number of the delivery, over all messages and repetitions.
    pub(super) number: u64,
    /// The pin under which it was delivered, on servers with pins.
    pub(super) pin: Option<String>,
    /// When it came, or an earlier time.
    pub(super) came: Instant,
    pub(super) message: T,
}

/// The state of a consumer as the server states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// The last message that it has delivered.
    pub(super) delivered: u64,
    /// How many of those delivered are not acknowledged.
    pub(super) pending: usize,
}

#[derive(Debug)]
pub(super) struct Partition<T> {
    ack_wait: Duration,
    /// For how long an event is held without confirmed progress.
    hold: Duration,
    gate: Gate,
    /// The pin, while this worker has it. Empty on servers without pins.
    pin: Option<String>,
    pins: bool,
    /// The number of the last delivery under this pin.
    number: Option<u64>,
    held: BTreeMap<u64, Entry<T>>,
    lease: Lease,
    /// The number of events that are with the queue.
    admitted: usize,
    /// Whether a lease has ended under which events are with the queue.
    revoked: bool,
}

#[derive(Debug)]
struct Entry<T> {
    message: T,
    state: State,
    /// When the event is dropped unless progress is confirmed before.
    until: Instant,
    /// When to report to the server next.
    tell: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Held until the gate opens.
    Gathered,
    /// With the queue.
    Admitted,
    /// With the queue, although its lease has ended.
    Lapsed,
    /// Ended at the endpoint, and its acknowledgement not confirmed.
    Settled,
}

impl<T> Partition<T> {
    /// Creates the partition of a worker that has nothing yet. `pins` says whether
    /// the server pins the consumer.
    pub(super) fn new(ack_wait: Duration, pins: bool, now: Instant) -> Self {
        Self {
            ack_wait,
            hold: ack_wait.mul_f64(LEASE),
            gate: if pins { Gate::Shut } else { Gate::Open },
            pin: None,
            pins,
            number: None,
            held: BTreeMap::new(),
            lease: Lease::new(now),
            admitted: 0,
            revoked: false,
        }
    }

    /// Returns the pin that requests for more messages must name.
    pub(super) fn pin(&self) -> Option<&str> {
        self.pin.as_deref()
    }

    pub(super) fn message(&mut self, sequence: u64) -> Option<&mut T> {
        self.held.get_mut(&sequence).map(|held| &mut held.message)
    }

    /// Returns the lease of events that are admitted now.
    pub(super) fn lease(&self) -> &Lease {
        &self.lease
    }

    #[cfg(test)]
    pub(super) fn is_open(&self) -> bool {
        self.gate == Gate::Open
    }

    /// Returns the number of events that are held.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// Events that are with the queue.
    #[cfg(test)]
    pub(super) fn admitted(&self) -> usize {
        self.admitted
    }

    /// Takes a message that was delivered. If it is held already, `update` renews it.
    pub(super) fn delivered(
        &mut self,
        now: Instant,
        delivered: Delivered<T>,
        update: impl FnOnce(&mut T, T),
    ) {
        let Delivered {
            sequence,
            number,
            pin,
            came,
            message,
        } = delivered;
        if self.pins {
            let is_new = self.pin != pin;
            let has_gap = self.number.is_some_and(|last| number != last + 1);
            self.number = Some(number);
            if is_new {
                self.pin = pin;
            }
            // Before the message is held, so that it counts as come since the gate shut.
            if is_new || has_gap || self.gate == Gate::Shut {
                self.gather(now);
            }
        }
        let (until, tell) = (self.until(came), came + self.ack_wait / PROGRESS);
        match self.held.get_mut(&sequence) {
            Some(held) => {
                update(&mut held.message, message);
                held.until = held.until.max(until);
                if held.state == State::Lapsed {
                    // It counts again when it has come back from the queue.
                    held.state = State::Admitted;
                }
                // A settled event that is delivered again shows that its acknowledgement
                // was lost. It is sent again at once.
                held.tell = if held.state == State::Settled {
                    now
                } else {
                    tell
                };
            }
            None => {
                let state = State::Gathered;
                let held = Entry {
                    message,
                    state,
                    until,
                    tell,
                };
                self.held.insert(sequence, held);
            }
        }
    }

    /// Notes that another worker has the pin.
    pub(super) fn lost_pin(&mut self) {
        if self.pins {
            self.pin = None;
            self.number = None;
            self.gate = Gate::Shut;
        }
    }

    /// Notes that the server has confirmed an acknowledgement.
    pub(super) fn acknowledged(&mut self, sequence: u64) {
        if self
            .held
            .get(&sequence)
            .is_some_and(|it| it.state == State::Settled)
        {
            self.held.remove(&sequence);
        }
    }

    /// Notes that an admitted event has ended: it was delivered, or is a dead letter.
    pub(super) fn settled(&mut self, now: Instant, sequence: u64) {
        if let Some(held) = self.held.get_mut(&sequence)
            && matches!(held.state, State::Admitted | State::Lapsed)
        {
            self.admitted -= 1;
            held.state = State::Settled;
            held.tell = now;
        }
        self.forget_oldest();
    }

    /// Takes back an admitted event that was not delivered.
    pub(super) fn returned(&mut self, sequence: u64) {
        let Some(held) = self.held.get_mut(&sequence) else {
            return;
        };
        match held.state {
            State::Admitted => {
                self.admitted -= 1;
                held.state = State::Gathered;
            }
            State::Lapsed => {
                self.admitted -= 1;
                self.held.remove(&sequence);
            }
            State::Gathered | State::Settled => {}
        }
    }

    /// Begins to serve the partition. With pins the gate opens after the first delivery.
    pub(super) fn join(&mut self) {
        if !self.pins {
            self.gate = Gate::Open;
        }
    }

    /// Ends the lease of the events that are with the queue, and admits no more.
    pub(super) fn leave(&mut self, now: Instant) {
        self.gate = Gate::Shut;
        self.renew(now);
    }

    /// Whether all that was with the queue has come back, and every acknowledgement
    /// is confirmed.
    pub(super) fn has_left(&self, now: Instant) -> bool {
        self.admitted == 0 && !self.is_settling(now)
    }

    /// Gives up the pin and everything that is held. Returns the messages that no other
    /// worker can have yet, so that the server may be asked to deliver them at once.
    pub(super) fn abandon(&mut self, now: Instant) -> Vec<T> {
        self.pin = None;
        self.number = None;
        let held = std::mem::take(&mut self.held).into_values();
        let own = held.filter(|held| held.state == State::Gathered && now < held.until);
        own.map(|held| held.message).collect()
    }

    /// Whether an acknowledgement is under way that the server may or may not have.
    fn is_settling(&self, now: Instant) -> bool {
        let mut held = self.held.values();
        held.any(|held| held.state == State::Settled && now < held.until)
    }

    /// Bounds the memory of events whose acknowledgement was not confirmed.
    fn forget_oldest(&mut self) {
        while self.held.len() > REMEMBERED {
            let mut held = self.held.iter();
            let settled = held.find(|(_, held)| held.state == State::Settled);
            let Some(oldest) = settled.map(|(sequence, _)| *sequence) else {
                return;
            };
            self.held.remove(&oldest);
        }
    }
}

mod due;
mod gate;
mod hold;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
