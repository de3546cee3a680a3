//! Events that survive the process: the [`Journal`].
//!
//! With a journal, an event is on disk before the client sees the response, and
//! stays there until every endpoint that wants it has settled it: has delivered
//! it, or has made a dead letter of it that is kept. Events that do not fit into
//! the queues in memory wait on disk.
//!
//! ```no_run
//! use tower_registry_notifications::journal::Journal;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let journal = Journal::open("/var/lib/registry/notifications")?;
//! for endpoint in journal.status().endpoints {
//!     println!("{}: {} events wait", endpoint.name, endpoint.waiting);
//! }
//! # Ok(()) }
//! ```
//!
//! # Promises
//!
//! - An event that was accepted survives a crash of the process (`kill -9`) and
//!   of the machine (a power loss). It is delivered at least once, with the same
//!   id each time.
//! - Events of one repository reach an endpoint in the order in which they were
//!   accepted, also across restarts.
//! - An event that was delivered within the last second before a crash may be
//!   delivered again. The [interval](JournalOptions::settle_interval) can be
//!   shorter, at the cost of more syncs.
//! - What is removed because of a [limit](#space) becomes a dead letter. What
//!   damage of the file takes is counted ([`JournalStatus::damaged`]) and logged.
//!
//! The promises hold if the disk keeps what it has confirmed as synced. They rest
//! on `fdatasync` for the file and on `fsync` for its folder when the file is
//! created. Local file systems of Linux (ext4, XFS, Btrfs, ZFS) with their default
//! settings keep to that. These do not, or not always:
//!
//! - Network file systems. NFS depends on the server's settings; locks may not
//!   exclude a process on another machine.
//! - Disks and controllers with a volatile cache that ignore flushes, and virtual
//!   disks whose cache mode does (`unsafe` in QEMU).
//! - File systems mounted without barriers, and `tmpfs`. The journal survives
//!   `kill -9` there, and no power loss.
//! - macOS, where `fdatasync` of Rust's standard library flushes the disk's cache
//!   too (`F_FULLFSYNC`), is as good as Linux. Windows uses `FlushFileBuffers`.
//!
//! These are not promised at all:
//!
//! - Exactly one delivery. Receivers recognize an event that comes again by its
//!   id.
//! - That nothing is lost after a sync has failed. The kernel may have dropped
//!   what it could not write, and reports that once. The journal tells the
//!   writers of that commit that they have failed, opens the file again and
//!   verifies all of it, but what it reads may come from the kernel's cache.
//!   Replace a disk that fails.
//! - That a file that somebody empties is noticed: it looks like a new one.
//!
//! # Layout
//!
//! The journal is one file, a [redb](https://docs.rs/redb) database. A thread
//! writes: it takes all events that wait and commits them together, with one wait
//! for the disk, so that many writers share each sync. The events of a commit are
//! one or a few *chunks*: compressed with LZ4, with a checksum. An event is stored
//! once for all endpoints.
//!
//! | table | content |
//! | --- | --- |
//! | `state` | format, counts, endpoints; for each endpoint a cursor: all before it is settled |
//! | `index` | for each chunk, which of its events each endpoint has not settled |
//! | `chunks` | the events, who wants them, and their numbers for each endpoint |
//! | `retained` | chunks that are settled and kept for replay, by time |
//! | `letters` | dead letters |
//! | `damaged` | chunks that cannot be read, as they are |
//!
//! A chunk is freed when the last of its events is settled; an event that cannot
//! be delivered keeps its own chunk and no other. Commits use redb's quick repair,
//! so that opening takes milliseconds, also after a crash and with millions of
//! events. Memory does not grow with the number of events: what is not in a queue
//! is on disk only, and [`JournalOptions::cache_bytes`] of the file are cached.
//!
//! # Space
//!
//! [`JournalOptions::max_bytes`] bounds the events, and
//! [`JournalOptions::max_letter_bytes`] the dead letters. The file grows in large
//! steps that take no space on disk before they are used. Space that is free is
//! used again. When the journal is opened, a file of 64 MiB or more that is less
//! than a quarter full is made smaller.
//!
//! # Costs
//!
//! A write that is alone waits for two syncs of the disk. Many writers share them:
//! 64 of them store 45,000 events a second on a disk that takes 0.28 ms for one
//! append and sync, and 76,000 where a sync costs nothing. Ten million pulls that
//! three endpoints wait for take 28 MiB of memory and 262 bytes each on disk, and
//! are open after 2 ms, also after `kill -9`, and 4 ms with a cold cache. Events that
//! come one by one take about 1 KB each on disk. One thread reads 250,000 events a
//! second for the queues. `cargo bench -p benches --features journal --bench journal` measures it on your machine.
//!
//! # Faults
//!
//! | fault | what happens |
//! | --- | --- |
//! | another process has the file open | opening fails, [`JournalError::is_locked`] |
//! | a later release wrote the file | opening fails, [`JournalError::is_newer_format`] |
//! | file or folder cannot be written | opening fails, [`JournalError::is_read_only`] |
//! | the file is cut off, or no journal | opening fails, [`JournalError::is_damaged`]; the file is left as it is |
//! | wrong bytes in an entry of the index | it is made anew from its chunk; events may be delivered again |
//! | wrong bytes in a chunk | the chunk is set aside; its events are counted as damaged and logged |
//! | wrong bytes in the tree itself | opening fails or the journal is down, [`JournalError::is_damaged`] |
//! | any error of the disk, no space | the write fails; the journal is down |
//! | redb panics, as it may on a damaged file | the same: the panic is caught |
//! | redb panics while it cleans up after a panic | the process ends; about one flipped bit in 3,000 has this effect |
//!
//! While the journal is *down*, writes fail at once. The file is opened again,
//! verified as a whole, after 100 ms and then with pauses of up to 10 s.
//!
//! redb verifies its pages only when asked. [`Journal::check`] does that, and reads
//! every event and dead letter. [`JournalOptions::verify`] does it each time that the
//! file is opened.
//!
//! # Endpoints
//!
//! An endpoint's name is its identity in the journal. One that is no longer
//! configured is *orphaned*: its events stay, are shown in the
//! [status](JournalEndpoint::orphaned), and age out by
//! [`JournalOptions::max_age`] into dead letters. They can be
//! [purged](Journal::purge_endpoint) or [moved](Journal::move_endpoint).

mod batch;
mod bits;
mod check;
mod chunk;
mod codec;
mod database;
mod entry;
mod error;
mod inbox;
mod letters;
mod limits;
mod list;
mod mend;
mod operate;
mod options;
mod reader;
mod row;
mod settle;
mod shared;
mod state;
mod status;
mod storage;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::event::SharedEvent;

pub(crate) use self::bits::{EndpointId, Wanted};
pub use self::check::JournalCheck;
use self::entry::Entry;
pub(crate) use self::entry::Number;
pub use self::error::JournalError;
use self::inbox::Append;
pub(crate) use self::inbox::Refused;
pub use self::letters::{KeptLetter, LetterFilter};
pub use self::list::WaitingEvent;
pub use self::operate::ReplayFrom;
pub use self::options::JournalOptions;
use self::reader::Read;
pub(crate) use self::reader::{Most, Page};
use self::shared::Shared;
pub(crate) use self::shared::{Consumer, Stored};
pub use self::status::{JournalEndpoint, JournalStatus};
use self::storage::Opener;
use self::writer::Writer;

/// Keeps accepted events in a file until all endpoints have settled them.
///
/// A journal is a handle: all clones refer to the same journal. It is closed when
/// the last clone is dropped, which waits for the disk.
#[derive(Clone)]
pub struct Journal(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// The writer, if a test calls for each turn.
    manual: Option<Mutex<Writer>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.reads.close();
        self.shared.inbox.close();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            // One of the threads may hold the last handle for a moment.
            if thread.thread().id() != thread::current().id() {
                let _panicked = thread.join();
            }
        }
    }
}

/// An endpoint that takes its events out of the journal.
#[derive(Clone, Debug)]
pub(crate) struct Attach {
    pub(crate) name: Arc<str>,
    /// Where it starts if the journal does not know it.
    pub(crate) start: Start,
}

/// Where an endpoint starts that the journal does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Start {
    /// With the events that come.
    #[default]
    New,
    /// With the oldest event in the journal. It gets all of them, and settles
    /// those that it does not want.
    Oldest,
}

impl Journal {
    /// Opens the journal in the file at `path`, or creates it, with the default
    /// [options](Self::options).
    ///
    /// # Errors
    ///
    /// See [`JournalOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, JournalError> {
        Self::options().open(path)
    }

    /// Returns the default options.
    pub fn options() -> JournalOptions {
        JournalOptions::default()
    }

    fn start(
        options: JournalOptions,
        opener: Opener,
        location: String,
    ) -> Result<Self, JournalError> {
        let shared = Arc::new(Shared::new(options, location, false));
        let opened = Writer::open(shared.clone(), opener);
        let writer = opened.map_err(|error| error.at(&shared.location))?;
        let handle = Handle {
            shared: shared.clone(),
            threads: Mutex::default(),
            manual: None,
        };
        let journal = Self(Arc::new(handle));
        journal.spawn("journal-writer", move || writer.run())?;
        journal.spawn("journal-reader", move || reader::run(&shared))?;
        Ok(journal)
    }

    fn spawn(&self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), JournalError> {
        let thread = thread::Builder::new().name(name.into()).spawn(run)?;
        let mut threads = self
            .0
            .threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        threads.push(thread);
        Ok(())
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// Hands the journal to the queues of a notifier, whose events carry this
    /// source instance. Returns the ids of the endpoints, in the order given.
    ///
    /// # Errors
    ///
    /// If another notifier has the journal, or the endpoints cannot be written.
    pub(crate) fn attach(
        &self,
        endpoints: Vec<Attach>,
        instance: &str,
        consumer: Arc<dyn Consumer>,
    ) -> Result<Vec<EndpointId>, JournalError> {
        let instance: Arc<str> = instance.into();
        self.run(move |writer| {
            // Before anything is written: the numbers of events begin anew with the
            // instance, and would in the notifier that has the journal.
            if writer.shared().is_attached() {
                return Err(JournalError::attached());
            }
            let ids = writer.write(0, |batch| {
                let ids = endpoints.iter().map(|it| batch.attach(it, &instance));
                Ok(ids.collect::<Vec<_>>())
            })?;
            let state = writer.state();
            let waiting = |id: &EndpointId| (*id, state.endpoint(*id).map_or(0, |it| it.waiting));
            let endpoints: Vec<_> = ids.iter().map(waiting).collect();
            // The thread that delivers: no event comes in between.
            consumer.attached(&endpoints, state.next);
            match writer.shared().attach(ids.clone(), consumer) {
                Some(()) => Ok(ids),
                None => Err(JournalError::attached()),
            }
        })
    }

    /// Takes the journal from its notifier. Events stay in it.
    pub(crate) fn detach(&self) {
        self.shared().detach();
    }

    /// Stores an event for the endpoints that want it. `done` is called by the
    /// journal's thread when the event is on disk and was
    /// [delivered](Consumer::deliver), or cannot be stored; never if the event
    /// is refused.
    pub(crate) fn append(
        &self,
        event: SharedEvent,
        wanted: Wanted,
        number: Number,
        done: impl FnOnce(Result<u64, JournalError>) + Send + 'static,
    ) -> Result<(), Refused> {
        self.shared().inbox.append(Append {
            entry: Entry {
                event,
                wanted,
                number,
            },
            done: Box::new(done),
        })
    }

    /// Whether an event would be taken now, and stored if nothing fails.
    pub(crate) fn is_ready(&self) -> bool {
        let shared = self.shared();
        shared.inbox.has_room() && shared.takes_events()
    }

    /// Resolves when an event would be taken, or the journal is closed.
    pub(crate) async fn room(&self) {
        self.shared().inbox.room().await;
    }

    /// Reads the events of an endpoint that are not settled, from a position on.
    /// `reply` is called by one of the journal's threads.
    pub(crate) fn read(
        &self,
        endpoint: EndpointId,
        from: u64,
        most: Most,
        reply: impl FnOnce(Result<Page, JournalError>) + Send + 'static,
    ) {
        self.shared().reads.push(Read {
            endpoint,
            from,
            most,
            reply: Box::new(reply),
            mended: (0, 0),
        });
    }

    /// Settles an event at an endpoint. It is written with the next commit, or
    /// after the [interval](JournalOptions::settle_interval).
    pub(crate) fn settle(&self, endpoint: EndpointId, position: u64) {
        self.shared().inbox.settle(endpoint, position);
    }

    /// Resolves when everything that was settled before is on disk.
    pub(crate) async fn flush(&self) -> Result<(), JournalError> {
        let flushed = self.shared().inbox.flush().await;
        flushed.unwrap_or_else(|_| Err(JournalError::closed()))
    }

    /// Whether responses to pulls wait for the disk.
    pub(crate) fn waits_for_pulls(&self) -> bool {
        self.shared().options.wait_for_pulls
    }

    /// Where the journal is, for people.
    pub(crate) fn location(&self) -> &str {
        &self.shared().location
    }

    /// Lets the writer run a job and waits for it.
    fn run<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Writer) -> Result<R, JournalError> + Send + 'static,
    ) -> Result<R, JournalError> {
        if let Some(writer) = &self.0.manual {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            return job(&mut writer);
        }
        let (sender, answer) = mpsc::sync_channel(1);
        let job = move |writer: &mut Writer| {
            // Nobody may wait for the answer any more.
            let _gone = sender.send(job(writer));
        };
        self.shared().inbox.run(Box::new(job));
        answer
            .recv()
            .unwrap_or_else(|_| Err(JournalError::closed()))
    }
}

/// A journal without threads, for tests that decide when it works.
#[cfg(test)]
impl Journal {
    fn manual(options: JournalOptions, opener: Opener) -> Result<Self, JournalError> {
        let shared = Arc::new(Shared::new(options, "for a test".into(), true));
        let writer = Writer::open(shared.clone(), opener)?;
        Ok(Self(Arc::new(Handle {
            shared,
            threads: Mutex::default(),
            manual: Some(Mutex::new(writer)),
        })))
    }

    /// Writes and reads what waits. Returns whether there was anything.
    pub(crate) fn turn(&self) {
        if let Some(writer) = &self.0.manual {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            writer.turn(self.shared().inbox.take_now());
            drop(writer);
            reader::serve_waiting(self.shared());
        }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("path", &self.shared().location)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;
