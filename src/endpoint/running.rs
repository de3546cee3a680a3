//! The side of an endpoint that events are written to: [`Running`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::dead_letter::{
    DeadLetter, DeadLetterWriter, LetterCounts, LetterOutcome, LetterWrite, Reason,
};
use super::status::{Counts, EndpointState, EndpointStatus};
use super::switch::Switch;
use crate::event::{Format, SharedEvent};
use crate::queue::{Admission, Numbering, Overflow, Position, Queue, Refused, Waiter};
use crate::sink::{Acceptance, Attempt, Destination, Filter, Offer, SinkError};

/// The side of an endpoint that events are written to.
pub(crate) struct Running {
    pub(super) name: Arc<str>,
    pub(super) url: String,
    pub(super) settings: BTreeMap<&'static str, Value>,
    pub(super) format: Format,
    pub(super) filter: Filter,
    pub(super) overflow: Overflow,
    pub(super) queue: Arc<Queue>,
    pub(super) counts: Arc<Counts>,
    pub(super) dead_letters: Arc<DeadLetterWriter>,
    pub(super) switch: Arc<Switch>,
    pub(super) leftover: Arc<Mutex<Leftover>>,
}

impl Running {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn status(&self) -> EndpointStatus {
        let (events, bytes) = self.queue.size();
        let mut status = self.counts.snapshot(self.queue.oldest());
        status.name = self.name.to_string();
        status.url.clone_from(&self.url);
        status.settings.clone_from(&self.settings);
        status.pending = events as u64;
        status.pending_bytes = bytes as u64;
        if self.switch.is_off() {
            status.state = EndpointState::Disabled;
            status.failing_since = None;
            status.next_attempt = None;
        }
        status
    }

    /// Takes no more events.
    pub(crate) fn close(&self) {
        self.queue.close();
    }

    /// Takes events that the queue's store lends. `new` of them were not here before.
    #[cfg(feature = "jetstream")]
    pub(crate) fn borrow_events(&self, events: Vec<crate::queue::Stored>, new: usize) {
        self.queue.borrow_events(events, new);
    }

    /// Asks the worker to give back events that must not be delivered any more.
    #[cfg(feature = "jetstream")]
    pub(crate) fn revoke(&self) {
        self.queue.revoke();
    }

    /// Makes a dead letter of something that is not an event. Resolves when the
    /// letter is kept or lost.
    #[cfg(feature = "jetstream")]
    pub(crate) async fn reject(&self, event: &SharedEvent, error: String) {
        self.dead_letters.reject(event, error).await;
    }

    /// Closes the queue and tells the worker to give up what is not delivered.
    pub(crate) fn stop(&self) {
        self.queue.close();
        self.switch.stop();
    }

    /// Turns deliveries on. Returns whether they were off.
    pub(crate) fn enable(&self) -> bool {
        self.switch.turn_on()
    }

    /// Resolves when every dead letter is kept or lost.
    pub(crate) async fn letters_decided(&self) {
        self.dead_letters.decided().await;
    }

    /// Ends the wait for the sink of dead letters.
    pub(crate) fn close_dead_letters(&self) {
        self.dead_letters.close();
    }

    /// Returns what became of the events. Called after the worker has ended. May block.
    pub(crate) fn account(&self) -> Account {
        let leftover = *self.leftover.lock().unwrap_or_else(PoisonError::into_inner);
        let (stored, letters) = (leftover.stored, leftover.letters);
        let (dead, lost) = self.counts.dead_and_lost();
        let store = self.queue.kept_in();
        // Events that were on their way into the store when the worker ended may have
        // arrived since.
        let stored = store.map_or(stored, |_| self.queue.size().0 + self.queue.unoffered());
        let store = store.filter(|_| stored > 0);
        let location = self.dead_letters.location().filter(|_| letters.kept > 0);
        let kept_in = match (store, location) {
            (Some(store), Some(location)) if store != location => {
                Some(format!("{store} and {location}"))
            }
            (store, location) => store.map(str::to_owned).or(location),
        };
        Account {
            leftover: Leftover { stored, letters },
            // Something is left only if the worker did not end even when it was aborted.
            stuck: match self.queue.kept_in() {
                Some(_) => 0,
                None => self.queue.size().0,
            },
            kept_in,
            earlier_dead: dead.saturating_sub((letters.kept + letters.lost) as u64),
            earlier_lost: lost.saturating_sub(letters.lost as u64),
        }
    }

    /// Whether an event of average size would be accepted now without waiting for room.
    /// With [`Overflow::DropOldest`], whether the queue is open.
    pub(crate) fn is_ready(&self) -> bool {
        match self.overflow {
            Overflow::RejectNewest | Overflow::Wait => self.queue.has_room(),
            Overflow::DropOldest => !self.queue.is_closed(),
        }
    }

    /// Whether the endpoint posts the event: its filter wants it and its format can
    /// carry it. Must be called once for each event, because it counts the events that
    /// the filter wants and the format cannot carry.
    #[cfg(any(feature = "jetstream", feature = "journal"))]
    pub(crate) fn wants(&self, event: &SharedEvent) -> bool {
        self.wants_in(event, Attempt::First)
    }

    /// The same for an event that may be offered several times. It counts in its first
    /// turn.
    pub(crate) fn wants_in(&self, event: &SharedEvent, turn: Attempt) -> bool {
        if !self.filter.wants(event) {
            return false;
        }
        let action = event.action();
        let asked = !self.format.is_on_request(action) || self.filter.names_action(action);
        let carried = asked && self.format.carries(event);
        if !carried && turn.is_first() {
            self.counts.unsupported();
        }
        carried
    }

    /// Takes an event that the store could not take, into memory only.
    #[cfg(feature = "journal")]
    pub(crate) fn accept_in_memory(&self, event: &SharedEvent) -> Acceptance {
        match self.queue.push(event) {
            Ok(()) => Acceptance::accepted(),
            Err(refused) => self.bury_refused(event.into(), refused),
        }
    }

    /// The queue, and what makes dead letters of its events.
    #[cfg(feature = "journal")]
    pub(crate) fn parts(&self) -> (&Arc<Queue>, &Arc<DeadLetterWriter>) {
        (&self.queue, &self.dead_letters)
    }

    /// Takes back an event that was a dead letter, whatever the filter says. The event
    /// keeps its number.
    pub(crate) fn accept_again(&self, letter: &DeadLetter) -> Acceptance {
        let write = Admission {
            numbering: Numbering::Kept(letter.number),
            ..Admission::from(&letter.event)
        };
        match self.check_again(&letter.event) {
            Ok(()) => self.accept(write),
            Err(error) => Acceptance::failed(error),
        }
    }

    /// Whether the endpoint can post an event that was a dead letter.
    pub(crate) fn check_again(&self, event: &SharedEvent) -> Result<(), SinkError> {
        match self.format.carries(event) {
            true => Ok(()),
            false => Err(SinkError::unsupported(&self.name)),
        }
    }

    /// Takes the event, whatever the filter says.
    fn accept(&self, write: Admission<'_>) -> Acceptance {
        if self.overflow == Overflow::Wait {
            return match self.queue.push_or_wait(write) {
                Ok(None) => Acceptance::accepted(),
                Ok(Some(waiter)) => self.wait(write, waiter),
                Err(refused) => self.bury_refused(write, refused),
            };
        }
        match self.push(write) {
            Ok(letter_writes) if letter_writes.is_empty() => Acceptance::accepted(),
            Ok(letter_writes) => {
                let queue = self.queue.clone();
                Acceptance::pending(async move {
                    for (position, letter_write) in letter_writes {
                        if letter_write.await == LetterOutcome::Kept {
                            queue.settle_forgotten(position);
                        }
                    }
                    Ok(())
                })
            }
            Err(refused) => self.bury_refused(write, refused),
        }
    }

    /// Puts the event into the queue, and returns the pending letters of the
    /// events that made room for it.
    fn push(&self, write: Admission<'_>) -> Result<Vec<(Option<Position>, LetterWrite)>, Refused> {
        if self.overflow != Overflow::DropOldest {
            return self.queue.push(write).map(|()| Vec::new());
        }
        let mut dropped = Vec::new();
        let answer = self.queue.push_dropping(write, &mut dropped);
        let mut letter_writes = Vec::new();
        for entry in dropped {
            match self.dead_letters.bury(&entry, Reason::Overflow).outcome() {
                Ok(LetterOutcome::Kept) => self.queue.settle_forgotten(entry.position()),
                Ok(LetterOutcome::Lost) => {}
                Err(letter_write) => letter_writes.push((entry.position(), letter_write)),
            }
        }
        answer.map(|()| letter_writes)
    }

    fn wait(&self, write: Admission<'_>, waiter: Waiter) -> Acceptance {
        let mut waiting = WaitingWrite {
            dead_letters: self.dead_letters.clone(),
            queue: self.queue.clone(),
            event: write.event.clone(),
            numbering: write.numbering,
            waiter,
        };
        Acceptance::pending(async move {
            let answer = (&mut waiting.waiter).await;
            if let Err(refused) = answer {
                waiting.bury(refused).await;
            }
            answer.map_err(SinkError::from)
        })
    }

    /// Makes a dead letter of an event that was refused, whatever the filter says.
    /// Resolves when it is kept or lost, with the reason of the refusal as error.
    pub(crate) fn bury_refused(&self, write: Admission<'_>, refused: Refused) -> Acceptance {
        let Admission {
            event, numbering, ..
        } = write;
        if let Refused::TooLarge { bytes, most } = refused
            && self.counts.too_large()
        {
            tracing::warn!(
                endpoint = &*self.name,
                event = %event.id(),
                bytes,
                most,
                "an event is refused: it alone is larger than the queue's byte limit"
            );
        }
        let number = self.queue.number_refused(numbering);
        let letter_write = self.dead_letters.refuse(event, number, reason(refused));
        match letter_write.outcome() {
            Ok(_) => Acceptance::failed(refused.into()),
            Err(letter_write) => Acceptance::pending(async move {
                letter_write.await;
                Err(refused.into())
            }),
        }
    }
}

/// Events that a worker had left when it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leftover {
    /// The number of events that the store of the queue keeps.
    pub(crate) stored: usize,
    /// The dead letters of the others.
    pub(crate) letters: LetterCounts,
}

/// The account of an endpoint's events at the end.
pub(crate) struct Account {
    /// Events that were left when the worker ended.
    pub(crate) leftover: Leftover,
    /// Events of a worker that does not end.
    pub(crate) stuck: usize,
    /// The place that keeps events which are not delivered.
    pub(crate) kept_in: Option<String>,
    /// Events that had become dead letters before, and those that were lost.
    pub(crate) earlier_dead: u64,
    pub(crate) earlier_lost: u64,
}

/// A write that waits for room. If it is dropped before the queue has accepted the
/// event, the event becomes a dead letter in the background.
struct WaitingWrite {
    dead_letters: Arc<DeadLetterWriter>,
    queue: Arc<Queue>,
    event: SharedEvent,
    numbering: Numbering,
    waiter: Waiter,
}

impl WaitingWrite {
    fn bury(&self, refused: Refused) -> LetterWrite {
        let number = self.queue.number_refused(self.numbering);
        self.dead_letters
            .refuse(&self.event, number, reason(refused))
    }
}

impl Drop for WaitingWrite {
    fn drop(&mut self) {
        if let Err(refused) = self.waiter.cancel() {
            // A write that is dropped continues in the background.
            drop(self.bury(refused));
        }
    }
}

/// The reason of the dead letter of a refused event.
fn reason(refused: Refused) -> Reason {
    match refused {
        Refused::Full | Refused::TooLarge { .. } => Reason::Overflow,
        Refused::Closed => Reason::Shutdown,
    }
}

impl From<Refused> for SinkError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full | Refused::TooLarge { .. } => Self::full(),
            Refused::Closed => Self::closed(),
        }
    }
}

impl Destination for Running {
    fn is_ready(&self) -> bool {
        Self::is_ready(self)
    }

    /// An event that is refused and will be offered again is neither counted nor a dead
    /// letter yet. Such an offer does not wait for room.
    fn offer(&self, offer: Offer<'_>) -> Acceptance {
        if !self.wants_in(offer.event, offer.turn) {
            return Acceptance::accepted();
        }
        let write = Admission {
            event: offer.event,
            numbering: Numbering::Next,
            since: offer.at,
        };
        if offer.turn == Attempt::Only {
            return self.accept(write);
        }
        match self.push(write) {
            // The letters of events that made room continue in the background.
            Ok(_) => Acceptance::accepted(),
            Err(refused) if offer.turn.is_repeated() => Acceptance::failed(refused.into()),
            Err(refused) => self.bury_refused(write, refused),
        }
    }

    fn close(&self) {
        Self::close(self);
    }
}

#[cfg(test)]
mod tests;
