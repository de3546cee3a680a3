//! The strategy that an endpoint retries with: [`RetryPolicy`].

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use super::backoff::Backoff;
use super::breaker::Breaker;
use super::status::{Rules, StatusMeaning};
use crate::error::{BuildError, Mistakes};

/// When an endpoint tries again.
///
/// Methods that take a policy also take a [`Backoff`] or a [`Breaker`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RetryPolicy {
    /// Exponential backoff with jitter, the default.
    Backoff(Backoff),
    /// The reference's breaker.
    Breaker(Breaker),
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::Backoff(Backoff::new())
    }
}

impl From<Backoff> for RetryPolicy {
    fn from(backoff: Backoff) -> Self {
        Self::Backoff(backoff)
    }
}

impl From<Breaker> for RetryPolicy {
    fn from(breaker: Breaker) -> Self {
        Self::Breaker(breaker)
    }
}

/// In all of these methods `random` is between 0 and 1, and attempts count from 1.
impl RetryPolicy {
    /// Returns how long an event waits after this many attempts at it.
    pub(crate) fn event_wait(&self, attempts: u32, random: f64) -> Duration {
        match self {
            Self::Backoff(backoff) => backoff.event_wait(attempts, random),
            Self::Breaker(_) => Duration::ZERO,
        }
    }

    /// Returns how long the endpoint pauses after this many failures in a row, at this
    /// many different events.
    pub(crate) fn endpoint_wait(&self, failures: u32, events: u32, random: f64) -> Duration {
        match self {
            Self::Backoff(backoff) => backoff.endpoint_wait(events, random),
            Self::Breaker(breaker) => breaker.endpoint_wait(failures),
        }
    }

    /// Whether an event is not tried again.
    pub(crate) fn gives_up(&self, attempts: u32, age: Duration) -> bool {
        match self {
            Self::Backoff(backoff) => backoff.gives_up(attempts, age),
            Self::Breaker(_) => false,
        }
    }

    /// Whether the receiver's `Retry-After` is honoured.
    pub(crate) fn honours_retry_after(&self) -> bool {
        matches!(self, Self::Backoff(_))
    }

    /// Returns the policy as the status shows it.
    pub(crate) fn shown(&self) -> Value {
        match self {
            Self::Backoff(backoff) => backoff.shown(),
            Self::Breaker(breaker) => breaker.shown(),
        }
    }

    fn meaning(&self, status: StatusCode) -> StatusMeaning {
        match (self, status.as_u16()) {
            (_, 200..=299) => StatusMeaning::Accept,
            (Self::Backoff(_), 400 | 413 | 415 | 422) => StatusMeaning::Reject,
            (Self::Backoff(_), 410) => StatusMeaning::Disable,
            _ => StatusMeaning::Retry,
        }
    }

    fn check(&self, of: &str) -> Result<(), BuildError> {
        match self {
            Self::Backoff(backoff) => backoff.check(of),
            Self::Breaker(breaker) => breaker.check(of),
        }
    }
}

/// The meaning of a status that does not accept the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Another attempt may succeed.
    Retry,
    /// No attempt at this event will succeed.
    Reject,
    /// No attempt at any event will succeed.
    Disable,
}

/// The retry policy of an endpoint with the meanings that it gives to statuses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Retry {
    pub(crate) policy: RetryPolicy,
    pub(crate) rules: Rules,
}

impl Retry {
    pub(crate) fn policy(&self) -> &RetryPolicy {
        &self.policy
    }

    /// Whether a status means that the receiver has accepted the events.
    pub(crate) fn accepts(&self, status: StatusCode) -> bool {
        self.meaning(status) == StatusMeaning::Accept
    }

    /// Returns what a status other than an accepting one means.
    pub(crate) fn judge(&self, status: StatusCode) -> Verdict {
        match self.meaning(status) {
            StatusMeaning::Reject => Verdict::Reject,
            StatusMeaning::Disable => Verdict::Disable,
            StatusMeaning::Accept | StatusMeaning::Retry => Verdict::Retry,
        }
    }

    fn meaning(&self, status: StatusCode) -> StatusMeaning {
        let rule = self.rules.meaning(status);
        rule.unwrap_or_else(|| self.policy.meaning(status))
    }

    /// Reports every invalid setting, with `of` before the name of each.
    pub(crate) fn check(&self, of: &str) -> Result<(), BuildError> {
        let mut mistakes = Mistakes::default();
        mistakes.take(self.policy.check(of));
        mistakes.take(self.rules.check(of));
        mistakes.or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16) -> StatusCode {
        StatusCode::from_u16(code).unwrap()
    }

    #[test]
    fn statuses_are_judged() {
        let retry = Retry::default();
        for (verdict, statuses) in [
            (
                Verdict::Retry,
                &[
                    302, 401, 403, 404, 405, 407, 408, 409, 414, 425, 429, 431, 451, 499, 500, 501,
                    503, 599,
                ][..],
            ),
            (Verdict::Reject, &[400, 413, 415, 422]),
            (Verdict::Disable, &[410]),
        ] {
            for code in statuses {
                assert_eq!(retry.judge(status(*code)), verdict, "{code}");
                assert!(!retry.accepts(status(*code)), "{code}");
            }
        }
        assert!(retry.accepts(status(200)) && retry.accepts(status(299)));
    }

    #[test]
    fn the_breaker_retries_every_status() {
        let retry = Retry {
            policy: Breaker::new().into(),
            ..Retry::default()
        };
        for code in [400, 404, 410, 413] {
            assert_eq!(retry.judge(status(code)), Verdict::Retry, "{code}");
        }
        assert!(!retry.policy.gives_up(u32::MAX, Duration::MAX));
        assert_eq!(retry.policy.event_wait(9, 1.0), Duration::ZERO);
    }

    #[test]
    fn the_last_matching_rule_overrides_the_policy() {
        let mut retry = Retry::default();
        retry.rules.add((300..=399).into(), StatusMeaning::Accept);
        retry.rules.add(304.into(), StatusMeaning::Reject);
        retry
            .rules
            .add(StatusCode::GONE.into(), StatusMeaning::Retry);
        retry.rules.add(202.into(), StatusMeaning::Retry);
        assert!(retry.accepts(status(301)) && !retry.accepts(status(304)));
        assert_eq!(retry.judge(status(304)), Verdict::Reject);
        assert_eq!(retry.judge(status(410)), Verdict::Retry);
        assert!(!retry.accepts(status(202)) && retry.accepts(status(201)));
        assert_eq!(
            format!("{:?}", retry.rules),
            "{300..=399: Accept, 304: Reject, 410: Retry, 202: Retry}"
        );
    }
}
