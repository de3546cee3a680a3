//! Opens the database and commits changes to it.

use std::sync::Arc;
use std::time::SystemTime;

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableError};

use super::batch::{self, Batch, millis};
use super::error::{ErrorKind, JournalError, redb_error};
use super::state::{self, State};
use super::storage::{Mode, OpenFile, Opened, Opener, Watch};

/// A file is mostly free if less than one part in this many is used.
const MOSTLY_FREE: u64 = 4;

/// Commits a change together with the state that counts it.
pub(super) fn commit<R>(
    database: &Database,
    state: State,
    retention: u64,
    change: impl FnOnce(&mut Batch<'_>) -> Result<R, JournalError>,
) -> Result<(R, State), JournalError> {
    // Only this thread writes. If an earlier transaction has not ended because it panicked,
    // waiting for it would never end, so the transaction is only tried.
    let mut txn = database.try_begin_write().map_err(redb_error)?;
    // Costs a second sync, but after a crash the file opens in milliseconds instead of
    // being walked as a whole.
    txn.set_quick_repair(true);
    let now = millis(SystemTime::now());
    let mut batch = Batch::new(&txn, state, now, retention)?;
    match change(&mut batch) {
        Ok(result) => {
            let state = batch.finish()?;
            txn.commit().map_err(redb_error)?;
            Ok((result, state))
        }
        Err(error) => {
            drop(batch);
            match txn.abort() {
                // After an error of the disk it fails too, without saying why.
                Err(aborted) if !error.is_fatal() => Err(redb_error(aborted)),
                _ => Err(error),
            }
        }
    }
}

/// Opens the storage and reads the state, or writes an initial one. A file of at least
/// `compact_from` bytes that is mostly free is made smaller.
pub(super) fn open(
    opener: &mut Opener,
    mode: Mode,
    compact_from: u64,
) -> Result<(Arc<OpenFile>, State, Watch), JournalError> {
    let Opened {
        mut database,
        length,
        watch,
    } = opener(mode)?;
    let state = match read_state(&database)? {
        Some(state) => state,
        None => {
            let create = |batch: &mut Batch<'_>| batch.create();
            commit(&database, State::default(), 0, create)?.1
        }
    };
    let used = state.bytes + state.letter_bytes;
    if length >= compact_from && used < length / MOSTLY_FREE {
        tracing::info!(
            length,
            used,
            "the journal's file is mostly free and is made smaller"
        );
        database.compact().map_err(redb_error)?;
        // Compacting commits without quick repair. After this commit a crash costs
        // milliseconds again.
        let state = commit(&database, state, 0, |_| Ok(()))?.1;
        return Ok((OpenFile::new(database), state, watch));
    }
    Ok((OpenFile::new(database), state, watch))
}

/// Returns the state, or `None` if the file has no tables.
pub(super) fn read_state(database: &Database) -> Result<Option<State>, JournalError> {
    let txn = database.begin_read().map_err(redb_error)?;
    let table = match txn.open_table(batch::STATE) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => {
            return match txn.list_tables().map_err(redb_error)?.next() {
                None => Ok(None),
                Some(_) => Err(JournalError::new(ErrorKind::Damaged, "is not a journal")),
            };
        }
        Err(error) => return Err(redb_error(error)),
    };
    let value = table.get(state::KEY).map_err(redb_error)?;
    let value = value.ok_or_else(|| JournalError::new(ErrorKind::Damaged, "has no state"))?;
    let mut state = State::decode(value.value())?;
    // A position must never be given to a second event, even if the state is wrong.
    let index = txn.open_table(batch::INDEX).map_err(redb_error)?;
    if let Some((first, Ok(row))) = batch::entry(index.iter().map_err(redb_error)?.next_back())? {
        state.next = state.next.max(row.end(first));
    }
    Ok(Some(state))
}
