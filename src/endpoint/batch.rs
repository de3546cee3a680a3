//! Several events in one request: [`Batch`].

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::event::{Encoded, Encoding};
use crate::queue::{Entry, Occupied, Queue};

/// How many events go into one request.
///
/// A batch goes out as soon as it is full, or its first event has waited for
/// [`linger`](Self::linger). A batch that the receiver rejects, that fails more
/// than once, or that is to be given up is halved until the culprit is alone, so
/// that one event never takes others with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub(super) events: usize,
    pub(super) bytes: usize,
    pub(super) linger: Duration,
}

impl Batch {
    /// Posts at most so many events in a request; 1 is one event each, as in the
    /// reference.
    pub fn of(events: usize) -> Self {
        Self {
            events,
            bytes: 1 << 20,
            linger: Duration::ZERO,
        }
    }

    /// Sets the most bytes of events in a request's body. An event that is larger
    /// goes alone. Defaults to 1 MiB.
    #[must_use]
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// Sets how long a batch that is not full waits for more events. Defaults to
    /// zero: events that came while the last batch was under way go together.
    #[must_use]
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }
}

impl Batch {
    /// Returns the bounds as the status shows them.
    pub(super) fn shown(&self) -> Value {
        json!({
            "events": self.events,
            "bytes": self.bytes,
            "linger_seconds": self.linger.as_secs_f64(),
        })
    }
}

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
    /// Takes from the queue what fits.
    pub(super) fn fill(
        forming: &mut Option<Self>,
        queue: &Arc<Queue>,
        batch: &Batch,
        encoding: &Encoding,
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

    fn add(&mut self, entry: Entry, batch: &Batch, encoding: &Encoding) -> Result<(), Entry> {
        if batch.events > 1 {
            let encoded = entry.event.encoded(encoding);
            let bytes = self.bytes + encoded.event().len();
            if bytes > batch.bytes && !self.entries.is_empty() {
                self.full = true;
                return Err(entry);
            }
            self.bytes = bytes;
            self.encoded.push(encoded);
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
            self.bytes -= own.map_or(0, |own| own.event().len());
            self.full = false;
            given.push(entry);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// When the batch must go out.
    pub(super) fn due(&self, batch: &Batch) -> Instant {
        match self.full {
            true => self.since,
            false => after(self.since, batch.linger),
        }
    }

    /// When its oldest event was accepted.
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

/// `wait` after `start`; a wait beyond all measure is a year.
pub(super) fn after(start: Instant, wait: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    start + wait.min(YEAR)
}

/// A batch under way, with the repositories that it keeps busy.
///
/// It has one part until it is halved. Several parts are of one repository
/// always, and are tried in order: the next one when the first is done.
#[derive(Debug)]
pub(super) struct SealedBatch {
    pub(super) parts: VecDeque<Part>,
    pub(super) occupied: Occupied,
}

/// How a batch was halved.
pub(super) enum Halves {
    /// The events are of one repository: the batch has another part behind the
    /// first.
    InOrder,
    /// The other half is of other repositories, and goes on by itself.
    Apart(SealedBatch),
}

impl SealedBatch {
    /// Halves the first part, if it has more than one event.
    ///
    /// Events of different repositories are separated first. Nothing has to be
    /// in order between them, so that neither half waits for the other.
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

    /// When its oldest event was accepted.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.parts.iter().filter_map(Part::oldest).min()
    }

    pub(super) fn into_entries(self) -> impl Iterator<Item = (Entry, Tried)> {
        self.parts.into_iter().flat_map(Part::into_entries)
    }
}

/// The events of one request.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) entries: Vec<Entry>,
    /// The encodings, as long as no attempt has failed.
    encoded: Vec<Encoded>,
    pub(super) attempts: u32,
    first_attempt: Option<SystemTime>,
    last_attempt: Option<SystemTime>,
}

/// How often and when an event was tried.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tried {
    pub(super) attempts: u32,
    pub(super) first: Option<SystemTime>,
    pub(super) last: Option<SystemTime>,
}

impl Part {
    /// A part without events that was tried as often as this one.
    fn clone_attempts(&self) -> Self {
        Self {
            attempts: self.attempts,
            first_attempt: self.first_attempt,
            last_attempt: self.last_attempt,
            ..Self::default()
        }
    }

    /// The first repositories, until they have `half` of the events. Never all
    /// of them, unless there is only one.
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

    /// Begins an attempt and returns the encodings of the events.
    pub(super) fn begin(&mut self, encoding: &Encoding) -> Vec<Encoded> {
        let now = SystemTime::now();
        self.attempts = self.attempts.saturating_add(1);
        self.first_attempt.get_or_insert(now);
        self.last_attempt = Some(now);
        match self.encoded.is_empty() {
            // Not kept while the part waits: they may be large, and the wait long.
            false => std::mem::take(&mut self.encoded),
            true => {
                let events = self.entries.iter().map(|entry| &entry.event);
                events.map(|event| event.encoded(encoding)).collect()
            }
        }
    }

    /// The same in each attempt at these events, and in no other request.
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

    /// The trace that all of the events belong to.
    pub(super) fn trace_parent(&self) -> Option<&str> {
        let first = self.entries.first()?.event.trace_parent();
        let same = |entry: &Entry| entry.event.trace_parent() == first;
        (!first.is_empty() && self.entries.iter().all(same)).then_some(first)
    }

    fn oldest(&self) -> Option<Instant> {
        self.entries.iter().map(Entry::since).min()
    }

    /// The age of the oldest event.
    pub(super) fn age(&self) -> Duration {
        self.oldest()
            .map_or(Duration::ZERO, |since| since.elapsed())
    }

    pub(super) fn tried(&self) -> Tried {
        Tried {
            attempts: self.attempts,
            first: self.first_attempt,
            last: self.last_attempt,
        }
    }

    /// Its events, each with how often and when it was tried.
    pub(super) fn into_entries(self) -> impl Iterator<Item = (Entry, Tried)> {
        let tried = self.tried();
        let entries = self.entries.into_iter();
        entries.map(move |entry| (entry, tried.clone()))
    }
}
