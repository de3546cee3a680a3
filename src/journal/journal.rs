//! The handle: [`Journal`].

use std::fmt;
use std::path::Path;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::event::SharedEvent;

use super::bits::{EndpointId, Wanted};
use super::consumer::{Attach, Consumer, Start};
use super::entry::{Entry, Number};
use super::error::JournalError;
use super::file;
use super::inbox::{Append, Letter, Refused};
use super::options::JournalOptions;
use super::reader::{Page, PageLimits, ReadRequest, Reader};
use super::shared::{Attachment, Shared};
use super::storage::Opener;
use super::writer::{Inbox, Writer};

/// Keeps accepted events in a file until all endpoints have settled them.
///
/// A journal is a handle: all clones refer to the same journal. It is closed when
/// the last clone is dropped, which waits for the disk.
#[derive(Clone)]
pub struct Journal(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
    reader: Reader,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// The writer, if a test makes each turn itself.
    manual: Option<Mutex<Writer>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.reader.close();
        self.inbox.close();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            // One of the threads may drop the last handle itself, and must not wait for its
            // own end.
            if thread.thread().id() != thread::current().id() {
                let _panicked = thread.join();
            }
        }
    }
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
        let inbox = Arc::new(Inbox::default());
        let opened = Writer::open(shared.clone(), inbox.clone(), opener);
        let writer = opened.map_err(|error| error.at(&shared.location))?;
        let journal = Self::of(shared, inbox, None);
        let reader = journal.0.reader.clone();
        journal.spawn("journal-writer", move || writer.run())?;
        journal.spawn("journal-reader", move || reader.run())?;
        Ok(journal)
    }

    fn of(shared: Arc<Shared>, inbox: Arc<Inbox>, manual: Option<Mutex<Writer>>) -> Self {
        Self(Arc::new(Handle {
            reader: Reader::new(shared.clone(), inbox.clone()),
            shared,
            inbox,
            threads: Mutex::default(),
            manual,
        }))
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

    pub(super) fn shared(&self) -> &Shared {
        &self.0.shared
    }

    /// Passes on a result of reading. If it shows that the handle of the file is dead, the
    /// file is opened again.
    pub(super) fn watched<R>(&self, read: Result<R, JournalError>) -> Result<R, JournalError> {
        self.0.reader.watched(read)
    }

    /// Hands the journal to the queues of a notifier, whose events carry this
    /// source instance, until the attachment ends.
    ///
    /// # Errors
    ///
    /// If another notifier has the journal, or the endpoints cannot be written.
    pub(crate) fn attach(
        &self,
        endpoints: Vec<Attach>,
        instance: &str,
        consumer: Arc<dyn Consumer>,
    ) -> Result<Attachment, JournalError> {
        let instance: Arc<str> = instance.into();
        self.run(move |writer| writer.attach(&endpoints, &instance, consumer))
    }

    /// Stores an event for the endpoints that want it. The journal's thread calls `done`
    /// when the event is on disk and was [delivered](Consumer::deliver), or when it cannot
    /// be stored. If the event is refused, `done` is not called.
    pub(crate) fn append(
        &self,
        event: SharedEvent,
        wanted: Wanted,
        number: Number,
        done: impl FnOnce(Result<u64, JournalError>) + Send + 'static,
    ) -> Result<(), Refused> {
        self.0.inbox.append(Append {
            entry: Entry {
                event,
                wanted,
                number,
            },
            done: Box::new(done),
        })
    }

    /// Stores a dead letter.
    pub(super) fn keep(&self, letter: Letter) -> Result<(), Refused> {
        self.0.inbox.bury(letter)
    }

    /// Whether an event would be accepted now, and stored if nothing fails.
    pub(crate) fn is_ready(&self) -> bool {
        self.0.inbox.has_room() && self.shared().takes_events()
    }

    /// Resolves when an event would be taken, or the journal is closed.
    pub(crate) async fn room(&self) {
        self.0.inbox.room().await;
    }

    /// Reads the events of an endpoint that are not settled, from a position on.
    /// `reply` is called by one of the journal's threads.
    pub(crate) fn read(
        &self,
        endpoint: EndpointId,
        from: u64,
        most: PageLimits,
        reply: impl FnOnce(Result<Page, JournalError>) + Send + 'static,
    ) {
        self.0.reader.push(ReadRequest {
            endpoint,
            from,
            most,
            reply: Box::new(reply),
            repaired: (0, 0),
        });
    }

    /// Settles an event at an endpoint. It is written with the next commit, or
    /// after the [interval](JournalOptions::settle_interval).
    pub(crate) fn settle(&self, endpoint: EndpointId, position: u64) {
        self.0.inbox.settle(endpoint, position);
    }

    /// Resolves when everything that was settled before is on disk.
    pub(crate) async fn flush(&self) -> Result<(), JournalError> {
        let flushed = self.0.inbox.flush().await;
        flushed.unwrap_or_else(|_| Err(JournalError::closed()))
    }

    /// Where an endpoint starts that the journal does not know.
    pub(crate) fn start_of_new(&self) -> Start {
        match self.shared().options.start_from_oldest {
            true => Start::Oldest,
            false => Start::New,
        }
    }

    /// Whether responses to pulls wait for the disk.
    pub(crate) fn waits_for_pulls(&self) -> bool {
        self.shared().options.wait_for_pulls
    }

    /// Returns where the journal is, in words for people.
    pub(crate) fn location(&self) -> &str {
        &self.shared().location
    }

    /// Lets the writer run a job and waits for it.
    pub(super) fn run<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Writer) -> Result<R, JournalError> + Send + 'static,
    ) -> Result<R, JournalError> {
        if let Some(writer) = &self.0.manual {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            return job(&mut writer);
        }
        let (sender, answer) = mpsc::sync_channel(1);
        let job = move |writer: &mut Writer| {
            // The caller may have stopped waiting.
            let _gone = sender.send(job(writer));
        };
        self.0.inbox.run(Box::new(job));
        answer
            .recv()
            .unwrap_or_else(|_| Err(JournalError::closed()))
    }
}

/// A journal without threads, for tests that decide when it does something.
#[cfg(test)]
impl Journal {
    pub(super) fn manual(options: JournalOptions, opener: Opener) -> Result<Self, JournalError> {
        let shared = Arc::new(Shared::new(options, "for a test".into(), true));
        let inbox = Arc::new(Inbox::default());
        let writer = Writer::open(shared.clone(), inbox.clone(), opener)?;
        Ok(Self::of(shared, inbox, Some(Mutex::new(writer))))
    }

    pub(super) fn downgrade(&self) -> std::sync::Weak<Shared> {
        Arc::downgrade(&self.0.shared)
    }

    /// Writes and reads what waits. Returns whether there was anything.
    pub(crate) fn turn(&self) {
        if let Some(writer) = &self.0.manual {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            writer.turn(self.0.inbox.take_now());
            drop(writer);
            self.0.reader.serve_waiting();
        }
    }
}

impl JournalOptions {
    /// Opens the journal in the file at `path`, or creates it.
    ///
    /// Blocks while the file is opened. This takes some milliseconds, even after a crash,
    /// unless the file is [compacted](super#space).
    ///
    /// # Errors
    ///
    /// If the file is open already ([`JournalError::is_locked`]), was written by a
    /// later release ([`JournalError::is_newer_format`]), is damaged or not a journal
    /// ([`JournalError::is_damaged`]), or cannot be written
    /// ([`JournalError::is_read_only`], [`JournalError::is_full`]).
    pub fn open(self, path: impl AsRef<Path>) -> Result<Journal, JournalError> {
        let path = path.as_ref();
        let location = path.display().to_string();
        let opener = file::opener(path.to_owned(), self.cache_bytes);
        Journal::start(self, opener, location)
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("path", &self.shared().location)
            .field("options", &self.shared().options)
            .finish_non_exhaustive()
    }
}
