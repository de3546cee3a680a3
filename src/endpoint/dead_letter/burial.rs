//! Letters on their way to the sink: [`Burial`].
//!
//! The invariant: every letter is counted exactly once, as kept or as lost, also if
//! its future is dropped, the sink panics or hangs, or the runtime ends.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::Reason;
use super::fate::{Fate, Ledger, after_timeout};
use crate::error::with_causes;
use crate::event::SharedEvent;
use crate::sink::{Acceptance, SinkError};

/// A letter whose fate is not known. When it is dropped, it is lost.
pub(super) struct Undecided {
    ledger: Arc<Ledger>,
    event: String,
    reason: Reason,
    refused: bool,
    decided: bool,
}

impl Undecided {
    pub(super) fn new(
        ledger: Arc<Ledger>,
        event: &SharedEvent,
        reason: Reason,
        refused: bool,
    ) -> Self {
        ledger.undecided.send_modify(|letters| *letters += 1);
        Self {
            ledger,
            event: event.id().to_string(),
            reason,
            refused,
            decided: false,
        }
    }

    pub(super) fn answered(mut self, answer: Result<(), SinkError>) -> Fate {
        match answer {
            Ok(()) => {
                self.decide();
                Fate::Kept
            }
            Err(error) => self.lost(&with_causes(&error)),
        }
    }

    pub(super) fn lost(self, why: &str) -> Fate {
        self.lost_after(None, why)
    }

    /// Loses the letter. `error` is the outcome of the last attempt, for the log line,
    /// if no earlier line has it.
    pub(super) fn lost_after(mut self, error: Option<&str>, why: &str) -> Fate {
        self.lose(error, why);
        Fate::Lost
    }

    fn lose(&mut self, error: Option<&str>, why: &str) {
        self.decide();
        if self.ledger.counts.lost(1) {
            let (endpoint, event) = (&*self.ledger.endpoint, &*self.event);
            let reason = self.reason.as_str();
            tracing::error!(endpoint, reason, error, event, why, "events are lost");
        }
    }

    /// Counts the event. A refused event is counted as written only now, together
    /// with its letter, so that the dead letters never exceed the events written.
    fn decide(&mut self) {
        self.decided = true;
        if self.refused {
            self.ledger.counts.written(1);
        }
        self.ledger.counts.dead(self.reason, 1);
    }
}

impl Drop for Undecided {
    fn drop(&mut self) {
        if !self.decided {
            self.lose(None, "the runtime ended before its dead letter was kept");
        }
        self.ledger.undecided.send_modify(|letters| *letters -= 1);
    }
}

/// A letter that was offered to the sink.
pub(super) enum Begun {
    Decided(Fate),
    Pending(Undecided, Acceptance),
}

impl Begun {
    /// Resolves when the sink has answered, it is too `late`, or the writer was
    /// `closed`.
    pub(super) async fn fate(
        self,
        late: &mut Pin<&mut tokio::time::Sleep>,
        closed: &mut watch::Receiver<bool>,
    ) -> Fate {
        let (undecided, write) = match self {
            Self::Decided(fate) => return fate,
            Self::Pending(undecided, write) => (undecided, write),
        };
        tokio::select! {
            // An answer that has arrived counts even if the time is over.
            biased;
            answer = write => undecided.answered(answer),
            () = late => undecided.lost("the sink of dead letters did not answer in time"),
            _ = closed.wait_for(|closed| *closed) => {
                undecided.lost("the notifier was shut down before its dead letter was kept")
            }
        }
    }
}

/// Resolves when the fate of a dead letter is known. If it is dropped before, the
/// write of the letter continues in the background.
#[must_use = "the letter may not be kept before this resolves"]
pub(crate) struct Burial(State);

enum State {
    Decided(Fate),
    Pending {
        /// `None` once it was resolved.
        future: Option<Pin<Box<dyn Future<Output = Fate> + Send>>>,
        runtime: Option<Handle>,
    },
}

impl Burial {
    pub(super) fn decided(fate: Fate) -> Self {
        Self(State::Decided(fate))
    }

    pub(super) fn of(begun: Begun) -> Self {
        let (runtime, mut closed) = match &begun {
            Begun::Decided(fate) => return Self::decided(*fate),
            Begun::Pending(undecided, _) => {
                let ledger = &undecided.ledger;
                (ledger.runtime.clone(), ledger.closed.subscribe())
            }
        };
        let end = after_timeout();
        let future = async move {
            let mut late = pin!(tokio::time::sleep_until(end));
            begun.fate(&mut late, &mut closed).await
        };
        Self(State::Pending {
            future: Some(Box::pin(future)),
            runtime,
        })
    }

    /// Returns the fate if it is known already, else the burial itself.
    pub(crate) fn fate(self) -> Result<Fate, Self> {
        match &self.0 {
            State::Decided(fate) => Ok(*fate),
            State::Pending { .. } => Err(self),
        }
    }
}

impl Future for Burial {
    type Output = Fate;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Fate> {
        let fate = match &mut self.0 {
            State::Decided(fate) => return Poll::Ready(*fate),
            State::Pending {
                future: Some(future),
                ..
            } => ready!(future.as_mut().poll(cx)),
            // The state is set to `Decided` when the future resolves, so this is not
            // reached.
            State::Pending { future: None, .. } => return Poll::Pending,
        };
        self.0 = State::Decided(fate);
        Poll::Ready(fate)
    }
}

impl Drop for Burial {
    fn drop(&mut self) {
        if let State::Pending { future, runtime } = &mut self.0
            && let (Some(future), Some(runtime)) = (future.take(), runtime)
        {
            runtime.spawn(future);
        }
    }
}
