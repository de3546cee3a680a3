//! The answer of a sink: [`Acceptance`].

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;

use super::SinkError;

/// The answer of a [`Sink`](super::Sink): a future that resolves when the sink
/// has taken responsibility for the event or has failed.
///
/// If dropped early, the event may or may not have been accepted.
///
/// It is not called `Write`, because that would collide with the traits of this
/// name in [`std::io`], [`std::fmt`] and the asynchronous runtimes.
#[must_use = "the sink may not have accepted the event before this resolves"]
pub struct Acceptance(State);

enum State {
    /// The answer is known, or `None` after it was returned.
    Ready(Option<Result<(), SinkError>>),
    /// The sink has not answered yet.
    Pending(Pin<Box<dyn Future<Output = Result<(), SinkError>> + Send>>),
}

impl Acceptance {
    /// Creates the answer of a sink that has accepted the event.
    pub fn accepted() -> Self {
        Self::ready(Ok(()))
    }

    /// Creates the answer of a sink that does not accept the event.
    pub fn failed(error: SinkError) -> Self {
        Self::ready(Err(error))
    }

    /// Creates an answer that is known already. Does not allocate.
    pub fn ready(result: Result<(), SinkError>) -> Self {
        Self(State::Ready(Some(result)))
    }

    /// Creates an answer that comes later, as the output of `future`.
    pub fn pending(future: impl Future<Output = Result<(), SinkError>> + Send + 'static) -> Self {
        Self(State::Pending(Box::pin(future)))
    }

    /// Calls a sink, and turns a panic in it, now or later, into an error.
    pub(crate) fn catching(write: impl FnOnce() -> Self) -> Self {
        let panicked = || Err(SinkError::other("sink panicked"));
        let Ok(acceptance) = catch_unwind(AssertUnwindSafe(write)) else {
            return Self::ready(panicked());
        };
        match acceptance.0 {
            State::Pending(future) => Self::pending(async move {
                let answer = AssertUnwindSafe(future).catch_unwind().await;
                answer.unwrap_or_else(|_| panicked())
            }),
            State::Ready(_) => acceptance,
        }
    }

    /// Returns the answer if it is known already, else the acceptance itself. The common
    /// case of a sink in memory thus needs no future.
    pub(crate) fn answer(self) -> Result<Result<(), SinkError>, Self> {
        match self.0 {
            State::Ready(result) => Ok(result.unwrap_or(Ok(()))),
            State::Pending(_) => Err(self),
        }
    }

    /// Combines several answers into one that resolves when all have resolved, to
    /// the first error if there is one.
    pub fn all(acceptances: impl IntoIterator<Item = Self>) -> Self {
        let mut result = Ok(());
        let mut waiting = Vec::new();
        for acceptance in acceptances {
            match acceptance.0 {
                State::Ready(ready) => result = result.and(ready.unwrap_or(Ok(()))),
                State::Pending(future) => waiting.push(future),
            }
        }
        if waiting.is_empty() {
            return Self::ready(result);
        }
        Self::pending(async move {
            for answer in futures_util::future::join_all(waiting).await {
                result = result.and(answer);
            }
            result
        })
    }
}

impl Future for Acceptance {
    type Output = Result<(), SinkError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(result) => Poll::Ready(result.take().unwrap_or(Ok(()))),
            State::Pending(future) => future.as_mut().poll(cx),
        }
    }
}

impl fmt::Debug for Acceptance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            State::Ready(result) => f.debug_tuple("Acceptance").field(result).finish(),
            State::Pending(_) => f.write_str("Acceptance(pending)"),
        }
    }
}
