//! Why the journal cannot do something: [`JournalError`].

use std::error::Error;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::codec::Damage;

/// Why a [`Journal`](super::Journal) cannot be opened, read or written.
///
/// A clone is another handle to the same error: all writes of a failed commit get the
/// same one.
#[derive(Clone)]
pub struct JournalError(Arc<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
    /// Whether the handle of the file can no longer be used.
    fatal: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorKind {
    /// Another process, or another handle in this one, has the file open.
    Locked,
    /// A later release wrote the file.
    NewerFormat,
    /// The file is not a journal, was cut off, or has wrong bytes.
    Damaged,
    /// The file or its folder cannot be written.
    ReadOnly,
    /// No space is left: on the disk, or within the journal's limits.
    Full,
    /// Any other error of the disk.
    Io,
    /// The file is being opened again after an error.
    Down,
    /// The journal was closed.
    Closed,
    /// A notifier uses the journal already.
    Attached,
    /// There is no such endpoint, letter or event.
    NotFound,
    /// The arguments of the operation are invalid.
    Invalid,
}

impl JournalError {
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::build(kind, message.into(), None, false)
    }

    fn build(
        kind: ErrorKind,
        message: String,
        source: Option<Box<dyn Error + Send + Sync>>,
        fatal: bool,
    ) -> Self {
        Self(Arc::new(Inner {
            kind,
            message,
            source,
            fatal,
        }))
    }

    /// Creates the error of a panic within the storage, which leaves the handle in an
    /// unknown state.
    pub(super) fn panicked(payload: &(dyn std::any::Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        let message = format!("the storage panicked, as it may on a damaged file: {text}");
        Self::build(ErrorKind::Damaged, message, None, true)
    }

    /// Creates the error of a table whose keys are out of order: its pages are damaged.
    pub(super) fn disordered() -> Self {
        Self::build(
            ErrorKind::Damaged,
            "has keys out of order".into(),
            None,
            true,
        )
    }

    /// Creates the error of a write while the file is closed because of `cause`.
    pub(super) fn down(cause: &Self) -> Self {
        let message = "the journal is being opened again after an error";
        let source: Box<dyn Error + Send + Sync> = Box::new(cause.clone());
        Self::build(ErrorKind::Down, message.into(), Some(source), false)
    }

    pub(super) fn attached() -> Self {
        Self::new(ErrorKind::Attached, "a notifier uses the journal already")
    }

    pub(crate) fn closed() -> Self {
        Self::new(ErrorKind::Closed, "the journal is closed")
    }

    /// Creates the error of a dead letter that cannot be read.
    pub(super) fn letter(id: u64, damage: Damage) -> Self {
        let source: Box<dyn Error + Send + Sync> = Box::new(damage);
        Self::build(
            ErrorKind::Damaged,
            format!("dead letter {id} is damaged"),
            Some(source),
            false,
        )
    }

    /// Adds the file to the message.
    pub(super) fn at(self, location: &str) -> Self {
        let inner = &self.0;
        let message = format!("journal {location}: {}", inner.message);
        let source = self.0.source.is_some().then(|| Box::new(self.clone()) as _);
        Self::build(inner.kind, message, source, inner.fatal)
    }

    /// Whether the handle of the file can no longer be used.
    pub(super) fn is_fatal(&self) -> bool {
        self.0.fatal
    }

    /// Whether another process, or another handle in this one, has the journal
    /// open.
    pub fn is_locked(&self) -> bool {
        self.0.kind == ErrorKind::Locked
    }

    /// Whether a later release of this crate, or of its storage, wrote the file.
    pub fn is_newer_format(&self) -> bool {
        self.0.kind == ErrorKind::NewerFormat
    }

    /// Whether the file is not a journal, was cut off, or has wrong bytes.
    pub fn is_damaged(&self) -> bool {
        self.0.kind == ErrorKind::Damaged
    }

    /// Whether the file or its folder cannot be written.
    pub fn is_read_only(&self) -> bool {
        self.0.kind == ErrorKind::ReadOnly
    }

    /// Whether no space is left on the disk or within the journal's limits.
    pub fn is_full(&self) -> bool {
        self.0.kind == ErrorKind::Full
    }

    /// Whether the journal cannot be used now: it was closed because of an error and will
    /// be opened again.
    pub fn is_down(&self) -> bool {
        self.0.kind == ErrorKind::Down || self.0.fatal
    }

    /// Whether the journal was closed.
    pub fn is_closed(&self) -> bool {
        self.0.kind == ErrorKind::Closed
    }

    /// Whether a notifier uses the journal already.
    pub fn is_attached(&self) -> bool {
        self.0.kind == ErrorKind::Attached
    }

    /// Whether there is no such endpoint, dead letter or event.
    pub fn is_not_found(&self) -> bool {
        self.0.kind == ErrorKind::NotFound
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournalError")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("source", &self.0.source)
            .finish()
    }
}

impl Error for JournalError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source = self.0.source.as_deref()?;
        Some(source)
    }
}

impl From<io::Error> for JournalError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{
            FileTooLarge, InvalidData, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem,
            StorageFull, UnexpectedEof,
        };
        let (kind, message) = match error.kind() {
            PermissionDenied | ReadOnlyFilesystem => (ErrorKind::ReadOnly, "cannot be written"),
            StorageFull | QuotaExceeded | FileTooLarge => (ErrorKind::Full, "no space is left"),
            InvalidData => (ErrorKind::Damaged, "is not a journal"),
            UnexpectedEof => (ErrorKind::Damaged, "is cut off"),
            _ => (ErrorKind::Io, "cannot be read or written"),
        };
        Self::build(kind, message.into(), Some(Box::new(error)), true)
    }
}

/// The beginning of redb's message about a file of an unknown version. It has no separate
/// error for that.
const UNKNOWN_VERSION: &str = "Expected file format version";

/// Creates the error of a call of redb. This is no `From`, which would make redb's types a
/// part of the public API.
pub(super) fn redb_error(error: impl Into<redb::Error>) -> JournalError {
    use redb::Error as Redb;
    let error = error.into();
    let (kind, message) = match &error {
        Redb::Io(_)
        | Redb::Backend(_)
        | Redb::Unsupported
        | Redb::PreviousIo
        | Redb::DatabaseClosed
        | Redb::LockPoisoned(_)
        | Redb::ValueTooLarge(_)
        | Redb::ReadTransactionStillInUse(_)
        | Redb::WouldBlock => (ErrorKind::Io, "cannot be read or written"),
        Redb::Corrupted(text) if text.starts_with(UNKNOWN_VERSION) => {
            (ErrorKind::NewerFormat, "was written by a later release")
        }
        Redb::Corrupted(_) => (ErrorKind::Damaged, "is damaged"),
        Redb::DatabaseAlreadyOpen | Redb::LockProtocolMismatch => (
            ErrorKind::Locked,
            "is open already, in this process or another",
        ),
        Redb::RepairAborted | Redb::UpgradeRequired(_) => (ErrorKind::Damaged, "cannot be opened"),
        // Not the disk's fault: the file has unknown tables, or the transaction cannot
        // continue.
        _ => (ErrorKind::Damaged, "does not have the expected content"),
    };
    match error {
        Redb::Io(error) => error.into(),
        error => JournalError::build(kind, message.into(), Some(Box::new(error)), true),
    }
}

/// Damage that our own checksum has found does not end the handle: the rest of the file
/// can still be used.
impl From<Damage> for JournalError {
    fn from(damage: Damage) -> Self {
        let source: Box<dyn Error + Send + Sync> = Box::new(damage);
        Self::build(ErrorKind::Damaged, "is damaged".into(), Some(source), false)
    }
}

/// Runs something that may panic within redb, as it does on damaged files.
pub(super) fn guarded<R>(run: impl FnOnce() -> Result<R, JournalError>) -> Result<R, JournalError> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|payload| Err(JournalError::panicked(&*payload)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_redb_says_of_the_content_is_damage() {
        use redb::{DatabaseError, StorageError, TableError, TransactionError};
        for error in [
            redb_error(StorageError::PreviousIo),
            redb_error(StorageError::Unsupported),
            redb_error(StorageError::Backend("of a disk".into())),
            redb_error(StorageError::ValueTooLarge(1)),
            redb_error(StorageError::Io(io::Error::other("of a disk"))),
            redb_error(TransactionError::WouldBlock),
        ] {
            assert_eq!(error.0.kind, ErrorKind::Io, "{error:?}");
        }
        for error in [
            redb_error(StorageError::Corrupted("a page".into())),
            redb_error(DatabaseError::RepairAborted),
            redb_error(TableError::TableDoesNotExist("events".into())),
        ] {
            assert_eq!(error.0.kind, ErrorKind::Damaged, "{error:?}");
        }
        let newer = StorageError::Corrupted(format!("{UNKNOWN_VERSION} 3"));
        assert!(redb_error(newer).is_newer_format());
        assert!(redb_error(DatabaseError::DatabaseAlreadyOpen).is_locked());
    }
}
