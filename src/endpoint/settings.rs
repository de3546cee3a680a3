//! The settings of an endpoint as its status shows them, without secrets.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::endpoint::Endpoint;
use crate::queue::Overflow;

impl Endpoint {
    /// Returns the settings by name, with numbers as numbers and durations in
    /// seconds. Of headers, signing secrets and certificates there is only their
    /// number.
    pub(super) fn settings(&self) -> BTreeMap<&'static str, Value> {
        let letters = self.dead_letters.as_ref().map(|sink| sink.location());
        BTreeMap::from([
            ("format", json!(self.encoding.format.name())),
            ("event_type", json!(self.encoding.event_type)),
            ("compact", json!(self.encoding.compact)),
            ("headers", json!(self.headers.len())),
            ("signatures", json!(self.signing_secrets.len())),
            ("hmac_signatures", json!(self.hmac_signatures.len())),
            ("sequence", json!(self.sequence)),
            ("timeout_seconds", seconds(self.timeout)),
            ("retry", self.retry.policy.shown()),
            ("on_status", self.retry.rules.shown()),
            ("concurrency", json!(self.concurrency)),
            ("batch", self.batch.shown()),
            ("filter", self.filter.shown()),
            ("queue_events", json!(self.limits.events)),
            ("queue_bytes", json!(self.limits.bytes)),
            ("overflow", json!(overflow(self.overflow))),
            ("connection", self.connection.shown()),
            ("dead_letters", json!(letters)),
        ])
    }
}

/// A duration as the status shows it.
pub(super) fn seconds(duration: Duration) -> Value {
    json!(duration.as_secs_f64())
}

fn overflow(overflow: Overflow) -> &'static str {
    match overflow {
        Overflow::RejectNewest => "reject_newest",
        Overflow::DropOldest => "drop_oldest",
        Overflow::Wait => "wait",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letter::DeadLetterFile;
    use crate::endpoint::{Backoff, Batch, Breaker, StatusMeaning};
    use crate::event::Action;
    use crate::sink::Filter;

    #[test]
    fn settings_are_numbers_booleans_and_objects() {
        let filter = Filter::new()
            .include_repositories(["team/**"])
            .ignore_actions([Action::Pull]);
        let endpoint = Endpoint::new("ci", "http://receiver")
            .header("authorization", "Bearer hush")
            .timeout(Duration::from_millis(1500))
            .batch(Batch::of(100).linger(Duration::from_millis(200)))
            .filter(filter)
            .on_status(409, StatusMeaning::Accept)
            .on_status(300..=399, StatusMeaning::Reject)
            .retry(Backoff::new().attempts(7))
            .dead_letters(DeadLetterFile::new("/x/letters"));
        let settings = json!(endpoint.settings());
        assert_eq!(settings["format"], "v2");
        assert_eq!(settings["headers"], 1);
        assert_eq!(settings["timeout_seconds"], 1.5);
        assert_eq!(
            settings["batch"],
            json!({"events": 100, "bytes": 1 << 20, "linger_seconds": 0.2})
        );
        assert_eq!(
            settings["filter"],
            json!({"repositories": {"include": ["team/**"]}, "actions": {"exclude": ["pull"]}})
        );
        assert_eq!(
            settings["on_status"],
            json!([
                {"statuses": "409", "meaning": "accept"},
                {"statuses": "300-399", "meaning": "reject"},
            ])
        );
        assert_eq!(
            settings["retry"],
            json!({
                "policy": "backoff", "base_seconds": 1.0, "factor": 2.0, "cap_seconds": 300.0,
                "attempts": 7, "age_seconds": 259200.0,
            })
        );
        assert_eq!(settings["dead_letters"], "the file /x/letters");
        assert!(!settings.to_string().contains("hush"), "{settings}");

        let docs = include_str!("status/snapshot.rs");
        for name in endpoint.settings().keys() {
            assert!(docs.contains(&format!("| `{name}` |")), "{name}");
        }

        let endpoint = Endpoint::new("ci", "http://receiver").retry(Breaker::new());
        let settings = json!(endpoint.settings());
        assert_eq!(
            settings["retry"],
            json!({"policy": "breaker", "threshold": 10, "backoff_seconds": 1.0})
        );
        assert_eq!(settings["dead_letters"], Value::Null);
        assert_eq!(settings["filter"], json!({}));
    }
}
