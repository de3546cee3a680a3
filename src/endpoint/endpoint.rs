//! How an endpoint is configured: [`Endpoint`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::batch_settings::Batch;
use super::custom_client::{CustomClient, Wrap};
use super::dead_letter::DeadLetterSink;
use super::delivery::ConnectionSettings;
use super::retry::{Retry, RetryPolicy, StatusMeaning, Statuses};
use crate::event::{Encoding, Format};
use crate::queue::{Limits, Overflow};
use crate::redact::{shown_name, without_user_info};
use crate::sink::{Filter, Sink};

/// A named webhook target with its own filter, queue, retry policy and delivery.
///
/// ```
/// use std::time::Duration;
/// use tower_registry_notifications::sink::Filter;
/// use tower_registry_notifications::Endpoint;
///
/// let endpoint = Endpoint::new("ci", "https://ci.example.com/events")
///     .header("authorization", "Bearer secret")
///     .filter(Filter::new().include_repositories(["team/**"]))
///     .timeout(Duration::from_secs(10));
/// # let _ = endpoint;
/// ```
///
/// Events are posted in the order of their acceptance, by default one at a time
/// and one in each request. An event is tried again until the receiver accepts
/// or rejects it.
///
/// The setters check nothing. [`NotifierBuilder::build`](crate::NotifierBuilder::build)
/// reports all mistakes in the configuration at once, as one
/// [`BuildError`](crate::BuildError).
///
/// # Statuses
///
/// The table applies with a [`Backoff`](super::Backoff), the default.
/// [`on_status`](Self::on_status) gives a status another meaning. With a
/// [`Breaker`](super::Breaker) everything except 2xx is tried again, as in the
/// reference.
///
/// | status | meaning |
/// | --- | --- |
/// | 2xx | accepted |
/// | 400, 413, 415, 422 | rejected: a dead letter; a batch is split until the event at fault is alone |
/// | 410 | the endpoint is disabled, and its events wait until [`Notifier::enable`](crate::Notifier::enable) |
/// | 401, 403, 407 | tried again, because a token may have expired; the log says that the receiver refuses the credentials |
/// | 404, 405 | tried again, because a receiver that is being deployed responds so; the log says that the receiver does not know the URL |
/// | 3xx | tried again: a redirect is not followed; the log says so |
/// | 408, 425, 429, all other 4xx, 5xx | tried again |
///
/// A response with `Retry-After` (RFC 9110, section 10.2.3), in seconds or as a date,
/// pauses the endpoint for that time, at most for an hour. A value that is neither is
/// ignored.
///
/// # Other responses
///
/// | the receiver | the event is |
/// | --- | --- |
/// | refuses or resets the connection, or has a certificate that is not trusted | tried again |
/// | sends no status, or hangs before the head of the response is complete | tried again after the [timeout](Self::timeout), on another connection |
/// | sends a status, and its body hangs, breaks, is chunked wrongly or never ends | what the status says |
/// | sends a status, and a head that is malformed, too large or not complete when the connection closes | what the status says (HTTP/1; a stream of HTTP/2 that is malformed has no status) |
/// | sends something that is not HTTP | tried again |
///
/// # Logs
///
/// The first failure is logged as a warning with the error and its causes, the
/// URL without user info, the number of waiting events and the time until the
/// next attempt; those after it at debug level.
#[derive(Clone)]
#[must_use = "an endpoint does nothing until it is added to a notifier"]
pub struct Endpoint {
    pub(super) name: String,
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) encoding: Encoding,
    pub(super) signing_secrets: Vec<String>,
    pub(super) sequence: bool,
    /// Header names, each with its secret.
    pub(super) hmac_signatures: Vec<(String, String)>,
    pub(super) timeout: Duration,
    pub(super) retry: Retry,
    pub(super) concurrency: usize,
    pub(super) batch: Batch,
    pub(super) filter: Filter,
    pub(super) limits: Limits,
    pub(super) overflow: Overflow,
    pub(super) dead_letters: Option<Arc<dyn DeadLetterSink>>,
    pub(super) disabled: bool,
    pub(super) client: Option<CustomClient>,
    pub(super) connection: ConnectionSettings,
    pub(super) layers: Vec<Wrap>,
    /// The sink that events are written to instead of being posted.
    pub(super) destination: Option<Arc<dyn Sink>>,
}

impl Endpoint {
    /// Returns an endpoint whose events are written to a sink, one after the other in
    /// each repository. An event is delivered when its write has resolved, however
    /// long that takes.
    #[cfg(feature = "jetstream")]
    pub(crate) fn writing_to(name: impl Into<String>, sink: impl Sink) -> Self {
        let unused = |_| async { Err::<http::Response<String>, _>("it posts nothing") };
        let mut endpoint = Self::new(name, "http://localhost/").client(tower::service_fn(unused));
        endpoint.destination = Some(Arc::new(sink));
        endpoint
    }

    /// Returns an endpoint with the defaults.
    ///
    /// The name identifies it in status, metrics and dead letters. The URL is `http` or
    /// `https`. Its user info is sent as Basic authorization, and characters that are
    /// not ASCII are percent-encoded. Status and logs show the URL without user info:
    /// put a secret into a [header](Self::header) rather than into path or query, if
    /// the receiver accepts one. A receiver on a Unix socket needs a server that
    /// listens on an address in front of it, or a [client](Self::client) of your own.
    pub fn new(name: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            url: url.into(),
            headers: Vec::new(),
            encoding: Encoding::of(Format::V2),
            signing_secrets: Vec::new(),
            sequence: false,
            hmac_signatures: Vec::new(),
            timeout: Duration::from_secs(5),
            retry: Retry::default(),
            concurrency: 1,
            batch: Batch::of(1),
            filter: Filter::new(),
            limits: Limits {
                events: 100_000,
                bytes: 128 << 20,
            },
            overflow: Overflow::RejectNewest,
            dead_letters: None,
            disabled: false,
            client: None,
            connection: ConnectionSettings::default(),
            layers: Vec::new(),
            destination: None,
        }
    }

    /// Adds a header to every request. It replaces a header of the same name that this
    /// crate sets, such as `Content-Type` and `User-Agent`. If several headers of one name
    /// are added, all are sent. Values are treated as secrets and shown nowhere.
    ///
    /// A `Host` is sent in place of the URL's host. Headers that frame a message, such as
    /// `Content-Length`, are an error when the notifier is built.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the format of the events. Defaults to [`Format::V2`].
    ///
    /// Events that the [format](Format) cannot carry are not posted, and counted in the
    /// metric `registry_notifications_unsupported_total`. Those that a journal accepted
    /// when the endpoint had another format become dead letters.
    pub fn format(mut self, format: Format) -> Self {
        self.encoding.format = format;
        self
    }

    /// Sets whether events are encoded without white space. Defaults to `false`: they are
    /// indented like those of the reference.
    pub fn compact(mut self, compact: bool) -> Self {
        self.encoding.compact = compact;
        self
    }

    /// Sets the `type` of events in [`Format::ImageUpdater`]. It consists of letters,
    /// digits and `._-:/+`, and contains `image` or `container`, which receivers look
    /// for. Defaults to `registry.image.pushed.v1`.
    pub fn event_type(mut self, event_type: impl Into<String>) -> Self {
        self.encoding.event_type = Some(event_type.into().into());
        self
    }

    /// Sets whether requests carry the number of each event, so that a receiver notices
    /// if one is missing. Defaults to `false`.
    ///
    /// The endpoint numbers the events that are written to it, after its filter, from 1
    /// for each instance of the [source](crate::SourceRecord::instance_id). A receiver
    /// that has the numbers up to 17 of an instance has all of its events up to then. A
    /// missing number belongs to an event that is still being tried, to a dead letter,
    /// or to an event that is counted as lost. An event that is repeated, or
    /// [sent again](crate::Notifier::send_again) after it was a dead letter, keeps its
    /// number.
    ///
    /// | format | number | what it counts |
    /// | --- | --- | --- |
    /// | `CloudEvents`, `ImageUpdater` | attribute `sequence`, 20 digits | attribute `partitionkey` |
    /// | all others | header `notification-sequence`; for several events a list separated by commas, in the order of the body | header `notification-partition`; if the values differ, a list of the same length |
    ///
    /// What a number counts is `<instance id>/<name of the endpoint>`, both
    /// percent-encoded. The headers are not part of what [`sign`](Self::sign) and
    /// [`sign_hmac`](Self::sign_hmac) sign. In formats `V2` and `V1` a batch has at most
    /// 100 events then.
    ///
    /// It numbers events of the notifier's own source. Workers of a stream, which share
    /// the events of an endpoint, cannot use it. An event of an unknown instance has no
    /// number, and neither has one that was accepted while the journal was not
    /// available.
    pub fn sequence(mut self, sequence: bool) -> Self {
        self.sequence = sequence;
        self
    }

    /// Sets the time limit of one attempt, from connecting to the end of the response. It
    /// must be more than zero.
    /// Defaults to 5 s. In a configuration file of distribution, it defaults to 1 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets when to try again: a [`Backoff`](super::Backoff) or a
    /// [`Breaker`](super::Breaker). Defaults to a `Backoff` with its defaults.
    pub fn retry(mut self, policy: impl Into<RetryPolicy>) -> Self {
        self.retry.policy = policy.into();
        self
    }

    /// Sets what a status of the receiver means, instead of what the retry policy
    /// says. If several calls name the same status, the last one counts.
    ///
    /// ```
    /// use tower_registry_notifications::Endpoint;
    /// use tower_registry_notifications::endpoint::StatusMeaning;
    ///
    /// let endpoint = Endpoint::new("ci", "https://ci.example.com/events")
    ///     // A redirect accepts events, as in the reference. It is never followed.
    ///     .on_status(300..=399, StatusMeaning::Accept)
    ///     // This receiver answers 409 to events that it already has.
    ///     .on_status(409, StatusMeaning::Accept);
    /// # let _ = endpoint;
    /// ```
    pub fn on_status(mut self, status: impl Into<Statuses>, meaning: StatusMeaning) -> Self {
        self.retry.rules.add(status.into(), meaning);
        self
    }

    /// Sets the maximum number of concurrent requests, at least 1. Two concurrent requests
    /// never carry events of the same repository, so that each repository stays in order.
    /// Defaults to 1.
    pub fn concurrency(mut self, requests: usize) -> Self {
        self.concurrency = requests;
        self
    }

    /// Sets how many events are sent in one request. Defaults to one, as in the reference.
    pub fn batch(mut self, batch: Batch) -> Self {
        self.batch = batch;
        self
    }

    /// Sets which events are written to the endpoint. Defaults to all.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Sets whether the endpoint is disabled. A disabled endpoint gets no events, and its
    /// certificates and addresses are not checked. Defaults to `false`.
    pub fn disabled(mut self, disabled: bool) -> Self {
        self.disabled = disabled;
        self
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    #[cfg(feature = "jetstream")]
    pub(crate) fn has_sequence(&self) -> bool {
        self.sequence
    }

    pub(crate) fn is_disabled(&self) -> bool {
        self.disabled
    }
}

/// Shows no secrets.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("name", &shown_name(&self.name))
            .field("url", &without_user_info(&self.url))
            .field("headers", &self.headers.len())
            .field("encoding", &self.encoding)
            .field("signing_secrets", &self.signing_secrets.len())
            .field("hmac_signatures", &self.hmac_signatures.len())
            .field("sequence", &self.sequence)
            .field("timeout", &self.timeout)
            .field("retry", &self.retry)
            .field("concurrency", &self.concurrency)
            .field("batch", &self.batch)
            .field("filter", &self.filter)
            .field("limits", &self.limits)
            .field("overflow", &self.overflow)
            .field("dead_letters", &self.dead_letters.is_some())
            .field("disabled", &self.disabled)
            .field("connection", &self.connection)
            .field("layers", &self.layers.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let endpoint = Endpoint::new("e", "http://me:hush@h/p?q").header("x", "hush");
        let endpoint = endpoint.sign_hmac("x-signature", "hush");
        assert!(!format!("{endpoint:?}").contains("hush"));
    }
}
