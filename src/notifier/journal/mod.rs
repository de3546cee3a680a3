//! A journal under the queues of a notifier's endpoints.
//!
//! ```text
//! write ─▶ sink: the endpoints that want it ─▶ journal ─▶ consumer ─▶ their queues
//!                                                 ▲                     │
//!                                                 └── store: refill, settle
//! ```
//!
//! The sink is in front of all endpoints and evaluates their filters once for each event.
//! The journal hands an event to the queues when it is on disk, and only then is the write
//! accepted. Each queue is a window over the journal.

mod access;
mod consumer;
mod metrics;
mod sink;
mod store;
mod store_state;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use self::consumer::Queues;
use self::sink::JournalSink;
use self::store::JournalStore;
use self::store_state::StoreState;
use super::status::NotifierStatus;
use crate::dead_letter::DeadLetter;
use crate::endpoint::{EndpointContext, Running};
use crate::error::BuildError;
use crate::event::SourceRecord;
pub(super) use crate::journal::Journal;
use crate::journal::{Attach, Attachment, Number};
use crate::sink::{Acceptance, Destination};

/// A journal whose endpoints have not been started yet.
pub(super) struct Starting {
    journal: Journal,
    clock: fn() -> SystemTime,
    states: Vec<Arc<StoreState>>,
}

impl Starting {
    pub(super) fn new(journal: Journal, clock: fn() -> SystemTime) -> Self {
        Self {
            journal,
            clock,
            states: Vec::new(),
        }
    }

    /// Returns the context of the next endpoint.
    pub(super) fn next_context(&mut self) -> EndpointContext {
        let state = Arc::new(StoreState::default());
        self.states.push(state.clone());
        EndpointContext {
            store: Some(Box::new(JournalStore::new(self.journal.clone(), state))),
            dead_letters: Some(Arc::new(self.journal.clone())),
            clock: self.clock,
        }
    }

    /// Connects the journal to the endpoints, which must be in the order of the calls of
    /// [`next_context`](Self::next_context).
    pub(super) fn attach(
        self,
        endpoints: &[Arc<Running>],
        source: &SourceRecord,
    ) -> Result<AttachedJournal, BuildError> {
        let start = self.journal.start_of_new();
        let attached = endpoints.iter().map(|endpoint| Attach {
            name: endpoint.name().into(),
            start,
        });
        let queues = Arc::new(Queues::new(endpoints, self.states));
        let attachment = self
            .journal
            .attach(attached.collect(), &source.instance_id, queues)
            .map_err(|error| BuildError::at("journal", crate::error::with_causes(&error)))?;
        let ids = attachment.endpoints().iter().copied();
        let endpoints = ids.zip(endpoints.iter().cloned()).collect();
        let sink = JournalSink::new(self.journal.clone(), endpoints);
        // The handle is weak, so that metrics do not keep the journal in use.
        let watched = sink.downgrade();
        metrics::watch(move || watched.status());
        Ok(AttachedJournal {
            journal: self.journal,
            attachment: Arc::new(attachment),
            sink,
        })
    }
}

/// A journal under the queues. Another notifier may use it after the last clone was
/// dropped, or after [`finish`](Self::finish).
#[derive(Clone)]
pub(super) struct AttachedJournal {
    journal: Journal,
    attachment: Arc<Attachment>,
    sink: JournalSink,
}

impl AttachedJournal {
    /// Returns what writes to all endpoints that want an event.
    pub(super) fn destination(&self) -> Arc<dyn Destination> {
        Arc::new(self.sink.clone())
    }

    /// Writes the event of a dead letter to its endpoint, whatever the filter says.
    /// It keeps its number.
    pub(super) fn send_again(&self, endpoint: &Running, letter: &DeadLetter) -> Acceptance {
        let number = Number::Kept(letter.number);
        self.sink.write_to(endpoint, &letter.event, number)
    }

    /// Takes no more events.
    pub(super) fn close(&self) {
        self.sink.close();
    }

    /// Resolves when every write is decided.
    pub(super) async fn decided(&self) {
        self.sink.decided().await;
    }

    /// Waits until settled events are recorded on disk, and gives the journal back.
    pub(super) async fn finish(&self, limit: Duration) {
        match tokio::time::timeout(limit, self.journal.flush()).await {
            Ok(Ok(())) => {}
            // Events whose settling is not on disk are delivered again after a restart.
            Ok(Err(error)) => {
                let error = crate::error::with_causes(&error);
                tracing::warn!(error, "the last deliveries may be repeated");
            }
            Err(_) => tracing::warn!("the last deliveries may be repeated"),
        }
        self.attachment.end();
    }

    /// Returns why the journal is down, if it is.
    pub(super) fn error(&self) -> Option<String> {
        self.journal.status().error
    }

    pub(super) fn add_to(&self, status: &mut NotifierStatus) {
        status.not_durable = self.sink.not_durable();
        status.journal = Some(self.journal.status());
    }
}
