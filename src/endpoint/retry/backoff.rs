//! The default retry strategy: [`Backoff`].

use std::time::Duration;

use serde_json::{Value, json};

use crate::error::{BuildError, Mistakes};

/// The shortest wait that can be set. Without a wait a receiver that is down would be
/// flooded.
pub(super) const SHORTEST: Duration = Duration::from_millis(1);

/// Exponential backoff with full jitter, the default of an endpoint.
///
/// After its n-th failed attempt an event waits for a random time between 0
/// and `base · factorⁿ⁻¹`, at most `cap`. Events of other repositories are
/// delivered meanwhile. When attempts at several events fail in a row, the
/// endpoint as a whole pauses in the same way.
///
/// An event that was attempted `attempts` times, or that is older than `age`
/// when an attempt fails, becomes a dead letter. What each status means is
/// listed at [`Endpoint`](crate::Endpoint#statuses).
///
/// ```
/// use std::time::Duration;
/// use tower_registry_notifications::Endpoint;
/// use tower_registry_notifications::endpoint::Backoff;
///
/// let backoff = Backoff::new().cap(Duration::from_secs(60)).attempts(10);
/// let endpoint = Endpoint::new("ci", "https://ci.example.com/events").retry(backoff);
/// # let _ = endpoint;
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Backoff {
    base: Duration,
    factor: f64,
    cap: Duration,
    attempts: u32,
    age: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            base: Duration::from_secs(1),
            factor: 2.0,
            cap: Duration::from_secs(5 * 60),
            attempts: u32::MAX,
            age: Duration::from_secs(3 * 24 * 60 * 60),
        }
    }
}

impl Backoff {
    /// Returns a backoff with the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the longest wait after the first attempt, at least 1 ms. Defaults to 1 s.
    #[must_use]
    pub fn base(mut self, base: Duration) -> Self {
        self.base = base;
        self
    }

    /// Sets the factor by which the longest wait grows with each attempt, at least 1.
    /// Defaults to 2.
    #[must_use]
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// Sets the longest wait after any attempt, not less than the base. Defaults to
    /// 5 minutes.
    #[must_use]
    pub fn cap(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    /// Sets the maximum number of attempts at an event, at least 1. Defaults to no limit.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets the age from which on an event is not tried again. Defaults to 3
    /// days.
    #[must_use]
    pub fn age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    pub(super) fn event_wait(&self, attempts: u32, random: f64) -> Duration {
        self.wait(attempts, random)
    }

    /// Returns how long the endpoint pauses after failures of `events` different events
    /// in a row. One that fails alone may be at fault itself, so the endpoint does not
    /// pause; if several fail, the receiver is at fault.
    pub(super) fn endpoint_wait(&self, events: u32, random: f64) -> Duration {
        match events {
            0 | 1 => Duration::ZERO,
            more => self.wait(more - 1, random),
        }
    }

    fn wait(&self, after: u32, random: f64) -> Duration {
        let exponent = after.saturating_sub(1).min(1_000).cast_signed();
        let longest = self.base.as_secs_f64() * self.factor.powi(exponent);
        let wait = longest.min(self.cap.as_secs_f64()) * random;
        Duration::try_from_secs_f64(wait).unwrap_or(self.cap)
    }

    pub(super) fn gives_up(&self, attempts: u32, age: Duration) -> bool {
        attempts >= self.attempts || age >= self.age
    }

    /// Returns the backoff as the status shows it.
    pub(super) fn shown(&self) -> Value {
        json!({
            "policy": "backoff",
            "base_seconds": self.base.as_secs_f64(),
            "factor": self.factor,
            "cap_seconds": self.cap.as_secs_f64(),
            // `null` where there is no limit.
            "attempts": Some(self.attempts).filter(|it| *it < u32::MAX),
            "age_seconds": self.age.as_secs_f64(),
        })
    }

    pub(super) fn check(&self, of: &str) -> Result<(), BuildError> {
        let mut mistakes = Mistakes::default();
        let mut wrong = |field: &str, value: String, remedy: &str| {
            mistakes.add(BuildError::new(
                &format!("{of}retry {field}"),
                value,
                remedy,
            ));
        };
        if self.base < SHORTEST {
            wrong("base", format!("{:?}", self.base), "must be at least 1 ms");
        }
        if !(self.factor.is_finite() && self.factor >= 1.0) {
            wrong("factor", self.factor.to_string(), "must be at least 1");
        }
        if self.cap < self.base {
            let cap = format!("{:?}", self.cap);
            wrong("cap", cap, "must not be less than the base");
        }
        if self.attempts == 0 {
            wrong("attempts", "0".into(), "must be at least 1");
        }
        mistakes.or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_backoff_grows_to_its_cap() {
        let backoff = Backoff::new().base(SECOND).factor(3.0).cap(10 * SECOND);
        let waits = [1, 2, 3, 4, 2_000, u32::MAX].map(|n| backoff.event_wait(n, 1.0).as_secs());
        assert_eq!(waits, [1, 3, 9, 10, 10, 10]);
        assert_eq!(backoff.event_wait(2, 0.5), 3 * SECOND / 2);
        assert_eq!(backoff.event_wait(2, 0.0), Duration::ZERO);
        let waits = [1, 2, 3].map(|n| backoff.endpoint_wait(n, 1.0).as_secs());
        assert_eq!(waits, [0, 1, 3]);
        let huge = Backoff::new().base(Duration::MAX).cap(Duration::MAX);
        assert_eq!(huge.event_wait(9, 1.0), Duration::MAX);
    }

    #[test]
    fn the_backoff_gives_up_by_attempts_and_by_age() {
        let backoff = Backoff::new().attempts(3).age(SECOND);
        assert!(!backoff.gives_up(2, Duration::ZERO));
        assert!(backoff.gives_up(3, Duration::ZERO));
        assert!(backoff.gives_up(1, SECOND));
    }

    #[test]
    fn all_mistakes_are_reported() {
        let wrong = Backoff::new().base(Duration::ZERO).factor(0.5).attempts(0);
        assert_eq!(wrong.check("").unwrap_err().mistakes().len(), 3);
    }
}
