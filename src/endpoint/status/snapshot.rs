//! The public status of an endpoint: [`EndpointStatus`].

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::history::{History, Rates};

/// The state of an endpoint, and what became of its events so far. It contains
/// no secrets.
///
/// In JSON the fields have these names, except that durations are in seconds and
/// their names end in `_seconds`. Times are in the format of RFC 3339, and absent
/// values are `null`:
///
/// ```json
/// {
///   "name": "ci",
///   "url": "https://ci.example.com/events",
///   "settings": { "concurrency": 1, "format": "v2", "headers": 1, "compact": false },
///   "state": "failing",
///   "failing_since": "2025-11-24T10:27:01.5Z",
///   "failures_in_a_row": 3,
///   "next_attempt_in_seconds": 2.5,
///   "pending": 12,
///   "pending_bytes": 9120,
///   "oldest_pending_seconds": 61.2,
///   "events": 4711,
///   "successes": 4698,
///   "failures": 4,
///   "errors": 2,
///   "retries": 5,
///   "dead_letters": 1,
///   "lost": 0,
///   "unsupported": 0,
///   "statuses": { "200 OK": 4698, "400 Bad Request": 1, "503 Service Unavailable": 3 },
///   "last_error": "503 Service Unavailable",
///   "last_error_at": "2025-11-24T10:27:29.123456789Z",
///   "last_success_at": "2025-11-24T10:26:28.5Z",
///   "rates": {
///     "events_per_second": 0.5, "successes_per_second": 0.25, "failures_per_second": 0.05
///   },
///   "history": {
///     "slot_seconds": 10, "events": [0, 12], "successes": [4, 0], "failures": [0, 3]
///   }
/// }
/// ```
///
/// The `settings` are numbers, words and objects, with durations in seconds:
///
/// | setting | value |
/// | --- | --- |
/// | `format` | as in configuration files: `v2`, `v1`, `cloudevents`, `azure`, `harbor` or `imageupdater` |
/// | `event_type` | the type of events in the format `imageupdater`, if it is not the default |
/// | `compact` | whether white space is left out |
/// | `headers` | how many are sent |
/// | `signatures` | how many secrets sign after Standard Webhooks |
/// | `hmac_signatures` | how many headers sign the body |
/// | `sequence` | whether events are numbered |
/// | `timeout_seconds` | the longest time of an attempt |
/// | `retry` | `policy`, which is `backoff` or `breaker`, and its settings |
/// | `on_status` | a list of `statuses`, such as `"409"` or `"300-399"`, each with its `meaning`: `accept`, `retry`, `reject` or `disable` |
/// | `concurrency` | how many attempts may be under way |
/// | `batch` | `events`, `bytes` and `linger_seconds` |
/// | `filter` | what is included and excluded of `repositories`, `tags`, `media_types`, `actions` and `kinds` |
/// | `queue_events` | events that may wait in memory |
/// | `queue_bytes` | bytes that they may take |
/// | `overflow` | `reject_newest`, `drop_oldest` or `wait` |
/// | `connection` | `system_roots`, `root_certificates` (how many), `client_certificate` (whether there is one), `connect_timeout_seconds`, `addresses`, `proxy_from_env` |
/// | `dead_letters` | where the endpoint's own sink keeps them |
///
/// The reference's status page (`registry.notifications.endpoints` in its
/// `expvar`) has `name`, `url`, the configuration, and as `Metrics` the fields
/// `Pending`, `Events`, `Successes`, `Failures`, `Errors` and `Statuses`, which
/// mean the same there.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct EndpointStatus {
    /// Name of the endpoint.
    pub name: String,
    /// The URL without user info. A secret in its path or query is shown: put
    /// it into a [header](crate::Endpoint::header).
    pub url: String,
    /// The other settings. Only the number of headers, signing secrets and root
    /// certificates is shown, and of `dead_letters` where they are kept.
    pub settings: BTreeMap<&'static str, Value>,
    /// Whether it delivers.
    pub state: EndpointState,
    /// Since when all attempts have failed. `None` unless the state is
    /// [`Failing`](EndpointState::Failing).
    #[serde(with = "crate::event::optional_timestamp")]
    pub failing_since: Option<SystemTime>,
    /// Attempts in a row that have failed, at whatever events.
    pub failures_in_a_row: u32,
    /// How long until the next attempt at events that have failed, if they wait
    /// for one. The pause may follow from the retry policy or from the receiver's
    /// `Retry-After`. `None` while such an attempt is under way, too.
    #[serde(rename = "next_attempt_in_seconds", serialize_with = "seconds")]
    pub next_attempt: Option<Duration>,
    /// Events that wait or are under way.
    pub pending: u64,
    /// Bytes of memory that those of them in memory occupy.
    pub pending_bytes: u64,
    /// How long the oldest of them has waited.
    #[serde(rename = "oldest_pending_seconds", serialize_with = "seconds")]
    pub oldest_pending: Option<Duration>,
    /// Events that were written to the endpoint: those that its filter wants and its
    /// format can carry, whether its queue accepted or refused them. Each of them ends
    /// once, so that `events` = `successes` + `dead_letters` + `pending` whenever
    /// nothing is being written.
    pub events: u64,
    /// Events that the receiver has accepted.
    pub successes: u64,
    /// Attempts to which the receiver responded without accepting.
    pub failures: u64,
    /// Attempts without a response.
    pub errors: u64,
    /// Attempts that were not the first at their events.
    pub retries: u64,
    /// Events that will not be tried again, for whatever reason: `lost` of them
    /// are lost, and the others are kept by the sink of dead letters.
    pub dead_letters: u64,
    /// Dead letters that no dead-letter sink has kept.
    pub lost: u64,
    /// Events that the filter wants and the [format](crate::Format) cannot carry. They
    /// are not among `events`.
    pub unsupported: u64,
    /// Responses by status, `200 OK`.
    pub statuses: BTreeMap<String, u64>,
    /// The status or error of the last attempt that failed.
    pub last_error: Option<String>,
    /// When the last attempt failed.
    #[serde(with = "crate::event::optional_timestamp")]
    pub last_error_at: Option<SystemTime>,
    /// When the receiver last accepted something.
    #[serde(with = "crate::event::optional_timestamp")]
    pub last_success_at: Option<SystemTime>,
    /// Averages of the last minute.
    pub rates: Rates,
    /// Counts of the last 10 minutes.
    pub history: History,
}

/// Whether an endpoint delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum EndpointState {
    /// The endpoint delivers, or would if there were events.
    Delivering,
    /// The last attempt has failed. It stays so while the endpoint pauses and while
    /// the next attempt is under way, until the receiver responds with a status that
    /// is not to be tried again. The next attempt is made with the next event if none
    /// waits, because those that failed were given up.
    Failing,
    /// The endpoint delivers nothing until
    /// [`Notifier::enable`](crate::Notifier::enable), because its receiver said that it
    /// is gone.
    Disabled,
}

fn seconds<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration
        .map(|duration| duration.as_secs_f64())
        .serialize(serializer)
}
