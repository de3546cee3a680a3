//! The changes of one commit: [`Batch`].
//!
//! The state, the index and the chunks change in the same transaction, so that the counts
//! always match the events, whatever a crash or an error interrupts.
//!
//! # Tables
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | `state` | 0 | [`State`] |
//! | `index` | position of the first event | [`Row`]: what is left of a chunk |
//! | `chunks` | position of the first event | [`Chunk`]: the events of one commit |
//! | `retained` | when it was settled, position of the first event | nothing |
//! | `letters` | id | a dead letter, see [`letters`](super::letters) |
//! | `damaged` | position of the first event | what is left of a damaged chunk |

use std::sync::Arc;
use std::time::SystemTime;

use redb::{ReadableTable as _, TableDefinition, WriteTransaction};

use crate::event::stored;

use super::bits::{Bits, EndpointId};
use super::chunk::{self, Chunk, Draft};
use super::codec::Damage;
use super::consumer::{Attach, Backlog, Start};
use super::entry::Entry;
use super::error::{JournalError, redb_error};
use super::row::Row;
use super::state::{self, EndpointState, State};

pub(super) const STATE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("state");
pub(super) const INDEX: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("index");
pub(super) const CHUNKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("chunks");
pub(super) const RETAINED: TableDefinition<'_, (u64, u64), ()> = TableDefinition::new("retained");
pub(super) const LETTERS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("letters");
pub(super) const DAMAGED: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("damaged");

pub(super) type Table<'txn> = redb::Table<'txn, u64, &'static [u8]>;

/// A transaction that writes. Nothing of it is valid before it is committed.
pub(super) struct Batch<'txn> {
    txn: &'txn WriteTransaction,
    pub(super) index: Table<'txn>,
    pub(super) chunks: Table<'txn>,
    pub(super) state: State,
    /// Milliseconds since 1970.
    pub(super) now: u64,
    /// How long settled chunks are kept, in milliseconds.
    pub(super) retention: u64,
}

impl<'txn> Batch<'txn> {
    pub(super) fn new(
        txn: &'txn WriteTransaction,
        state: State,
        now: u64,
        retention: u64,
    ) -> Result<Self, JournalError> {
        Ok(Self {
            txn,
            index: txn.open_table(INDEX).map_err(redb_error)?,
            chunks: txn.open_table(CHUNKS).map_err(redb_error)?,
            state,
            now,
            retention,
        })
    }

    /// Creates the tables, so that readers find them.
    pub(super) fn create(&mut self) -> Result<(), JournalError> {
        self.txn.open_table(RETAINED).map_err(redb_error)?;
        for table in [LETTERS, DAMAGED] {
            self.txn.open_table(table).map_err(redb_error)?;
        }
        Ok(())
    }

    /// Writes the state, and returns it.
    pub(super) fn finish(mut self) -> Result<State, JournalError> {
        // The chunk at the lowest cursor has the oldest event that waits. If that endpoint has
        // settled the first events of the chunk, the time is a little too early.
        let waiting = self.state.endpoints.iter().filter(|it| it.waiting > 0);
        self.state.oldest = match waiting.map(|it| it.cursor).min() {
            Some(cursor) => self.row_from(cursor)?.map_or(0, |(_, row)| row.oldest),
            None => 0,
        };
        let mut table = self.txn.open_table(STATE).map_err(redb_error)?;
        table
            .insert(state::KEY, &*self.state.encode())
            .map_err(redb_error)?;
        Ok(self.state)
    }

    /// Returns the transaction, for tables that few commits need.
    pub(super) fn txn(&self) -> &'txn WriteTransaction {
        self.txn
    }

    /// Adds an endpoint unless it is known. Its numbers start again if the source instance
    /// is another.
    pub(super) fn attach(&mut self, attach: &Attach, instance: &Arc<str>) -> EndpointId {
        let State { next, events, .. } = self.state;
        let known = self.state.named(&attach.name).map(|it| it.id);
        let id = known.unwrap_or_else(|| {
            let endpoint = self.state.add(&attach.name);
            if attach.start == Start::Oldest {
                (endpoint.cursor, endpoint.waiting) = (0, events);
                endpoint.adopted = (0, next);
            }
            endpoint.id
        });
        if let Some(endpoint) = self.state.endpoint_mut(id)
            && endpoint.instance != *instance
        {
            endpoint.instance = instance.clone();
            endpoint.next_number = 1;
        }
        id
    }

    /// What waits for an endpoint that is attached.
    pub(super) fn backlog(&mut self, endpoint: EndpointId) -> Result<Backlog, JournalError> {
        let mut backlog = Backlog {
            endpoint,
            events: 0,
            adopted: 0,
        };
        let Some(EndpointState {
            cursor,
            waiting,
            adopted,
            ..
        }) = self.state.endpoint(endpoint)
        else {
            return Ok(backlog);
        };
        let (mut next, end) = ((*cursor).max(adopted.0), adopted.1);
        backlog.events = *waiting;
        // One pass over the index, each time that it is attached until it has settled
        // all that came before it.
        while next < end
            && let Some((first, row)) = self.row_from(next)?
            && first < end
        {
            next = row.end(first);
            let left = left_for(&self.state, first, &row, endpoint).len(row.count);
            backlog.events = backlog.events.saturating_sub(left.into());
            backlog.adopted = end;
        }
        Ok(backlog)
    }

    /// Stores events at the next positions.
    pub(super) fn append(&mut self, entries: &[Entry]) -> Result<(), JournalError> {
        let mut draft = Draft::default();
        let mut times = Times::default();
        for entry in entries {
            let bytes = stored::to_bytes(&entry.event);
            if !draft.add(&bytes, &entry.wanted, entry.number, self.state.fitting) {
                // The chunk is full. The event begins the next one, and an empty draft takes
                // an event of any size.
                self.store(&std::mem::take(&mut draft), std::mem::take(&mut times))?;
                draft.add(&bytes, &entry.wanted, entry.number, self.state.fitting);
            }
            times.add(millis(entry.since()));
        }
        match draft.is_empty() {
            true => Ok(()),
            false => self.store(&draft, times),
        }
    }

    fn store(&mut self, draft: &Draft, times: Times) -> Result<(), JournalError> {
        let first = self.state.next;
        let count = draft.count();
        self.state.next += u64::from(count);
        let mut members = Vec::new();
        for endpoint in &mut self.state.endpoints {
            if let Some(member) = draft.member(endpoint.id, &mut endpoint.next_number) {
                endpoint.waiting += u64::from(member.wants.len(count));
                members.push(member);
            }
        }
        // Events that no endpoint wants take positions, as their writers are told, but no
        // space.
        if members.is_empty() {
            return Ok(());
        }
        let value = draft.encode(first, &members);
        self.state.fitting = draft.fitting(value.len());
        let row = Row {
            count,
            bytes: allocated(value.len()),
            oldest: times.oldest,
            newest: times.newest,
            settled: 0,
            left: members
                .into_iter()
                .map(|it| (it.endpoint, it.wants))
                .collect(),
        };
        self.state.chunks += 1;
        self.state.events += u64::from(count);
        self.state.bytes += row.bytes;
        if value.len() < chunk::SMALL {
            self.state.small.push(first);
        }
        self.chunks.insert(first, &*value).map_err(redb_error)?;
        self.put(first, &row)
    }

    pub(super) fn put(&mut self, first: u64, row: &Row) -> Result<(), JournalError> {
        self.index
            .insert(first, &*row.encode(first))
            .map_err(redb_error)?;
        Ok(())
    }

    /// Returns the chunk that has the event at a position.
    pub(super) fn row_at(&mut self, position: u64) -> Result<Option<(u64, Row)>, JournalError> {
        let found = entry(
            self.index
                .range(..=position)
                .map_err(redb_error)?
                .next_back(),
        )?;
        let row = self.checked(found)?;
        Ok(row.filter(|(first, row)| position < row.end(*first)))
    }

    /// Returns the first chunk that begins at a position or after it.
    pub(super) fn row_from(&mut self, position: u64) -> Result<Option<(u64, Row)>, JournalError> {
        let mut from = position;
        loop {
            let Some(found) = entry(self.index.range(from..).map_err(redb_error)?.next())? else {
                return Ok(None);
            };
            let first = found.0;
            // A damaged tree may return any key. Without this check, the loop might never end.
            if first < from {
                return Err(JournalError::disordered());
            }
            if let Some(row) = self.checked(Some(found))? {
                return Ok(Some(row));
            }
            from = first + 1;
        }
    }

    /// Returns a row. A damaged one is rebuilt from its chunk; `None` if the chunk is
    /// damaged too.
    pub(super) fn checked(
        &mut self,
        found: Option<IndexEntry>,
    ) -> Result<Option<(u64, Row)>, JournalError> {
        match found {
            None => Ok(None),
            Some((first, Ok(row))) => Ok(Some((first, row))),
            Some((first, Err(_))) => {
                let row = self.rebuild(first)?;
                Ok(row.map(|row| (first, row)))
            }
        }
    }

    pub(super) fn chunk(&self, first: u64) -> Result<Result<Chunk, Damage>, JournalError> {
        let value = self.chunks.get(first).map_err(redb_error)?;
        Ok(value.map_or(Err(Damage::Missing), |value| {
            Chunk::decode(first, value.value())
        }))
    }
}

/// Returns which events of a chunk an endpoint has not settled.
pub(super) fn left_for<'a>(
    state: &State,
    first: u64,
    row: &'a Row,
    endpoint: EndpointId,
) -> &'a Bits {
    let adopts = || state.endpoint(endpoint).is_some_and(|it| it.adopts(first));
    static ALL: Bits = Bits::All;
    static NONE: Bits = Bits::None;
    match row.left_for(endpoint) {
        Some(left) => left,
        None if adopts() => &ALL,
        None => &NONE,
    }
}

pub(super) type IndexEntry = (u64, Result<Row, Damage>);

type RawEntry<'a> = (
    redb::AccessGuard<'a, u64>,
    redb::AccessGuard<'a, &'static [u8]>,
);

/// Reads an entry of the index.
pub(super) fn entry(
    entry: Option<Result<RawEntry<'_>, redb::StorageError>>,
) -> Result<Option<IndexEntry>, JournalError> {
    let Some((key, value)) = entry.transpose().map_err(redb_error)? else {
        return Ok(None);
    };
    let first = key.value();
    Ok(Some((first, Row::decode(first, value.value()))))
}

/// The times at which the events of a chunk were accepted, in milliseconds since 1970.
#[derive(Default)]
pub(super) struct Times {
    pub(super) oldest: u64,
    pub(super) newest: u64,
    any: bool,
}

impl Times {
    pub(super) fn add(&mut self, time: u64) {
        self.oldest = if self.any {
            self.oldest.min(time)
        } else {
            time
        };
        self.newest = self.newest.max(time);
        self.any = true;
    }
}

/// Returns a time in milliseconds since 1970.
pub(super) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX))
}

/// Returns approximately how many bytes a value takes in the file. Large values have
/// pages of their own, whose size is a power of two.
pub(super) fn allocated(length: usize) -> u64 {
    const PAGE: usize = 4096;
    const OVERHEAD: usize = 32;
    let length = length + OVERHEAD;
    match length > PAGE / 2 {
        true => length.max(PAGE).next_power_of_two() as u64,
        false => length as u64,
    }
}
