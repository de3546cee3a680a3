//! Batches between the queue and their end: [`InFlight`].

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::gate::Gate;
use crate::endpoint::batch::{AttemptHistory, Forming, Halves, Part, SealedBatch};
use crate::endpoint::delivery::Outcome;
use crate::queue::{Entry, Queue};

/// Everything that the worker has taken from the queue and not yet settled.
///
/// The invariant: a sealed batch is in exactly one place: being
/// [attempted](Self::attempts), parked until its next attempt, or
/// [becoming dead letters](Self::letter_writes). Its repositories are busy all that time.
#[derive(Default)]
pub(in crate::endpoint) struct InFlight {
    pub(super) forming: Option<Forming>,
    batches: HashMap<u64, Batch, BuildHasherDefault<IdHasher>>,
    /// Batches that wait for an attempt: when it is due, a turn, and the id. Batches
    /// that are due at the same time take turns, so that one that keeps failing does
    /// not hold up the others.
    parked: BTreeSet<(Instant, u64, u64)>,
    next_turn: u64,
    /// All batches by the time of acceptance of their oldest event.
    ages: BTreeSet<(Instant, u64)>,
    pub(super) attempts: FuturesUnordered<Boxed<FinishedAttempt>>,
    /// Batches whose first part is becoming dead letters.
    pub(super) letter_writes: FuturesUnordered<Boxed<u64>>,
    next_id: u64,
    pub(super) gate: Gate,
}

pub(super) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

struct Batch {
    sealed: SealedBatch,
    /// Its key in the index of ages.
    since: Instant,
}

/// A cheap hash of a batch's id. Ids are counted here, so no attacker can choose them.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }

    fn write_u64(&mut self, id: u64) {
        // The table uses the upper bits of the hash too.
        self.0 = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// An attempt that has ended.
pub(super) struct FinishedAttempt {
    pub(super) id: u64,
    /// The epoch of the gate when it began.
    pub(super) epoch: u64,
    pub(super) took: Duration,
    pub(super) ended: Instant,
    pub(super) outcome: Outcome,
}

impl InFlight {
    pub(super) fn insert(&mut self, sealed: SealedBatch) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let since = sealed.oldest().unwrap_or_else(Instant::now);
        self.ages.insert((since, id));
        self.batches.insert(id, Batch { sealed, since });
        id
    }

    /// Returns the part of a batch that is tried now or next.
    pub(super) fn part(&self, id: u64) -> Option<&Part> {
        self.batches.get(&id)?.sealed.parts.front()
    }

    pub(super) fn part_mut(&mut self, id: u64) -> Option<&mut Part> {
        self.batches.get_mut(&id)?.sealed.parts.front_mut()
    }

    /// Removes the part that was delivered or becomes dead letters. The batch
    /// stays, and keeps its repositories busy, until [`advance`](Self::advance).
    pub(super) fn take_part(&mut self, id: u64) -> Option<Part> {
        self.batches.get_mut(&id)?.sealed.parts.pop_front()
    }

    pub(super) fn park(&mut self, id: u64, due: Instant) {
        self.parked.insert((due, self.next_turn, id));
        self.next_turn += 1;
    }

    /// Takes the parked batch that is due.
    pub(super) fn unpark(&mut self, now: Instant) -> Option<u64> {
        let first = *self.parked.first()?;
        if first.0 > now {
            return None;
        }
        self.parked.remove(&first);
        Some(first.2)
    }

    /// Returns the batches that wait for an attempt.
    pub(super) fn parked_ids(&self) -> Vec<u64> {
        self.parked.iter().map(|(_, _, id)| *id).collect()
    }

    /// Moves the events of a parked batch that are not kept to `given`. A batch
    /// without events ends.
    pub(super) fn retain(
        &mut self,
        id: u64,
        keeps: impl Fn(&Entry) -> bool,
        given: &mut Vec<Entry>,
        queue: &Queue,
    ) {
        let Some(batch) = self.batches.get_mut(&id) else {
            return;
        };
        batch.sealed.parts.retain_mut(|part| {
            part.retain(&keeps, given);
            !part.entries.is_empty()
        });
        if batch.sealed.parts.is_empty() {
            self.parked.retain(|(_, _, parked)| *parked != id);
            self.advance(id, queue, Instant::now());
        } else {
            self.update_age(id);
        }
    }

    /// Returns when the next parked batch is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.parked.first().map(|(due, _, _)| *due)
    }

    /// Halves the first part of a batch. Each half counts `less` attempts fewer, because
    /// they were made at the whole. Returns `false` if the part is a single event. If
    /// the other half is independent of the first, it is parked until `due`.
    pub(super) fn halve(&mut self, id: u64, less: u32, due: Instant) -> bool {
        let Some(batch) = self.batches.get_mut(&id) else {
            return false;
        };
        let Some(part) = batch.sealed.parts.front_mut() else {
            return false;
        };
        let attempts = part.attempts;
        part.attempts = attempts.saturating_sub(less);
        let Some(halves) = batch.sealed.halve() else {
            // The attempts were made at this one event, so they count.
            if let Some(part) = batch.sealed.parts.front_mut() {
                part.attempts = attempts;
            }
            return false;
        };
        if let Halves::Apart(other) = halves {
            self.update_age(id);
            let other = self.insert(other);
            self.park(other, due);
        }
        true
    }

    fn update_age(&mut self, id: u64) {
        if let Some(batch) = self.batches.get_mut(&id) {
            self.ages.remove(&(batch.since, id));
            batch.since = batch.sealed.oldest().unwrap_or(batch.since);
            self.ages.insert((batch.since, id));
        }
    }

    /// Continues after a part was taken: parks the batch for its next part, or, if there
    /// is none, releases its repositories.
    pub(super) fn advance(&mut self, id: u64, queue: &Queue, now: Instant) {
        if self.part(id).is_some() {
            self.update_age(id);
            return self.park(id, now);
        }
        if let Some(batch) = self.batches.remove(&id) {
            self.ages.remove(&(batch.since, id));
            queue.release(batch.sealed.occupied);
        }
    }

    /// Returns when the oldest event that the worker has was accepted.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let sealed = self.ages.first().map(|(since, _)| *since);
        let forming = self.forming.as_ref().and_then(Forming::oldest);
        sealed.into_iter().chain(forming).min()
    }

    /// Returns all events that are not becoming dead letters, oldest batch first.
    pub(super) fn into_entries(self) -> Vec<(Entry, AttemptHistory)> {
        let mut batches: Vec<_> = self.batches.into_iter().collect();
        batches.sort_by_key(|(id, _)| *id);
        let sealed = batches.into_iter();
        let sealed = sealed.flat_map(|(_, batch)| batch.sealed.into_entries());
        let forming = self.forming.map(Forming::into_entries);
        let forming = forming.into_iter().flatten();
        sealed.chain(forming.map(never_attempted)).collect()
    }
}

/// Pairs an event with the account of no attempts.
pub(super) fn never_attempted(entry: Entry) -> (Entry, AttemptHistory) {
    (entry, AttemptHistory::default())
}
