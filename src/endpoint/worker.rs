//! Takes events out of an endpoint's queue and delivers them.
//!
//! One task does it all: it forms batches, posts as many at a time as the
//! endpoint may, and keeps those that wait for another attempt. Repositories
//! with a batch under way or waiting are busy, so that their order holds.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use http::StatusCode;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::batch::{Batch, Forming, after};
use super::dead_letter::{Cause, DeadLetterWriter, Fates, Reason};
use super::delivery::{Delivery, Outcome, Poster, status_text};
use super::in_flight::{Attempted, InFlight, untried};
use super::retry::{Retry, Verdict};
use super::status::{Counts, Failure};
use super::switch::Switch;
use crate::queue::{Abandoned, Queue};

/// How often the metrics of waiting events are brought up to date.
const REFRESH: Duration = Duration::from_secs(10);

/// How long dead letters may take for all that is left at the end.
pub(crate) const BURIAL: Duration = Duration::from_secs(5);

/// After so many failed attempts, a batch is halved with each further one. The
/// first failure may be the receiver's; one that comes again may be an event's.
const REPEATED: u32 = 2;

pub(super) struct Worker {
    pub(super) name: Arc<str>,
    pub(super) queue: Arc<Queue>,
    pub(super) counts: Arc<Counts>,
    pub(super) dead_letters: Arc<DeadLetterWriter>,
    pub(super) switch: Arc<Switch>,
    pub(super) poster: Arc<Poster>,
    pub(super) delivery: Delivery,
    pub(super) retry: Retry,
    pub(super) concurrency: usize,
    pub(super) batch: Batch,
    pub(super) random: fastrand::Rng,
    pub(super) in_flight: InFlight,
    /// What became of the events that were left at the end.
    pub(super) leftover: Arc<Mutex<Fates>>,
}

/// Closes the queue when the worker ends, however it does: nobody may write to a
/// queue that nobody reads. What the worker could not account for, because it
/// was aborted or its runtime is gone, is lost.
struct Closing {
    queue: Arc<Queue>,
    dead_letters: Arc<DeadLetterWriter>,
    leftover: Arc<Mutex<Fates>>,
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.queue.close();
        let Abandoned { stored, lost } = self.queue.abandon();
        let why = "the worker ended before their dead letters were kept";
        self.dead_letters.lose(lost, Reason::Shutdown, why);
        self.account(stored, lost);
    }
}

impl Closing {
    fn account(&self, kept: usize, lost: usize) {
        let mut leftover = self.leftover.lock().unwrap_or_else(PoisonError::into_inner);
        leftover.kept += kept;
        leftover.lost += lost;
    }
}

impl Worker {
    /// Runs until the queue is closed and all is delivered, or it is stopped.
    pub(super) async fn run(mut self) {
        let closing = Closing {
            queue: self.queue.clone(),
            dead_letters: self.dead_letters.clone(),
            leftover: self.leftover.clone(),
        };
        while self.step().await {}
        self.abandon(&closing).await;
    }

    /// Does what can be done, and waits for what is next. Returns false at the
    /// end.
    async fn step(&mut self) -> bool {
        // One time for all: a gate that opens meanwhile would be shut for the
        // one and open for the other, and nobody would look again.
        let now = Instant::now();
        self.launch(now);
        self.refresh();
        // Looked at in this order, and once: events may come meanwhile.
        let closed = self.queue.is_closed();
        let done = self.is_done();
        let off = self.switch.is_off();
        if self.switch.is_stopped() || (closed && (done || off)) {
            return false;
        }
        let wake = if done { None } else { Some(self.wake(now)) };
        // While there is nothing to do, it wakes on new events and on close.
        let listens = off || done || self.may_launch(now);
        let in_flight = &mut self.in_flight;
        tokio::select! {
            Some(attempted) = in_flight.attempts.next(), if !in_flight.attempts.is_empty() => {
                self.judge(attempted);
            }
            Some(id) = in_flight.burials.next(), if !in_flight.burials.is_empty() => {
                self.in_flight.advance(id, &self.queue, Instant::now());
            }
            () = self.switch.changed() => {}
            () = self.queue.changed(), if listens => {}
            () = sleep_until(wake) => {}
        }
        true
    }

    /// Whether every event has come to its end, those in the queue included.
    fn is_done(&self) -> bool {
        self.queue.size().0 == 0 && self.in_flight.burials.is_empty()
    }

    /// When to look again if nothing happens.
    fn wake(&self, now: Instant) -> Instant {
        let in_flight = &self.in_flight;
        let next = if self.switch.is_off() || in_flight.attempts.len() >= self.most() {
            None
        } else {
            // While it is shut, events may wait in the queue alone.
            in_flight.gate.shut_until(now).or_else(|| {
                let forming = in_flight.forming.as_ref().map(|it| it.due(&self.batch));
                in_flight.next_due().into_iter().chain(forming).min()
            })
        };
        next.map_or(now + REFRESH, |next| next.min(now + REFRESH))
    }

    /// How many attempts may be under way: one, while the last one has failed.
    fn most(&self) -> usize {
        match self.in_flight.gate.failures() {
            0 => self.concurrency,
            _ => 1,
        }
    }

    fn may_launch(&self, now: Instant) -> bool {
        let open = self.in_flight.gate.shut_until(now).is_none();
        !self.switch.is_off() && open && self.in_flight.attempts.len() < self.most()
    }

    /// Begins all attempts that are due. Nothing is taken from the queue before
    /// it can go out, so that events leave in the order of acceptance where only
    /// one may be under way.
    fn launch(&mut self, now: Instant) {
        while self.may_launch(now) {
            let parked = self.in_flight.unpark(now);
            let Some(id) = parked.or_else(|| self.formed(now)) else {
                return;
            };
            self.begin(id);
        }
    }

    fn formed(&mut self, now: Instant) -> Option<u64> {
        let (forming, encoding) = (&mut self.in_flight.forming, self.poster.encoding);
        Forming::fill(forming, &self.queue, &self.batch, encoding);
        let due = forming.as_ref()?.due(&self.batch);
        if due > now && !self.queue.is_closed() {
            return None;
        }
        let sealed = forming.take()?.seal(&self.queue);
        Some(self.in_flight.insert(sealed))
    }

    fn begin(&mut self, id: u64) {
        let (epoch, started) = (self.in_flight.gate.epoch(), Instant::now());
        let Some(part) = self.in_flight.part_mut(id) else {
            return;
        };
        let encoded = part.begin(self.poster.encoding);
        self.counts.began(part.entries.len(), part.attempts);
        let span = tracing::debug_span!(
            "delivery",
            endpoint = &*self.name,
            events = part.entries.len(),
            attempt = part.attempts
        );
        let request = self
            .poster
            .request(&encoded, &part.id(), part.trace_parent());
        let (poster, delivery) = (self.poster.clone(), self.delivery.clone());
        let attempt = async move {
            let outcome = poster.post(delivery, request).await;
            // Kept until now, so that endpoints which are as far share them.
            drop(encoded);
            let took = started.elapsed();
            Attempted {
                id,
                epoch,
                took,
                outcome,
            }
        };
        let attempt = Box::pin(attempt.instrument(span));
        self.in_flight.attempts.push(attempt);
    }

    fn judge(&mut self, attempted: Attempted) {
        let Attempted {
            id,
            epoch,
            took,
            outcome,
        } = attempted;
        self.counts.ended(took);
        let (status, cause, retry_after) = match outcome {
            Outcome::Accepted(status) => {
                self.endpoint_works(epoch);
                return self.delivered(id, status);
            }
            Outcome::Refused {
                status,
                retry_after,
                answer,
            } => {
                let error = status_text(status);
                let cause = Cause { error, answer };
                (Some(status), cause, retry_after)
            }
            Outcome::Failed(error) => {
                let answer = String::new();
                (None, Cause { error, answer }, None)
            }
        };
        self.counts.failed(status, &cause.error);
        let verdict = status.map_or(Verdict::Retry, |status| self.retry.judge(status));
        let Some(part) = self.in_flight.part(id) else {
            return;
        };
        // Before the gate learns of it, and the part is split or given up.
        let attempt = part.attempts;
        let event = part.entries.first().map(|it| it.event.id().to_string());
        let begins = verdict == Verdict::Retry && self.begins_to_fail(attempt);
        let error = cause.error.clone();
        let next = match verdict {
            Verdict::Retry => self.retry(id, epoch, retry_after, cause),
            Verdict::Reject => {
                self.endpoint_works(epoch);
                self.reject(id, cause)
            }
            Verdict::Disable => {
                if self.switch.turn_off() {
                    tracing::error!(
                        endpoint = &*self.name,
                        "the receiver is gone (410): the endpoint is disabled"
                    );
                }
                self.in_flight.park(id, Instant::now());
                None
            }
        };
        let failure = Failure {
            endpoint: &self.name,
            url: &self.poster.shown_url,
            event: event.as_deref(),
            attempt,
            status,
            error: &error,
            waiting: self.queue.size().0,
            next_attempt: next.map(|next| next.saturating_duration_since(Instant::now())),
        };
        self.log_failure(&failure, begins);
    }

    fn delivered(&mut self, id: u64, status: StatusCode) {
        if let Some(part) = self.in_flight.take_part(id) {
            self.counts.accepted(status, &part.entries);
            part.entries.iter().for_each(|it| self.queue.settle(it));
        }
        self.in_flight.advance(id, &self.queue, Instant::now());
    }

    /// Whether an attempt that failed is the beginning of something. An event
    /// that fails once more while others are delivered is not.
    fn begins_to_fail(&self, attempts: u32) -> bool {
        attempts == 1 || self.in_flight.gate.failures() > 0
    }

    /// Logs a warning when the endpoint begins to fail, and not for each attempt.
    fn log_failure(&self, failure: &Failure<'_>, begins: bool) {
        if begins && self.counts.fails() {
            failure.warn();
        } else {
            failure.debug();
        }
    }

    fn endpoint_works(&mut self, epoch: u64) {
        if self.counts.works() {
            tracing::info!(endpoint = &*self.name, "the receiver answers again");
        }
        if self.in_flight.gate.works(epoch) {
            self.counts.gate(0, None);
        }
    }

    /// Parks the part until it is due, or gives it up. Returns when the next
    /// attempt is due.
    fn retry(
        &mut self,
        id: u64,
        epoch: u64,
        retry_after: Option<Duration>,
        cause: Cause,
    ) -> Option<Instant> {
        let now = Instant::now();
        let retry_after = retry_after.filter(|_| self.retry.policy().honours_retry_after());
        let retry_after = retry_after.unwrap_or_default();
        let gate = &mut self.in_flight.gate;
        gate.fails(epoch, id);
        let policy = self.retry.policy();
        let wait = policy.endpoint_wait(gate.failures(), gate.events(), self.random.f64());
        gate.shut(after(now, wait.max(retry_after)));
        let shut_until = gate.shut_until(now);
        self.counts.gate(gate.failures(), shut_until);
        let part = self.in_flight.part(id)?;
        let (attempts, gives_up) = (part.attempts, policy.gives_up(part.attempts, part.age()));
        let mut due = || after(now, policy.event_wait(attempts, self.random.f64()));
        let (first, second) = (due(), due());
        if gives_up || attempts >= REPEATED {
            // What fails may be one event of many. Each is given up by its own
            // age, and after an attempt at it alone: if the attempts are used up,
            // each half has one more.
            let used_up = policy.gives_up(attempts, Duration::ZERO);
            let halved = self.in_flight.halve(id, used_up.into(), second);
            if gives_up && !halved {
                self.bury(id, Reason::GaveUp, cause);
                return None;
            }
        }
        self.in_flight.park(id, first);
        Some(first.max(shut_until.unwrap_or(first)))
    }

    /// Halves the part, or makes dead letters of it. Returns when the next
    /// attempt is due.
    fn reject(&mut self, id: u64, cause: Cause) -> Option<Instant> {
        let now = Instant::now();
        // The attempt was at the batch. Those at the halves are still to come.
        if self.in_flight.halve(id, 1, now) {
            self.in_flight.park(id, now);
            return Some(now);
        }
        self.bury(id, Reason::Rejected, cause);
        None
    }

    /// Makes dead letters of the first part of a batch, whose repositories stay
    /// busy meanwhile.
    fn bury(&mut self, id: u64, reason: Reason, cause: Cause) {
        let Some(part) = self.in_flight.take_part(id) else {
            return;
        };
        let (dead_letters, queue) = (self.dead_letters.clone(), self.queue.clone());
        let burial = async move {
            let entries = part.into_entries();
            dead_letters
                .bury_all(&queue, entries, reason, &cause, None, drop)
                .await;
            id
        };
        self.in_flight.burials.push(Box::pin(burial));
    }

    fn refresh(&self) {
        let (events, _) = self.queue.size();
        let (ours, queued) = (self.in_flight.oldest(), self.queue.oldest());
        self.counts.pending(events, ours, queued);
    }

    /// Accounts for the events that are left, oldest first. Of an attempt that
    /// is under way nobody knows whether the receiver has the events.
    async fn abandon(mut self, closing: &Closing) {
        let deadline = Instant::now() + BURIAL;
        self.in_flight.attempts.clear();
        while let Ok(Some(id)) =
            tokio::time::timeout_at(deadline, self.in_flight.burials.next()).await
        {
            self.in_flight.advance(id, &self.queue, Instant::now());
        }
        let ours = std::mem::take(&mut self.in_flight).into_entries();
        let queued = self.queue.drain().into_iter().map(untried);
        let (left, cause) = (ours.into_iter().chain(queued), Cause::default());
        // A store that outlives the process keeps its events as they are.
        let left = left.filter(|(entry, _)| !entry.is_stored());
        let (queue, deadline) = (&self.queue, Some(deadline));
        let tell = |fates: Fates| closing.account(fates.kept, fates.lost);
        self.dead_letters
            .bury_all(queue, left, Reason::Shutdown, &cause, deadline, tell)
            .await;
        self.refresh();
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}
