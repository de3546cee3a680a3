//! The events of a stream that are with an endpoint's queue: [`AdmittedEvents`].

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use super::lease::Lease;
use crate::event::SharedEvent;
use crate::queue::{Position, Stored};

/// How an event ended at the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The event was delivered.
    Delivered,
    /// The event will not be tried again: its dead letter is kept, or lost.
    Dead,
    /// The event was not delivered, because its lease has ended.
    Returned,
}

/// An event of a partition that has come back from the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) partition: usize,
    pub(super) sequence: u64,
    pub(super) end: End,
}

/// The events that the queue has, and the lease of each.
///
/// Positions count the events in the order in which they are admitted, because the
/// partitions of a stream have no order among them that a queue could follow. An event
/// that comes back and is admitted again gets a new position.
pub(crate) struct AdmittedEvents {
    state: Mutex<State>,
    ended: UnboundedSender<Ended>,
    kept_in: String,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    admitted: HashMap<Position, Admitted>,
}

#[derive(Debug)]
struct Admitted {
    partition: usize,
    sequence: u64,
    lease: Lease,
}

impl AdmittedEvents {
    pub(super) fn new(kept_in: String, ended: UnboundedSender<Ended>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            ended,
            kept_in,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns where the events are kept when the process ends, in words for people.
    pub(crate) fn kept_in(&self) -> &str {
        &self.kept_in
    }

    /// Gives an event its position.
    pub(super) fn admit(
        &self,
        partition: usize,
        sequence: u64,
        lease: Lease,
        event: SharedEvent,
    ) -> Stored {
        let mut state = self.state();
        state.next += 1;
        let position = Position(state.next);
        let stored = Stored {
            position,
            number: 0,
            accepted_at: event.accepted_at(),
            event,
        };
        let admitted = Admitted {
            partition,
            sequence,
            lease,
        };
        state.admitted.insert(position, admitted);
        stored
    }

    /// Whether an event may be delivered now.
    pub(crate) fn is_leased(&self, position: Position) -> bool {
        let state = self.state();
        let admitted = state.admitted.get(&position);
        admitted.is_some_and(|admitted| admitted.lease.is_valid(Instant::now()))
    }

    /// Takes back an event, and tells the consumer how it ended.
    pub(super) fn end(&self, position: Position, end: End) {
        let Some(admitted) = self.state().admitted.remove(&position) else {
            return;
        };
        let Admitted {
            partition,
            sequence,
            ..
        } = admitted;
        // If the consumer has ended, its partitions were given up.
        let _gone = self.ended.send(Ended {
            partition,
            sequence,
            end,
        });
    }
}

impl fmt::Debug for AdmittedEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdmittedEvents")
            .field("kept_in", &self.kept_in)
            .field("admitted", &self.state().admitted.len())
            .finish_non_exhaustive()
    }
}
