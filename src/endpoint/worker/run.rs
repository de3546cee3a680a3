//! The worker's loop: launches what is due, and waits for what is next.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::Instant;

use super::Worker;

/// How often the metrics of waiting events are brought up to date.
const REFRESH: Duration = Duration::from_secs(10);

impl Worker {
    /// Runs until the queue is closed and all is delivered, or it is stopped.
    pub(in crate::endpoint) async fn run(mut self) {
        let closing = self.closing();
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
            () = self.queue.revoked() => self.give_back(),
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

    pub(super) fn refresh(&self) {
        let (events, _) = self.queue.size();
        let (ours, queued) = (self.in_flight.oldest(), self.queue.oldest());
        self.counts.pending(events, ours, queued);
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}
