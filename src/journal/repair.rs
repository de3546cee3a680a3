//! Repairs damage that our own checksums have found, as far as possible.
//!
//! A damaged row is rebuilt from its chunk. A damaged chunk is set aside and its events
//! are counted: never is one silently left out.

use redb::ReadableTable as _;

use super::batch::{Batch, DAMAGED, Times, allocated, entry, left_for, millis};
use super::bits::Bits;
use super::chunk::{self, Chunk};
use super::error::{JournalError, redb_error};
use super::row::Row;

impl Batch<'_> {
    /// Rebuilds a damaged row from its chunk. Events that were settled are delivered again,
    /// unless the endpoint's cursor has passed the chunk.
    pub(super) fn rebuild(&mut self, first: u64) -> Result<Option<Row>, JournalError> {
        let Ok(chunk) = self.chunk(first)? else {
            self.quarantine(first)?;
            return Ok(None);
        };
        let bytes = self
            .chunks
            .get(first)
            .map_err(redb_error)?
            .map_or(0, |it| it.value().len());
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

    /// Repairs a chunk or its row, or sets the chunk aside. Does nothing if there is no such
    /// chunk any more: another reader may have met the damage before.
    ///
    /// # Errors
    ///
    /// If the tree has another chunk in its place.
    pub(super) fn repair(&mut self, first: u64) -> Result<(), JournalError> {
        let found = entry(self.index.range(first..=first).map_err(redb_error)?.next())?;
        if found.as_ref().is_some_and(|(it, _)| *it != first) {
            return Err(JournalError::disordered());
        }
        // Rebuilds the row if that is what is damaged.
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

    /// Sets a damaged chunk aside. Its bytes are kept, and its events are counted as
    /// damaged for each endpoint that has not settled them.
    pub(super) fn quarantine(&mut self, first: u64) -> Result<(), JournalError> {
        let mut damaged = self.txn().open_table(DAMAGED).map_err(redb_error)?;
        let mut bytes = 0;
        if let Some(value) = self.chunks.remove(first).map_err(redb_error)? {
            bytes = allocated(value.value().len());
            damaged.insert(first, value.value()).map_err(redb_error)?;
        }
        drop(damaged);
        let row = match self.index.remove(first).map_err(redb_error)? {
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
            self.forget(row.count.into(), row.bytes);
        } else {
            // Nobody knows which events these were. Their endpoints find them missing when
            // they have read all others.
            self.forget(0, bytes);
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
