//! Writers that wait for room: [`Waiter`].

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Numbering, Queue, Refused};
use crate::event::SharedEvent;

/// The queue's side of a writer that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) ticket: u64,
    pub(super) event: SharedEvent,
    pub(super) numbering: Numbering,
    pub(super) since: Instant,
    answer: oneshot::Sender<Result<(), Refused>>,
}

impl Waiting {
    pub(super) fn answer(self, answer: Result<(), Refused>) {
        // A writer that has gone finds out when it withdraws.
        let _gone = self.answer.send(answer);
    }
}

/// Resolves when the queue has accepted or refused the event.
#[derive(Debug)]
#[must_use = "the event waits for room only as long as this exists"]
pub(crate) struct Waiter {
    queue: Arc<Queue>,
    ticket: u64,
    answer: oneshot::Receiver<Result<(), Refused>>,
    done: bool,
}

pub(super) fn pair(
    queue: Arc<Queue>,
    ticket: u64,
    event: SharedEvent,
    numbering: Numbering,
) -> (Waiting, Waiter) {
    let (sender, receiver) = oneshot::channel();
    let waiting = Waiting {
        ticket,
        event,
        numbering,
        since: Instant::now(),
        answer: sender,
    };
    let waiter = Waiter {
        queue,
        ticket,
        answer: receiver,
        done: false,
    };
    (waiting, waiter)
}

impl Waiter {
    /// Stops waiting. Returns whether the queue has accepted the event: it may
    /// have done so before anybody looked.
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
