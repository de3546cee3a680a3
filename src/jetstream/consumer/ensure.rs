//! The consumers of an endpoint, one for each partition: created when missing, else
//! compared.
//!
//! The server updates an existing consumer if somebody creates one of the same name, and
//! older servers ignore settings that they do not know. Therefore a consumer is looked up
//! first, and only what the server returns counts.

use std::fmt::Debug;
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

/// Makes sure that the consumer of an endpoint and a partition exists and fits. Returns
/// whether it is pinned to one worker at a time.
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
    let mut differences = Differences::default();
    differences.of_deliveries(wanted, found, pins);
    differences.of_limits(found);
    if pins {
        differences.of_pin(wanted, found);
    }
    if differences.0.is_empty() {
        return Ok(pins);
    }
    let message = format!(
        "consumer {name:?} does not fit: {}. Edit it, or delete it if its events may be \
         delivered again",
        differences.0.join("; ")
    );
    Err(JetStreamError::new(ErrorKind::Mismatch, message))
}

/// The settings of a consumer that differ from the wanted ones, each in words.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    /// Compares which events are delivered, to whom, how often, and how many at a time.
    fn of_deliveries(&mut self, wanted: &pull::Config, found: &Config, pins: bool) {
        let (theirs, ours) = (&found.filter_subject, &wanted.filter_subject);
        self.add("filter_subject", theirs.clone(), ours.clone());
        self.check("ack_policy", &found.ack_policy, &wanted.ack_policy);
        self.check("ack_wait", &found.ack_wait, &wanted.ack_wait);
        self.check("max_deliver", &found.max_deliver, &wanted.max_deliver);
        let in_flight = if pins { IN_FLIGHT } else { 1 };
        self.check("max_ack_pending", &found.max_ack_pending, &in_flight);
        self.check("headers_only", &found.headers_only, &false);
        self.check("backoff", &found.backoff, &Vec::<Duration>::new());
        self.check("deliver_subject", &found.deliver_subject, &None::<String>);
        let instant = ReplayPolicy::Instant;
        self.check("replay_policy", &found.replay_policy, &instant);
    }

    /// Compares the limits of requests, and the time after which the server removes an idle
    /// consumer with all that it knows. There must be none.
    fn of_limits(&mut self, found: &Config) {
        let never = Duration::ZERO;
        self.check("inactive_threshold", &found.inactive_threshold, &never);
        // 0 and less mean that there is no limit.
        self.check("max_batch", &found.max_batch.max(0), &0);
        self.check("max_bytes", &found.max_bytes.max(0), &0);
        self.check("max_expires", &found.max_expires, &never);
    }

    /// Compares the group whose pinned client gets the events, and how long it stays pinned.
    fn of_pin(&mut self, wanted: &pull::Config, found: &Config) {
        self.check("priority_groups", &found.priority_groups, &[GROUP]);
        let (theirs, ours) = (&found.priority_timeout, &wanted.priority_timeout);
        self.check("priority_timeout", theirs, ours);
    }

    fn check(&mut self, field: &str, found: &dyn Debug, wanted: &dyn Debug) {
        self.add(field, format!("{found:?}"), format!("{wanted:?}"));
    }

    fn add(&mut self, field: &str, found: String, wanted: String) {
        if found != wanted {
            self.0.push(format!("{field} is {found}, not {wanted}"));
        }
    }
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
