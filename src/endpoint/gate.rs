use tokio::time::Instant;

/// Whether an endpoint as a whole is to be left alone.
///
/// It changes with what attempts come to. Of those that are under way at a time
/// only the first tells something new: each remembers the epoch that it began
/// in, and one of an older epoch does not count.
#[derive(Debug, Default)]
pub(super) struct Gate {
    failures: u32,
    events: u32,
    /// What has failed last.
    last: Option<u64>,
    until: Option<Instant>,
    epoch: u64,
}

impl Gate {
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// How often in a row another event than before has failed.
    pub(super) fn events(&self) -> u32 {
        self.events
    }

    /// When it opens, if it is not open.
    pub(super) fn shut_until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }

    /// An attempt at `id` has failed.
    pub(super) fn fails(&mut self, epoch: u64, id: u64) {
        if self.epoch == epoch {
            self.failures = self.failures.saturating_add(1);
            let another = self.last.replace(id) != Some(id);
            self.events = self.events.saturating_add(another.into());
            self.epoch += 1;
        }
    }

    /// Shut it until then at least.
    pub(super) fn shut(&mut self, until: Instant) {
        self.until = self.until.max(Some(until));
    }

    /// The receiver has answered. True if that changes something.
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
