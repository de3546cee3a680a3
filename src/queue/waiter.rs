//! A write that waits for room, on the writer's side: [`Waiter`].

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

use super::bounds::Refused;
use super::queue::Queue;
use super::waiting::Answer;

/// Resolves when the queue has accepted or refused the event.
#[derive(Debug)]
#[must_use = "the event waits for room only as long as this exists"]
pub(crate) struct Waiter {
    queue: Arc<Queue>,
    ticket: u64,
    answer: oneshot::Receiver<Answer>,
    done: bool,
}

impl Waiter {
    pub(super) fn new(queue: Arc<Queue>, ticket: u64, answer: oneshot::Receiver<Answer>) -> Self {
        Self {
            queue,
            ticket,
            answer,
            done: false,
        }
    }

    /// Stops waiting. Returns `Ok` if the queue had already accepted the event, although
    /// nobody has polled for the answer.
    pub(crate) fn cancel(&mut self) -> Result<(), Refused> {
        if std::mem::replace(&mut self.done, true) {
            return Ok(());
        }
        if self.queue.withdraw(self.ticket) {
            return Err(Refused::Full);
        }
        self.answer.try_recv().unwrap_or(Err(Refused::Closed))
    }
}

impl Future for Waiter {
    type Output = Result<(), Refused>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answer).poll(cx));
        self.done = true;
        Poll::Ready(answer.unwrap_or(Err(Refused::Closed)))
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if !self.done {
            self.queue.withdraw(self.ticket);
        }
    }
}
