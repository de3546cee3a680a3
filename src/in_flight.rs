//! Requests that continue after their clients have hung up: [`InFlight`].

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::metrics;
use crate::sink::Acceptance;

/// Runs requests whose clients have hung up in tasks of their own, and counts
/// these so that a shutdown can wait for them. Clones share the count.
#[derive(Clone, Debug)]
pub(crate) struct InFlight {
    count: Arc<watch::Sender<usize>>,
    /// The runtime to spawn in if a request is dropped outside a runtime.
    runtime: Option<Handle>,
}

/// Counts one task until it is dropped, including by a runtime that shuts down and
/// drops the task unfinished.
struct Guard(Arc<watch::Sender<usize>>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

impl InFlight {
    /// Uses the runtime that it is created in, if there is one.
    pub(crate) fn new() -> Self {
        Self {
            count: Arc::new(watch::Sender::new(0)),
            runtime: Handle::try_current().ok(),
        }
    }

    /// Runs `work` in a task of its own for at most `limit`. It is counted in a metric
    /// if it panics, reaches the limit or finds no runtime, because it is then unknown
    /// whether the registry has acted.
    pub(crate) fn spawn(&self, limit: Duration, work: impl Future<Output = ()> + Send + 'static) {
        let runtime = Handle::try_current().ok().or_else(|| self.runtime.clone());
        let Some(runtime) = runtime else {
            tracing::error!("no runtime is left to complete a request in");
            metrics::unknown_outcome();
            return;
        };
        // Counted before the task exists, so that a shutdown that begins in between
        // waits for it.
        self.count.send_modify(|count| *count += 1);
        let guard = Guard(self.count.clone());
        let span = tracing::Span::current();
        let work = AssertUnwindSafe(work).catch_unwind();
        let work = tracing::Instrument::instrument(work, span);
        runtime.spawn(async move {
            let _guard = guard;
            match tokio::time::timeout(limit, work).await {
                Ok(Ok(())) => {}
                Ok(Err(_panic)) => metrics::unknown_outcome(),
                Err(_) => {
                    metrics::detached_timeout();
                    tracing::warn!(
                        ?limit,
                        "a request that went on without its client reached its time limit"
                    );
                }
            }
        });
    }

    /// Runs a write to its end although nobody waits for its result.
    pub(crate) fn complete(&self, write: Acceptance, limit: Duration) {
        if let Err(write) = write.answer() {
            self.spawn(limit, async move { drop(write.await) });
        }
    }

    /// Returns the number of running tasks.
    pub(crate) fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// Resolves when no task is running.
    pub(crate) async fn idle(&self) {
        let mut count = self.count.subscribe();
        // The sender lives as long as `self`, so this cannot fail.
        let _ = count.wait_for(|count| *count == 0).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_ends_at_its_limit_or_by_a_panic_and_idle_waits_for_it() {
        let in_flight = InFlight::new();
        in_flight.idle().await;
        in_flight.spawn(Duration::from_secs(5), std::future::pending());
        in_flight.spawn(Duration::from_secs(9), async {
            panic!("in the background")
        });
        assert_eq!(in_flight.count(), 2);
        let began = tokio::time::Instant::now();
        in_flight.idle().await;
        assert_eq!(began.elapsed(), Duration::from_secs(5));
        assert_eq!(in_flight.count(), 0);
    }
}
