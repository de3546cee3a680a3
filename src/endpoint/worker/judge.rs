//! Decides what the outcome of an attempt means: delivered, tried again, or given up.
//!
//! Any status that accepts or rejects shows that the endpoint works and opens the gate;
//! a failure that is to be tried again counts against the endpoint.

use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use super::Worker;
use super::in_flight::FinishedAttempt;
use crate::endpoint::dead_letter::Cause;
use crate::endpoint::delivery::{Outcome, status_text};
use crate::endpoint::retry::Verdict;
use crate::endpoint::status::Failure;

/// An attempt that has failed, with or without a response.
struct FailedAttempt {
    id: u64,
    epoch: u64,
    status: Option<StatusCode>,
    retry_after: Option<Duration>,
    location: Option<String>,
    cause: Cause,
}

impl Worker {
    pub(super) fn judge(&mut self, attempted: FinishedAttempt) {
        let FinishedAttempt {
            id,
            epoch,
            took,
            ended,
            outcome,
        } = attempted;
        self.counts.ended(took);
        match outcome {
            Outcome::Accepted(status) => {
                self.endpoint_works(epoch);
                self.delivered(id, status, ended);
            }
            Outcome::Refused {
                status,
                retry_after,
                location,
                answer,
            } => {
                let error = status_text(status);
                self.failed(FailedAttempt {
                    id,
                    epoch,
                    status: Some(status),
                    retry_after,
                    location,
                    cause: Cause { error, answer },
                });
            }
            Outcome::Failed(error) => {
                let answer = String::new();
                self.failed(FailedAttempt {
                    id,
                    epoch,
                    status: None,
                    retry_after: None,
                    location: None,
                    cause: Cause { error, answer },
                });
            }
        }
    }

    fn failed(&mut self, mut failed: FailedAttempt) {
        let (id, status, location) = (failed.id, failed.status, failed.location.take());
        self.counts.failed(status, &failed.cause.error);
        let verdict = status.map_or(Verdict::Retry, |status| self.retry.judge(status));
        let Some(part) = self.in_flight.part(id) else {
            return;
        };
        // Read before `carry_out`, which changes the gate and splits or removes the part.
        let attempt = part.attempts;
        let event = part.entries.first().map(|it| it.event.id().to_string());
        let begins = verdict == Verdict::Retry && self.begins_to_fail(attempt);
        let error = failed.cause.error.clone();
        let next = self.carry_out(verdict, failed);
        let failure = Failure {
            endpoint: &self.name,
            url: &self.poster.shown_url,
            event: event.as_deref(),
            attempt,
            status,
            location: location.as_deref(),
            error: &error,
            waiting: self.queue.size().0,
            next_attempt: next.map(|next| next.saturating_duration_since(Instant::now())),
        };
        // Only the beginning of a failure is a warning, not every attempt.
        if begins && self.counts.fails() {
            failure.warn();
        } else {
            failure.debug();
        }
    }

    /// Retries, rejects or keeps the part, as the verdict says. Returns when the next
    /// attempt is due, if there is one.
    fn carry_out(&mut self, verdict: Verdict, failed: FailedAttempt) -> Option<Instant> {
        let FailedAttempt {
            id, epoch, cause, ..
        } = failed;
        match verdict {
            Verdict::Retry => self.retry(id, epoch, failed.retry_after, cause),
            Verdict::Reject => {
                self.endpoint_works(epoch);
                self.reject(id, cause)
            }
            Verdict::Disable => {
                if self.switch.turn_off() {
                    tracing::error!(
                        endpoint = &*self.name,
                        url = &*self.poster.shown_url,
                        waiting = self.queue.size().0,
                        "the receiver is gone (410): the endpoint is disabled"
                    );
                }
                self.in_flight.park(id, Instant::now());
                None
            }
        }
    }

    /// Whether a failed attempt may mean that the endpoint begins to fail. An event that
    /// fails repeatedly while others are delivered does not.
    fn begins_to_fail(&self, attempts: u32) -> bool {
        attempts == 1 || self.in_flight.gate.failures() > 0
    }

    fn endpoint_works(&mut self, epoch: u64) {
        if self.counts.works() {
            let (endpoint, url) = (&*self.name, &*self.poster.shown_url);
            let waiting = self.queue.size().0;
            tracing::info!(endpoint, url, waiting, "the receiver answers again");
        }
        if self.in_flight.gate.works(epoch) {
            self.counts.gate(0, None);
        }
    }
}
