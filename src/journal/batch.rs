//! What one commit changes: [`Batch`].
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
use super::entry::Entry;
use super::error::JournalError;
use super::row::Row;
use super::state::{self, State};
use super::{Attach, Start};

pub(super) const STATE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("state");
pub(super) const INDEX: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("index");
pub(super) const CHUNKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("chunks");
pub(super) const RETAINED: TableDefinition<'_, (u64, u64), ()> = TableDefinition::new("retained");
pub(super) const LETTERS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("letters");
pub(super) const DAMAGED: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("damaged");

/// Rows that the search for the next unsettled event of an endpoint looks at in
/// one commit. The search goes on with the next one.
const STEPS: usize = 256;

type Table<'txn> = redb::Table<'txn, u64, &'static [u8]>;

/// A transaction that writes. Nothing of it counts before it is committed.
pub(super) struct Batch<'txn> {
    txn: &'txn WriteTransaction,
    index: Table<'txn>,
    chunks: Table<'txn>,
    pub(super) state: State,
    /// Milliseconds since 1970.
    pub(super) now: u64,
    /// How long chunks are kept that are settled, in milliseconds.
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
            index: txn.open_table(INDEX)?,
            chunks: txn.open_table(CHUNKS)?,
            state,
            now,
            retention,
        })
    }

    /// Creates the tables, so that readers find them.
    pub(super) fn create(&mut self) -> Result<(), JournalError> {
        self.txn.open_table(RETAINED)?;
        for table in [LETTERS, DAMAGED] {
            self.txn.open_table(table)?;
        }
        Ok(())
    }

    /// Writes the state, and returns it.
    pub(super) fn finish(mut self) -> Result<State, JournalError> {
        let waiting = self.state.endpoints.iter().filter(|it| it.waiting > 0);
        self.state.oldest = match waiting.map(|it| it.cursor).min() {
            Some(cursor) => self.row_from(cursor)?.map_or(0, |(_, row)| row.oldest),
            None => 0,
        };
        let mut table = self.txn.open_table(STATE)?;
        table.insert(state::KEY, &*self.state.encode())?;
        Ok(self.state)
    }

    /// The transaction, for tables that few commits need.
    pub(super) fn txn(&self) -> &'txn WriteTransaction {
        self.txn
    }

    /// Makes sure that an endpoint is known.
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

    /// Stores events at the next positions.
    pub(super) fn append(&mut self, entries: &[Entry]) -> Result<(), JournalError> {
        let mut draft = Draft::default();
        let mut times = Times::default();
        for Entry {
            event,
            wanted,
            number,
        } in entries
        {
            let bytes = stored::to_bytes(event);
            if !draft.add(&bytes, wanted, *number) {
                self.store(&std::mem::take(&mut draft), std::mem::take(&mut times))?;
                draft.add(&bytes, wanted, *number);
            }
            times.add(millis(event.accepted_at()));
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
        if members.is_empty() {
            return Ok(());
        }
        let value = draft.encode(first, &members);
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
        self.chunks.insert(first, &*value)?;
        self.put(first, &row)
    }

    fn put(&mut self, first: u64, row: &Row) -> Result<(), JournalError> {
        self.index.insert(first, &*row.encode(first))?;
        Ok(())
    }

    /// Settles events. Those that are settled already, or gone, do not matter.
    pub(super) fn settle(&mut self, settled: &mut [(u64, EndpointId)]) -> Result<(), JournalError> {
        settled.sort_unstable();
        let mut rest = &*settled;
        while let Some((position, _)) = rest.first() {
            let Some((first, mut row)) = self.row_at(*position)? else {
                rest = &rest[1..];
                continue;
            };
            let end = row.end(first);
            let (here, later) = rest.split_at(rest.partition_point(|(it, _)| *it < end));
            let mut changed = false;
            for (position, endpoint) in here {
                // Less than the count of a chunk.
                let index = (position - first) as u32;
                changed |= self.settle_in(first, &mut row, *endpoint, index);
            }
            if changed {
                self.changed(first, row)?;
            }
            rest = later;
        }
        let mut endpoints: Vec<_> = settled.iter().map(|(_, endpoint)| *endpoint).collect();
        endpoints.sort_unstable();
        endpoints.dedup();
        endpoints.into_iter().try_for_each(|it| self.advance(it))
    }

    fn settle_in(&mut self, first: u64, row: &mut Row, endpoint: EndpointId, index: u32) -> bool {
        let Some(state) = self.state.endpoint_mut(endpoint) else {
            return false;
        };
        let count = row.count;
        if row.left_for(endpoint).is_none() && state.adopts(first) {
            row.left.push((endpoint, Bits::All));
        }
        let left = row.left_for_mut(endpoint);
        let removed = left.is_some_and(|left| left.remove(index, count));
        if removed {
            state.waiting = state.waiting.saturating_sub(1);
        }
        removed
    }

    /// Writes a row of which some was settled, or frees its chunk.
    pub(super) fn changed(&mut self, first: u64, mut row: Row) -> Result<(), JournalError> {
        if !self.is_done(first, &row) {
            return self.put(first, &row);
        }
        if self.retention == 0 {
            return self.free(first, &row);
        }
        row.settled = self.now;
        let mut retained = self.txn.open_table(RETAINED)?;
        retained.insert((row.settled, first), ())?;
        drop(retained);
        self.state.retained += 1;
        self.put(first, &row)
    }

    /// Whether no endpoint has anything of the chunk left.
    pub(super) fn is_done(&self, first: u64, row: &Row) -> bool {
        let adopted = |it: &state::EndpointState| it.adopts(first) && row.left_for(it.id).is_none();
        row.left.iter().all(|(_, left)| left.is_empty())
            && !self.state.endpoints.iter().any(adopted)
    }

    pub(super) fn free(&mut self, first: u64, row: &Row) -> Result<(), JournalError> {
        self.index.remove(first)?;
        self.chunks.remove(first)?;
        self.forget(row);
        Ok(())
    }

    fn forget(&mut self, row: &Row) {
        let state = &mut self.state;
        state.chunks = state.chunks.saturating_sub(1);
        state.events = state.events.saturating_sub(row.count.into());
        state.bytes = state.bytes.saturating_sub(row.bytes);
    }

    /// Moves an endpoint's cursor to its first chunk that is not settled.
    fn advance(&mut self, endpoint: EndpointId) -> Result<(), JournalError> {
        let Some(state) = self.state.endpoint(endpoint) else {
            return Ok(());
        };
        let mut cursor = state.cursor;
        for _ in 0..STEPS {
            let Some((first, row)) = self.row_from(cursor)? else {
                self.at_end(endpoint);
                return Ok(());
            };
            cursor = first;
            if !left_for(&self.state, first, &row, endpoint).is_empty() {
                break;
            }
            cursor = row.end(first);
        }
        if let Some(state) = self.state.endpoint_mut(endpoint) {
            state.cursor = state.cursor.max(cursor);
        }
        Ok(())
    }

    /// Nothing is left for an endpoint. If its events were more, they are gone
    /// without a trace: damage that no checksum shows.
    fn at_end(&mut self, endpoint: EndpointId) {
        let next = self.state.next;
        let Some(state) = self.state.endpoint_mut(endpoint) else {
            return;
        };
        state.cursor = next;
        let missing = std::mem::take(&mut state.waiting);
        if missing > 0 {
            let name = &*state.name;
            tracing::error!(
                endpoint = name,
                events = missing,
                "the journal lacks events"
            );
            self.state.damaged += missing;
        }
    }

    /// The chunk with the event at a position.
    pub(super) fn row_at(&mut self, position: u64) -> Result<Option<(u64, Row)>, JournalError> {
        let found = entry(self.index.range(..=position)?.next_back())?;
        let row = self.checked(found)?;
        Ok(row.filter(|(first, row)| position < row.end(*first)))
    }

    /// The first chunk that begins at a position or after it.
    pub(super) fn row_from(&mut self, position: u64) -> Result<Option<(u64, Row)>, JournalError> {
        let mut from = position;
        loop {
            let Some(found) = entry(self.index.range(from..)?.next())? else {
                return Ok(None);
            };
            let first = found.0;
            if first < from {
                return Err(JournalError::disordered());
            }
            if let Some(row) = self.checked(Some(found))? {
                return Ok(Some(row));
            }
            from = first + 1;
        }
    }

    /// A row, made anew if it is damaged. `None` if that cannot be done either.
    fn checked(&mut self, found: Option<Found>) -> Result<Option<(u64, Row)>, JournalError> {
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
        let value = self.chunks.get(first)?;
        Ok(value.map_or(Err(Damage::Missing), |value| {
            Chunk::decode(first, value.value())
        }))
    }

    /// Makes a damaged row from its chunk. What was settled of it is delivered
    /// again, unless the cursor has passed it.
    fn rebuild(&mut self, first: u64) -> Result<Option<Row>, JournalError> {
        let Ok(chunk) = self.chunk(first)? else {
            self.quarantine(first)?;
            return Ok(None);
        };
        let bytes = self.chunks.get(first)?.map_or(0, |it| it.value().len());
        let mut times = Times::default();
        for event in chunk.events() {
            times.add(millis(chunk::event(event?)?.accepted_at()));
        }
        let passed = |id| self.state.endpoint(id).is_none_or(|it| it.cursor > first);
        let left = chunk.members.into_iter().map(|member| {
            let passed = passed(member.endpoint);
            (
                member.endpoint,
                if passed { Bits::None } else { member.wants },
            )
        });
        let row = Row {
            count: chunk.count,
            bytes: allocated(bytes),
            oldest: times.oldest,
            newest: times.newest,
            settled: 0,
            left: left.collect(),
        };
        let message = "an entry of the journal's index was damaged: its events may be sent again";
        tracing::error!(position = first, events = row.count, "{message}");
        self.put(first, &row)?;
        Ok(Some(row))
    }

    /// Makes the best of a chunk of which something is damaged.
    ///
    /// # Errors
    ///
    /// If there is no such chunk: then the tree is wrong that has led to it.
    pub(super) fn mend(&mut self, first: u64) -> Result<(), JournalError> {
        let found = entry(self.index.range(first..=first)?.next())?;
        if found.as_ref().is_none_or(|(it, _)| *it != first) {
            return Err(JournalError::disordered());
        }
        // Makes the row anew if it is the row that is damaged.
        let Some((_, row)) = self.checked(found)? else {
            return Ok(());
        };
        let sound = |chunk: &Chunk| {
            let mut events = chunk.events();
            chunk.count == row.count && events.all(|it| it.and_then(chunk::event).is_ok())
        };
        match self.chunk(first)? {
            Ok(chunk) if sound(&chunk) => Ok(()),
            _ => self.quarantine(first),
        }
    }

    /// Takes a damaged chunk out of the way. Its bytes are kept, and its events
    /// are counted as damaged for each endpoint that has not settled them.
    pub(super) fn quarantine(&mut self, first: u64) -> Result<(), JournalError> {
        let mut damaged = self.txn.open_table(DAMAGED)?;
        if let Some(value) = self.chunks.remove(first)? {
            damaged.insert(first, value.value())?;
        }
        drop(damaged);
        let row = match self.index.remove(first)? {
            Some(value) => Row::decode(first, value.value()).ok(),
            None => return Ok(()),
        };
        let mut lost = 0;
        if let Some(row) = &row {
            for index in 0..self.state.endpoints.len() {
                let id = self.state.endpoints[index].id;
                let left = left_for(&self.state, first, row, id).len(row.count);
                let waiting = &mut self.state.endpoints[index].waiting;
                *waiting = waiting.saturating_sub(left.into());
                lost += u64::from(left);
            }
            self.forget(row);
        }
        self.state.damaged += lost;
        let message = "events of the journal are damaged and cannot be delivered";
        tracing::error!(
            position = first,
            events = row.map(|it| it.count),
            lost,
            "{message}"
        );
        Ok(())
    }
}

/// What of a chunk is left for an endpoint.
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

pub(super) type Found = (u64, Result<Row, Damage>);

type Pair<'a> = (
    redb::AccessGuard<'a, u64>,
    redb::AccessGuard<'a, &'static [u8]>,
);

/// Reads an entry of the index.
pub(super) fn entry(
    entry: Option<Result<Pair<'_>, redb::StorageError>>,
) -> Result<Option<Found>, JournalError> {
    let Some((key, value)) = entry.transpose()? else {
        return Ok(None);
    };
    let first = key.value();
    Ok(Some((first, Row::decode(first, value.value()))))
}

#[derive(Default)]
struct Times {
    oldest: u64,
    newest: u64,
    any: bool,
}

impl Times {
    fn add(&mut self, time: u64) {
        self.oldest = if self.any {
            self.oldest.min(time)
        } else {
            time
        };
        self.newest = self.newest.max(time);
        self.any = true;
    }
}

/// Milliseconds since 1970.
pub(super) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX))
}

/// Bytes that a value takes in the file, about: large values have pages of their
/// own, whose size is a power of two.
fn allocated(length: usize) -> u64 {
    const PAGE: usize = 4096;
    const OVERHEAD: usize = 32;
    let length = length + OVERHEAD;
    match length > PAGE / 2 {
        true => length.max(PAGE).next_power_of_two() as u64,
        false => length as u64,
    }
}
