//! The writers that wait for room, on the queue's side: [`Waiters`].

use std::collections::VecDeque;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::bounds::Refused;
use super::numbering::Numbering;
use crate::event::SharedEvent;

pub(super) type Answer = Result<(), Refused>;

/// A writer that waits for room.
#[derive(Debug)]
pub(super) struct Waiting {
    ticket: u64,
    pub(super) event: SharedEvent,
    pub(super) numbering: Numbering,
    pub(super) since: Instant,
    answer: oneshot::Sender<Answer>,
}

impl Waiting {
    pub(super) fn answer(self, answer: Answer) {
        // A writer that has stopped waiting gets the answer when it withdraws.
        let _gone = self.answer.send(answer);
    }
}

/// Writers that wait for room, in the order of their calls. While there are any, no other
/// write is accepted, because it would overtake them.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    line: VecDeque<Waiting>,
    next_ticket: u64,
}

impl Waiters {
    pub(super) fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// Adds a writer at the end. Returns its ticket, and the receiver of its answer.
    pub(super) fn add(
        &mut self,
        event: SharedEvent,
        numbering: Numbering,
        since: Instant,
    ) -> (u64, oneshot::Receiver<Answer>) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let (answer, receiver) = oneshot::channel();
        self.line.push_back(Waiting {
            ticket,
            event,
            numbering,
            since,
            answer,
        });
        (ticket, receiver)
    }

    /// Removes the first writer if its event fits now.
    pub(super) fn pop_if(&mut self, fits: impl FnOnce(&SharedEvent) -> bool) -> Option<Waiting> {
        match fits(&self.line.front()?.event) {
            true => self.line.pop_front(),
            false => None,
        }
    }

    /// Removes a writer. Returns `None` if it has its answer already.
    pub(super) fn remove(&mut self, ticket: u64) -> Option<Waiting> {
        let found = { &self.line }.binary_search_by_key(&ticket, |it| it.ticket);
        self.line.remove(found.ok()?)
    }

    /// Removes all writers.
    pub(super) fn take(&mut self) -> VecDeque<Waiting> {
        std::mem::take(&mut self.line)
    }
}
