//! What an endpoint tells of itself: as a snapshot, and as metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use http::StatusCode;
use metrics::Counter;
use serde::{Serialize, Serializer};
use tokio::time::Instant;

use super::dead_letter::Reason;
use super::delivery::status_text;
use crate::event::SharedEvent;
use crate::metrics::EndpointMetrics;

/// What became of an endpoint's events so far, and how it is now. No secret is
/// in it.
///
/// In JSON the fields have the names that they have here, but that durations
/// are in seconds and their names end so. Times are RFC 3339, and what there is
/// not is `null`:
///
/// ```json
/// {
///   "name": "ci",
///   "url": "https://ci.example.com/events",
///   "settings": { "concurrency": "1", "format": "V2", "headers": "1", "…": "…" },
///   "state": "waiting",
///   "failures_in_a_row": 3,
///   "left_alone_for_seconds": 2.5,
///   "pending": 12,
///   "pending_bytes": 9120,
///   "oldest_pending_seconds": 61.2,
///   "events": 4711,
///   "successes": 4698,
///   "failures": 4,
///   "errors": 2,
///   "retries": 5,
///   "dead_letters": 1,
///   "lost": 0,
///   "statuses": { "200 OK": 4698, "400 Bad Request": 1, "503 Service Unavailable": 3 },
///   "last_error": "503 Service Unavailable",
///   "last_error_at": "2025-11-24T10:27:29.123456789Z",
///   "last_success_at": "2025-11-24T10:26:28.5Z"
/// }
/// ```
///
/// The reference's status page (`registry.notifications.endpoints` in its
/// `expvar`) has `name`, `url`, the configuration, and as `Metrics` the fields
/// `Pending`, `Events`, `Successes`, `Failures`, `Errors` and `Statuses`, which
/// mean the same there.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct EndpointStatus {
    /// Name of the endpoint.
    pub name: String,
    /// Where it posts, without user info. A secret in path or query is shown:
    /// it belongs into a [header](crate::EndpointBuilder::header).
    pub url: String,
    /// Its other settings, as text for people. Of headers, signing secrets and
    /// root certificates only the number is told.
    pub settings: BTreeMap<&'static str, String>,
    /// Does it deliver?
    pub state: EndpointState,
    /// Attempts in a row that have failed, of whatever event.
    pub failures_in_a_row: u32,
    /// For how long the endpoint is left alone from now on.
    #[serde(rename = "left_alone_for_seconds", serialize_with = "seconds")]
    pub left_alone_for: Option<Duration>,
    /// Events that wait or are under way.
    pub pending: u64,
    /// The bytes that they take in memory.
    pub pending_bytes: u64,
    /// How long the oldest of them has waited.
    #[serde(rename = "oldest_pending_seconds", serialize_with = "seconds")]
    pub oldest_pending: Option<Duration>,
    /// Events that the queue has taken.
    pub events: u64,
    /// Events that the receiver has accepted.
    pub successes: u64,
    /// Attempts that the receiver answered, but not with success.
    pub failures: u64,
    /// Attempts that got no answer.
    pub errors: u64,
    /// Attempts that were not the first at their events.
    pub retries: u64,
    /// Events that will not be tried again, for whatever reason.
    pub dead_letters: u64,
    /// Those of them that no sink of dead letters has.
    pub lost: u64,
    /// Answers by status, `200 OK`.
    pub statuses: BTreeMap<String, u64>,
    /// What the last attempt that failed came to.
    pub last_error: Option<String>,
    /// When that was.
    #[serde(with = "crate::event::optional_timestamp")]
    pub last_error_at: Option<SystemTime>,
    /// When the receiver has accepted something last.
    #[serde(with = "crate::event::optional_timestamp")]
    pub last_success_at: Option<SystemTime>,
}

/// Does an endpoint deliver?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum EndpointState {
    /// Yes.
    Delivering,
    /// It is left alone for a while, after failures or because the receiver
    /// has asked for it. In the words of the reference: the breaker is open.
    Waiting,
    /// It gets nothing: the receiver said that it is gone, and nobody has
    /// [enabled](crate::Notifier::enable) it again.
    Disabled,
}

fn seconds<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration
        .map(|duration| duration.as_secs_f64())
        .serialize(serializer)
}

/// Counts what happens to an endpoint's events.
pub(super) struct Counts {
    metrics: EndpointMetrics,
    events: AtomicU64,
    dead_letters: AtomicU64,
    lost: AtomicU64,
    tally: Mutex<Tally>,
    told: Mutex<Told>,
}

/// What the log was told of, so that it is not told again and again.
#[derive(Default)]
struct Told {
    failing: Burst,
    giving_up: Burst,
    losing: Burst,
}

/// Something bad that may go on for long. The log is told once, until it is
/// over, and not again soon after that: a receiver that fails now and then is
/// no news each time.
#[derive(Default)]
struct Burst {
    on: bool,
    told: Option<Instant>,
}

/// How long a burst that was told keeps those after it silent.
const QUIET: Duration = Duration::from_secs(5 * 60);

impl Burst {
    /// It happens. True if the log is to be told.
    fn happens(&mut self) -> bool {
        let now = Instant::now();
        let recent = self.told.is_some_and(|told| now < told + QUIET);
        if self.on || recent {
            return false;
        }
        self.on = true;
        self.told = Some(now);
        true
    }

    /// It is over. True if the log was told that it began.
    fn ends(&mut self) -> bool {
        std::mem::take(&mut self.on)
    }
}

/// What only the worker changes.
#[derive(Default)]
struct Tally {
    successes: u64,
    failures: u64,
    errors: u64,
    retries: u64,
    statuses: BTreeMap<StatusCode, (u64, Counter)>,
    last_error: Option<(String, SystemTime)>,
    last_success: Option<SystemTime>,
    failures_in_a_row: u32,
    left_alone_until: Option<Instant>,
    /// Since when the oldest event that the worker has is on its way.
    oldest: Option<Instant>,
}

impl Counts {
    pub(super) fn new(name: &str) -> Self {
        Self {
            metrics: EndpointMetrics::new(name),
            events: AtomicU64::new(0),
            dead_letters: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            tally: Mutex::default(),
            told: Mutex::default(),
        }
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The queue has taken an event.
    pub(super) fn taken(&self) {
        self.events.fetch_add(1, Ordering::Relaxed);
        self.metrics.events.increment(1);
    }

    /// An event will not be tried again. True if the log is to be told.
    pub(super) fn dead(&self, reason: Reason) -> bool {
        self.dead_letters.fetch_add(1, Ordering::Relaxed);
        self.metrics.dead_letters(reason).increment(1);
        self.told().giving_up.happens()
    }

    /// Nothing has the event. True if the log is to be told.
    pub(super) fn lost(&self) -> bool {
        self.lost.fetch_add(1, Ordering::Relaxed);
        self.metrics.lost.increment(1);
        self.told().losing.happens()
    }

    /// The n-th attempt at so many events begins.
    pub(super) fn began(&self, events: usize, attempt: u32) {
        self.metrics.batch.record(events as f64);
        if attempt > 1 {
            self.tally().retries += 1;
            self.metrics.retries.increment(1);
        }
    }

    /// An attempt took so long.
    pub(super) fn ended(&self, duration: Duration) {
        self.metrics.delivery.record(duration);
    }

    pub(super) fn accepted(&self, status: StatusCode, events: &[SharedEvent]) {
        let mut tally = self.tally();
        tally.successes += events.len() as u64;
        tally.last_success = Some(SystemTime::now());
        self.answered(&mut tally, status);
        drop(tally);
        self.metrics.successes.increment(events.len() as u64);
        for event in events {
            self.metrics.end_to_end.record(event.since().elapsed());
        }
        let mut told = self.told();
        told.giving_up.ends();
        told.losing.ends();
    }

    /// The endpoint fails. True if the log is to be told.
    pub(super) fn fails(&self) -> bool {
        self.told().failing.happens()
    }

    /// The receiver answers. True if the log was told that the endpoint fails.
    pub(super) fn works(&self) -> bool {
        self.told().failing.ends()
    }

    /// An attempt failed, with the receiver's answer or without.
    pub(super) fn failed(&self, status: Option<StatusCode>, error: &str) {
        let mut tally = self.tally();
        match status {
            Some(status) => {
                tally.failures += 1;
                self.metrics.failures.increment(1);
                self.answered(&mut tally, status);
            }
            None => {
                tally.errors += 1;
                self.metrics.errors.increment(1);
            }
        }
        tally.last_error = Some((error.into(), SystemTime::now()));
    }

    fn answered(&self, tally: &mut Tally, status: StatusCode) {
        let of_status = || (0, self.metrics.status(&status_text(status)));
        let (count, metric) = tally.statuses.entry(status).or_insert_with(of_status);
        *count += 1;
        metric.increment(1);
    }

    pub(super) fn gate(&self, failures_in_a_row: u32, until: Option<Instant>) {
        let mut tally = self.tally();
        tally.failures_in_a_row = failures_in_a_row;
        tally.left_alone_until = until;
    }

    /// So many events are not delivered; since when the oldest ones are on
    /// their way, of those that the worker has and of those in the queue.
    pub(super) fn pending(&self, events: usize, ours: Option<Instant>, queued: Option<Instant>) {
        self.tally().oldest = ours;
        let oldest = ours.into_iter().chain(queued).min();
        let age = oldest.map_or(Duration::ZERO, |since| since.elapsed());
        self.metrics.pending.set(events as f64);
        self.metrics.queue_age.set(age.as_secs_f64());
    }

    /// All that is known here; the rest is empty.
    pub(super) fn snapshot(&self, queued: Option<Instant>) -> EndpointStatus {
        let tally = self.tally();
        let now = Instant::now();
        let left_alone_for = tally
            .left_alone_until
            .and_then(|until| until.checked_duration_since(now))
            .filter(|wait| !wait.is_zero());
        let oldest = tally.oldest.into_iter().chain(queued).min();
        let (last_error, last_error_at) = tally.last_error.clone().unzip();
        EndpointStatus {
            name: String::new(),
            url: String::new(),
            settings: BTreeMap::new(),
            state: match left_alone_for {
                Some(_) => EndpointState::Waiting,
                None => EndpointState::Delivering,
            },
            failures_in_a_row: tally.failures_in_a_row,
            left_alone_for,
            pending: 0,
            pending_bytes: 0,
            oldest_pending: oldest.map(|since| now.saturating_duration_since(since)),
            events: self.events.load(Ordering::Relaxed),
            successes: tally.successes,
            failures: tally.failures,
            errors: tally.errors,
            retries: tally.retries,
            dead_letters: self.dead_letters.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            statuses: tally
                .statuses
                .iter()
                .map(|(status, (count, _))| (status_text(*status), *count))
                .collect(),
            last_error,
            last_error_at,
            last_success_at: tally.last_success,
        }
    }
}
