//! The thread that writes: [`Writer`].
//!
//! It takes everything that waits in the [`Inbox`](super::inbox::Inbox) and commits it
//! together, with one wait for the disk. Meanwhile more work arrives for the next commit,
//! so that many writers share each sync.
//!
//! # Faults
//!
//! After any error of the disk a handle of redb returns nothing but errors, and after a
//! panic its locks are poisoned. In both cases the handle is dropped, and the file is
//! opened again, verified as a whole, with growing pauses. Until then writes fail at
//! once. A commit that failed may be on disk nevertheless. Its writers were told that it
//! failed and may have repeated the events elsewhere; those in the file are delivered in
//! addition.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::bits::EndpointId;
use super::consumer::{Attach, Consumer, Stored};
use super::database::{commit, open};
use super::entry::Entry;
use super::error::{ErrorKind, JournalError, guarded};
use super::inbox;
use super::limits::{Expired, Expiring};
use super::shared::{Attachment, Shared};
use super::state::State;
use super::storage::{Mode, OpenFile, Opener, Watch};

/// The first pause before the file is opened again.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// How often the limits are checked when nothing is written.
const HOUSEKEEPING: Duration = Duration::from_secs(30);

/// Something that only the writer can do. It runs between two commits.
pub(super) type Job = Box<dyn FnOnce(&mut Writer) + Send>;

/// The work that waits for the writer.
pub(super) type Inbox = inbox::Inbox<Job>;

type Work = inbox::Work<Job>;

/// Writes to the file.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    inbox: Arc<Inbox>,
    pub(super) opener: Opener,
    pub(super) watch: Watch,
    pub(super) handle: Handle,
    pub(super) state: State,
    expiring: Expiring,
    /// When the limits were checked last.
    looked: Instant,
}

pub(super) enum Handle {
    Open(Arc<OpenFile>),
    Down {
        cause: JournalError,
        next: Instant,
        pause: Duration,
    },
}

impl Writer {
    /// Opens the file.
    pub(super) fn open(
        shared: Arc<Shared>,
        inbox: Arc<Inbox>,
        mut opener: Opener,
    ) -> Result<Self, JournalError> {
        let compact_from = shared.options.compact_from;
        let mode = match shared.options.verify {
            true => Mode::Verify,
            false => Mode::Plain,
        };
        let (database, state, watch) = guarded(|| open(&mut opener, mode, compact_from))?;
        shared.set_database(Some(database.clone()));
        let writer = Self {
            shared,
            inbox,
            opener,
            watch,
            handle: Handle::Open(database),
            state,
            expiring: Expiring::default(),
            looked: Instant::now(),
        };
        writer.publish(None);
        Ok(writer)
    }

    /// Writes until the journal is closed.
    pub(super) fn run(mut self) {
        loop {
            let interval = self.shared.options.settle_interval;
            let work = match &self.handle {
                Handle::Open(_) => {
                    let until = Instant::now() + HOUSEKEEPING;
                    self.inbox.take(Some(interval), until)
                }
                Handle::Down { next, .. } => self.inbox.take(None, *next),
            };
            let closing = work.closing;
            // Whatever panics besides the storage, such as a queue that is answered: without
            // this thread, nothing would be written or answered any more.
            let turned = guarded(|| {
                self.turn(work);
                Ok(())
            });
            if let Err(error) = turned {
                self.inbox.unsettled();
                self.fail(&error);
            }
            if closing {
                break;
            }
        }
        self.shared.set_database(None);
    }

    /// Does the work of one turn, in one commit if possible.
    pub(super) fn turn(&mut self, mut work: Work) {
        self.reopen();
        for job in std::mem::take(&mut work.jobs) {
            job(self);
        }
        if let Handle::Down { cause, .. } = &self.handle {
            let error = JournalError::down(cause);
            return self.refuse(work, &error);
        }
        // Only new events are refused: settled events make room, and letters have a limit of
        // their own.
        if self.shared.options.is_beyond(self.state.bytes) {
            let full =
                JournalError::new(ErrorKind::Full, "the journal's limit of bytes is reached");
            let appends = std::mem::take(&mut work.appends);
            appends
                .into_iter()
                .for_each(|it| answered(|| (it.done)(Err(full.clone()))));
        }
        match self.commit(&mut work) {
            Ok(positions) => self.answer(work, positions),
            Err(error) => self.refuse(work, &error),
        }
    }

    /// Commits the work. Returns the position of the first event.
    fn commit(&mut self, work: &mut Work) -> Result<u64, JournalError> {
        let nothing = work.appends.is_empty() && work.letters.is_empty();
        if nothing && work.settled.is_empty() && !self.has_duties() {
            return Ok(self.state.next);
        }
        let first = self.state.next;
        let entries: Vec<_> = work.appends.iter().map(|it| it.entry.clone()).collect();
        let shared = self.shared.clone();
        let mut expiring = self.expiring.clone();
        let expired = self.store(&entries, |batch| {
            let letters = work.letters.iter().map(|it| &*it.letter);
            batch.bury(letters, shared.options.max_letter_bytes)?;
            batch.settle(&mut work.settled)?;
            let expired = batch.limit(&shared, &mut expiring)?;
            batch.pack(shared.options.pack_from, expiring.next())?;
            Ok(expired)
        })?;
        self.expiring = expiring;
        self.looked = Instant::now();
        for Expired {
            chunk,
            endpoint,
            events,
            reason,
        } in expired
        {
            let leaving = self.tell(|consumer| consumer.expire(endpoint, events, reason));
            // An event is under way at the endpoint, so that the chunk makes no room soon.
            // The next commit takes another chunk in its place.
            if leaving != Some(true) {
                self.expiring.stays(chunk);
            }
        }
        Ok(first)
    }

    /// Whether a commit without events may have something to do.
    fn has_duties(&self) -> bool {
        let options = &self.shared.options;
        let kept = self.state.retained > 0 || options.max_age.is_some();
        let too_many = self.state.bytes > options.max_bytes;
        let due = self.shared.is_manual() || self.looked.elapsed() >= HOUSEKEEPING;
        too_many || (kept && due)
    }

    /// Stores events, together with another change, and then hands them to the
    /// endpoints in the order of their positions.
    pub(super) fn store<R>(
        &mut self,
        entries: &[Entry],
        change: impl FnOnce(&mut Batch<'_>) -> Result<R, JournalError>,
    ) -> Result<R, JournalError> {
        let first = self.state.next;
        let numbers = self
            .state
            .endpoints
            .iter()
            .map(|it| (it.id, it.next_number));
        let numbers: Vec<_> = numbers.collect();
        let result = self.write(entries.len(), |batch| {
            batch.append(entries)?;
            change(batch)
        })?;
        for (endpoint, number) in numbers {
            let stored = stored(entries, first, endpoint, number);
            if !stored.is_empty() {
                self.tell(|consumer| consumer.deliver(endpoint, &stored));
            }
        }
        Ok(result)
    }

    /// Calls the queues. A panic in them must not end the writer.
    pub(super) fn tell<R>(&self, call: impl FnOnce(&dyn Consumer) -> R) -> Option<R> {
        let consumer = self.shared.consumer()?;
        let told = catch_unwind(AssertUnwindSafe(|| call(&*consumer)));
        if told.is_err() {
            tracing::error!("a queue of the journal panicked");
        }
        told.ok()
    }

    /// Hands the journal to a consumer.
    pub(super) fn attach(
        &mut self,
        endpoints: &[Attach],
        instance: &Arc<str>,
        consumer: Arc<dyn Consumer>,
    ) -> Result<Attachment, JournalError> {
        // Checked before anything is written: attaching another instance starts the numbers
        // of events again, which would also affect the notifier that has the journal.
        if self.shared.is_attached() {
            return Err(JournalError::attached());
        }
        let backlogs = self.write(0, |batch| {
            let ids = endpoints.iter().map(|it| batch.attach(it, instance));
            let ids: Vec<_> = ids.collect();
            let backlogs = ids.into_iter().map(|it| batch.backlog(it));
            backlogs.collect::<Result<Vec<_>, _>>()
        })?;
        // The new consumer does not know which events the last one was told to end.
        self.expiring = Expiring::default();
        // This is the thread that delivers, so no event is delivered between the two calls.
        consumer.attached(&backlogs, self.state.next);
        let ids = backlogs.into_iter().map(|it| it.endpoint).collect();
        let attachment = self.shared.attach(ids, consumer);
        attachment.ok_or_else(JournalError::attached)
    }

    /// Answers the callers of a commit that succeeded. By now the events are in the queues.
    fn answer(&self, work: Work, first: u64) {
        self.inbox.settled();
        for (position, append) in (first..).zip(work.appends) {
            answered(|| (append.done)(Ok(position)));
        }
        work.letters
            .into_iter()
            .for_each(|it| answered(|| (it.done)(Ok(()))));
        work.flushes
            .into_iter()
            .for_each(|flush| drop(flush.send(Ok(()))));
    }

    /// Answers the callers of a commit that failed. Some of it may be on disk nevertheless,
    /// but nobody may rely on that.
    fn refuse(&self, work: Work, error: &JournalError) {
        self.inbox.unsettled();
        work.appends
            .into_iter()
            .for_each(|it| answered(|| (it.done)(Err(error.clone()))));
        work.letters
            .into_iter()
            .for_each(|it| answered(|| (it.done)(Err(error.clone()))));
        work.flushes
            .into_iter()
            .for_each(|flush| drop(flush.send(Err(error.clone()))));
    }

    /// Commits a change that stores this many events. If it fails, either the file is
    /// unchanged or the journal is down.
    pub(super) fn write<R>(
        &mut self,
        events: usize,
        change: impl FnOnce(&mut Batch<'_>) -> Result<R, JournalError>,
    ) -> Result<R, JournalError> {
        let database = match &self.handle {
            Handle::Open(database) => database.clone(),
            Handle::Down { cause, .. } => return Err(JournalError::down(cause)),
        };
        let state = self.state.clone();
        let retention = self.shared.options.retention.as_millis();
        let retention = u64::try_from(retention).unwrap_or(u64::MAX);
        let began = Instant::now();
        let watch = &self.watch;
        // What is written to a file that was removed or cut off is gone. Looked at on both
        // sides: what a commit writes may make a file as long as before.
        let written = guarded(|| {
            watch()?;
            let written = commit(database.get()?, state, retention, change)?;
            watch()?;
            Ok(written)
        });
        drop(database);
        match written {
            Ok((result, state)) => {
                self.state = state;
                let duration = began.elapsed();
                self.shared.committed(events, duration);
                self.publish(None);
                self.tell(|consumer| consumer.synced(duration));
                Ok(result)
            }
            Err(error) => {
                if error.is_fatal() {
                    self.fail(&error);
                }
                Err(error)
            }
        }
    }

    pub(super) fn publish(&self, error: Option<&JournalError>) {
        self.shared.publish(&self.state, error);
    }

    /// Takes the file away from readers, until it is [restored](Self::restore).
    pub(super) fn withdraw(&mut self) -> Result<Arc<OpenFile>, JournalError> {
        let cause = JournalError::new(ErrorKind::Down, "the journal is being verified");
        let (next, pause) = (Instant::now(), PAUSE);
        if let Handle::Down { cause, .. } = &self.handle {
            return Err(JournalError::down(cause));
        }
        self.shared.set_database(None);
        self.publish(Some(&cause));
        let down = Handle::Down { cause, next, pause };
        match std::mem::replace(&mut self.handle, down) {
            Handle::Open(database) => Ok(database),
            Handle::Down { cause, .. } => Err(JournalError::down(&cause)),
        }
    }

    /// Gives the file back. Queues that asked for events meanwhile got no answer, and are
    /// woken.
    pub(super) fn restore(&mut self, database: Arc<OpenFile>) {
        self.shared.set_database(Some(database.clone()));
        self.handle = Handle::Open(database);
        self.publish(None);
        let end = self.state.next;
        self.tell(|consumer| consumer.recovered(end));
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

/// Answers a caller. A panic in it must not keep the others from their answers.
fn answered(call: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(call)).is_err() {
        tracing::error!("a writer to the journal panicked");
    }
}

/// Returns the events of a commit that an endpoint wants. `next` is the number of its next
/// event.
fn stored(entries: &[Entry], first: u64, endpoint: EndpointId, mut next: u64) -> Vec<Stored> {
    let all = (first..).zip(entries);
    let wanted = all.filter(|(_, it)| it.wanted.contains(endpoint));
    let stored = wanted.map(|(position, entry)| {
        let number = entry.number.take(&mut next);
        Stored {
            position,
            number: Some(number).filter(|it| *it > 0),
            since: entry.since(),
            adopted: false,
            event: entry.event.clone(),
        }
    });
    stored.collect()
}
