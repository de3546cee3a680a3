use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use metrics::{Counter, Gauge};
use serde::Serialize;

/// What became of an endpoint's events so far.
///
/// The counters are those of the reference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EndpointStatus {
    /// Name of the endpoint.
    pub name: String,
    /// Where it posts, without user info.
    pub url: String,
    /// Events that wait or are under way.
    pub pending: u64,
    /// Events that the queue has taken.
    pub events: u64,
    /// Events that were accepted by the receiver.
    pub successes: u64,
    /// Attempts that the receiver answered, but not with success.
    pub failures: u64,
    /// Attempts that got no answer.
    pub errors: u64,
    /// Events that were lost because the queue was full.
    pub lost: u64,
    /// Answers by status, `200 OK`.
    pub statuses: BTreeMap<String, u64>,
    /// Why the last attempt failed, until one succeeds.
    pub last_error: Option<String>,
}

/// Counts what happens to an endpoint's events, for its status and as metrics.
pub(crate) struct Counts {
    status: Mutex<EndpointStatus>,
    events: Counter,
    successes: Counter,
    failures: Counter,
    errors: Counter,
    lost: Counter,
    pending: Gauge,
    /// Events are being lost.
    losing: AtomicBool,
}

impl Counts {
    pub(crate) fn new(name: &str, url: String) -> Self {
        let of = |kind: &'static str| {
            metrics::counter!(
                "registry_notifications_events_total",
                "type" => kind,
                "endpoint" => name.to_owned()
            )
        };
        Self {
            events: of("Events"),
            successes: of("Successes"),
            failures: of("Failures"),
            errors: of("Errors"),
            lost: of("Lost"),
            pending: metrics::gauge!(
                "registry_notifications_pending_total",
                "endpoint" => name.to_owned()
            ),
            losing: AtomicBool::new(false),
            status: Mutex::new(EndpointStatus {
                name: name.into(),
                url,
                ..EndpointStatus::default()
            }),
        }
    }

    fn status(&self) -> MutexGuard<'_, EndpointStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn snapshot(&self) -> EndpointStatus {
        self.status().clone()
    }

    /// An event is offered to the queue, and counts as taken until it is
    /// [`refused`](Self::refused).
    pub(crate) fn offered(&self) {
        let mut status = self.status();
        status.events += 1;
        status.pending += 1;
        self.pending.increment(1.0);
    }

    /// The queue has taken it.
    pub(crate) fn taken(&self) {
        self.events.increment(1);
    }

    /// The queue did not take it after all. True for the first of a burst: a
    /// burst is over when an event was delivered again.
    pub(crate) fn refused(&self) -> bool {
        let mut status = self.status();
        status.events -= 1;
        status.pending -= 1;
        status.lost += 1;
        self.pending.decrement(1.0);
        self.lost.increment(1);
        !self.losing.swap(true, Ordering::Relaxed)
    }

    /// The receiver answered.
    pub(crate) fn answered(&self, code: StatusCode, accepted: bool) {
        let mut status = self.status();
        let reason = code.canonical_reason().unwrap_or_default();
        let text = format!("{} {reason}", code.as_u16());
        metrics::counter!(
            "registry_notifications_status_total",
            "code" => text.clone(),
            "endpoint" => status.name.clone()
        )
        .increment(1);
        if accepted {
            status.successes += 1;
            status.pending = status.pending.saturating_sub(1);
            status.last_error = None;
            self.losing.store(false, Ordering::Relaxed);
            self.successes.increment(1);
            self.pending.decrement(1.0);
        } else {
            status.failures += 1;
            status.last_error = Some(text.clone());
            self.failures.increment(1);
        }
        *status.statuses.entry(text).or_default() += 1;
    }

    /// There was no answer.
    pub(crate) fn failed(&self, error: &str) {
        let mut status = self.status();
        status.errors += 1;
        status.last_error = Some(error.into());
        self.errors.increment(1);
    }
}
