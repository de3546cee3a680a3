//! What a layer remembers from one request to the next: [`Memory`].

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::origin::PeerWatch;
use super::sizes::Sizes;
use super::uploads::Uploads;

/// How long a kind of condition is not logged again.
const LOG_PERIOD: Duration = Duration::from_secs(300);

/// What the services of one layer remember, in bounded memory.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) sizes: Sizes,
    pub(super) uploads: Uploads,
    pub(super) peers: PeerWatch,
    logged: Mutex<HashMap<&'static str, Instant>>,
}

impl Memory {
    /// Whether a kind of condition may be logged now: once in [`LOG_PERIOD`],
    /// because clients can cause any number of them.
    pub(super) fn may_log(&self, kind: &'static str) -> bool {
        let may = self.would_log(kind);
        if may {
            self.logged().insert(kind, Instant::now());
        }
        may
    }

    /// Whether [`may_log`](Self::may_log) would return `true`, without recording it.
    pub(super) fn would_log(&self, kind: &'static str) -> bool {
        let logged = self.logged().get(kind).copied();
        logged.is_none_or(|last| last.elapsed() >= LOG_PERIOD)
    }

    fn logged(&self) -> MutexGuard<'_, HashMap<&'static str, Instant>> {
        self.logged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_kind_is_logged_once_in_a_period() {
        let memory = Memory::default();
        assert!(memory.may_log("a") && memory.may_log("b"));
        assert!(!memory.may_log("a"));
        tokio::time::advance(LOG_PERIOD).await;
        assert!(memory.may_log("a"));
    }
}
