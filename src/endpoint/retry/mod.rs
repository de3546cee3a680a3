//! When to try again: [`Breaker`], as the reference does, and [`Backoff`].

use std::fmt;
use std::time::Duration;

use http::StatusCode;

use crate::notifier::BuildError;

/// When an endpoint tries again: a [`Breaker`] or a [`Backoff`].
#[derive(Clone, Debug)]
pub struct RetryPolicy(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Breaker(Breaker),
    Backoff(Backoff),
}

impl RetryPolicy {
    pub(super) fn policy(&self) -> &dyn Policy {
        match &self.0 {
            Kind::Breaker(breaker) => breaker,
            Kind::Backoff(backoff) => backoff,
        }
    }
}

/// What an answer that does not accept means for the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Another attempt may succeed.
    Retry,
    /// No attempt at this event will.
    Reject,
    /// No attempt at any event will.
    Disable,
}

/// The part that policies differ in.
///
/// `random` is between 0 and 1. What repeats counts from 1.
pub(super) trait Policy: fmt::Debug + Send + Sync {
    /// How long an event waits after so many attempts at it.
    fn event_wait(&self, attempts: u32, random: f64) -> Duration;

    /// How long the endpoint is left alone after so many failures in a row, at
    /// so many different events.
    fn endpoint_wait(&self, failures: u32, events: u32, random: f64) -> Duration;

    /// Will an event not be tried again?
    fn gives_up(&self, attempts: u32, age: Duration) -> bool;

    /// What a status means that does not accept.
    fn judge(&self, status: StatusCode) -> Verdict;

    /// Is the receiver's `Retry-After` honoured?
    fn honours_retry_after(&self) -> bool;

    /// What makes no sense in it.
    fn check(
        &self,
        error: &dyn Fn(&str, &dyn fmt::Display, &str) -> BuildError,
    ) -> Result<(), BuildError>;
}

/// The reference's breaker, which never drops an event.
///
/// Every failure is tried again at once, until so many attempts in a row have
/// failed that the breaker is open; then once in every `backoff`, until one
/// succeeds. Whatever the receiver answers, an event that it does not accept
/// holds up those behind it: a 400 too, and `Retry-After` is not looked at.
/// That is what an endpoint of a distribution configuration gets.
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
    /// A breaker with the reference's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// After how many failures in a row it opens. Default: 10.
    #[must_use]
    pub fn threshold(mut self, failures: u32) -> Self {
        self.threshold = failures;
        self
    }

    /// How long to wait between attempts while it is open. Default: 1 s.
    #[must_use]
    pub fn backoff(mut self, backoff: Duration) -> Self {
        self.backoff = backoff;
        self
    }
}

impl From<Breaker> for RetryPolicy {
    fn from(breaker: Breaker) -> Self {
        Self(Kind::Breaker(breaker))
    }
}

impl Policy for Breaker {
    fn event_wait(&self, _: u32, _: f64) -> Duration {
        Duration::ZERO
    }

    fn endpoint_wait(&self, failures: u32, _: u32, _: f64) -> Duration {
        match failures >= self.threshold {
            true => self.backoff,
            false => Duration::ZERO,
        }
    }

    fn gives_up(&self, _: u32, _: Duration) -> bool {
        false
    }

    fn judge(&self, _: StatusCode) -> Verdict {
        Verdict::Retry
    }

    fn honours_retry_after(&self) -> bool {
        false
    }

    fn check(
        &self,
        error: &dyn Fn(&str, &dyn fmt::Display, &str) -> BuildError,
    ) -> Result<(), BuildError> {
        match self.backoff.is_zero() {
            true => Err(error("backoff", &"0", "must be longer than nothing")),
            false => Ok(()),
        }
    }
}

/// Exponential backoff with full jitter: what an endpoint gets by default.
///
/// After its n-th attempt, an event waits for a random time between nothing
/// and `base · factorⁿ⁻¹`, at most `cap`. Meanwhile events of other
/// repositories are delivered. When attempts at several events fail in a row,
/// the endpoint as a whole is left alone in the same way.
///
/// | answer | what becomes of the event |
/// | --- | --- |
/// | none (refused, reset, not in time, no HTTP), 408, 425, 429, 5xx, 1xx, 3xx | tried again |
/// | one of these with `Retry-After`, as 429 and 503 may have it | tried again after that, at most after an hour; meanwhile the endpoint gets nothing |
/// | 410 | kept; the endpoint gets nothing until [`Notifier::enable`](crate::Notifier::enable) |
/// | other 4xx | a dead letter; a batch is split until the culprit is alone |
///
/// An event that was tried `attempts` times, or that is older than `age` when
/// an attempt fails, is a dead letter.
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
    /// A backoff with the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Longest wait after the first attempt. Default: 1 s.
    #[must_use]
    pub fn base(mut self, base: Duration) -> Self {
        self.base = base;
        self
    }

    /// By how much the longest wait grows with each attempt. Default: 2.
    #[must_use]
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// Longest wait of all. Default: 5 minutes.
    #[must_use]
    pub fn cap(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    /// Most attempts at an event. Default: no limit.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// How old an event may be and still be tried again. Default: 3 days.
    #[must_use]
    pub fn age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    fn wait(&self, after: u32, random: f64) -> Duration {
        let exponent = after.saturating_sub(1).min(1_000).cast_signed();
        let longest = self.base.as_secs_f64() * self.factor.powi(exponent);
        let wait = longest.min(self.cap.as_secs_f64()) * random;
        Duration::try_from_secs_f64(wait).unwrap_or(self.cap)
    }
}

impl From<Backoff> for RetryPolicy {
    fn from(backoff: Backoff) -> Self {
        Self(Kind::Backoff(backoff))
    }
}

impl Policy for Backoff {
    fn event_wait(&self, attempts: u32, random: f64) -> Duration {
        self.wait(attempts, random)
    }

    /// The failures of one event may be its own; those of two are the endpoint's.
    fn endpoint_wait(&self, _: u32, events: u32, random: f64) -> Duration {
        match events {
            0 | 1 => Duration::ZERO,
            more => self.wait(more - 1, random),
        }
    }

    fn gives_up(&self, attempts: u32, age: Duration) -> bool {
        attempts >= self.attempts || age >= self.age
    }

    fn judge(&self, status: StatusCode) -> Verdict {
        match status.as_u16() {
            410 => Verdict::Disable,
            408 | 425 | 429 => Verdict::Retry,
            400..=499 => Verdict::Reject,
            _ => Verdict::Retry,
        }
    }

    fn honours_retry_after(&self) -> bool {
        true
    }

    fn check(
        &self,
        error: &dyn Fn(&str, &dyn fmt::Display, &str) -> BuildError,
    ) -> Result<(), BuildError> {
        if self.base.is_zero() {
            return Err(error("base", &"0", "must be longer than nothing"));
        }
        if !(self.factor.is_finite() && self.factor >= 1.0) {
            return Err(error("factor", &self.factor, "must be a number from 1 up"));
        }
        if self.cap < self.base {
            let cap = format!("{:?}", self.cap);
            return Err(error("cap", &cap, "must not be shorter than the base"));
        }
        match self.attempts {
            0 => Err(error("attempts", &0, "must be at least 1")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_breaker_opens_at_the_threshold() {
        let breaker = Breaker::new().threshold(2).backoff(SECOND);
        assert_eq!(breaker.endpoint_wait(1, 9, 0.5), Duration::ZERO);
        assert_eq!(breaker.endpoint_wait(2, 1, 0.5), SECOND);
        assert_eq!(breaker.endpoint_wait(u32::MAX, 1, 0.5), SECOND);
        assert!(!breaker.gives_up(u32::MAX, Duration::MAX));
        assert_eq!(breaker.judge(StatusCode::GONE), Verdict::Retry);
    }

    #[test]
    fn the_backoff_grows_to_its_cap() {
        let backoff = Backoff::new().base(SECOND).factor(3.0).cap(10 * SECOND);
        let waits = [1, 2, 3, 4, 2_000, u32::MAX].map(|n| backoff.event_wait(n, 1.0).as_secs());
        assert_eq!(waits, [1, 3, 9, 10, 10, 10]);
        assert_eq!(backoff.event_wait(2, 0.5), 3 * SECOND / 2);
        assert_eq!(backoff.event_wait(2, 0.0), Duration::ZERO);
        let waits = [1, 2, 3].map(|n| backoff.endpoint_wait(9, n, 1.0).as_secs());
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
    fn statuses_are_judged() {
        let backoff = Backoff::new();
        for (verdict, statuses) in [
            (
                Verdict::Retry,
                &[100, 302, 408, 425, 429, 500, 501, 503, 599][..],
            ),
            (Verdict::Reject, &[400, 401, 403, 404, 413, 422, 499]),
            (Verdict::Disable, &[410]),
        ] {
            for status in statuses {
                let status = StatusCode::from_u16(*status).unwrap();
                assert_eq!(backoff.judge(status), verdict, "{status}");
            }
        }
    }
}
