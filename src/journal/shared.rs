//! The state that the handles of a journal and its threads share: [`Shared`].

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::bits::EndpointId;
use super::consumer::Consumer;
use super::error::JournalError;
use super::options::JournalOptions;
use super::state::State;
use super::storage::OpenFile;

pub(super) struct Shared {
    pub(super) options: JournalOptions,
    /// Where the journal is, in words for people.
    pub(super) location: String,
    /// `None` while the journal is down.
    database: Mutex<Option<Arc<OpenFile>>>,
    attached: Mutex<Option<Arc<Attached>>>,
    published: Mutex<Published>,
    /// Whether there are no threads, so that a test makes each turn.
    manual: bool,
}

struct Attached {
    endpoints: Vec<EndpointId>,
    consumer: Arc<dyn Consumer>,
}

/// The use of a journal by a notifier, which ends when this is dropped.
pub(crate) struct Attachment {
    shared: Arc<Shared>,
    attached: Arc<Attached>,
}

impl Attachment {
    /// Returns the ids of the endpoints, in the order in which they were attached.
    pub(crate) fn endpoints(&self) -> &[EndpointId] {
        &self.attached.endpoints
    }

    /// Gives the journal back. Events stay in it. Does nothing the second time, even if
    /// another notifier has the journal by then.
    pub(crate) fn end(&self) {
        let mut attached = lock(&self.shared.attached);
        let ours = attached.take_if(|it| Arc::ptr_eq(it, &self.attached));
        drop(attached);
        // The consumer is dropped without the lock, because its queues may call the journal.
        drop(ours);
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment")
            .field("endpoints", &self.endpoints())
            .finish_non_exhaustive()
    }
}

/// The figures that the status shows.
#[derive(Clone, Default)]
pub(super) struct Published {
    pub(super) state: State,
    pub(super) error: Option<JournalError>,
    pub(super) syncs: u64,
    /// Commits that stored any event.
    pub(super) storing: u64,
    pub(super) stored: u64,
    pub(super) duration: Duration,
    pub(super) longest: Duration,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(options: JournalOptions, location: String, manual: bool) -> Self {
        Self {
            options,
            location,
            database: Mutex::default(),
            attached: Mutex::default(),
            published: Mutex::default(),
            manual,
        }
    }

    pub(super) fn is_manual(&self) -> bool {
        self.manual
    }

    pub(super) fn set_database(&self, database: Option<Arc<OpenFile>>) {
        // Dropped after the lock is released: closing the file may take a while.
        let old = std::mem::replace(&mut *lock(&self.database), database);
        drop(old);
    }

    pub(super) fn database(&self) -> Result<Arc<OpenFile>, JournalError> {
        let database = lock(&self.database).clone();
        database.ok_or_else(|| match &lock(&self.published).error {
            Some(cause) => JournalError::down(cause),
            None => JournalError::closed(),
        })
    }

    /// Whether the file is open and not full.
    pub(super) fn takes_events(&self) -> bool {
        let published = lock(&self.published);
        published.error.is_none() && !self.options.is_beyond(published.state.bytes)
    }

    /// Gives the journal to a consumer until the attachment ends. `None` if there is
    /// one already.
    pub(super) fn attach(
        self: &Arc<Self>,
        endpoints: Vec<EndpointId>,
        consumer: Arc<dyn Consumer>,
    ) -> Option<Attachment> {
        let mut attached = lock(&self.attached);
        if attached.is_some() {
            return None;
        }
        let ours = Arc::new(Attached {
            endpoints,
            consumer,
        });
        *attached = Some(ours.clone());
        drop(attached);
        Some(Attachment {
            shared: self.clone(),
            attached: ours,
        })
    }

    pub(super) fn consumer(&self) -> Option<Arc<dyn Consumer>> {
        lock(&self.attached).as_ref().map(|it| it.consumer.clone())
    }

    pub(super) fn is_attached(&self) -> bool {
        lock(&self.attached).is_some()
    }

    /// Whether no configured endpoint has this id.
    pub(super) fn is_orphan(&self, endpoint: EndpointId) -> bool {
        let attached = lock(&self.attached);
        !attached
            .as_ref()
            .is_some_and(|it| it.endpoints.contains(&endpoint))
    }

    pub(super) fn publish(&self, state: &State, error: Option<&JournalError>) {
        let mut published = lock(&self.published);
        published.state.clone_from(state);
        published.error = error.cloned();
    }

    pub(super) fn committed(&self, events: usize, duration: Duration) {
        let mut published = lock(&self.published);
        published.syncs += 1;
        published.storing += u64::from(events > 0);
        published.stored += events as u64;
        published.duration += duration;
        published.longest = published.longest.max(duration);
    }

    pub(super) fn published(&self) -> Published {
        lock(&self.published).clone()
    }
}
