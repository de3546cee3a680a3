//! Pauses an endpoint that fails: [`Gate`].

use tokio::time::Instant;

/// Whether attempts at an endpoint are paused, whatever their events.
///
/// The outcomes of attempts open and shut it. Of attempts that were under way at the
/// same time, only the first outcome counts: each attempt remembers the epoch in
/// which it began, and an outcome from an older epoch is ignored. Otherwise a receiver
/// that fails for a moment while eight requests are under way would count as having
/// failed eight times in a row.
#[derive(Debug, Default)]
pub(super) struct Gate {
    failures: u32,
    events: u32,
    /// The batch that failed last.
    last: Option<u64>,
    until: Option<Instant>,
    epoch: u64,
}

impl Gate {
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Returns the number of failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Returns how often in a row a batch has failed that is not the one that failed
    /// before.
    pub(super) fn events(&self) -> u32 {
        self.events
    }

    /// Returns when it opens, if it is shut.
    pub(super) fn shut_until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }

    /// Records that an attempt at the batch `id` has failed.
    pub(super) fn fails(&mut self, epoch: u64, id: u64) {
        if self.epoch == epoch {
            self.failures = self.failures.saturating_add(1);
            let another = self.last.replace(id) != Some(id);
            self.events = self.events.saturating_add(another.into());
            self.epoch += 1;
        }
    }

    /// Keeps it shut at least until then.
    pub(super) fn shut(&mut self, until: Instant) {
        self.until = self.until.max(Some(until));
    }

    /// Records that the receiver has answered. Returns whether that changes
    /// anything.
    pub(super) fn works(&mut self, epoch: u64) -> bool {
        let news = self.epoch == epoch && self.until.is_some();
        if news {
            *self = Self {
                epoch: epoch + 1,
                ..Self::default()
            };
        }
        news
    }
}
