//! Opens the file: [`Opener`].

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{Builder, Database, StorageBackend};

use super::error::{JournalError, guarded};
use crate::same_file::is_same;

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

/// Called after each commit. Fails if the storage is no longer what was opened.
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
        if let Err(error) = guarded(|| Ok(database.close()?)) {
            let error = crate::error::with_causes(&error);
            tracing::warn!(error, "the journal was not closed cleanly");
        }
    }
}

/// Opens a file. Only the first time it may be new: a file that is removed, emptied or
/// replaced later took its events with it, and what is in its place must not pass for it.
pub(super) fn file(path: PathBuf, cache: usize) -> Opener {
    let mut known = false;
    Box::new(move |mode| {
        if !known && !path.exists() {
            create(&path, cache)?;
        }
        let file = open_file(&path, !known)?;
        let metadata = file.metadata()?;
        let length = metadata.len();
        if known && length == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it was emptied").into());
        }
        let backend = FileBackend::new(file)?;
        let database = database(backend, cache, mode)?;
        if length == 0 {
            // A new file survives a power loss only if its entry in the folder is synced too.
            sync_folder(&path)?;
        }
        known = true;
        Ok(Opened {
            database,
            length,
            watch: watch(path.clone(), metadata),
        })
    })
}

/// Creates an empty database at `path`, unless there is a file by then.
///
/// redb writes last what marks a file as its own. A process that is killed before that
/// would leave a file that cannot be opened. Therefore the file gets its name when it is
/// complete: by a link, which, unlike renaming, never replaces the file of another process.
fn create(path: &Path, cache: usize) -> Result<(), JournalError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:016x}.new", fastrand::u64(..)));
    let unnamed = path.with_file_name(name);
    let created = create_at(&unnamed, cache);
    let linked = created.and_then(|()| match std::fs::hard_link(&unnamed, path) {
        Ok(()) => Ok(sync_folder(path)?),
        // It exists by now, or the file system has no links: then it is created in place.
        Err(_) => Ok(()),
    });
    // If it stays, it only takes some space.
    let _removed = std::fs::remove_file(&unnamed);
    linked
}

fn create_at(path: &Path, cache: usize) -> Result<(), JournalError> {
    let backend = FileBackend::new(open_file(path, true)?)?;
    Ok(database(backend, cache, Mode::Plain)?.close()?)
}

/// Notices that the file at `path` is no longer the one that is open.
fn watch(path: PathBuf, ours: Metadata) -> Watch {
    Box::new(move || {
        let gone = |why| Err(io::Error::new(io::ErrorKind::NotFound, why));
        let now = match std::fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return gone("the file was removed");
            }
            now => now?,
        };
        match is_same(&now, &ours) {
            true => Ok(()),
            false => gone("another file was put in its place"),
        }
    })
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
    Ok(builder.create_with_backend(backend)?)
}

fn open_file(path: &Path, create: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(create)
        .truncate(false);
    // Events are personal data: they name users and their addresses.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Elsewhere a folder cannot be opened, so it cannot be synced.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
