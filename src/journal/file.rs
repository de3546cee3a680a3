//! A journal in a file, which others may cut off, remove or replace.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use super::error::{JournalError, redb_error};
use super::storage::{Mode, Opened, Opener, Watch, database};
use crate::same_file::is_same;

/// Opens a file. Only the first time it may be new: a file that is removed, emptied or
/// replaced later took its events with it, and what is in its place must not pass for it.
pub(super) fn opener(path: PathBuf, cache: usize) -> Opener {
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
        let backend = LengthChecked::new(file, length)?;
        let least = backend.length.clone();
        let database = database(backend, cache, mode)?;
        if length == 0 {
            // A new file survives a power loss only if its entry in the folder is synced too.
            sync_folder(&path)?;
        }
        known = true;
        Ok(Opened {
            database,
            length,
            watch: watch(path.clone(), metadata, least),
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
    let backend = FileBackend::new(open_file(path, true)?).map_err(redb_error)?;
    database(backend, cache, Mode::Plain)?
        .close()
        .map_err(redb_error)
}

/// Notices that the file at `path` is no longer the one that is open, or is shorter than
/// `length`.
fn watch(path: PathBuf, ours: Metadata, length: Arc<AtomicU64>) -> Watch {
    Box::new(move || {
        let now = match std::fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(io::Error::new(error.kind(), "the file was removed"));
            }
            now => now?,
        };
        if !is_same(&now, &ours) {
            let why = "another file was put in its place";
            return Err(io::Error::new(io::ErrorKind::NotFound, why));
        }
        if now.len() < length.load(Ordering::Relaxed) {
            let why = "the file was cut off while it was open";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
        }
        Ok(())
    })
}

/// A file whose length is known, so that somebody who cuts it off is noticed. Without that,
/// what is written later would make the file as long as before, with a hole in it, and
/// reads that are served from the cache would not fail either.
#[derive(Debug)]
struct LengthChecked {
    file: FileBackend,
    length: Arc<AtomicU64>,
}

impl LengthChecked {
    fn new(file: File, length: u64) -> Result<Self, JournalError> {
        Ok(Self {
            file: FileBackend::new(file).map_err(redb_error)?,
            length: Arc::new(length.into()),
        })
    }
}

impl StorageBackend for LengthChecked {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        // Only the thread that commits changes the length, and looks at it.
        self.length.store(length, Ordering::Relaxed);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
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
