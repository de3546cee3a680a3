//! Whether dead letters are kept or lost: [`LetterOutcome`], and the state that the letters
//! of an endpoint share.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::endpoint::status::Counts;

/// How long a sink of dead letters may take for one letter.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The end of a dead letter: kept or lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LetterOutcome {
    /// The sink of dead letters has accepted it.
    Kept,
    /// No sink has accepted it. It was counted and logged.
    Lost,
}

/// The number of dead letters by their outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LetterCounts {
    pub(crate) kept: usize,
    pub(crate) lost: usize,
}

impl LetterCounts {
    pub(super) fn lost(lost: usize) -> Self {
        Self { kept: 0, lost }
    }
}

/// The state that the letters of one endpoint share until their outcome is decided.
pub(super) struct Shared {
    pub(super) endpoint: Arc<str>,
    pub(super) counts: Arc<Counts>,
    /// The runtime in which the write of a letter continues if its future is dropped.
    pub(super) runtime: Option<Handle>,
    /// Number of letters that are not decided.
    pub(super) pending: watch::Sender<usize>,
    /// Whether letters that are not decided yet count as lost.
    pub(super) closed: watch::Sender<bool>,
}

impl Shared {
    pub(super) fn new(endpoint: Arc<str>, counts: Arc<Counts>) -> Self {
        Self {
            endpoint,
            counts,
            runtime: Handle::try_current().ok(),
            pending: watch::Sender::new(0),
            closed: watch::Sender::new(false),
        }
    }
}

/// Returns when the sink is too late with a letter that is offered now.
pub(super) fn after_timeout() -> Instant {
    Instant::now() + TIMEOUT
}
