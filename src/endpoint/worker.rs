//! Takes events out of an endpoint's queue and delivers them.
//!
//! One task does it all: it forms batches, posts as many at a time as the
//! endpoint may, and keeps those that wait for another attempt. Repositories
//! with a batch under way or waiting are busy, so that their order holds.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::StatusCode;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::batch::{Batch, Consignment, Forming, Part, Tried, after};
use super::dead_letter::{Cause, Grave, Reason};
use super::delivery::{Delivery, Outcome, Poster, status_text};
use super::gate::Gate;
use super::retry::{Retry, Verdict};
use super::status::{Counts, Failure};
use super::switch::Switch;
use crate::queue::MemoryQueue;

/// How often what the metrics say of waiting events is brought up to date.
const REFRESH: Duration = Duration::from_secs(10);

pub(super) struct Worker {
    pub(super) name: Arc<str>,
    pub(super) queue: Arc<MemoryQueue>,
    pub(super) counts: Arc<Counts>,
    pub(super) grave: Arc<Grave>,
    pub(super) switch: Arc<Switch>,
    pub(super) poster: Arc<Poster>,
    pub(super) delivery: Delivery,
    pub(super) retry: Retry,
    pub(super) concurrency: usize,
    pub(super) batch: Batch,
    pub(super) random: fastrand::Rng,
    pub(super) desk: Desk,
}

/// Where batches are between the queue and their end.
#[derive(Default)]
pub(super) struct Desk {
    forming: Option<Forming>,
    /// All that went out and is not done with.
    consignments: HashMap<u64, Consignment>,
    /// Those that wait for another attempt, by when it is due.
    parked: BTreeSet<(Instant, u64)>,
    /// All of them, by how long their oldest event is on its way.
    ages: BTreeSet<(Instant, u64)>,
    attempts: FuturesUnordered<Boxed<Attempted>>,
    /// Those whose first part is becoming dead letters.
    burials: FuturesUnordered<Boxed<u64>>,
    next_id: u64,
    gate: Gate,
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

struct Attempted {
    id: u64,
    /// That of the gate when it began.
    epoch: u64,
    took: Duration,
    outcome: Outcome,
}

/// Closes the queue when the worker ends, however it does: nobody writes to
/// what nobody reads.
struct Closing(Arc<MemoryQueue>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Worker {
    /// Runs until the queue is closed and all is delivered, or it is stopped.
    pub(super) async fn run(mut self) {
        let _closing = Closing(self.queue.clone());
        while self.step().await {}
        self.abandon().await;
    }

    /// Does what can be done, and waits for what is next. False at the end.
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
        // With nothing to do yet, it must hear of what comes, and of the end.
        let listens = off || done || self.may_launch(now);
        let desk = &mut self.desk;
        tokio::select! {
            Some(attempted) = desk.attempts.next(), if !desk.attempts.is_empty() => {
                self.judge(attempted);
            }
            Some(id) = desk.burials.next(), if !desk.burials.is_empty() => self.part_done(id),
            () = self.switch.changed() => {}
            () = self.queue.changed(), if listens => {}
            () = sleep_until(wake) => {}
        }
        true
    }

    /// Has every event come to its end, also those that are still in the queue?
    fn is_done(&self) -> bool {
        self.queue.size().0 == 0
    }

    /// When to look again if nothing happens.
    fn wake(&self, now: Instant) -> Instant {
        let desk = &self.desk;
        let next = if self.switch.is_off() || desk.attempts.len() >= self.most() {
            None
        } else {
            // While it is shut, events may wait in the queue alone.
            desk.gate.shut_until(now).or_else(|| {
                let parked = desk.parked.first().map(|(due, _)| *due);
                let forming = desk.forming.as_ref().map(|it| it.due(&self.batch));
                parked.into_iter().chain(forming).min()
            })
        };
        next.map_or(now + REFRESH, |next| next.min(now + REFRESH))
    }

    /// How many may be under way: one, while the last attempt has failed.
    fn most(&self) -> usize {
        match self.desk.gate.failures() {
            0 => self.concurrency,
            _ => 1,
        }
    }

    fn may_launch(&self, now: Instant) -> bool {
        let desk = &self.desk;
        let open = desk.gate.shut_until(now).is_none();
        !self.switch.is_off() && open && desk.attempts.len() < self.most()
    }

    /// Begins all attempts that are due. Nothing is taken from the queue before
    /// it can go out, so that one at a time leave in the order of acceptance.
    fn launch(&mut self, now: Instant) {
        while self.may_launch(now) {
            let Some(id) = self.parked(now).or_else(|| self.formed(now)) else {
                return;
            };
            self.begin(id);
        }
    }

    fn parked(&mut self, now: Instant) -> Option<u64> {
        let (due, id) = *self.desk.parked.first()?;
        (due <= now).then(|| self.desk.parked.remove(&(due, id)))?;
        Some(id)
    }

    fn formed(&mut self, now: Instant) -> Option<u64> {
        let encoding = self.poster.encoding;
        Forming::fill(&mut self.desk.forming, &self.queue, &self.batch, encoding);
        let due = self.desk.forming.as_ref()?.due(&self.batch);
        if due > now && !self.queue.is_closed() {
            return None;
        }
        let consignment = self.desk.forming.take()?.seal(&self.queue);
        let id = self.desk.next_id;
        self.desk.next_id += 1;
        self.desk.ages.insert((consignment.since, id));
        self.desk.consignments.insert(id, consignment);
        Some(id)
    }

    fn begin(&mut self, id: u64) {
        let (epoch, started) = (self.desk.gate.epoch(), Instant::now());
        let consignment = self.desk.consignments.get_mut(&id);
        let Some(part) = consignment.and_then(|it| it.parts.front_mut()) else {
            return;
        };
        let encoded = part.begin(self.poster.encoding);
        self.counts.began(part.events.len(), part.attempts);
        let span = tracing::debug_span!(
            "delivery",
            endpoint = &*self.name,
            events = part.events.len(),
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
        self.desk.attempts.push(Box::pin(attempt.instrument(span)));
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
                let part = self.part(id);
                part.into_iter().for_each(|part| {
                    self.counts.accepted(status, &part.events);
                });
                self.endpoint_works(epoch);
                return self.part_done(id);
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
        // Before the gate learns of it.
        let begins = verdict == Verdict::Retry && self.begins_to_fail(id);
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
                self.park(id, Instant::now());
                None
            }
        };
        self.log_failure(id, begins, status, &error, next);
    }

    /// Whether an attempt that failed is the beginning of something. An event
    /// that fails once more while others are delivered is not.
    fn begins_to_fail(&self, id: u64) -> bool {
        let first = self.part(id).is_some_and(|part| part.attempts == 1);
        first || self.desk.gate.failures() > 0
    }

    /// Logs a warning when the endpoint begins to fail, and not for each attempt.
    fn log_failure(
        &self,
        id: u64,
        begins: bool,
        status: Option<StatusCode>,
        error: &str,
        next: Option<Instant>,
    ) {
        let Some(part) = self.part(id) else { return };
        let failure = Failure {
            endpoint: &self.name,
            url: &self.poster.shown_url,
            event: part.events.first().map(|event| &*event.id),
            attempt: part.attempts,
            status,
            error,
            waiting: self.queue.size().0,
            next_attempt: next.map(|next| next.saturating_duration_since(Instant::now())),
        };
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
        if self.desk.gate.works(epoch) {
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
        let gate = &mut self.desk.gate;
        gate.fails(epoch, id);
        let policy = self.retry.policy();
        let wait = policy.endpoint_wait(gate.failures(), gate.events(), self.random.f64());
        gate.shut(after(now, wait.max(retry_after)));
        let shut_until = gate.shut_until(now);
        self.counts.gate(gate.failures(), shut_until);
        let part = self.part(id)?;
        let (attempts, age) = (part.attempts, part.age());
        if self.retry.policy().gives_up(attempts, age) {
            self.bury(id, Reason::GaveUp, cause);
            return None;
        }
        let wait = self.retry.policy().event_wait(attempts, self.random.f64());
        let due = after(now, wait);
        self.park(id, due);
        Some(due.max(shut_until.unwrap_or(due)))
    }

    /// Splits the part, or makes dead letters of it. Returns when the next
    /// attempt is due.
    fn reject(&mut self, id: u64, cause: Cause) -> Option<Instant> {
        let consignment = self.desk.consignments.get_mut(&id);
        if consignment.is_some_and(Consignment::split) {
            let now = Instant::now();
            self.park(id, now);
            return Some(now);
        }
        self.bury(id, Reason::Rejected, cause);
        None
    }

    fn part(&self, id: u64) -> Option<&Part> {
        self.desk.consignments.get(&id)?.parts.front()
    }

    fn park(&mut self, id: u64, due: Instant) {
        self.desk.parked.insert((due, id));
    }

    fn bury(&mut self, id: u64, reason: Reason, cause: Cause) {
        let Some(part) = self.part(id) else { return };
        let grave = self.grave.clone();
        let (events, tried) = (part.events.clone(), part.tried());
        let burial = async move {
            for event in &events {
                grave.bury(event, reason, &cause, &tried).await;
            }
            id
        };
        self.desk.burials.push(Box::pin(burial));
    }

    /// The first part of a consignment was delivered, or is a dead letter.
    fn part_done(&mut self, id: u64) {
        let Some(consignment) = self.desk.consignments.get_mut(&id) else {
            return;
        };
        if let Some(part) = consignment.parts.pop_front() {
            part.events
                .iter()
                .for_each(|event| self.queue.settle(event));
        }
        if !consignment.parts.is_empty() {
            return self.park(id, Instant::now());
        }
        if let Some(consignment) = self.desk.consignments.remove(&id) {
            self.desk.ages.remove(&(consignment.since, id));
            self.queue.release(consignment.lanes);
        }
    }

    fn refresh(&self) {
        let desk = &self.desk;
        let consigned = desk.ages.first().map(|(since, _)| *since);
        let forming = desk.forming.as_ref().and_then(Forming::oldest);
        let oldest = consigned.into_iter().chain(forming).min();
        let (events, _) = self.queue.size();
        self.counts.pending(events, oldest, self.queue.oldest());
    }

    /// Gives up what is left, oldest first. Of an attempt that is under way
    /// nobody knows whether the receiver has it.
    async fn abandon(mut self) {
        self.desk.attempts.clear();
        while let Some(id) = self.desk.burials.next().await {
            self.part_done(id);
        }
        let mut left: Vec<_> = self.desk.consignments.into_iter().collect();
        left.sort_by_key(|(id, _)| *id);
        let consigned = left.into_iter().flat_map(|(_, it)| it.into_events());
        let forming = self.desk.forming.map(Forming::into_events);
        let waiting = forming.into_iter().flatten().chain(self.queue.drain());
        for (event, tried) in consigned.chain(waiting.map(|event| (event, Tried::default()))) {
            let cause = Cause::default();
            self.grave
                .bury(&event, Reason::Shutdown, &cause, &tried)
                .await;
        }
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}
