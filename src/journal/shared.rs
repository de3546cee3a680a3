//! What the handles of a journal and its threads share.

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
    /// Where the journal is, for people.
    pub(super) location: String,
    /// `None` while the journal is down.
    database: Mutex<Option<Arc<OpenFile>>>,
    attached: Mutex<Option<Attached>>,
    published: Mutex<Published>,
    /// Without threads: a test calls for each turn.
    manual: bool,
}

#[derive(Clone)]
struct Attached {
    endpoints: Vec<EndpointId>,
    consumer: Arc<dyn Consumer>,
}

/// What the status shows.
#[derive(Clone, Default)]
pub(super) struct Published {
    pub(super) state: State,
    pub(super) error: Option<JournalError>,
    pub(super) syncs: u64,
    /// Those that stored any event.
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
        // Dropped without the lock: closing the file may take a while.
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

    /// `None` if there is a consumer already.
    pub(super) fn attach(
        &self,
        endpoints: Vec<EndpointId>,
        consumer: Arc<dyn Consumer>,
    ) -> Option<()> {
        let mut attached = lock(&self.attached);
        if attached.is_some() {
            return None;
        }
        *attached = Some(Attached {
            endpoints,
            consumer,
        });
        Some(())
    }

    pub(super) fn detach(&self) {
        let attached = lock(&self.attached).take();
        drop(attached);
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
