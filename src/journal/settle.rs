//! Settles events, and frees chunks whose events are all settled.

use super::batch::{Batch, RETAINED, left_for};
use super::bits::{Bits, EndpointId};
use super::error::{JournalError, redb_error};
use super::row::Row;
use super::state::EndpointState;

/// The largest number of rows that a commit looks at to find the next unsettled event of an
/// endpoint. The next commit continues the search.
const STEPS: usize = 256;

impl Batch<'_> {
    /// Settles events. Events that are settled already, or gone, are ignored.
    pub(super) fn settle(&mut self, settled: &mut [(u64, EndpointId)]) -> Result<(), JournalError> {
        // In the order of their positions, each row is read and written once, however many
        // of its events are settled.
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
        // The endpoint was added when the chunk was already written, and wants all of it.
        // The row says so from the first event on that the endpoint settles.
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

    /// Writes a row that has changed, or frees its chunk if everything is settled.
    pub(super) fn changed(&mut self, first: u64, mut row: Row) -> Result<(), JournalError> {
        if !self.is_done(first, &row) {
            return self.put(first, &row);
        }
        if self.retention == 0 {
            return self.free(first, &row);
        }
        row.settled = self.now;
        let mut retained = self.txn().open_table(RETAINED).map_err(redb_error)?;
        retained
            .insert((row.settled, first), ())
            .map_err(redb_error)?;
        drop(retained);
        self.state.retained += 1;
        self.put(first, &row)
    }

    /// Whether every endpoint has settled its events of the chunk.
    pub(super) fn is_done(&self, first: u64, row: &Row) -> bool {
        let adopted = |it: &EndpointState| it.adopts(first) && row.left_for(it.id).is_none();
        row.left.iter().all(|(_, left)| left.is_empty())
            && !self.state.endpoints.iter().any(adopted)
    }

    pub(super) fn free(&mut self, first: u64, row: &Row) -> Result<(), JournalError> {
        self.index.remove(first).map_err(redb_error)?;
        self.chunks.remove(first).map_err(redb_error)?;
        self.forget(row.count.into(), row.bytes);
        Ok(())
    }

    /// Subtracts a chunk from the counts.
    pub(super) fn forget(&mut self, events: u64, bytes: u64) {
        let state = &mut self.state;
        state.chunks = state.chunks.saturating_sub(1);
        state.events = state.events.saturating_sub(events);
        state.bytes = state.bytes.saturating_sub(bytes);
        // What a damaged row has left behind in the counts ends with the last chunk.
        if state.chunks == 0 {
            (state.events, state.bytes) = (0, 0);
        }
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

    /// Notes that no event is left for an endpoint. If its count says otherwise, events are
    /// gone without a trace: damage that no checksum shows.
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
                "events are missing from the journal"
            );
            self.state.damaged += missing;
        }
    }
}
