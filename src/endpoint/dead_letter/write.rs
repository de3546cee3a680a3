//! Letters on their way to the sink: [`LetterWrite`].
//!
//! The invariant: every letter is counted exactly once, as kept or as lost, also if
//! its future is dropped, the sink panics or hangs, or the runtime ends.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::Reason;
use super::outcome::{LetterOutcome, Shared, after_timeout};
use crate::error::with_causes;
use crate::event::SharedEvent;
use crate::sink::{Acceptance, SinkError};

/// A letter whose outcome is not known. When it is dropped, it is lost.
pub(super) struct PendingLetter {
    shared: Arc<Shared>,
    event: String,
    reason: Reason,
    refused: bool,
    decided: bool,
}

impl PendingLetter {
    pub(super) fn new(
        shared: Arc<Shared>,
        event: &SharedEvent,
        reason: Reason,
        refused: bool,
    ) -> Self {
        shared.pending.send_modify(|letters| *letters += 1);
        Self {
            shared,
            event: event.id().to_string(),
            reason,
            refused,
            decided: false,
        }
    }

    pub(super) fn answered(mut self, answer: Result<(), SinkError>) -> LetterOutcome {
        match answer {
            Ok(()) => {
                self.decide();
                LetterOutcome::Kept
            }
            Err(error) => self.lost(&with_causes(&error)),
        }
    }

    pub(super) fn lost(self, why: &str) -> LetterOutcome {
        self.lost_after(None, why)
    }

    /// Loses the letter. `error` is the outcome of the last attempt, for the log line,
    /// if no earlier line has it.
    pub(super) fn lost_after(mut self, error: Option<&str>, why: &str) -> LetterOutcome {
        self.lose(error, why);
        LetterOutcome::Lost
    }

    fn lose(&mut self, error: Option<&str>, why: &str) {
        self.decide();
        if self.shared.counts.lost(1) {
            let (endpoint, event) = (&*self.shared.endpoint, &*self.event);
            let reason = self.reason.as_str();
            tracing::error!(endpoint, reason, error, event, why, "events are lost");
        }
    }

    /// Counts the event. A refused event is counted as written only now, together
    /// with its letter, so that the dead letters never exceed the events written.
    fn decide(&mut self) {
        self.decided = true;
        if self.refused {
            self.shared.counts.written(1);
        }
        self.shared.counts.dead(self.reason, 1);
    }
}

impl Drop for PendingLetter {
    fn drop(&mut self) {
        if !self.decided {
            self.lose(None, "the runtime ended before its dead letter was kept");
        }
        self.shared.pending.send_modify(|letters| *letters -= 1);
    }
}

/// A letter that was offered to the sink.
pub(super) enum OfferedLetter {
    Decided(LetterOutcome),
    Pending(PendingLetter, Acceptance),
}

impl OfferedLetter {
    /// Resolves when the sink has answered, it is too `late`, or the writer was
    /// `closed`.
    pub(super) async fn outcome(
        self,
        late: &mut Pin<&mut tokio::time::Sleep>,
        closed: &mut watch::Receiver<bool>,
    ) -> LetterOutcome {
        let (pending, write) = match self {
            Self::Decided(outcome) => return outcome,
            Self::Pending(pending, write) => (pending, write),
        };
        tokio::select! {
            // An answer that has arrived counts even if the time is over.
            biased;
            answer = write => pending.answered(answer),
            () = late => pending.lost("the sink of dead letters did not answer in time"),
            _ = closed.wait_for(|closed| *closed) => {
                pending.lost("the notifier was shut down before its dead letter was kept")
            }
        }
    }
}

/// Resolves when the outcome of a dead letter is known. If it is dropped before, the
/// write of the letter continues in the background.
#[must_use = "the letter may not be kept before this resolves"]
pub(crate) struct LetterWrite(State);

enum State {
    Decided(LetterOutcome),
    Pending {
        /// `None` once it was resolved.
        future: Option<Pin<Box<dyn Future<Output = LetterOutcome> + Send>>>,
        runtime: Option<Handle>,
    },
}

impl LetterWrite {
    pub(super) fn decided(outcome: LetterOutcome) -> Self {
        Self(State::Decided(outcome))
    }

    pub(super) fn new(offered: OfferedLetter) -> Self {
        let (runtime, mut closed) = match &offered {
            OfferedLetter::Decided(outcome) => return Self::decided(*outcome),
            OfferedLetter::Pending(pending, _) => {
                let shared = &pending.shared;
                (shared.runtime.clone(), shared.closed.subscribe())
            }
        };
        let end = after_timeout();
        let future = async move {
            let mut late = pin!(tokio::time::sleep_until(end));
            offered.outcome(&mut late, &mut closed).await
        };
        Self(State::Pending {
            future: Some(Box::pin(future)),
            runtime,
        })
    }

    /// Returns the outcome if it is known already, else the write itself.
    pub(crate) fn outcome(self) -> Result<LetterOutcome, Self> {
        match &self.0 {
            State::Decided(outcome) => Ok(*outcome),
            State::Pending { .. } => Err(self),
        }
    }
}

impl Future for LetterWrite {
    type Output = LetterOutcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<LetterOutcome> {
        let outcome = match &mut self.0 {
            State::Decided(outcome) => return Poll::Ready(*outcome),
            State::Pending {
                future: Some(future),
                ..
            } => ready!(future.as_mut().poll(cx)),
            // The state is set to `Decided` when the future resolves, so this is not
            // reached.
            State::Pending { future: None, .. } => return Poll::Pending,
        };
        self.0 = State::Decided(outcome);
        Poll::Ready(outcome)
    }
}

impl Drop for LetterWrite {
    fn drop(&mut self) {
        if let State::Pending { future, runtime } = &mut self.0
            && let (Some(future), Some(runtime)) = (future.take(), runtime)
        {
            runtime.spawn(future);
        }
    }
}
