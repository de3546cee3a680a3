//! The bounds of a batch: [`Batch`].

use std::time::Duration;

use serde_json::{Value, json};

/// How many events go into one request.
///
/// A batch is sent as soon as it is full, or its first event has waited for
/// [`linger`](Self::linger). A batch that the receiver rejects, that fails more
/// than once, or that is to be given up is halved until the event at fault is
/// alone, so that one event never makes dead letters of others.
///
/// ```
/// use std::time::Duration;
/// use tower_registry_notifications::Endpoint;
/// use tower_registry_notifications::endpoint::Batch;
///
/// let batch = Batch::of(100).linger(Duration::from_millis(200));
/// let endpoint = Endpoint::new("ci", "https://ci.example.com/events").batch(batch);
/// # let _ = endpoint;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub(super) events: usize,
    pub(super) bytes: usize,
    pub(super) linger: Duration,
}

impl Batch {
    /// Returns a batch of at most this many events in a request, at least 1. With 1 each
    /// event has a request of its own, as in the reference.
    pub fn of(events: usize) -> Self {
        Self {
            events,
            bytes: 1 << 20,
            linger: Duration::ZERO,
        }
    }

    /// Sets the maximum size of the events in a request's body, in bytes, at least 1. An
    /// event that is larger is sent alone. Defaults to 1 MiB.
    #[must_use]
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// Sets how long a batch that is not full waits for more events. Defaults to
    /// zero: a batch has the events that arrived while the last one was under way.
    /// While the queue is full, a batch does not wait.
    #[must_use]
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }
}

impl Batch {
    /// Returns the bounds as the status shows them.
    pub(super) fn shown(&self) -> Value {
        json!({
            "events": self.events,
            "bytes": self.bytes,
            "linger_seconds": self.linger.as_secs_f64(),
        })
    }
}
