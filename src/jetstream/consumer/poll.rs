//! Decides when to ask the server for more: [`Poll`].
//!
//! A worker that stops asking loses its pin. Therefore the server always has a request,
//! even while the largest number of events is under way. A request ends by itself after
//! [`EXPIRES`]. If the server has lost it, because it was restarted or the connection was
//! replaced, its heartbeats are missing.

use std::time::Duration;

use tokio::time::Instant;

/// How long the server keeps a request.
pub(super) const EXPIRES: Duration = Duration::from_secs(3);

/// How often the server confirms that it still has the request.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(1);

/// The largest number of events that one request brings.
pub(super) const BATCH: usize = 256;

/// How long after the last sign of the server the request counts as lost.
const SILENCE: Duration = Duration::from_millis(2500);

/// The pause before the next request after one that failed.
const PAUSE: Duration = Duration::from_millis(100);

/// For how long requests may fail, as they do while a server starts.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Poll {
    /// Events that the request may still bring.
    left: usize,
    heard: Instant,
    /// The earliest time to ask again.
    next: Instant,
    /// When the request ends by itself.
    until: Instant,
    /// Since when requests fail.
    failing: Option<Instant>,
    /// Whether that was told.
    told: bool,
}

impl Poll {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            left: 0,
            heard: now,
            next: now,
            until: now,
            failing: None,
            told: false,
        }
    }

    /// Whether to ask now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let has_request = self.left > 0 && now < self.until && now < self.heard + SILENCE;
        !has_request && now >= self.next
    }

    /// Notes that a request is sent.
    pub(super) fn asked(&mut self, now: Instant) {
        self.left = BATCH;
        self.heard = now;
        self.until = now + EXPIRES;
    }

    /// Notes that the request has brought an event.
    pub(super) fn note_event(&mut self, now: Instant) {
        self.left = self.left.saturating_sub(1);
        self.note_alive(now);
    }

    /// Notes that the server still has the request.
    pub(super) fn note_alive(&mut self, now: Instant) {
        self.heard = now;
        (self.failing, self.told) = (None, false);
    }

    /// The request has ended as requests do.
    pub(super) fn ended(&mut self) {
        self.left = 0;
    }

    /// The request has failed. Returns whether requests have failed for so long that it
    /// is worth a line, which is so once.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        self.left = 0;
        self.next = now + PAUSE;
        let since = *self.failing.get_or_insert(now);
        now >= since + PATIENCE && !std::mem::replace(&mut self.told, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_a_request() {
        let mut now = Instant::now();
        let mut poll = Poll::new(now);
        assert!(poll.is_due(now));
        poll.asked(now);
        assert!(!poll.is_due(now));
        for _ in 0..BATCH {
            assert!(!poll.is_due(now));
            poll.note_event(now);
        }
        assert!(poll.is_due(now), "it has brought all that it may");
        poll.asked(now);
        for _ in 0..2 {
            now += HEARTBEAT;
            poll.note_alive(now);
            assert!(!poll.is_due(now));
        }
        now += HEARTBEAT;
        assert!(poll.is_due(now), "it has ended by itself");
        poll.asked(now);
        assert!(poll.is_due(now + SILENCE), "the server does not know it");
        poll.ended();
        assert!(poll.is_due(now));
        poll.asked(now);
        poll.failed(now);
        assert!(!poll.is_due(now));
        assert!(poll.is_due(now + PAUSE));
    }
}
