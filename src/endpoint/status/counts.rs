//! Counts what happens to an endpoint's events: [`Counts`].
//!
//! The invariant: each event is counted once as written and once at its end, so that
//! `events` = `successes` + `dead_letters` + `pending` whenever nothing is being
//! written. Counters are atomic, because writers and the worker share them; what only
//! the worker changes is behind a lock, so that a snapshot is consistent.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use http::StatusCode;
use metrics::Counter;
use tokio::time::Instant;

use super::history::{HistoryRecorder, Totals};
use super::recorder::Recorder;
use super::snapshot::{EndpointState, EndpointStatus};
use super::throttle::Throttle;
use crate::endpoint::dead_letter::Reason;
use crate::endpoint::delivery::status_text;
use crate::queue::Entry;

/// Counts what happens to an endpoint's events.
pub(crate) struct Counts {
    metrics: Recorder,
    events: AtomicU64,
    dead_letters: AtomicU64,
    lost: AtomicU64,
    unsupported: AtomicU64,
    tally: Mutex<Tally>,
    log: Mutex<Log>,
}

/// The conditions that were logged, so that they are not logged for every event.
#[derive(Default)]
struct Log {
    failing: Throttle,
    giving_up: Throttle,
    losing: Throttle,
    too_large: Throttle,
}

/// Counts and times that only the worker changes.
struct Tally {
    successes: u64,
    failures: u64,
    errors: u64,
    retries: u64,
    statuses: BTreeMap<StatusCode, (u64, Counter)>,
    last_error: Option<(String, SystemTime)>,
    last_success: Option<SystemTime>,
    failing_since: Option<SystemTime>,
    failures_in_a_row: u32,
    paused_until: Option<Instant>,
    /// When events that failed are due again.
    next_due: Option<Instant>,
    /// When the oldest event that the worker has was accepted.
    oldest: Option<Instant>,
    history: HistoryRecorder,
}

impl Tally {
    fn new() -> Self {
        Self {
            successes: 0,
            failures: 0,
            errors: 0,
            retries: 0,
            statuses: BTreeMap::new(),
            last_error: None,
            last_success: None,
            failing_since: None,
            failures_in_a_row: 0,
            paused_until: None,
            next_due: None,
            oldest: None,
            history: HistoryRecorder::new(),
        }
    }

    fn totals(&self, events: u64) -> Totals {
        Totals {
            events,
            successes: self.successes,
            failures: self.failures + self.errors,
        }
    }

    /// Returns when the next attempt at events that failed is due, which is not before
    /// the pause of the endpoint ends.
    fn next_attempt(&self, now: Instant) -> Option<Instant> {
        let paused = self.paused_until.filter(|until| *until > now);
        let due = self.next_due.filter(|due| *due > now);
        match (paused, due) {
            (Some(paused), Some(due)) => Some(paused.max(due)),
            (paused, due) => paused.or(due),
        }
    }
}

impl Counts {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            metrics: Recorder::new(name),
            events: AtomicU64::new(0),
            dead_letters: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            unsupported: AtomicU64::new(0),
            tally: Mutex::new(Tally::new()),
            log: Mutex::default(),
        }
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the tally to count something at `now`, and first ends the slots of the
    /// history whose time is over.
    fn tally_at(&self, now: Instant) -> MutexGuard<'_, Tally> {
        let mut tally = self.tally();
        let totals = tally.totals(self.events.load(Ordering::Relaxed));
        tally.history.advance(now, totals);
        tally
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts events that the queue has accepted, or refused for good.
    pub(crate) fn written(&self, events: usize) {
        // `Relaxed` suffices for all counters here: no other memory is read because of them.
        self.events.fetch_add(events as u64, Ordering::Relaxed);
        self.metrics.events.increment(events as u64);
    }

    /// Counts an event that the filter wants and the format cannot carry.
    pub(crate) fn unsupported(&self) {
        self.unsupported.fetch_add(1, Ordering::Relaxed);
        self.metrics.unsupported.increment(1);
    }

    /// Notes that an event becomes a dead letter. Returns whether to log it.
    pub(crate) fn gives_up(&self) -> bool {
        self.log().giving_up.happens()
    }

    /// Notes that an event is larger than the queue's byte limit. Returns whether to
    /// log it.
    pub(crate) fn too_large(&self) -> bool {
        let mut log = self.log();
        // Each such event stands by itself, so only the time limits how often it is logged.
        log.too_large.ends();
        log.too_large.happens()
    }

    /// Counts events that became dead letters, whether kept or lost.
    pub(crate) fn dead(&self, reason: Reason, events: usize) {
        self.dead_letters
            .fetch_add(events as u64, Ordering::Relaxed);
        self.metrics.dead_letters(reason).increment(events as u64);
    }

    /// Counts events that are lost. Returns whether to log it.
    pub(crate) fn lost(&self, events: usize) -> bool {
        self.lost.fetch_add(events as u64, Ordering::Relaxed);
        self.metrics.lost.increment(events as u64);
        self.log().losing.happens()
    }

    /// Returns how many events became dead letters, and how many of them are
    /// lost.
    pub(crate) fn dead_and_lost(&self) -> (u64, u64) {
        let [dead, lost] = [&self.dead_letters, &self.lost];
        (dead.load(Ordering::Relaxed), lost.load(Ordering::Relaxed))
    }

    /// Counts an attempt at this many events, which begins. `attempt` counts from 1.
    pub(crate) fn began(&self, events: usize, attempt: u32) {
        self.metrics.batch.record(events as f64);
        if attempt > 1 {
            self.tally().retries += 1;
            self.metrics.retries.increment(1);
        }
    }

    /// Records the duration of an attempt.
    pub(crate) fn ended(&self, duration: Duration) {
        self.metrics.delivery.record(duration);
    }

    /// Counts events that the receiver accepted `now`.
    pub(crate) fn accepted(&self, status: StatusCode, events: &[Entry], now: Instant) {
        let mut tally = self.tally_at(now);
        tally.successes += events.len() as u64;
        tally.last_success = Some(SystemTime::now());
        self.responded(&mut tally, status);
        drop(tally);
        self.metrics.successes.increment(events.len() as u64);
        for event in events {
            let age = now.saturating_duration_since(event.since());
            self.metrics.end_to_end.record(age);
        }
        let mut log = self.log();
        log.giving_up.ends();
        log.losing.ends();
    }

    /// Notes that the endpoint fails. Returns whether to log it.
    pub(crate) fn fails(&self) -> bool {
        self.log().failing.happens()
    }

    /// Notes that the receiver responds. Returns whether a failure was logged before, so
    /// that its end is to be logged too.
    pub(crate) fn works(&self) -> bool {
        self.log().failing.ends()
    }

    /// Counts an attempt that failed, with a response or without.
    pub(crate) fn failed(&self, status: Option<StatusCode>, error: &str) {
        let mut tally = self.tally_at(Instant::now());
        match status {
            Some(status) => {
                tally.failures += 1;
                self.metrics.failures.increment(1);
                self.responded(&mut tally, status);
            }
            None => {
                tally.errors += 1;
                self.metrics.errors.increment(1);
            }
        }
        tally.last_error = Some((error.into(), SystemTime::now()));
    }

    fn responded(&self, tally: &mut Tally, status: StatusCode) {
        let of_status = || (0, self.metrics.status(&status_text(status)));
        let (count, metric) = tally.statuses.entry(status).or_insert_with(of_status);
        *count += 1;
        metric.increment(1);
    }

    /// Records the state of the worker's gate.
    pub(crate) fn gate(&self, failures_in_a_row: u32, until: Option<Instant>) {
        let mut tally = self.tally();
        tally.failing_since = match failures_in_a_row {
            0 => None,
            _ => tally.failing_since.or_else(|| Some(SystemTime::now())),
        };
        tally.failures_in_a_row = failures_in_a_row;
        tally.paused_until = until;
    }

    /// Records what waits: the number of `events` that are not settled, when the oldest
    /// event that the worker has (`ours`) and that the queue has (`queued`) was
    /// accepted, and when events that failed are due again.
    pub(crate) fn pending(
        &self,
        events: usize,
        ours: Option<Instant>,
        queued: Option<Instant>,
        next_due: Option<Instant>,
        now: Instant,
    ) {
        let mut tally = self.tally_at(now);
        tally.oldest = ours;
        tally.next_due = next_due;
        drop(tally);
        let oldest = ours.into_iter().chain(queued).min();
        let age = oldest.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        self.metrics.pending.set(events as f64);
        self.metrics.queue_age.set(age.as_secs_f64());
    }

    /// Returns a status with the fields that are counted here. The others are empty.
    pub(crate) fn snapshot(&self, queued: Option<Instant>) -> EndpointStatus {
        let now = Instant::now();
        let tally = self.tally_at(now);
        let events = self.events.load(Ordering::Relaxed);
        let totals = tally.totals(events);
        let next_attempt = tally.next_attempt(now);
        let oldest = tally.oldest.into_iter().chain(queued).min();
        let (last_error, last_error_at) = tally.last_error.clone().unzip();
        EndpointStatus {
            name: String::new(),
            url: String::new(),
            settings: BTreeMap::new(),
            state: match tally.failures_in_a_row {
                0 => EndpointState::Delivering,
                _ => EndpointState::Failing,
            },
            failing_since: tally.failing_since,
            failures_in_a_row: tally.failures_in_a_row,
            next_attempt: next_attempt.map(|due| due.saturating_duration_since(now)),
            pending: 0,
            pending_bytes: 0,
            oldest_pending: oldest.map(|since| now.saturating_duration_since(since)),
            events,
            successes: tally.successes,
            failures: tally.failures,
            errors: tally.errors,
            retries: tally.retries,
            dead_letters: self.dead_letters.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            unsupported: self.unsupported.load(Ordering::Relaxed),
            statuses: tally
                .statuses
                .iter()
                .map(|(status, (count, _))| (status_text(*status), *count))
                .collect(),
            last_error,
            last_error_at,
            last_success_at: tally.last_success,
            rates: tally.history.rates(now, totals),
            history: tally.history.history(totals),
        }
    }
}
