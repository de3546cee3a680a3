//! The consumers of an endpoint, one for each partition: created when missing, else
//! compared.
//!
//! The server updates an existing consumer if somebody creates one of the same name, and
//! older servers ignore settings that they do not know. Therefore a consumer is looked up
//! first, and only what the server returns counts.

use std::time::Duration;

use async_nats::jetstream::consumer::{
    AckPolicy, Config, DeliverPolicy, PriorityPolicy, ReplayPolicy, pull,
};
use async_nats::jetstream::context::ConsumerInfoErrorKind;
use async_nats::jetstream::stream::ConsumerErrorKind;

use super::Place;
use super::wire::{GROUP, consumer_name};
use crate::jetstream::connection::is_at_least;
use crate::jetstream::error::{ErrorKind, JetStreamError};
use crate::jetstream::patience::{is_temporary, no_answer};
use crate::jetstream::subject;

/// How long the server waits for an acknowledgement (`ack`), and for a request of the
/// client that has the pin (`pin`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waits {
    pub(crate) ack: Duration,
    pub(crate) pin: Duration,
}

/// The largest number of events of a partition that are under way at an endpoint.
const IN_FLIGHT: i64 = 64;

/// Makes sure that the consumer of an endpoint and a partition exists and fits.
/// Whether it is pinned to one worker at a time.
pub(super) async fn ensure(
    place: &Place<'_>,
    (endpoint, partition): (&str, u16),
) -> Result<bool, JetStreamError> {
    let (stream, pins) = (place.stream, is_at_least(place.version, 2, 11));
    let wanted = wanted(place.prefix, (endpoint, partition), place.waits, pins);
    let name = consumer_name(endpoint, partition);
    let found = match stream.consumer_info(&name).await {
        Ok(info) => info.config,
        Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => {
            let created = stream.create_consumer(wanted.clone()).await;
            let created = created.map_err(|error| match error.kind() {
                ConsumerErrorKind::TimedOut | ConsumerErrorKind::Request => no_answer(error),
                ConsumerErrorKind::JetStream(reason) if is_temporary(&reason) => no_answer(error),
                _ => {
                    let message = format!("the consumer {name:?} cannot be created");
                    JetStreamError::new(ErrorKind::Other, message).because(error)
                }
            })?;
            created.cached_info().config.clone()
        }
        Err(error) => return Err(no_answer(error)),
    };
    compare(&name, &wanted, &found)
}

fn wanted(
    prefix: &str,
    (endpoint, partition): (&str, u16),
    waits: Waits,
    pins: bool,
) -> pull::Config {
    let name = consumer_name(endpoint, partition);
    pull::Config {
        durable_name: Some(name.clone()),
        name: Some(name),
        description: Some(format!("endpoint {endpoint:?}, partition {partition}")),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: waits.ack,
        max_deliver: -1,
        filter_subject: subject::of_partition(prefix, partition),
        // Without a pin the order is kept only with one event at a time.
        max_ack_pending: if pins { IN_FLIGHT } else { 1 },
        priority_policy: match pins {
            true => PriorityPolicy::PinnedClient,
            false => PriorityPolicy::None,
        },
        priority_groups: if pins { vec![GROUP.into()] } else { Vec::new() },
        priority_timeout: if pins { waits.pin } else { Duration::ZERO },
        ..pull::Config::default()
    }
}

/// Compares the settings that matter. Returns whether the consumer is pinned: one that an
/// older server has created has no pin, and continues without.
fn compare(name: &str, wanted: &pull::Config, found: &Config) -> Result<bool, JetStreamError> {
    let pins = found.priority_policy == PriorityPolicy::PinnedClient;
    let most = if pins { IN_FLIGHT } else { 1 };
    let mut differences = Vec::new();
    let mut check = |field: &str, found: String, wanted: String| {
        if found != wanted {
            differences.push(format!("{field} is {found}, not {wanted}"));
        }
    };
    let text = |value: &dyn std::fmt::Debug| format!("{value:?}");
    check(
        "filter_subject",
        found.filter_subject.clone(),
        wanted.filter_subject.clone(),
    );
    check(
        "ack_policy",
        text(&found.ack_policy),
        text(&wanted.ack_policy),
    );
    check("ack_wait", text(&found.ack_wait), text(&wanted.ack_wait));
    check(
        "max_deliver",
        text(&found.max_deliver),
        text(&wanted.max_deliver),
    );
    check("max_ack_pending", text(&found.max_ack_pending), text(&most));
    check("headers_only", text(&found.headers_only), text(&false));
    check(
        "backoff",
        text(&found.backoff),
        text(&Vec::<Duration>::new()),
    );
    check(
        "deliver_subject",
        text(&found.deliver_subject),
        text(&None::<String>),
    );
    check(
        "replay_policy",
        text(&found.replay_policy),
        text(&ReplayPolicy::Instant),
    );
    // Of an idle consumer, which the server would remove with all that it knows.
    let never = Duration::ZERO;
    check(
        "inactive_threshold",
        text(&found.inactive_threshold),
        text(&never),
    );
    // 0 and less mean that there is no limit.
    for (field, limit) in [
        ("max_batch", found.max_batch),
        ("max_bytes", found.max_bytes),
    ] {
        check(field, limit.max(0).to_string(), "0".into());
    }
    check("max_expires", text(&found.max_expires), text(&never));
    if pins {
        check(
            "priority_groups",
            text(&found.priority_groups),
            text(&[GROUP]),
        );
        let (found, wanted) = (&found.priority_timeout, &wanted.priority_timeout);
        check("priority_timeout", text(found), text(wanted));
    }
    if differences.is_empty() {
        return Ok(pins);
    }
    let message = format!(
        "consumer {name:?} does not fit: {}. Edit it, or delete it if its events may be \
         delivered again",
        differences.join("; ")
    );
    Err(JetStreamError::new(ErrorKind::Mismatch, message))
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::consumer::IntoConsumerConfig as _;

    use super::*;

    /// The name of a field, and what changes it.
    type Change = (&'static str, fn(&mut Config));

    const WAITS: Waits = Waits {
        ack: Duration::from_secs(15),
        pin: Duration::from_secs(10),
    };

    fn config(pins: bool) -> pull::Config {
        wanted("p", ("ci", 7), WAITS, pins)
    }

    #[test]
    fn what_comes_back_says_whether_there_are_pins() {
        let (pinned, plain) = (config(true), config(false));
        let found = pinned.clone().into_consumer_config();
        assert!(compare("c", &pinned, &found).unwrap());
        // An old server, and one that has the consumer since it was one.
        let found = plain.clone().into_consumer_config();
        assert!(!compare("c", &plain, &found).unwrap());
        assert!(!compare("c", &pinned, &found).unwrap());
        // A server that ignores the pin delivers as many as it was told.
        let mut ignored = pinned.clone().into_consumer_config();
        ignored.priority_policy = PriorityPolicy::None;
        let error = compare("c", &pinned, &ignored).unwrap_err();
        assert!(
            error.is_mismatch() && error.to_string().contains("max_ack_pending"),
            "{error}"
        );
    }

    #[test]
    fn every_field_that_matters_is_compared() {
        let wanted = config(true);
        let change: [Change; 13] = [
            ("filter_subject", |it| it.filter_subject.push('x')),
            ("ack_policy", |it| it.ack_policy = AckPolicy::None),
            ("ack_wait", |it| it.ack_wait *= 2),
            ("max_deliver", |it| it.max_deliver = 5),
            ("max_ack_pending", |it| it.max_ack_pending = 1000),
            ("headers_only", |it| it.headers_only = true),
            ("replay_policy", |it| {
                it.replay_policy = ReplayPolicy::Original;
            }),
            ("inactive_threshold", |it| {
                it.inactive_threshold = Duration::from_secs(60);
            }),
            ("max_batch", |it| it.max_batch = 10),
            ("max_bytes", |it| it.max_bytes = 1000),
            ("max_expires", |it| it.max_expires = Duration::from_secs(1)),
            ("priority_groups", |it| {
                it.priority_groups = vec!["x".into()]
            }),
            ("priority_timeout", |it| it.priority_timeout *= 2),
        ];
        for (field, change) in change {
            let mut found = wanted.clone().into_consumer_config();
            change(&mut found);
            let error = compare("c", &wanted, &found).unwrap_err();
            assert!(error.to_string().contains(field), "{error}");
        }
    }
}
