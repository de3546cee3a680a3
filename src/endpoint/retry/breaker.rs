//! The reference's retry strategy: [`Breaker`].

use std::time::Duration;

use serde_json::{Value, json};

use super::backoff::SHORTEST;
use crate::error::{BuildError, Mistakes};

/// The reference's breaker, which never gives up an event.
///
/// Every failed attempt is repeated at once, until `threshold` attempts in a
/// row have failed and the breaker opens. From then on there is one attempt
/// every `backoff` until one succeeds. An event that the receiver does not accept
/// holds up those behind it, whatever the status is, 400 included. `Retry-After` is
/// ignored. Endpoints of a distribution configuration file use a breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaker {
    threshold: u32,
    backoff: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            threshold: 10,
            backoff: Duration::from_secs(1),
        }
    }
}

impl Breaker {
    /// Returns a breaker with the reference's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the number of failures in a row after which the breaker opens. 0 counts as 1.
    /// Defaults to 10.
    #[must_use]
    pub fn threshold(mut self, failures: u32) -> Self {
        self.threshold = failures;
        self
    }

    /// Sets the wait between attempts while the breaker is open, at least 1 ms.
    /// Defaults to 1 s.
    #[must_use]
    pub fn backoff(mut self, backoff: Duration) -> Self {
        self.backoff = backoff;
        self
    }

    pub(super) fn endpoint_wait(&self, failures: u32) -> Duration {
        match failures >= self.threshold {
            true => self.backoff,
            false => Duration::ZERO,
        }
    }

    /// Returns the breaker as the status shows it.
    pub(super) fn shown(&self) -> Value {
        json!({
            "policy": "breaker",
            "threshold": self.threshold,
            "backoff_seconds": self.backoff.as_secs_f64(),
        })
    }

    pub(super) fn check(&self, of: &str) -> Result<(), BuildError> {
        let mut mistakes = Mistakes::default();
        if self.backoff < SHORTEST {
            let field = format!("{of}retry backoff");
            let backoff = format!("{:?}", self.backoff);
            mistakes.add(BuildError::new(&field, backoff, "must be at least 1 ms"));
        }
        mistakes.or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_breaker_opens_at_the_threshold() {
        let second = Duration::from_secs(1);
        let breaker = Breaker::new().threshold(2).backoff(second);
        assert_eq!(breaker.endpoint_wait(1), Duration::ZERO);
        assert_eq!(breaker.endpoint_wait(2), second);
        assert_eq!(breaker.endpoint_wait(u32::MAX), second);
    }
}
