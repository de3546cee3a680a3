//! Batches from the queue to the request: [`Forming`], [`SealedBatch`], [`Part`].
//!
//! A batch is [formed](Forming) from the queue, [sealed](SealedBatch), which makes its
//! repositories busy, and sent as [parts](Part): one at first, more once it was halved.
//! Parts of one batch that share a repository are never under way at the same time.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::batch_settings::Batch;
use crate::event::{Encoded, Encoding};
use crate::queue::{BusyRepositories, Entry, Queue, Threshold};

/// A batch that events are added to.
#[derive(Debug)]
pub(super) struct Forming {
    entries: Vec<Entry>,
    encoded: Vec<Encoded>,
    bytes: usize,
    full: bool,
    /// When its first event was accepted.
    since: Instant,
}

impl Forming {
    /// Takes from the queue what fits. Events that are not encoded count as large as they
    /// are in memory.
    pub(super) fn fill(
        forming: &mut Option<Self>,
        queue: &Arc<Queue>,
        batch: &Batch,
        encoding: Option<&Encoding>,
    ) {
        while forming.as_ref().is_none_or(|it| !it.full) {
            let Some(entry) = queue.take() else { return };
            let forming = forming.get_or_insert_with(|| Self {
                entries: Vec::with_capacity(1),
                encoded: Vec::new(),
                bytes: 0,
                full: false,
                since: entry.since(),
            });
            if let Err(entry) = forming.add(entry, batch, encoding) {
                queue.put_back(entry);
            }
        }
    }

    fn add(
        &mut self,
        entry: Entry,
        batch: &Batch,
        encoding: Option<&Encoding>,
    ) -> Result<(), Entry> {
        if batch.events > 1 {
            let encoded = encoding.map(|encoding| entry.event.encoded(encoding));
            let bytes = self.bytes + size(&entry, encoded.as_ref());
            if bytes > batch.bytes && !self.entries.is_empty() {
                self.full = true;
                return Err(entry);
            }
            self.bytes = bytes;
            self.encoded.extend(encoded);
        }
        self.entries.push(entry);
        self.full = self.entries.len() >= batch.events || self.bytes >= batch.bytes;
        Ok(())
    }

    /// Moves the events that are not kept to `given`.
    pub(super) fn retain(&mut self, keeps: impl Fn(&Entry) -> bool, given: &mut Vec<Entry>) {
        let entries = std::mem::take(&mut self.entries);
        let encoded = std::mem::take(&mut self.encoded);
        let mut encoded = encoded.into_iter();
        for entry in entries {
            let own = encoded.next();
            if keeps(&entry) {
                self.entries.push(entry);
                self.encoded.extend(own);
                continue;
            }
            self.bytes = self.bytes.saturating_sub(size(&entry, own.as_ref()));
            self.full = false;
            given.push(entry);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns how much more has to wait before the batch may be full. How many bytes that
    /// is shows only when events are encoded, so it is less than what is likely to fill it.
    pub(super) fn lacks(&self, batch: &Batch) -> Threshold {
        let left = batch.bytes.saturating_sub(self.bytes);
        let left = match self.encoded.is_empty() {
            true => left,
            false => left / GROWTH,
        };
        Threshold {
            events: batch.events.saturating_sub(self.entries.len()).max(1),
            bytes: left.max(1),
        }
    }

    /// Returns when the batch must be sent.
    pub(super) fn due(&self, batch: &Batch) -> Instant {
        match self.full {
            true => self.since,
            false => after(self.since, batch.linger),
        }
    }

    /// Returns when its oldest event was accepted.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.entries.iter().map(Entry::since).min()
    }

    /// Closes the batch: from now on its repositories are busy.
    pub(super) fn seal(self, queue: &Queue) -> SealedBatch {
        SealedBatch {
            occupied: queue.occupy(&self.entries),
            parts: VecDeque::from([Part {
                entries: self.entries,
                encoded: self.encoded,
                ..Part::default()
            }]),
        }
    }

    pub(super) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }
}

/// How many times larger than in memory nearly all events are at most when they are
/// encoded.
const GROWTH: usize = 4;

/// Returns the bytes that an event counts in a batch.
fn size(entry: &Entry, encoded: Option<&Encoded>) -> usize {
    encoded.map_or_else(|| entry.event.memory(), |encoded| encoded.event().len())
}

/// Returns the time `wait` after `start`. A wait of more than a year counts as a
/// year, so that the sum does not overflow.
pub(super) fn after(start: Instant, wait: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    start + wait.min(YEAR)
}

/// A batch under way, with the repositories that it keeps busy.
///
/// It has one part until it is halved. If it has several, all of them are of one
/// repository and are tried in order: the next one when the first is done.
#[derive(Debug)]
pub(super) struct SealedBatch {
    pub(super) parts: VecDeque<Part>,
    pub(super) occupied: BusyRepositories,
}

/// How a batch was halved.
pub(super) enum Halves {
    /// The events are of one repository: the batch has another part behind the
    /// first.
    InOrder,
    /// The other half is of other repositories, and continues as a batch of its own.
    Apart(SealedBatch),
}

impl SealedBatch {
    /// Halves the first part, if it has more than one event.
    ///
    /// Events of different repositories are separated first. Their order does not
    /// matter, so neither half waits for the other.
    pub(super) fn halve(&mut self) -> Option<Halves> {
        let part = self.parts.front_mut().filter(|it| it.entries.len() > 1)?;
        part.encoded = Vec::new();
        let half = part.entries.len() / 2;
        let ours = part.repositories(half);
        let apart = part
            .entries
            .iter()
            .any(|it| !ours.contains(it.repository()));
        if !apart {
            let second = Part {
                entries: part.entries.split_off(half),
                ..part.clone_attempts()
            };
            self.parts.insert(1, second);
            return Some(Halves::InOrder);
        }
        let is_theirs = |repository: &str| !ours.contains(repository);
        let entries = std::mem::take(&mut part.entries);
        let (theirs, kept) = entries
            .into_iter()
            .partition(|it| is_theirs(it.repository()));
        let second = Part {
            entries: theirs,
            ..part.clone_attempts()
        };
        part.entries = kept;
        Some(Halves::Apart(Self {
            parts: VecDeque::from([second]),
            occupied: self.occupied.split_off(is_theirs),
        }))
    }

    /// Returns when its oldest event was accepted.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.parts.iter().filter_map(Part::oldest).min()
    }

    pub(super) fn into_entries(self) -> impl Iterator<Item = (Entry, AttemptHistory)> {
        self.parts.into_iter().flat_map(Part::into_entries)
    }
}

/// The events of one request.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) entries: Vec<Entry>,
    /// The encodings, until the first attempt takes them.
    encoded: Vec<Encoded>,
    pub(super) attempts: u32,
    first_attempt: Option<SystemTime>,
    last_attempt: Option<SystemTime>,
}

/// The number and times of the attempts to deliver an event.
#[derive(Clone, Debug, Default)]
pub(crate) struct AttemptHistory {
    pub(super) attempts: u32,
    pub(super) first: Option<SystemTime>,
    pub(super) last: Option<SystemTime>,
}

impl Part {
    /// Returns a part without events that counts the same attempts.
    fn clone_attempts(&self) -> Self {
        Self {
            attempts: self.attempts,
            first_attempt: self.first_attempt,
            last_attempt: self.last_attempt,
            ..Self::default()
        }
    }

    /// Returns the first repositories, as many as have `half` of the events. Never
    /// returns all of them unless there is only one.
    fn repositories(&self, half: usize) -> HashSet<String> {
        let mut counts = HashMap::new();
        for entry in &self.entries {
            *counts.entry(entry.repository()).or_insert(0) += 1;
        }
        let (mut ours, mut events) = (HashSet::new(), 0);
        for entry in &self.entries {
            if events >= half || (ours.len() + 1 >= counts.len() && !ours.is_empty()) {
                break;
            }
            if ours.insert(entry.repository().to_owned()) {
                events += counts.get(entry.repository()).copied().unwrap_or(0);
            }
        }
        ours
    }

    /// Moves the events that are not kept to `given`.
    pub(super) fn retain(&mut self, keeps: impl Fn(&Entry) -> bool, given: &mut Vec<Entry>) {
        let (kept, others) = std::mem::take(&mut self.entries)
            .into_iter()
            .partition(keeps);
        self.entries = kept;
        let others: Vec<_> = others;
        if !others.is_empty() {
            self.encoded = Vec::new();
        }
        given.extend(others);
    }

    /// Begins an attempt and returns the encodings of the events, or none without an
    /// encoding.
    pub(super) fn begin(&mut self, encoding: Option<&Encoding>) -> Vec<Encoded> {
        let now = SystemTime::now();
        self.attempts = self.attempts.saturating_add(1);
        self.first_attempt.get_or_insert(now);
        self.last_attempt = Some(now);
        match self.encoded.is_empty() {
            // Taken, not cloned: while the part waits for another attempt, which may
            // take days, the encodings must not occupy memory.
            false => std::mem::take(&mut self.encoded),
            true => {
                let encoded = |encoding| {
                    self.entries
                        .iter()
                        .map(move |it| it.event.encoded(encoding))
                };
                encoding.into_iter().flat_map(encoded).collect()
            }
        }
    }

    /// Returns an id that is the same in each attempt at these events and differs
    /// from that of every other request.
    pub(super) fn id(&self) -> String {
        match &*self.entries {
            [one] => one.event.id().to_string(),
            many => {
                let mut hash = Sha256::new();
                for entry in many {
                    hash.update(entry.event.id().as_str());
                    hash.update(",");
                }
                format!("{:x}", hash.finalize())
            }
        }
    }

    /// Returns the trace that the events belong to, if it is the same for all.
    pub(super) fn trace_parent(&self) -> Option<&str> {
        let first = self.entries.first()?.event.trace_parent();
        let same = |entry: &Entry| entry.event.trace_parent() == first;
        (!first.is_empty() && self.entries.iter().all(same)).then_some(first)
    }

    fn oldest(&self) -> Option<Instant> {
        self.entries.iter().map(Entry::since).min()
    }

    /// Returns the age of the oldest event.
    pub(super) fn age(&self) -> Duration {
        self.oldest()
            .map_or(Duration::ZERO, |since| since.elapsed())
    }

    pub(super) fn history(&self) -> AttemptHistory {
        AttemptHistory {
            attempts: self.attempts,
            first: self.first_attempt,
            last: self.last_attempt,
        }
    }

    /// Returns its events, each with the history of its attempts.
    pub(super) fn into_entries(self) -> impl Iterator<Item = (Entry, AttemptHistory)> {
        let history = self.history();
        let entries = self.entries.into_iter();
        entries.map(move |entry| (entry, history.clone()))
    }
}
