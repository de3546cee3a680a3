//! Begins attempts: takes events out of the queue, and posts them.

use futures_util::future::Either;
use http::StatusCode;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::Worker;
use super::in_flight::{Boxed, FinishedAttempt};
use crate::endpoint::batch::{Forming, Part};
use crate::endpoint::dead_letter::Cause;
use crate::endpoint::delivery::Outcome;
use crate::error::with_causes;
use crate::sink::Acceptance;

impl Worker {
    /// Begins all attempts that are due. Events are taken from the queue only when they
    /// can be sent, so that with a concurrency of 1 they leave in the order of
    /// acceptance.
    pub(super) fn launch(&mut self, now: Instant) {
        while self.may_launch(now) {
            let parked = self.in_flight.unpark(now);
            let Some(id) = parked.or_else(|| self.formed(now)) else {
                return;
            };
            if !self.may_deliver(id) {
                self.give_back_batch(id);
            } else if self.carries(id) {
                self.begin(id, now);
            } else {
                let error = "the endpoint's format cannot carry the event".into();
                let answer = String::new();
                self.reject(id, Cause { error, answer });
            }
        }
    }

    /// Whether the format can carry the next part of a batch. Events that came in this
    /// process were asked before they came into the queue. Those of a store may have been
    /// accepted when the endpoint had another format, or for another endpoint.
    fn carries(&self, id: u64) -> bool {
        let format = self.poster.encoding.format;
        let carried = |it: &Part| it.entries.iter().all(|it| format.carries(&it.event));
        self.destination.is_some() || self.in_flight.part(id).is_none_or(carried)
    }

    /// Whether another attempt may begin now.
    pub(super) fn may_launch(&self, now: Instant) -> bool {
        let open = self.in_flight.gate.shut_until(now).is_none();
        !self.switch.is_off() && open && self.in_flight.attempts.len() < self.most()
    }

    /// Returns how many attempts may be under way. After a failure it is one, so that a
    /// receiver in trouble is probed rather than flooded.
    pub(super) fn most(&self) -> usize {
        match self.in_flight.gate.failures() {
            0 => self.concurrency,
            _ => 1,
        }
    }

    /// Forms a batch of the events that wait in the queue, if it is due. A queue that is
    /// closed or full gets no more events, so its batch does not linger.
    fn formed(&mut self, now: Instant) -> Option<u64> {
        // A sink gets the events themselves.
        let encoding = self.destination.is_none().then_some(&self.poster.encoding);
        let forming = &mut self.in_flight.forming;
        Forming::fill(forming, &self.queue, &self.batch, encoding);
        let due = forming.as_ref()?.due(&self.batch);
        if due > now && self.queue.has_room() {
            return None;
        }
        let sealed = forming.take()?.seal(&self.queue);
        Some(self.in_flight.insert(sealed))
    }

    /// Begins an attempt at the first part of a batch.
    fn begin(&mut self, id: u64, now: Instant) {
        let epoch = self.in_flight.gate.epoch();
        let encoding = self.destination.is_none().then_some(&self.poster.encoding);
        let Some(part) = self.in_flight.part_mut(id) else {
            return;
        };
        let encoded = part.begin(encoding);
        self.counts.began(part.entries.len(), part.attempts);
        let span = tracing::debug_span!(
            "delivery",
            endpoint = &*self.name,
            events = part.entries.len(),
            attempt = part.attempts
        );
        let delivered = match &self.destination {
            Some(sink) => {
                let events = part.entries.iter().map(|entry| &entry.event);
                let write = |event| Acceptance::catching(|| sink.write(event));
                Either::Left(written(Acceptance::all(events.map(write))))
            }
            None => {
                let (entries, trace) = (&part.entries, part.trace_parent());
                let request = self.poster.request(&encoded, entries, || part.id(), trace);
                let (poster, transport) = (self.poster.clone(), self.transport.clone());
                let deadline = poster.deadline(now);
                Either::Right(async move { poster.post(transport, request, deadline).await })
            }
        };
        let attempt = async move {
            let outcome = delivered.await;
            // The encodings are kept until now, so that endpoints that deliver the same
            // events at this time share them.
            drop(encoded);
            let ended = Instant::now();
            FinishedAttempt {
                id,
                epoch,
                took: ended - now,
                ended,
                outcome,
            }
        };
        let attempt: Boxed<_> = match span.is_disabled() {
            true => Box::pin(attempt),
            false => Box::pin(attempt.instrument(span)),
        };
        self.in_flight.attempts.push(attempt);
    }
}

/// Returns the outcome that corresponds to a sink's answer.
async fn written(acceptance: Acceptance) -> Outcome {
    match acceptance.await {
        Ok(()) => Outcome::Accepted(StatusCode::OK),
        Err(error) if error.is_permanent() => Outcome::Refused {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            retry_after: None,
            location: None,
            answer: with_causes(&error),
        },
        Err(error) => Outcome::Failed(with_causes(&error)),
    }
}
