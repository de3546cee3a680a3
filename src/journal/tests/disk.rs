//! A disk that crashes: what was not synced may be lost, in part.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

use crate::journal::storage::{self, Opened, Opener};

/// Writes are lost or kept in pieces of this size.
const SECTOR: usize = 512;

/// A disk in memory. A clone is another handle to it.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
struct Content {
    /// What a reader sees.
    current: Vec<u8>,
    /// What survives a crash in any case.
    durable: Vec<u8>,
    /// What came after that, in order.
    unsynced: Vec<Change>,
    calls: u64,
    /// The number of the call from which on calls fail, and how many do.
    failing: Option<(u64, u64)>,
    how: FailureMode,
    /// Syncs do nothing.
    lies: bool,
}

/// How calls fail.
#[derive(Clone, Copy, Debug, Default)]
enum FailureMode {
    #[default]
    Error,
    Full,
    Panic,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Length(length) => content.resize(*length, 0),
            Self::Write(offset, bytes) => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(bytes);
            }
        }
    }
}

impl Content {
    /// Counts a call, and fails it if it is to fail.
    fn call(&mut self) -> io::Result<()> {
        self.calls += 1;
        match self.failing {
            Some((first, many)) if (first..first + many).contains(&self.calls) => match self.how {
                FailureMode::Error => Err(io::Error::other("injected")),
                FailureMode::Full => Err(io::ErrorKind::StorageFull.into()),
                FailureMode::Panic => panic!("injected"),
            },
            _ => Ok(()),
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.current);
        self.unsynced.push(change);
    }
}

impl Disk {
    /// A disk whose syncs do nothing.
    pub(super) fn lying() -> Self {
        let disk = Self::default();
        disk.content().lies = true;
        disk
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn opener(&self) -> Opener {
        let disk = self.clone();
        Box::new(move |mode| {
            let length = disk.content().current.len() as u64;
            let database = storage::database(disk.clone(), 1 << 20, mode)?;
            Ok(Opened {
                database,
                length,
                watch: Box::new(|| Ok(())),
            })
        })
    }

    /// Lets calls fail, `many` of them, after so many that do not.
    pub(super) fn fail_after(&self, calls: u64, many: u64) {
        let mut content = self.content();
        content.failing = Some((content.calls + calls + 1, many));
        content.how = FailureMode::Error;
    }

    /// Lets one call panic.
    pub(super) fn panic_after(&self, calls: u64) {
        self.fail_after(calls, 1);
        self.content().how = FailureMode::Panic;
    }

    /// Lets all calls fail for want of space that may need any.
    pub(super) fn fill(&self) {
        self.fail_after(0, u64::MAX / 2);
        self.content().how = FailureMode::Full;
    }

    pub(super) fn work(&self) {
        self.content().failing = None;
    }

    pub(super) fn calls(&self) -> u64 {
        self.content().calls
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.content().current.clone()
    }

    pub(super) fn set_bytes(&self, bytes: Vec<u8>) {
        let mut content = self.content();
        content.durable.clone_from(&bytes);
        content.current = bytes;
        content.unsynced.clear();
    }

    /// Loses power: each sector of what was not synced is there or not.
    pub(super) fn crash(&self, random: &mut fastrand::Rng) {
        let mut content = self.content();
        let unsynced = std::mem::take(&mut content.unsynced);
        // All but the last few writes survive, or none, or each at random.
        let part = random.u32(0..=4);
        for change in unsynced {
            match change {
                Change::Length(_) if random.u32(0..4) < part => change.apply(&mut content.durable),
                Change::Length(_) => {}
                Change::Write(offset, bytes) => {
                    for (index, sector) in bytes.chunks(SECTOR).enumerate() {
                        if random.u32(0..4) < part {
                            let write = Change::Write(offset + index * SECTOR, sector.to_vec());
                            write.apply(&mut content.durable);
                        }
                    }
                }
            }
        }
        content.current = content.durable.clone();
        content.failing = None;
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        let mut content = self.content();
        content.call()?;
        Ok(content.current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut content = self.content();
        content.call()?;
        let start = offset as usize;
        let bytes = content.current.get(start..start + out.len());
        let bytes = bytes.ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut content = self.content();
        content.call()?;
        content.change(Change::Length(length as usize));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut content = self.content();
        content.call()?;
        if !content.lies {
            let Content {
                durable, unsynced, ..
            } = &mut *content;
            unsynced.drain(..).for_each(|change| change.apply(durable));
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut content = self.content();
        let failed = content.call();
        // A write that fails may have written a part.
        let length = if failed.is_err() {
            data.len() / 2
        } else {
            data.len()
        };
        content.change(Change::Write(offset as usize, data[..length].to_vec()));
        failed
    }
}
