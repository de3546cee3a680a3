//! The work that waits for the writer: [`Inbox`].
//!
//! Events and letters are bounded in number and bytes. Settled positions are bounded by the
//! events that the queues hold.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use crate::dead_letter::DeadLetter;

use super::bits::EndpointId;
use super::entry::Entry;
use super::error::JournalError;

/// The largest number of events that wait for the disk, and of their bytes in memory.
const MOST_EVENTS: usize = 8 << 10;
const MOST_BYTES: usize = 8 << 20;

/// The largest number of events that one commit takes, and of their bytes in memory.
const COMMIT_EVENTS: usize = 4 << 10;
const COMMIT_BYTES: usize = 4 << 20;

/// The largest number of dead letters that wait for the disk.
const MOST_LETTERS: usize = 16 << 10;

/// From this number on, settled events are written without waiting for the interval.
const MOST_SETTLED: usize = 16 << 10;

pub(super) type Answer<T> = Box<dyn FnOnce(Result<T, JournalError>) + Send>;

/// An event that is to be stored.
pub(super) struct Append {
    pub(super) entry: Entry,
    pub(super) done: Answer<u64>,
}

/// A dead letter that is to be stored.
pub(super) struct Letter {
    pub(super) letter: Arc<DeadLetter>,
    pub(super) done: Answer<()>,
}

/// The work of one turn of the writer. A job is something that only the writer can do,
/// between two commits.
pub(super) struct Work<Job> {
    pub(super) appends: Vec<Append>,
    pub(super) letters: Vec<Letter>,
    pub(super) settled: Vec<(u64, EndpointId)>,
    pub(super) flushes: Vec<oneshot::Sender<Result<(), JournalError>>>,
    pub(super) jobs: Vec<Job>,
    pub(super) closing: bool,
}

struct Waiting<Job> {
    appends: VecDeque<Append>,
    bytes: usize,
    letters: VecDeque<Letter>,
    settled: Vec<(u64, EndpointId)>,
    /// When the first of them was settled.
    settled_since: Option<Instant>,
    /// Settled events that the writer has taken and that are not on disk yet.
    in_commit: Vec<(u64, EndpointId)>,
    flushes: Vec<oneshot::Sender<Result<(), JournalError>>>,
    jobs: Vec<Job>,
    closing: bool,
}

impl<Job> Default for Waiting<Job> {
    fn default() -> Self {
        Self {
            appends: VecDeque::new(),
            bytes: 0,
            letters: VecDeque::new(),
            settled: Vec::new(),
            settled_since: None,
            in_commit: Vec::new(),
            flushes: Vec::new(),
            jobs: Vec::new(),
            closing: false,
        }
    }
}

impl<Job> Waiting<Job> {
    /// Whether the writer has something to do now.
    fn is_urgent(&self) -> bool {
        let events = !self.appends.is_empty() || !self.letters.is_empty();
        let calls = !self.flushes.is_empty() || !self.jobs.is_empty();
        self.closing || events || calls
    }

    fn is_full(&self) -> bool {
        self.appends.len() >= MOST_EVENTS || self.bytes >= MOST_BYTES
    }
}

/// Why the inbox takes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The limit of what waits for the disk is reached.
    Full,
    /// The journal is closed.
    Closed,
}

/// The work that waits for the writer.
pub(super) struct Inbox<Job> {
    waiting: Mutex<Waiting<Job>>,
    changed: Condvar,
    room: Notify,
}

impl<Job> Default for Inbox<Job> {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            changed: Condvar::new(),
            room: Notify::new(),
        }
    }
}

impl<Job> Inbox<Job> {
    fn waiting(&self) -> MutexGuard<'_, Waiting<Job>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn append(&self, append: Append) -> Result<(), Refused> {
        let mut waiting = self.waiting();
        if waiting.closing {
            return Err(Refused::Closed);
        }
        if waiting.is_full() {
            return Err(Refused::Full);
        }
        waiting.bytes += append.entry.event.memory();
        waiting.appends.push_back(append);
        let first = waiting.appends.len() == 1;
        drop(waiting);
        // If others wait before it, the writer is at work or has been woken for them.
        if first {
            self.changed.notify_one();
        }
        Ok(())
    }

    pub(super) fn bury(&self, letter: Letter) -> Result<(), Refused> {
        let mut waiting = self.waiting();
        if waiting.closing {
            return Err(Refused::Closed);
        }
        if waiting.letters.len() >= MOST_LETTERS {
            return Err(Refused::Full);
        }
        waiting.letters.push_back(letter);
        drop(waiting);
        self.changed.notify_one();
        Ok(())
    }

    pub(super) fn settle(&self, endpoint: EndpointId, position: u64) {
        let mut waiting = self.waiting();
        waiting.settled.push((position, endpoint));
        let first = waiting.settled.len() == 1;
        if first {
            waiting.settled_since = Some(Instant::now());
        }
        let wake = first || waiting.settled.len() == MOST_SETTLED;
        drop(waiting);
        if wake {
            // With the first one the writer must start to wait for the interval.
            self.changed.notify_one();
        }
    }

    /// Gives a job to the writer. `false` if the journal is closed.
    pub(super) fn run(&self, job: Job) -> bool {
        let mut waiting = self.waiting();
        if waiting.closing {
            return false;
        }
        waiting.jobs.push(job);
        drop(waiting);
        self.changed.notify_one();
        true
    }

    /// Resolves when everything that was settled before is on disk.
    pub(super) fn flush(&self) -> oneshot::Receiver<Result<(), JournalError>> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting();
        // Without a writer, the sender is dropped, and the receiver resolves with an error.
        if !waiting.closing {
            waiting.flushes.push(sender);
        }
        drop(waiting);
        self.changed.notify_one();
        receiver
    }

    pub(super) fn close(&self) {
        self.waiting().closing = true;
        self.changed.notify_one();
        self.room.notify_waiters();
    }

    /// Whether an event would be taken now.
    pub(super) fn has_room(&self) -> bool {
        let waiting = self.waiting();
        !waiting.closing && !waiting.is_full()
    }

    /// Resolves when there is room, or the journal is closed.
    pub(super) async fn room(&self) {
        loop {
            let mut notified = std::pin::pin!(self.room.notified());
            // Registered before the check, so that no wake-up between the two is missed.
            notified.as_mut().enable();
            if self.is_done_waiting() {
                return;
            }
            notified.await;
        }
    }

    fn is_done_waiting(&self) -> bool {
        let waiting = self.waiting();
        waiting.closing || !waiting.is_full()
    }

    /// Returns the events that an endpoint has settled but that are not settled on disk
    /// yet. A reader must leave them out.
    pub(super) fn unwritten(&self, endpoint: EndpointId) -> HashSet<u64> {
        let waiting = self.waiting();
        let all = waiting.settled.iter().chain(&waiting.in_commit);
        let own = all.filter(|(_, id)| *id == endpoint);
        own.map(|(position, _)| *position).collect()
    }

    /// Waits until there is work or `until` has come, and takes it. Settled
    /// events wait for the interval; without one they are no reason to wake.
    pub(super) fn take(&self, interval: Option<Duration>, until: Instant) -> Work<Job> {
        let mut waiting = self.waiting();
        loop {
            let since = waiting.settled_since.zip(interval);
            let wake = since.map_or(until, |(since, interval)| until.min(since + interval));
            let rest = wake.saturating_duration_since(Instant::now());
            let many = interval.is_some() && waiting.settled.len() >= MOST_SETTLED;
            if many || waiting.is_urgent() || rest.is_zero() {
                return self.taken(waiting);
            }
            let waited = self.changed.wait_timeout(waiting, rest);
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes the work that is there now.
    #[cfg(test)]
    pub(super) fn take_now(&self) -> Work<Job> {
        self.taken(self.waiting())
    }

    fn taken(&self, mut waiting: MutexGuard<'_, Waiting<Job>>) -> Work<Job> {
        let (mut events, mut bytes) = (0, 0);
        for append in waiting.appends.iter().take(COMMIT_EVENTS) {
            bytes += append.entry.event.memory();
            events += 1;
            if bytes >= COMMIT_BYTES {
                break;
            }
        }
        waiting.bytes = waiting.bytes.saturating_sub(bytes);
        let letters = waiting.letters.len().min(COMMIT_EVENTS);
        let settled = std::mem::take(&mut waiting.settled);
        waiting.settled_since = None;
        waiting.in_commit.clone_from(&settled);
        let work = Work {
            appends: waiting.appends.drain(..events).collect(),
            letters: waiting.letters.drain(..letters).collect(),
            settled,
            flushes: std::mem::take(&mut waiting.flushes),
            jobs: std::mem::take(&mut waiting.jobs),
            // The journal closes only after everything that waits was taken.
            closing: waiting.closing && waiting.appends.is_empty() && waiting.letters.is_empty(),
        };
        drop(waiting);
        self.room.notify_waiters();
        work
    }

    /// Notes that what the writer has taken as settled is on disk.
    pub(super) fn settled(&self) {
        self.waiting().in_commit.clear();
    }

    /// Takes back what the writer could not settle on disk.
    pub(super) fn unsettled(&self) {
        let mut waiting = self.waiting();
        let settled = std::mem::take(&mut waiting.in_commit);
        waiting.settled.extend(settled);
        if !waiting.settled.is_empty() {
            waiting.settled_since.get_or_insert_with(Instant::now);
        }
    }
}
