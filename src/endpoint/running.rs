use std::collections::BTreeMap;
use std::sync::Arc;

use super::dead_letter::{Cause, Grave, Reason};
use super::status::{Counts, EndpointState, EndpointStatus};
use super::switch::Switch;
use crate::event::SharedEvent;
use crate::queue::{MemoryQueue, Overflow, Refused};
use crate::sink::{Acceptance, Filter, Sink, SinkError};

/// The side of an endpoint that events are written to.
pub(crate) struct Running {
    pub(super) name: Arc<str>,
    pub(super) url: String,
    pub(super) settings: BTreeMap<&'static str, String>,
    pub(super) filter: Filter,
    pub(super) overflow: Overflow,
    pub(super) queue: Arc<MemoryQueue>,
    pub(super) counts: Arc<Counts>,
    pub(super) grave: Arc<Grave>,
    pub(super) switch: Arc<Switch>,
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
        }
        status
    }

    /// Gives up what is not delivered.
    pub(crate) fn stop(&self) {
        self.queue.close();
        self.switch.stop();
    }

    /// Delivers again; true if it did not.
    pub(crate) fn enable(&self) -> bool {
        self.switch.turn_on()
    }

    pub(crate) fn left(&self) -> usize {
        self.queue.size().0
    }

    /// Takes the event, whatever the filter says.
    pub(crate) fn accept(&self, event: &SharedEvent) -> Acceptance {
        match self.overflow {
            Overflow::RejectNewest => self.done(event, self.queue.push(event)),
            Overflow::DropOldest => {
                let mut dropped = Vec::new();
                let answer = self.queue.push_dropping(event, &mut dropped);
                let burials = dropped.iter().map(|event| self.overflowed(event));
                let burials: Vec<_> = burials.collect();
                Acceptance::all(burials.into_iter().chain([self.done(event, answer)]))
            }
            Overflow::Wait => match self.queue.push(event) {
                Err(Refused::Full) => self.wait(event.clone()),
                answer => self.done(event, answer),
            },
        }
    }

    fn wait(&self, event: SharedEvent) -> Acceptance {
        let (queue, counts) = (self.queue.clone(), self.counts.clone());
        let mut waiter = Waiter {
            grave: self.grave.clone(),
            event,
            answered: false,
        };
        Acceptance::pending(async move {
            let answer = queue.push_waiting(&waiter.event).await;
            waiter.answered = true;
            match answer {
                Ok(()) => {
                    counts.taken();
                    Ok(())
                }
                Err(refused) => {
                    bury(&waiter.grave, &waiter.event).await;
                    Err(refused.into())
                }
            }
        })
    }

    fn done(&self, event: &SharedEvent, answer: Result<(), Refused>) -> Acceptance {
        let Err(refused) = answer else {
            self.counts.taken();
            return Acceptance::accepted();
        };
        let burial = bury(&self.grave, event);
        Acceptance::pending(async move {
            burial.await;
            Err(refused.into())
        })
    }

    fn overflowed(&self, event: &SharedEvent) -> Acceptance {
        let burial = bury(&self.grave, event);
        Acceptance::pending(async move {
            burial.await;
            Ok(())
        })
    }
}

/// An event that waits for room. When nobody waits for it any more, it did not
/// fit.
struct Waiter {
    grave: Arc<Grave>,
    event: SharedEvent,
    answered: bool,
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let burial = bury(&self.grave, &self.event);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(burial);
        }
    }
}

/// An event that did not fit is a dead letter, never tried.
fn bury(grave: &Grave, event: &SharedEvent) -> impl Future<Output = ()> + Send + use<> {
    let (cause, never) = (Cause::default(), Default::default());
    grave.bury(event, Reason::Overflow, &cause, &never)
}

impl From<Refused> for SinkError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full => Self::full(),
            Refused::Closed => Self::closed(),
        }
    }
}

impl Sink for Running {
    fn write(&self, event: &SharedEvent) -> Acceptance {
        match self.filter.wants(event) {
            true => self.accept(event),
            false => Acceptance::accepted(),
        }
    }

    fn is_ready(&self) -> bool {
        match self.overflow {
            Overflow::DropOldest => !self.queue.is_closed(),
            Overflow::RejectNewest | Overflow::Wait => self.queue.has_room(),
        }
    }

    fn close(&self) {
        self.queue.close();
    }
}
