//! Who may deliver the events of a partition to an endpoint, and in which order:
//! [`Partition`].
//!
//! This is a state machine without a clock and without a network: it is told what
//! came and what time it is, and says what is to be done.
//!
//! # Why a pin is not enough
//!
//! The server pins a consumer to one worker at a time. When the pin moves, the
//! events that the last worker had not acknowledged are delivered again, each when
//! *its* wait is over, while newer ones are delivered at once. And a worker that
//! was stopped for a while does not know that it lost the pin. So there are two
//! more rules.
//!
//! **The gate keeps the order.** Under a new pin nothing is processed. The partition
//! asks the server how far it has delivered and how many of these events are not
//! acknowledged, and gathers them. It opens when it holds as many, and goes on in the
//! order of the stream. The gate shuts again when anything is missing: a lease has
//! ended, or the numbers of the deliveries have a gap, because a connection was lost
//! with deliveries in it. What is held is never capped below the most that the server
//! has under way, or the gate would wait for what cannot come.
//!
//! As many are not always the same. What is held and acknowledged by another worker
//! would be counted for one that is missing. Therefore
//!
//! - only what has come since the gate shut counts. What was held before is dropped,
//!   or comes back from the queue and is dropped then, and the server delivers it
//!   again;
//! - the server's counts must add up. Nothing that is gathered is acknowledged here, so
//!   that a count which falls tells of an acknowledgement that another worker had on
//!   its way when it lost the pin. Gathering then begins anew.
//!
//! **The lease avoids repeats.** An event is dropped unless it came, or the server
//! confirmed its progress, within [`LEASE`] of the time after which the server delivers
//! it again. One that has ended ends the [`Lease`] of all that the gate has admitted,
//! because later events would overtake it. Without it, a worker that goes on after a
//! stop would deliver all that it holds once more, after another worker has.
//!
//! Events that were admitted and not delivered come [back](Partition::returned), and
//! the gate does not open before all have.
//!
//! # Servers without pins
//!
//! There the consumer has at most one event under way, whichever worker gets it. It
//! needs no gate, and the same lease.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::lease::Lease;

/// What part of the server's wait an event is held for without confirmed progress.
const LEASE: f64 = 0.8;

/// Progress is told after this part of the wait, and again after half of it until it
/// is confirmed.
const PROGRESS: u32 = 4;

/// The most events that were delivered without their acknowledgement being
/// confirmed, which are acknowledged if they come again.
const REMEMBERED: usize = 1024;

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Ask the server how far it has delivered; then [`Partition::answered`].
    Ask,
    /// Tell the server that work on an event goes on; then
    /// [`Partition::progressed`].
    Progress(u64),
    /// Acknowledge an event; then [`Partition::acknowledged`].
    Acknowledge(u64),
    /// Put an event into the queue, under this partition's lease.
    Admit(u64),
    /// What was admitted is not to be delivered any more.
    Revoke,
}

/// A message as the server has delivered it.
#[derive(Clone, Debug)]
pub(super) struct Delivered<T> {
    /// The place in the stream.
    pub(super) sequence: u64,
    /// The number of the delivery, over all messages and repetitions.
    pub(super) number: u64,
    /// Who the consumer is pinned to, on servers with pins.
    pub(super) pin: Option<String>,
    /// When it came, or earlier.
    pub(super) came: Instant,
    pub(super) message: T,
}

/// What the server says of a consumer.
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
    /// The pin, while this worker has it; the empty text on servers without.
    pin: Option<String>,
    pins: bool,
    /// The number of the last delivery under this pin.
    number: Option<u64>,
    held: BTreeMap<u64, Held<T>>,
    lease: Lease,
    /// How many are with the queue.
    admitted: usize,
    /// Whether a lease has ended under which events are with the queue.
    revoked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    /// Another worker has the pin, or nobody.
    Shut,
    /// Everything that is not acknowledged is being gathered.
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

#[derive(Debug)]
struct Held<T> {
    message: T,
    state: State,
    /// When the lease of this one ends.
    until: Instant,
    /// When to tell the server next.
    tell: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// For the gate to open.
    Gathered,
    /// With the queue.
    Admitted,
    /// With the queue, though its lease has ended.
    Lapsed,
    /// Delivered, and the acknowledgement not confirmed.
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

    /// The pin to ask for more with.
    pub(super) fn pin(&self) -> Option<&str> {
        self.pin.as_deref()
    }

    pub(super) fn message(&mut self, sequence: u64) -> Option<&mut T> {
        self.held.get_mut(&sequence).map(|held| &mut held.message)
    }

    /// The lease of what is admitted now.
    pub(super) fn lease(&self) -> &Lease {
        &self.lease
    }

    #[cfg(test)]
    pub(super) fn is_open(&self) -> bool {
        self.gate == Gate::Open
    }

    /// Events that are held.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// Events that are with the queue.
    #[cfg(test)]
    pub(super) fn admitted(&self) -> usize {
        self.admitted
    }

    fn until(&self, since: Instant) -> Instant {
        since + self.hold
    }

    /// A message was delivered.
    ///
    /// `update` renews what is held already.
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
                // An acknowledgement was lost: it is sent again at once.
                held.tell = if held.state == State::Settled {
                    now
                } else {
                    tell
                };
            }
            None => {
                let state = State::Gathered;
                let held = Held {
                    message,
                    state,
                    until,
                    tell,
                };
                self.held.insert(sequence, held);
            }
        }
    }

    /// The server says that another worker has the pin.
    pub(super) fn lost_pin(&mut self) {
        if self.pins {
            self.pin = None;
            self.number = None;
            self.gate = Gate::Shut;
        }
    }

    /// The server has answered a question of that time.
    pub(super) fn answered(&mut self, asked: Instant, progress: Progress) {
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

    /// The server has confirmed the progress of an event that it was told at that
    /// time.
    pub(super) fn progressed(&mut self, sequence: u64, told: Instant) {
        let (until, tell) = (self.until(told), told + self.ack_wait / PROGRESS);
        if let Some(held) = self.held.get_mut(&sequence)
            && matches!(held.state, State::Gathered | State::Admitted)
        {
            held.until = held.until.max(until);
            held.tell = tell;
        }
    }

    /// The server has confirmed an acknowledgement.
    pub(super) fn acknowledged(&mut self, sequence: u64) {
        if self
            .held
            .get(&sequence)
            .is_some_and(|it| it.state == State::Settled)
        {
            self.held.remove(&sequence);
        }
    }

    /// An admitted event has come to its end.
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

    /// An admitted event was not delivered, and is with the queue no more.
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

    /// Begins to deliver what comes.
    pub(super) fn join(&mut self) {
        if !self.pins {
            self.gate = Gate::Open;
        }
    }

    /// Ends the lease of what is with the queue, and admits no more.
    pub(super) fn leave(&mut self, now: Instant) {
        self.gate = Gate::Shut;
        self.renew(now);
    }

    /// Whether all that was with the queue has come back, and every acknowledgement
    /// is confirmed.
    pub(super) fn has_left(&self, now: Instant) -> bool {
        self.admitted == 0 && !self.is_settling(now)
    }

    /// Gives up the pin and everything that is held. Returns the messages that
    /// nobody else can have yet.
    pub(super) fn abandon(&mut self, now: Instant) -> Vec<T> {
        self.pin = None;
        self.number = None;
        let held = std::mem::take(&mut self.held).into_values();
        let own = held.filter(|held| held.state == State::Gathered && now < held.until);
        own.map(|held| held.message).collect()
    }

    /// Shuts the gate, until all that the server waits for has come again.
    fn gather(&mut self, now: Instant) {
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

    /// Ends the lease, and begins another.
    fn renew(&mut self, now: Instant) {
        self.lease.revoke();
        self.lease = Lease::new(now);
        self.revoked |= self.admitted > 0;
    }

    /// Whether an acknowledgement is under way that the server may or may not have.
    fn is_settling(&self, now: Instant) -> bool {
        let mut held = self.held.values();
        held.any(|held| held.state == State::Settled && now < held.until)
    }

    /// Bounds what is remembered of events whose acknowledgement was lost.
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
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
