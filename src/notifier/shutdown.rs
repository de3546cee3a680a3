//! The order in which everything ends.
//!
//! 1. Detached requests, because they still write events.
//! 2. Writes to the journal, because their events still come to the queues.
//! 3. The endpoints: each delivers what it has, and then accounts for what is left.
//! 4. The dead letters that are being written.
//! 5. The journal, with what was settled last.
//!
//! Each step has a time limit, so that a hanging sink, disk or receiver delays the end of
//! the process and never prevents it.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::journal::AttachedJournal;
use super::notifier::Notifier;
use crate::endpoint::DEAD_LETTERS_TIMEOUT;
use crate::shutdown::ShutdownReport;

/// How long tasks may take to end after they were told to.
const GRACE: Duration = Duration::from_secs(2);

impl Notifier {
    /// Closes the endpoints, delivers what waits within `deadline`, and reports
    /// what is left.
    ///
    /// First waits for requests that continue although their clients have
    /// disconnected, then closes the endpoints and waits until they have
    /// delivered their events, all within `deadline`. Writes after that fail
    /// with [`SinkError::is_closed`](crate::sink::SinkError::is_closed). Other sinks are not closed.
    ///
    /// With a journal, events that are left stay
    /// there, and are delivered after the next start. What was delivered is
    /// recorded on disk before this resolves, unless the disk takes longer than
    /// 2 s: then some events are delivered once more.
    ///
    /// Without a journal, events that are left become dead letters, which the
    /// dead-letter sinks
    /// have another 5 s to keep. Those that they do not keep are lost, counted
    /// and logged. An attempt in progress at the deadline is cancelled, and its
    /// events count as left: the receiver may or may not have them. A disabled
    /// endpoint is not waited for.
    ///
    /// A second call waits for the first and returns the same report. If the
    /// first call was dropped, the second continues it.
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        let began = Instant::now();
        // Requests whose clients have hung up still make events, so the queues must stay
        // open until these requests have ended.
        let _ = timeout(deadline, self.0.in_flight.idle()).await;
        let unfinished = self.0.in_flight.count();
        let endpoints = &self.0.endpoints;
        if let Some(journal) = &self.0.journal {
            journal.close();
            // Events on their way to the disk still come to the queues.
            let left = deadline.saturating_sub(began.elapsed());
            let _ = timeout(left.max(GRACE), journal.decided()).await;
        }
        let deadline = deadline.saturating_sub(began.elapsed());
        endpoints.iter().for_each(|endpoint| endpoint.close());
        let mut tasks = self.0.tasks.lock().await;
        // An earlier call may have been dropped half-way, after some tasks have ended.
        tasks.retain(|task| !task.is_finished());
        let stop: Vec<_> = tasks.iter().map(JoinHandle::abort_handle).collect();
        let mut all = pin!(join_all(tasks.iter_mut()));
        if timeout(deadline, &mut all).await.is_err() {
            endpoints.iter().for_each(|endpoint| endpoint.stop());
            // The workers keep the time limit themselves and account for what is left. A
            // worker that does not end is blocked by the user's code, and is aborted.
            if timeout(DEAD_LETTERS_TIMEOUT + GRACE, &mut all)
                .await
                .is_err()
            {
                stop.iter().for_each(|task| task.abort());
                let _blocked = timeout(GRACE, all).await;
            }
        }
        self.letters_decided().await;
        if let Some(journal) = &self.0.journal {
            journal.finish(GRACE).await;
        }
        let accounts = endpoints.iter().map(|it| (it.name(), it.account()));
        let mut report = ShutdownReport::of(accounts, unfinished, self.0.totals.unaccepted());
        if let Some(error) = self.0.journal.as_ref().and_then(AttachedJournal::error) {
            report.place_fails(&error);
        }
        report
    }

    /// Waits for the dead letters of events that were refused or made room for others.
    /// Letters that are not kept in time are lost.
    async fn letters_decided(&self) {
        let endpoints = &self.0.endpoints;
        let decided = || join_all(endpoints.iter().map(|it| it.letters_decided()));
        if timeout(DEAD_LETTERS_TIMEOUT, decided()).await.is_err() {
            endpoints.iter().for_each(|it| it.close_dead_letters());
            let _unpolled = timeout(GRACE, decided()).await;
        }
    }
}
