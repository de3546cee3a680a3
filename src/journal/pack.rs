//! Packs small chunks together.
//!
//! Events that come one by one make a chunk each, which takes several times as much of
//! the disk as an event in a chunk of many. When so many small chunks were stored, those
//! of them that still wait, side by side, become one. Chunks that were settled meanwhile
//! are gone by then: a journal whose events are delivered soon packs nothing.

use std::collections::BTreeSet;

use super::batch::{Batch, allocated, left_for};
use super::bits::{Bits, EndpointId};
use super::chunk::{self, Chunk, Member, Numbers};
use super::error::{JournalError, redb_error};
use super::row::Row;
use super::state::State;

/// Bytes of the events of a packed chunk, before compression.
const MOST_BYTES: usize = 64 << 10;

/// The events of a packed chunk were accepted within so many milliseconds: limits by
/// age end a chunk as a whole.
const SPAN: u64 = 60_000;

/// A chunk that may be packed.
struct Part {
    first: u64,
    row: Row,
    chunk: Chunk,
}

impl Batch<'_> {
    /// Packs the small chunks that were stored since the last time, if there are so
    /// `many`. Those that begin before `from` stay as they are.
    pub(super) fn pack(&mut self, many: usize, from: u64) -> Result<(), JournalError> {
        if self.state.small.len() < many {
            return Ok(());
        }
        let mut parts = Vec::new();
        for first in std::mem::take(&mut self.state.small) {
            let Some(part) = self.part(first)?.filter(|_| first >= from) else {
                continue;
            };
            if !fits(&self.state, &parts, &part) {
                self.join(&std::mem::take(&mut parts))?;
            }
            parts.push(part);
        }
        self.join(&parts)
    }

    /// The chunk that begins at a position, if something of it is left.
    fn part(&mut self, first: u64) -> Result<Option<Part>, JournalError> {
        let Some((found, row)) = self.row_at(first)? else {
            return Ok(None);
        };
        if found != first || self.is_done(first, &row) {
            return Ok(None);
        }
        // Whoever reads it deals with damage.
        let chunk = self.chunk(first)?.ok();
        let chunk = chunk.filter(|it| it.count == row.count);
        Ok(chunk.map(|chunk| Part { first, row, chunk }))
    }

    /// Makes one chunk of several whose positions follow one another.
    fn join(&mut self, parts: &[Part]) -> Result<(), JournalError> {
        let ([Part { first, .. }, .., last], false) = (parts, parts.len() < 2) else {
            return Ok(());
        };
        let (first, end) = (*first, last.row.end(last.first));
        let events: Vec<u8> = parts
            .iter()
            .flat_map(|it| it.chunk.stored())
            .copied()
            .collect();
        let count = parts.iter().map(|it| it.row.count).sum();
        let value = chunk::encode(first, count, &members(parts), &events);
        let row = Row {
            count,
            bytes: allocated(value.len()),
            oldest: parts.iter().map(|it| it.row.oldest).min().unwrap_or(0),
            newest: parts.iter().map(|it| it.row.newest).max().unwrap_or(0),
            settled: 0,
            left: left(&self.state, parts),
        };
        for part in parts {
            self.free(part.first, &part.row)?;
        }
        self.state.chunks += 1;
        self.state.events += u64::from(count);
        self.state.bytes += row.bytes;
        for endpoint in &mut self.state.endpoints {
            // All chunks that begin before a cursor are settled, and this one is not.
            if (first..end).contains(&endpoint.cursor) {
                endpoint.cursor = first;
            }
        }
        self.chunks.insert(first, &*value).map_err(redb_error)?;
        self.put(first, &row)
    }
}

/// Whether a chunk may be packed together with those before it.
fn fits(state: &State, parts: &[Part], next: &Part) -> bool {
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
        return true;
    };
    let all = || parts.iter().chain([next]);
    let count: u32 = all().map(|it| it.row.count).sum();
    let bytes: usize = all().map(|it| it.chunk.stored().len()).sum();
    let oldest = all().map(|it| it.row.oldest).min();
    let newest = all().map(|it| it.row.newest).max();
    // Whether an endpoint adopts a chunk depends on where it begins.
    let adopts = |first| state.endpoints.iter().map(move |it| it.adopts(first));
    last.row.end(last.first) == next.first
        && count as usize <= chunk::MOST_EVENTS
        && bytes <= MOST_BYTES
        && newest
            .zip(oldest)
            .is_some_and(|(newest, oldest)| newest - oldest <= SPAN)
        && adopts(first.first).eq(adopts(next.first))
}

/// Returns which events each endpoint wants, and their numbers.
fn members(parts: &[Part]) -> Vec<Member> {
    let members = parts.iter().flat_map(|it| &it.chunk.members);
    let endpoints: BTreeSet<_> = members.map(|it| it.endpoint).collect();
    let joined = endpoints.into_iter().map(|endpoint| {
        let own = || {
            parts
                .iter()
                .map(|it| (it.chunk.member(endpoint), it.row.count))
        };
        let wants = own().map(|(it, count)| (it.map_or(&Bits::None, |it| &it.wants), count));
        let numbers = own().filter_map(|(it, count)| Some((it?, count)));
        let numbers = numbers.flat_map(|(it, count)| it.all_numbers(count));
        Member {
            endpoint,
            wants: Bits::joined(wants),
            numbers: Numbers::of(numbers.collect()),
        }
    });
    joined.collect()
}

/// Returns the events that are not settled, for each endpoint that a row mentions.
fn left(state: &State, parts: &[Part]) -> Vec<(EndpointId, Bits)> {
    let left = parts.iter().flat_map(|it| &it.row.left);
    let endpoints: BTreeSet<_> = left.map(|(endpoint, _)| *endpoint).collect();
    let joined = endpoints.into_iter().map(|endpoint| {
        let own = parts.iter().map(|it| {
            let left = left_for(state, it.first, &it.row, endpoint);
            (left, it.row.count)
        });
        (endpoint, Bits::joined(own))
    });
    joined.collect()
}
