//! Enforces the limits: frees delivered events that were kept long enough, and ends events
//! beyond the limits of bytes and age.

use std::num::NonZeroU64;

use redb::ReadableTable as _;

use crate::dead_letter::{DeadLetter, Reason};

use super::batch::{Batch, RETAINED, left_for};
use super::bits::{Bits, EndpointId};
use super::chunk;
use super::consumer::Stored;
use super::error::{JournalError, redb_error};
use super::row::Row;
use super::shared::Shared;

/// The largest number of chunks that one commit frees, and that are on their way out at a
/// time.
const CHUNKS: usize = 64;

/// The chunks whose events the endpoints are making dead letters of.
///
/// A chunk whose events are all on their way out makes room soon, so its bytes count as
/// free already. A chunk with an event that is under way at its endpoint may stay for
/// days, so others go in its place; that event becomes a dead letter when its attempt
/// fails.
#[derive(Clone, Debug, Default)]
pub(super) struct Expiring {
    /// The chunks on their way out: where each begins, and its bytes.
    chunks: Vec<(u64, u64)>,
    /// The endpoints were told of every chunk that begins before this.
    next: u64,
}

impl Expiring {
    /// Returns the position after the chunks that the endpoints were told of.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Notes that a chunk makes no room for now.
    pub(super) fn stays(&mut self, chunk: u64) {
        self.chunks.retain(|(first, _)| *first != chunk);
    }
}

/// Events that become dead letters of an endpoint.
#[derive(Debug)]
pub(super) struct Expired {
    /// The position at which their chunk begins.
    pub(super) chunk: u64,
    pub(super) endpoint: EndpointId,
    pub(super) events: Vec<Stored>,
    pub(super) reason: Reason,
}

impl Batch<'_> {
    /// Frees what the limits demand, and returns the events of which the endpoints have to
    /// make dead letters.
    pub(super) fn limit(
        &mut self,
        shared: &Shared,
        expiring: &mut Expiring,
    ) -> Result<Vec<Expired>, JournalError> {
        let options = &shared.options;
        if self.state.retained > 0 {
            self.free_retained(options.max_bytes)?;
        }
        let age = options
            .max_age
            .map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        let too_old = age.and_then(|age| self.now.checked_sub(age));
        // Without a notifier it is not known which endpoints are orphans.
        if !shared.is_attached() || (too_old.is_none() && self.state.bytes <= options.max_bytes) {
            return Ok(Vec::new());
        }
        self.forget_expired(expiring)?;
        let leaving: u64 = expiring.chunks.iter().map(|(_, bytes)| bytes).sum();
        let mut bytes = self.state.bytes.saturating_sub(leaving);
        let mut expired = Vec::new();
        while expiring.chunks.len() < CHUNKS {
            let Some((first, row)) = self.row_from(expiring.next)? else {
                break;
            };
            let reason = match too_old {
                _ if bytes > options.max_bytes => Reason::Overflow,
                Some(too_old) if row.newest < too_old => Reason::Expired,
                _ => break,
            };
            expiring.next = row.end(first);
            if self.is_done(first, &row) {
                // The chunk is kept for replay, which has a limit of its own. It must not
                // take the place of one that an endpoint waits for.
                continue;
            }
            bytes = bytes.saturating_sub(row.bytes);
            expiring.chunks.push((first, row.bytes));
            self.expire(shared, first, row, reason, &mut expired)?;
        }
        Ok(expired)
    }

    /// Forgets the chunks that have been freed.
    fn forget_expired(&mut self, expiring: &mut Expiring) -> Result<(), JournalError> {
        let mut left = Vec::new();
        for (first, bytes) in expiring.chunks.drain(..) {
            if self.row_at(first)?.is_some_and(|(it, _)| it == first) {
                left.push((first, bytes));
            }
        }
        expiring.chunks = left;
        Ok(())
    }

    /// Frees settled chunks: those that were kept long enough, and the oldest while the
    /// limit of bytes is exceeded.
    fn free_retained(&mut self, most_bytes: u64) -> Result<(), JournalError> {
        for _ in 0..CHUNKS {
            let mut retained = self.txn().open_table(RETAINED).map_err(redb_error)?;
            let Some((settled, first)) = retained
                .first()
                .map_err(redb_error)?
                .map(|(key, _)| key.value())
            else {
                self.state.retained = 0;
                return Ok(());
            };
            let due = settled.saturating_add(self.retention) <= self.now;
            if !due && self.state.bytes <= most_bytes {
                return Ok(());
            }
            retained.remove((settled, first)).map_err(redb_error)?;
            drop(retained);
            self.state.retained = self.state.retained.saturating_sub(1);
            // An endpoint that was added later may have adopted the chunk. Then it is freed
            // when that endpoint has settled it.
            if let Some((found, row)) = self.row_at(first)?
                && found == first
                && self.is_done(first, &row)
            {
                self.free(first, &row)?;
            }
        }
        Ok(())
    }

    /// Makes dead letters of a chunk's events for endpoints that are no longer configured.
    /// Adds the events of the others to `expired`, because their queues may hold them.
    fn expire(
        &mut self,
        shared: &Shared,
        first: u64,
        mut row: Row,
        reason: Reason,
        expired: &mut Vec<Expired>,
    ) -> Result<(), JournalError> {
        let endpoints = self.state.endpoints.iter();
        let endpoints: Vec<_> = endpoints.map(|it| (it.id, it.name.clone())).collect();
        let mut orphaned = false;
        for (endpoint, name) in endpoints {
            let left = left_for(&self.state, first, &row, endpoint).clone();
            if left.is_empty() {
                continue;
            }
            let Some(events) = self.events((first, &row), endpoint, &left)? else {
                return Ok(());
            };
            if !shared.is_orphan(endpoint) {
                expired.push(Expired {
                    chunk: first,
                    endpoint,
                    events,
                    reason,
                });
                continue;
            }
            let letter = |stored: &Stored| DeadLetter {
                endpoint: name.to_string(),
                reason,
                number: stored.number.and_then(NonZeroU64::new),
                error: None,
                answer: String::new(),
                attempts: 0,
                first_attempt: None,
                last_attempt: None,
                event: stored.event.clone(),
            };
            let letters: Vec<_> = events.iter().map(letter).collect();
            self.bury(&letters, shared.options.max_letter_bytes)?;
            self.settle_all(&mut row, endpoint, letters.len() as u64);
            orphaned = true;
        }
        match orphaned {
            true => self.changed(first, row),
            false => Ok(()),
        }
    }

    /// Ends all events of a chunk at an endpoint.
    pub(super) fn settle_all(&mut self, row: &mut Row, endpoint: EndpointId, events: u64) {
        match row.left_for_mut(endpoint) {
            Some(left) => *left = Bits::None,
            None => row.left.push((endpoint, Bits::None)),
        }
        if let Some(state) = self.state.endpoint_mut(endpoint) {
            state.waiting = state.waiting.saturating_sub(events);
        }
    }

    /// Reads some events of a chunk. Returns `None` if it was damaged, and sets it aside.
    pub(super) fn events(
        &mut self,
        (first, row): (u64, &Row),
        endpoint: EndpointId,
        which: &Bits,
    ) -> Result<Option<Vec<Stored>>, JournalError> {
        let events = self.chunk(first)?.and_then(|chunk| {
            let all = (0..).zip(chunk.events());
            let wanted = all.filter(|(index, _)| which.has(*index));
            let stored = wanted.map(|(index, bytes)| {
                let event = chunk::event(bytes?)?;
                Ok(Stored {
                    position: first + u64::from(index),
                    number: chunk.number(endpoint, index),
                    since: row.since(event.accepted_at()),
                    adopted: chunk.is_adopted(endpoint, index),
                    event,
                })
            });
            stored.collect()
        });
        match events {
            Ok(events) => Ok(Some(events)),
            Err(_) => {
                self.quarantine(first)?;
                Ok(None)
            }
        }
    }
}
