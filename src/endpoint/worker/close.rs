//! The end of a worker: accounts for the events that are left.
//!
//! Every event is delivered, kept in a store, kept as a dead letter, or counted as
//! lost, however the worker ends: by itself, aborted, or with its runtime.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::Instant;

use super::Worker;
use super::in_flight::never_attempted;
use crate::endpoint::dead_letter::{Cause, DeadLetterWriter, LetterCounts, Reason};
use crate::endpoint::running::Leftover;
use crate::queue::{Abandoned, Queue, Threshold};

/// How long the dead letters of all events that are left may take.
pub(crate) const DEAD_LETTERS_TIMEOUT: Duration = Duration::from_secs(5);

/// Closes the queue when the worker ends, however it ends: nobody may write to a
/// queue that nobody reads. Events that the worker could not account for, because it
/// was aborted or its runtime has ended, are lost.
pub(super) struct CloseGuard {
    queue: Arc<Queue>,
    dead_letters: Arc<DeadLetterWriter>,
    leftover: Arc<Mutex<Leftover>>,
}

impl Drop for CloseGuard {
    fn drop(&mut self) {
        self.queue.close();
        let Abandoned { stored, lost } = self.queue.abandon();
        let why = "the worker ended before their dead letters were kept";
        self.dead_letters.lose(lost, Reason::Shutdown, why);
        self.account(stored, LetterCounts { kept: 0, lost });
    }
}

impl CloseGuard {
    fn account(&self, stored: usize, letters: LetterCounts) {
        let mut leftover = self.leftover.lock().unwrap_or_else(PoisonError::into_inner);
        leftover.stored += stored;
        leftover.letters.kept += letters.kept;
        leftover.letters.lost += letters.lost;
    }
}

impl Worker {
    /// Returns the guard that accounts for what a worker leaves behind.
    pub(super) fn closing(&self) -> CloseGuard {
        CloseGuard {
            queue: self.queue.clone(),
            dead_letters: self.dead_letters.clone(),
            leftover: self.leftover.clone(),
        }
    }

    /// Accounts for the events that are left, oldest first. Attempts under way are
    /// cancelled: the receiver may or may not have their events.
    pub(super) async fn abandon(mut self, closing: &CloseGuard) {
        let deadline = Instant::now() + DEAD_LETTERS_TIMEOUT;
        self.in_flight.attempts.clear();
        // Letters that are being written are awaited first, within the deadline. Their
        // events are no longer in the queue and are accounted for by the writer.
        while let Ok(Some(id)) =
            tokio::time::timeout_at(deadline, self.in_flight.letter_writes.next()).await
        {
            self.in_flight.advance(id, &self.queue, Instant::now());
        }
        let ours = std::mem::take(&mut self.in_flight).into_entries();
        let queued = self.queue.drain().into_iter().map(never_attempted);
        let (left, cause) = (ours.into_iter().chain(queued), Cause::default());
        // A store that outlives the process keeps its events as they are.
        let left = left.filter(|(entry, _)| !entry.is_stored());
        let (queue, deadline) = (&self.queue, Some(deadline));
        let tell = |letters: LetterCounts| closing.account(0, letters);
        self.dead_letters
            .bury_all(queue, left, Reason::Shutdown, &cause, deadline, tell)
            .await;
        self.refresh(&self.queue.watch(Threshold::NEXT), Instant::now());
    }
}
