//! Reads and verifies all of a journal: [`JournalCheck`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use redb::{Database, ReadableDatabase as _, ReadableTable as _};
use serde::Serialize;

use super::batch::{DAMAGED, LETTERS, left_for};
use super::chunk;
use super::database::read_state;
use super::error::{ErrorKind, JournalError, guarded, redb_error};
use super::journal::Journal;
use super::letters;
use super::reader::Snapshot;
use super::storage::OpenFile;
use super::writer::{Handle, Writer};

/// How long a check waits for readers of the file.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a [check](Journal::check) has found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct JournalCheck {
    /// Whether all pages of the file match their checksums. If not, the file was repaired
    /// as far as possible.
    pub pages_intact: bool,
    /// Chunks of events that were read.
    pub chunks: u64,
    /// Events that were read.
    pub events: u64,
    /// Dead letters that were read.
    pub dead_letters: u64,
    /// Entries of the index, chunks and dead letters that are damaged.
    pub damaged: u64,
    /// Events that endpoints wait for and that the file does not have.
    pub missing: u64,
    /// Chunks that were found damaged earlier and were set aside.
    pub set_aside: u64,
}

impl JournalCheck {
    /// Whether nothing is wrong.
    pub fn is_intact(&self) -> bool {
        self.pages_intact && self.damaged == 0 && self.missing == 0 && self.set_aside == 0
    }
}

impl Journal {
    /// Reads all of the journal and verifies it: the checksum of every page, and
    /// every event and dead letter.
    ///
    /// The journal is down while pages are verified: events wait to be stored, and nothing
    /// can be read. Blocks until it has ended.
    ///
    /// # Errors
    ///
    /// If the file is too damaged to be read, or the disk fails.
    pub fn check(&self) -> Result<JournalCheck, JournalError> {
        let pages_intact = self.run(Writer::verify)?;
        self.snapshot_and(move |snapshot, database| {
            let mut found = JournalCheck {
                pages_intact,
                ..JournalCheck::default()
            };
            events(snapshot, &mut found)?;
            dead_letters(database, &mut found)?;
            Ok(found)
        })
    }

    fn snapshot_and<R>(
        &self,
        read: impl FnOnce(&Snapshot, &Database) -> Result<R, JournalError>,
    ) -> Result<R, JournalError> {
        let database = self.shared().database()?;
        let read = guarded(|| read(&Snapshot::of(database.get()?)?, database.get()?));
        self.watched(read)
    }
}

fn events(snapshot: &Snapshot, found: &mut JournalCheck) -> Result<(), JournalError> {
    let endpoints = &snapshot.state.endpoints;
    let mut left: BTreeMap<_, u64> = endpoints.iter().map(|it| (it.id, 0)).collect();
    for entry in snapshot.rows(0)? {
        let (first, row) = entry?;
        let (Ok(row), Ok(chunk)) = (row, snapshot.chunk(first)?) else {
            found.damaged += 1;
            continue;
        };
        let sound = chunk
            .events()
            .filter(|it| it.and_then(chunk::event).is_ok());
        let sound = sound.count() as u64;
        found.chunks += 1;
        found.events += sound;
        if sound != u64::from(row.count) {
            found.damaged += 1;
        }
        for (endpoint, left) in &mut left {
            *left += u64::from(left_for(&snapshot.state, first, &row, *endpoint).len(row.count));
        }
    }
    let missing = endpoints
        .iter()
        .map(|it| it.waiting.saturating_sub(left[&it.id]));
    found.missing = missing.sum();
    Ok(())
}

fn dead_letters(database: &Database, found: &mut JournalCheck) -> Result<(), JournalError> {
    let txn = database.begin_read().map_err(redb_error)?;
    for entry in txn
        .open_table(LETTERS)
        .map_err(redb_error)?
        .iter()
        .map_err(redb_error)?
    {
        let (key, value) = entry.map_err(redb_error)?;
        match letters::is_sound(key.value(), value.value()) {
            true => found.dead_letters += 1,
            false => found.damaged += 1,
        }
    }
    found.set_aside =
        redb::ReadableTableMetadata::len(&txn.open_table(DAMAGED).map_err(redb_error)?)
            .map_err(redb_error)?;
    Ok(())
}

impl Writer {
    /// Verifies the checksums of all pages. Returns whether they match.
    fn verify(&mut self) -> Result<bool, JournalError> {
        let mut database = self.take_database()?;
        let verified = guarded(|| {
            let intact = database.check_integrity().map_err(redb_error)?;
            Ok((intact, read_state(&database)?))
        });
        match verified {
            Ok((intact, Some(state))) => {
                // A repair may have gone back to an earlier commit.
                self.state = self.without_less(state);
                self.restore(OpenFile::new(database));
                Ok(intact)
            }
            Ok((_, None)) => Err(self.failed(database, JournalError::disordered())),
            Err(error) => Err(self.failed(database, error)),
        }
    }

    /// Gives up a file that cannot be verified. It is closed as an open one, because that
    /// may panic too.
    fn failed(&mut self, database: Database, error: JournalError) -> JournalError {
        self.handle = Handle::Open(OpenFile::new(database));
        self.fail(&error);
        error
    }

    /// Takes the file away from its readers, after they have finished their reads:
    /// verifying needs exclusive access.
    fn take_database(&mut self) -> Result<Database, JournalError> {
        let mut database = self.withdraw()?;
        let until = Instant::now() + PATIENCE;
        loop {
            match Arc::try_unwrap(database) {
                Ok(file) => return file.into_database(),
                Err(shared) if Instant::now() < until => {
                    database = shared;
                    thread::sleep(Duration::from_millis(1));
                }
                Err(shared) => {
                    self.restore(shared);
                    return Err(JournalError::new(
                        ErrorKind::Invalid,
                        "the journal is being read",
                    ));
                }
            }
        }
    }
}
