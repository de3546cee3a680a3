//! The worker's loop: begins attempts that are due, and waits for what is next.

use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Worker;
use super::repoll::repolling;
use crate::queue::{QueueSnapshot, Threshold};

/// How often the metrics of waiting events are brought up to date.
const REFRESH: Duration = Duration::from_secs(10);

impl Worker {
    /// Runs until the queue is closed and all is delivered, or it is stopped.
    pub(in crate::endpoint) async fn run(self) {
        repolling(self.work()).await;
    }

    async fn work(mut self) {
        let closing = self.closing();
        let mut alarm = Alarm::default();
        while self.step(&mut alarm).await {}
        self.abandon(&closing).await;
    }

    /// Begins the attempts that are due, and waits for what is next. Returns `false` at
    /// the end.
    async fn step(&mut self, alarm: &mut Alarm) -> bool {
        // The clock is read once for the whole step. With two readings a gate could be
        // shut for `launch` and open for `wake`, and nothing would wake the worker.
        let now = Instant::now();
        self.launch(now);
        // Both at one moment: no write is accepted by a closed queue, so if it is done it
        // stays done.
        let snapshot = self.queue.watch(self.lacks(now));
        self.refresh(&snapshot, now);
        let closed = snapshot.closed;
        let done = snapshot.events == 0 && self.in_flight.letter_writes.is_empty();
        let off = self.switch.is_off();
        if self.switch.is_stopped() || (closed && (done || off)) {
            return false;
        }
        let wake = if done { None } else { Some(self.wake(now)) };
        // When idle, the worker wakes on new events and on close.
        let listens = off || done || self.may_launch(now);
        let in_flight = &mut self.in_flight;
        tokio::select! {
            // `biased` starves nobody: whatever the later branches wake for is checked at
            // the beginning of every step.
            biased;
            Some(attempted) = in_flight.attempts.next(), if !in_flight.attempts.is_empty() => {
                self.judge(attempted);
            }
            Some(id) = in_flight.letter_writes.next(), if !in_flight.letter_writes.is_empty() => {
                self.in_flight.advance(id, &self.queue, Instant::now());
            }
            () = self.switch.changed() => {}
            () = self.queue.revoked() => self.give_back(),
            () = self.queue.changed(), if listens => {}
            () = self.transport.watch() => {}
            () = alarm.at(wake) => {}
        }
        true
    }

    /// Returns how many new events give the worker something to do: as many as a batch
    /// lacks that lingers, and none while no attempt may begin.
    fn lacks(&self, now: Instant) -> Threshold {
        if !self.may_launch(now) {
            return Threshold::NEVER;
        }
        let forming = self.in_flight.forming.as_ref();
        forming.map_or(Threshold::NEXT, |forming| forming.lacks(&self.batch))
    }

    /// Returns when to look again if nothing happens.
    fn wake(&self, now: Instant) -> Instant {
        let in_flight = &self.in_flight;
        let next = if self.switch.is_off() || in_flight.attempts.len() >= self.most() {
            None
        } else {
            // While the gate is shut, nothing is due before it opens, and the events may
            // all be in the queue, which has no due time.
            in_flight.gate.shut_until(now).or_else(|| {
                let forming = in_flight.forming.as_ref().map(|it| it.due(&self.batch));
                in_flight.next_due().into_iter().chain(forming).min()
            })
        };
        next.map_or(now + REFRESH, |next| next.min(now + REFRESH))
    }

    pub(super) fn refresh(&self, snapshot: &QueueSnapshot, now: Instant) {
        let (ours, next_due) = (self.in_flight.oldest(), self.in_flight.next_due());
        self.counts
            .pending(snapshot.events, ours, snapshot.oldest, next_due, now);
    }
}

/// A timer that is reused: making one for each step costs as much as the rest of the
/// step.
#[derive(Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Resolves no later than `time`, or never with `None`. May resolve early, at a time
    /// that an earlier call has set.
    async fn at(&mut self, time: Option<Instant>) {
        let Some(time) = time else {
            return std::future::pending().await;
        };
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(time)));
        if timer.is_elapsed() || time < timer.deadline() {
            timer.as_mut().reset(time);
        }
        timer.await;
    }
}
