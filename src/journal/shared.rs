//! What the handles of a journal and its threads share.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::dead_letter::Reason;
use crate::event::SharedEvent;

use super::bits::EndpointId;
use super::error::JournalError;
use super::inbox::Inbox;
use super::limits;
use super::options::JournalOptions;
use super::reader::Reads;
use super::state::State;
use super::storage::OpenFile;

/// An event of an endpoint as the journal has it.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// Its place among all events of the journal.
    pub(crate) position: u64,
    /// Its number among the events that the endpoint wants of one source
    /// instance, from 1. `None` if the endpoint did not want it when it came.
    pub(crate) number: Option<u64>,
    pub(crate) event: SharedEvent,
}

/// The queues behind a journal.
///
/// The journal's threads call it. It must not block, and keeps no [`Journal`]
/// alive: the journal would never be closed.
///
/// [`Journal`]: super::Journal
pub(crate) trait Consumer: Send + Sync + 'static {
    /// Learns the numbers of its endpoints, in the order in which they were
    /// attached, each with how many events wait for it, all at positions below
    /// `end`. Nothing is delivered before this, nor between the two: an event that
    /// was would hide those that wait.
    fn attached(&self, endpoints: &[(EndpointId, u64)], end: u64);

    /// Takes events that are on disk now, in the order of their positions.
    /// Between two calls for one endpoint no event of it is left out.
    fn deliver(&self, endpoint: EndpointId, events: &[Stored]);

    /// Ends events that go because of the journal's limits: they become dead
    /// letters with this reason. Each is to be [settled](super::Journal::settle)
    /// when its letter is kept. The queue may hold some of them, even under way;
    /// others it never had.
    fn expire(&self, endpoint: EndpointId, events: Vec<Stored>, reason: Reason);

    /// The journal was down and works again, with positions up to `end`. Reads that
    /// failed may be repeated. A write that failed may have succeeded nevertheless.
    fn recovered(&self, end: u64);
}

pub(super) struct Shared {
    pub(super) options: JournalOptions,
    /// Where the journal is, for people.
    pub(super) location: String,
    pub(super) inbox: Inbox,
    pub(super) reads: Reads,
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

/// Runs something that may panic within redb, as it does on damaged files.
pub(super) fn guarded<R>(run: impl FnOnce() -> Result<R, JournalError>) -> Result<R, JournalError> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|payload| Err(JournalError::panicked(&*payload)))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(options: JournalOptions, location: String, manual: bool) -> Self {
        Self {
            options,
            location,
            inbox: Inbox::default(),
            reads: Reads::default(),
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
        published.error.is_none() && !limits::is_beyond(&self.options, published.state.bytes)
    }

    /// Passes on what was read. If the handle is dead, the writer opens the file
    /// again.
    pub(super) fn watched<R>(&self, read: Result<R, JournalError>) -> Result<R, JournalError> {
        if let Err(error) = &read
            && error.is_fatal()
        {
            let cause = error.clone();
            self.inbox.run(Box::new(move |writer| writer.fail(&cause)));
        }
        read
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
