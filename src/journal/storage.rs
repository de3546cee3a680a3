//! What is opened, whatever the storage: [`Opener`].

use std::io;
use std::sync::Arc;

use redb::{Builder, Database, StorageBackend};

use super::error::{JournalError, guarded, redb_error};

/// Opens the storage. Called again each time that it has to be reopened.
pub(super) type Opener = Box<dyn FnMut(Mode) -> Result<Opened, JournalError> + Send>;

/// How thoroughly the storage is checked when it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::journal) enum Mode {
    /// After a clean end or a crash, what the file contains is trusted.
    Plain,
    /// After an error of the disk, the whole file is read and verified.
    Verify,
}

pub(super) struct Opened {
    pub(super) database: Database,
    /// The length of the file when it was opened.
    pub(super) length: u64,
    pub(super) watch: Watch,
}

/// Called before and after each commit. Fails if the storage is no longer what was opened.
pub(super) type Watch = Box<dyn Fn() -> io::Result<()> + Send>;

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { length, .. } = self;
        f.debug_struct("Opened")
            .field("length", length)
            .finish_non_exhaustive()
    }
}

/// A database that is open. Closing it may panic within redb if the file is damaged. The
/// panic is caught here, wherever the last handle is dropped.
pub(super) struct OpenFile(Option<Database>);

impl OpenFile {
    pub(super) fn new(database: Database) -> Arc<Self> {
        Arc::new(Self(Some(database)))
    }

    pub(super) fn get(&self) -> Result<&Database, JournalError> {
        self.0.as_ref().ok_or_else(JournalError::closed)
    }

    pub(super) fn into_database(mut self) -> Result<Database, JournalError> {
        self.0.take().ok_or_else(JournalError::closed)
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let Some(database) = self.0.take() else {
            return;
        };
        if let Err(error) = guarded(|| database.close().map_err(redb_error)) {
            let error = crate::error::with_causes(&error);
            tracing::warn!(error, "the journal was not closed cleanly");
        }
    }
}

/// Opens a database on any storage.
pub(super) fn database(
    backend: impl StorageBackend,
    cache: usize,
    mode: Mode,
) -> Result<Database, JournalError> {
    let mut builder = Builder::new();
    builder
        .set_cache_size(cache)
        .set_check_integrity_on_open(mode == Mode::Verify);
    builder.create_with_backend(backend).map_err(redb_error)
}
