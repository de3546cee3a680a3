//! The keys of GitLab's registry, a fork of the reference with retries, a queue and
//! deadlines of its own.

use std::time::Duration;

use super::fields::Fields;
use super::item::Item;
use crate::endpoint::{Backoff, Endpoint, StatusMeaning};
use crate::event::Format;

/// The keys of an endpoint that only GitLab's registry has. One of them, or
/// `fanouttimeout`, makes a section one of GitLab's.
const KEYS: [&str; 3] = ["maxretries", "queuesizelimit", "queuepurgetimeout"];

const RETRIES: u32 = 10;
const QUEUE: usize = 3_000;
const PURGE: Duration = Duration::from_secs(5);
const FANOUT: Duration = Duration::from_secs(15);

/// The backoff of the Go package that GitLab's registry uses, with its defaults.
const FACTOR: f64 = 1.5;
const CAP: Duration = Duration::from_secs(60);
const AGE: Duration = Duration::from_secs(15 * 60);

/// Whether a section was written for GitLab's registry.
pub(super) fn wrote(fanout: Option<&Item>, endpoints: &[Item]) -> bool {
    let has_key = |item: &Item| {
        let mut fields = Fields::of(item);
        KEYS.iter().any(|key| fields.take(key).is_some())
    };
    fanout.is_some() || endpoints.iter().any(has_key)
}

/// Sets the defaults that differ from the reference, before any key is read.
pub(super) fn defaults(endpoint: Endpoint) -> Endpoint {
    endpoint.format(Format::V1).queue_events(QUEUE)
}

/// Sets the retries of an endpoint. GitLab's registry tries again after every status from
/// 400 on, because it takes none of them as final.
pub(super) fn retry(endpoint: Endpoint, backoff: Backoff) -> Endpoint {
    let endpoint = endpoint.on_status(400..=599, StatusMeaning::Retry);
    endpoint.retry(backoff)
}

/// Returns the retries of an endpoint. 0 means the default, as everywhere in the
/// reference.
pub(super) fn backoff(
    retries: Option<u32>,
    threshold: Option<u32>,
    first: Option<Duration>,
) -> Backoff {
    let first = first.filter(|it| !it.is_zero());
    let first = first.unwrap_or(Duration::from_secs(1));
    let threshold = threshold.filter(|it| *it > 0);
    let retries = retries.filter(|it| *it > 0);
    let retries = retries.or_else(|| threshold.map(|it| it.max(within_window(first))));
    Backoff::new()
        .base(first)
        .factor(FACTOR)
        .cap(CAP.max(first))
        .attempts(retries.unwrap_or(RETRIES).saturating_add(1))
        .age(AGE)
}

/// Returns how often GitLab's registry tries again if it has a `threshold` and no
/// `maxretries`: as often as fits into 120 times the first interval.
fn within_window(first: Duration) -> u32 {
    let window = first.saturating_mul(120).min(AGE);
    let (mut wait, mut waited, mut retries) = (first, first, 0);
    while waited <= window {
        retries += 1;
        wait = wait.mul_f64(FACTOR).min(CAP);
        waited = waited.saturating_add(wait);
    }
    retries
}

/// Reads how many events may wait. 0 means the default.
pub(super) fn queue_size(item: &Item) -> super::item::Result<usize> {
    let size: usize = item.number()?;
    Ok(if size == 0 { QUEUE } else { size })
}

/// Returns how long GitLab's registry takes to shut down: first to pass on the events
/// that have happened, and then to deliver those that wait.
pub(super) fn shutdown_deadline(fanout: Option<&Item>, endpoints: &[Item]) -> Duration {
    let or = |item: Option<&Item>, default: Duration| {
        let duration = item.and_then(|it| it.duration().ok());
        duration.filter(|it| !it.is_zero()).unwrap_or(default)
    };
    let purge = |item: &Item| {
        let item = Fields::of(item).take("queuepurgetimeout");
        or(item.as_ref(), PURGE)
    };
    let purge = endpoints.iter().map(purge).max().unwrap_or(PURGE);
    or(fanout, FANOUT).saturating_add(purge)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After the table in the documentation of GitLab's registry, and by its loop.
    #[test]
    fn a_threshold_becomes_retries_as_in_gitlab() {
        let second = Duration::from_secs(1);
        for (threshold, first, attempts) in [
            (10, second, 11),
            (5, 2 * second, 11),
            (15, second, 16),
            (1, 10 * second, 18),
            (0, second, 11),
        ] {
            let backoff = backoff(None, Some(threshold), Some(first));
            let same = Backoff::new().base(first).factor(1.5).cap(60 * second);
            let same = same.attempts(attempts).age(900 * second);
            assert_eq!(backoff, same, "{threshold} {first:?}");
        }
        assert_eq!(
            backoff(Some(3), Some(9), None),
            backoff(Some(3), None, Some(second))
        );
        assert_eq!(backoff(Some(0), None, None), backoff(Some(10), None, None));
        let slow = Duration::from_secs(3600);
        assert_eq!(within_window(slow), 0);
        assert_eq!(backoff(None, None, Some(slow)), {
            let backoff = Backoff::new().base(slow).factor(1.5).cap(slow);
            backoff.attempts(11).age(900 * second)
        });
    }
}
