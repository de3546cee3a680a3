//! Several events in one request: [`Batch`].

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::event::{Encoded, Encoding, SharedEvent};
use crate::queue::{Entry, Lanes, MemoryQueue};

/// How many events go into one request.
///
/// A batch goes out as soon as it is full, or its first event has waited for
/// [`linger`](Self::linger). A batch that the receiver rejects for good is
/// split until the culprit is alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub(super) events: usize,
    pub(super) bytes: usize,
    pub(super) linger: Duration,
}

impl Batch {
    /// At most so many events in a request; 1 is one event each, as in the
    /// reference.
    pub fn of(events: usize) -> Self {
        Self {
            events,
            bytes: 1 << 20,
            linger: Duration::ZERO,
        }
    }

    /// Most bytes of events in a request's body; an event that is larger goes
    /// alone. Default: 1 MiB.
    #[must_use]
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// How long a batch that is not full waits for more events. Default: not
    /// at all: what has come while the last batch was under way goes together.
    #[must_use]
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }
}

/// A batch in the making.
#[derive(Debug)]
pub(super) struct Forming {
    events: Vec<SharedEvent>,
    encoded: Vec<Encoded>,
    bytes: usize,
    full: bool,
    /// Since when its first event is on its way.
    since: Instant,
}

impl Forming {
    /// Takes from the queue what fits.
    pub(super) fn fill(
        forming: &mut Option<Self>,
        queue: &MemoryQueue,
        batch: &Batch,
        encoding: Encoding,
    ) {
        while forming.as_ref().is_none_or(|it| !it.full) {
            let Some(entry) = queue.take() else { return };
            let forming = forming.get_or_insert_with(|| Self {
                events: Vec::with_capacity(1),
                encoded: Vec::new(),
                bytes: 0,
                full: false,
                since: entry.event.since(),
            });
            if let Err(entry) = forming.add(entry, batch, encoding) {
                queue.put_back(entry);
            }
        }
    }

    fn add(&mut self, entry: Entry, batch: &Batch, encoding: Encoding) -> Result<(), Entry> {
        if batch.events > 1 {
            let encoded = entry.event.encoded(encoding);
            let bytes = self.bytes + encoded.event().len();
            if bytes > batch.bytes && !self.events.is_empty() {
                self.full = true;
                return Err(entry);
            }
            self.bytes = bytes;
            self.encoded.push(encoded);
        }
        self.events.push(entry.event);
        self.full = self.events.len() >= batch.events || self.bytes >= batch.bytes;
        Ok(())
    }

    /// When the batch must go out.
    pub(super) fn due(&self, batch: &Batch) -> Instant {
        match self.full {
            true => self.since,
            false => after(self.since, batch.linger),
        }
    }

    /// Since when its oldest event is on its way.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.events.iter().map(SharedEvent::since).min()
    }

    /// The batch as it goes out: from now on its repositories are busy.
    pub(super) fn seal(self, queue: &MemoryQueue) -> Consignment {
        let lanes = queue.seal(&self.events);
        let since = self.oldest().unwrap_or(self.since);
        let part = Part {
            events: self.events,
            encoded: self.encoded,
            attempts: 0,
            first_attempt: None,
            last_attempt: None,
        };
        Consignment {
            parts: VecDeque::from([part]),
            lanes,
            since,
        }
    }

    pub(super) fn into_events(self) -> Vec<SharedEvent> {
        self.events
    }
}

/// `wait` after `start`; a wait beyond all measure is a year.
pub(super) fn after(start: Instant, wait: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    start + wait.min(YEAR)
}

/// A batch under way, with the repositories that it keeps busy. It is one part,
/// until it is split.
#[derive(Debug)]
pub(super) struct Consignment {
    pub(super) parts: VecDeque<Part>,
    pub(super) lanes: Lanes,
    /// Since when its oldest event is on its way.
    pub(super) since: Instant,
}

impl Consignment {
    /// Splits the part that was just tried in two halves, if it can be.
    pub(super) fn split(&mut self) -> bool {
        let Some(part) = self.parts.front_mut() else {
            return false;
        };
        if part.events.len() < 2 {
            return false;
        }
        part.encoded = Vec::new();
        // That attempt was at the batch. Those at the halves are still to come.
        part.attempts = part.attempts.saturating_sub(1);
        let second = Part {
            events: part.events.split_off(part.events.len() / 2),
            ..part.clone()
        };
        self.parts.insert(1, second);
        true
    }

    pub(super) fn into_events(self) -> impl Iterator<Item = (SharedEvent, Tried)> {
        self.parts.into_iter().flat_map(|part| {
            let tried = part.tried();
            part.events
                .into_iter()
                .map(move |event| (event, tried.clone()))
        })
    }
}

/// What goes out in one request.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    pub(super) events: Vec<SharedEvent>,
    /// Encodings, as long as no attempt has failed.
    encoded: Vec<Encoded>,
    pub(super) attempts: u32,
    first_attempt: Option<SystemTime>,
    last_attempt: Option<SystemTime>,
}

/// How often and when an event was tried.
#[derive(Clone, Debug, Default)]
pub(super) struct Tried {
    pub(super) attempts: u32,
    pub(super) first: Option<SystemTime>,
    pub(super) last: Option<SystemTime>,
}

impl Part {
    /// An attempt begins; gives the encodings of its events.
    pub(super) fn begin(&mut self, encoding: Encoding) -> Vec<Encoded> {
        let now = SystemTime::now();
        self.attempts = self.attempts.saturating_add(1);
        self.first_attempt.get_or_insert(now);
        self.last_attempt = Some(now);
        match self.encoded.is_empty() {
            // Not kept while the part waits: they may be large, and the wait long.
            false => std::mem::take(&mut self.encoded),
            true => self
                .events
                .iter()
                .map(|event| event.encoded(encoding))
                .collect(),
        }
    }

    /// The same in each attempt at these events, and in no other request.
    pub(super) fn id(&self) -> String {
        match &*self.events {
            [one] => one.id().to_string(),
            many => {
                let mut hash = Sha256::new();
                for event in many {
                    hash.update(event.id().as_str());
                    hash.update(",");
                }
                format!("{:x}", hash.finalize())
            }
        }
    }

    /// The trace that all of its events belong to.
    pub(super) fn trace_parent(&self) -> Option<&str> {
        let first = self.events.first()?.trace_parent();
        let same = |event: &SharedEvent| event.trace_parent() == first;
        (!first.is_empty() && self.events.iter().all(same)).then_some(first)
    }

    /// How long the oldest of its events is on its way.
    pub(super) fn age(&self) -> Duration {
        let since = self.events.iter().map(SharedEvent::since).min();
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    pub(super) fn tried(&self) -> Tried {
        Tried {
            attempts: self.attempts,
            first: self.first_attempt,
            last: self.last_attempt,
        }
    }
}
