//! The handle that owns endpoints, sinks and tasks: [`Notifier`].

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::journal::AttachedJournal;
use super::{NotifierBuilder, NotifierStatus};
use crate::bridge::Bridge;
use crate::endpoint::Running;
use crate::endpoint::dead_letter::DeadLetter;
use crate::event::{RequestRecord, SharedEvent, SourceRecord};
use crate::in_flight::InFlight;
use crate::sink::{
    Acceptance, Counted, Destinations, OnFailure, RetryingSink, Sink, SinkError, Totals,
};

/// Owns the endpoints, the other sinks and their tasks.
///
/// A notifier is a handle: all clones refer to the same notifier. When the last
/// clone is dropped, the endpoints accept no more events and deliver those that
/// they have, as long as the runtime runs. [`shutdown`](Self::shutdown) waits
/// for them. With a journal, deliveries end instead: events that are left stay in
/// the journal, which another notifier may take over at once.
///
/// # Metrics
///
/// Metrics go to the recorder of the [`metrics`](https://docs.rs/metrics) facade
/// that is installed when the notifier is built. The names, labels and values
/// of the first three are those of the reference.
///
/// | metric | type | labels | meaning |
/// | --- | --- | --- | --- |
/// | `registry_notifications_events_total` | counter | `type`, `endpoint` | `Events`: events written to the endpoint. `Successes`: events that the receiver accepted. `Failures`: attempts with a response that did not accept. `Errors`: attempts without a response |
/// | `registry_notifications_pending_total` | gauge | `endpoint` | events that wait or are being delivered |
/// | `registry_notifications_status_total` | counter | `code`, `endpoint` | responses by status, such as `200 OK` |
/// | `registry_notifications_retries_total` | counter | `endpoint` | attempts other than the first of their events |
/// | `registry_notifications_dead_letters_total` | counter | `reason`, `endpoint` | events that will not be tried again: `rejected`, `gave_up`, `overflow`, `shutdown`, or with a journal `expired` or `damaged` |
/// | `registry_notifications_lost_total` | counter | `endpoint` | dead letters that no dead-letter sink kept, those that are `damaged` included |
/// | `registry_notifications_unsupported_total` | counter | `endpoint` | events that the filter wants and the [format](crate::Format) cannot carry |
/// | `registry_notifications_queue_age_seconds` | gauge | `endpoint` | age of the oldest undelivered event |
/// | `registry_notifications_delivery_seconds` | histogram | `endpoint` | duration of an attempt |
/// | `registry_notifications_end_to_end_seconds` | histogram | `endpoint` | time from the acceptance of an event by the queue or the journal to that by the receiver |
/// | `registry_notifications_batch_events` | histogram | `endpoint` | events in one request |
/// | `registry_notifications_not_durable_total` | counter | | with a journal: events that it could not store, so that the queues took them into memory only |
/// | `registry_notifications_journal_up` | gauge | | with a journal: 1 if it works, 0 while it is being opened again after an error |
/// | `registry_notifications_journal_bytes` | gauge | | bytes that events take in the journal |
/// | `registry_notifications_journal_events` | gauge | | events in the journal: waiting, or kept for replay |
/// | `registry_notifications_journal_age_seconds` | gauge | | age of the oldest event in the journal that an endpoint waits for |
/// | `registry_notifications_journal_dead_letters` | gauge | | dead letters in the journal |
/// | `registry_notifications_journal_dead_letters_dropped_total` | counter | | dead letters that the journal's limit removed, since the file was created |
/// | `registry_notifications_journal_damaged_total` | counter | | events that damage of the file took, since the file was created |
/// | `registry_notifications_journal_syncs_total` | counter | | commits, each with its sync |
/// | `registry_notifications_journal_stored_total` | counter | | events that were stored |
/// | `registry_notifications_journal_sync_seconds` | histogram | | duration of a commit, its sync included |
/// | `registry_notifications_emitted_total` | counter | `action`, `kind` | events by action and kind, with or without an endpoint: `push`, `pull`, `mount` or `delete` of a `manifest`, `blob`, `tag` or `repository` |
/// | `registry_notifications_unaccepted_total` | counter | | events that at least one sink did not accept |
/// | `registry_notifications_missing_facts_total` | counter | `fact` | facts omitted from events; see below |
/// | `registry_notifications_unknown_outcomes_total` | counter | | requests that may or may not have changed the registry, so that an event may be missing: the registry's service failed or panicked, or answered 408, 502 or 504, with which timeouts and gateways give up |
/// | `registry_notifications_detached_timeouts_total` | counter | | requests without a client that reached the [`detached_timeout`](crate::NotificationLayer::detached_timeout) |
/// | `registry_notifications_ambiguous_names_total` | counter | | events whose path names a repository in two ways that differ |
///
/// Values of `fact`:
///
/// | `fact` | omitted from the event because |
/// | --- | --- |
/// | `media_type`, `digest`, `size` | no source has it |
/// | `disputed_size` | two manifests in a repository state different sizes for one digest, so neither counts. Counted once when they disagree |
/// | `references` | the manifest cannot be read or is too large, or its type has no known references |
/// | `untagged` | the tags that were deleted with a manifest could not all be looked up |
/// | `repository` | the repository, or the source of a mount, is not known for certain |
/// | `actor` | the request has several `Authorization` headers or invalid credentials |
/// | `host` | the request names no valid host, or several |
/// | `base_url` | no valid URL can be made of the request, so that the event's URL is relative |
/// | `user_agent` | it is longer than 8 KiB |
///
/// Every event that passes an endpoint's filter, and that its format can carry,
/// ends once. Whenever no write is in progress, and no dead letter is on its way to
/// its sink, for each endpoint:
///
/// - `Events` = `Successes` + dead letters of all reasons + pending. An event that the
///   queue refuses counts in `Events` and as a dead letter. A write that waits for room is
///   counted when it is decided.
/// - Dead letters = those that the dead-letter sink kept + lost.
/// - Responses by status = `Failures` + attempts that succeeded.
/// - Attempts = responses by status + `Errors`.
/// - After [`shutdown`](Self::shutdown) nothing is pending, except in a journal.
/// - With a journal, `Events` includes those that an endpoint found in the journal
///   when the notifier was built.
///
/// Gauges are updated with each attempt, and every 10 s while events wait; those of
/// the journal every 10 s.
/// Counters are registered at zero, so that `rate()` sees their first increment,
/// except those with the labels `code` and `fact`.
///
/// `metrics-exporter-prometheus` exports histograms as summaries unless it is
/// given buckets, and summaries cannot be aggregated across nodes. These are
/// buckets for durations and for batch sizes:
///
/// ```
/// use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0];
/// let metrics = PrometheusBuilder::new()
///     .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &seconds)?
///     .set_buckets_for_metric(Matcher::Suffix("_events".into()), &[1.0, 10.0, 100.0, 1000.0])?
///     .install_recorder()?;
/// # Ok(()) }
/// ```
///
/// # Logs
///
/// The crate logs through [`tracing`](https://docs.rs/tracing). Lines about an
/// endpoint carry its name in the field `endpoint`.
///
/// | level | message |
/// | --- | --- |
/// | error | `events are lost`, with the reason, the causes, and the receiver's last answer |
/// | error | `the receiver is gone (410): the endpoint is disabled` |
/// | error | `no runtime is left to complete a request in` |
/// | warn | `deliveries fail`, with URL, causes, events that wait, next attempt, and what to check where the status says so; of a redirect also its `location` without query |
/// | warn | `events are given up`: events become dead letters, which a sink is there to keep |
/// | warn | `an event is refused: it alone is larger than the queue's byte limit` |
/// | warn | `a dead letter that was cut off is removed`: a dead-letter file ended in an incomplete line |
/// | warn | `trusted_proxies is set, but the peer address of no request is known`, once: forwarding headers are not trusted |
/// | warn | `a request that went on without its client reached its time limit`: the `detached_timeout` |
/// | warn | `a request looks like one of the registry API under another path and makes no event`: the layer's prefix is probably wrong |
/// | warn | `a stat took too long`, `looking up tags took too long`, `only the first 10000 tags are looked up`, `untag_lookup needs a service to ask`, `an event lacks its references`: events lack facts |
/// | info | `the receiver answers again` |
/// | debug | `a delivery failed`: every failed attempt |
/// | warn | `a sink did not accept an event`, once in 5 minutes; debug in between |
/// | debug | `a trusted root of the system cannot be read` |
///
/// Each attempt is a span `delivery` at level debug with the fields `endpoint`,
/// `events` and `attempt`. Warnings about deliveries and dead letters are logged
/// when the trouble begins, and again only after it has ended and at least 5
/// minutes have passed.
#[derive(Clone)]
pub struct Notifier(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) source: Arc<SourceRecord>,
    pub(super) include_references: bool,
    pub(super) sink: Arc<dyn Sink>,
    /// The endpoints and sinks one by one, for writes that are retried separately.
    pub(super) destinations: Destinations,
    pub(super) totals: Totals,
    pub(super) started_at: SystemTime,
    pub(super) endpoints: Vec<Arc<Running>>,
    /// The journal between the sinks and the endpoints' queues, if there is one.
    pub(super) journal: Option<AttachedJournal>,
    pub(super) tasks: Mutex<Vec<JoinHandle<()>>>,
    pub(super) in_flight: InFlight,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let Some(journal) = &self.journal else {
            return self.endpoints.iter().for_each(|endpoint| endpoint.close());
        };
        // A sink of the notifier that somebody keeps must not write to queues
        // whose workers end.
        journal.close();
        // The workers stop at once. The next notifier delivers the events that are left, and
        // a delivery here at the same time would break their order.
        self.endpoints.iter().for_each(|endpoint| endpoint.stop());
    }
}

impl Notifier {
    /// Returns a builder without endpoints and sinks.
    pub fn builder() -> NotifierBuilder {
        NotifierBuilder::default()
    }

    /// Returns the sink that writes to every endpoint and every other sink.
    pub fn sink(&self) -> Arc<dyn Sink> {
        self.0.sink.clone()
    }

    /// Whether every endpoint and sink would accept an event now.
    pub(crate) fn is_ready(&self) -> bool {
        self.0.sink.is_ready()
    }

    /// Returns a sink whose writes are repeated until every endpoint and sink has accepted
    /// the event, or `limit` has passed. `failed` is called with the error of each write
    /// that is repeated.
    pub(crate) fn retrying_sink(&self, limit: Duration, failed: Arc<OnFailure>) -> Arc<dyn Sink> {
        let destinations = self.0.destinations.clone();
        let sink = RetryingSink::new(destinations, limit, failed);
        Arc::new(Counted::new(sink, self.0.totals.clone()))
    }

    /// Returns the runner of requests whose clients have hung up.
    pub(crate) fn in_flight(&self) -> &InFlight {
        &self.0.in_flight
    }

    /// Returns the endpoints that are not disabled.
    #[cfg(feature = "jetstream")]
    pub(crate) fn endpoints(&self) -> &[Arc<Running>] {
        &self.0.endpoints
    }

    /// Returns the bridge for one request, for a registry that reports what
    /// happens without the layer. It writes to this notifier, with the
    /// notifier's source and its setting for references.
    pub fn bridge(&self, request: impl Borrow<RequestRecord>) -> Bridge {
        Bridge::new(self.sink(), request)
            .source(self.source())
            .include_references(self.includes_references())
    }

    /// Returns the source of all events.
    pub fn source(&self) -> Arc<SourceRecord> {
        self.0.source.clone()
    }

    /// Whether events of manifests list what the manifest refers to.
    pub fn includes_references(&self) -> bool {
        self.0.include_references
    }

    /// Returns a snapshot: the events that were emitted, and for each endpoint its state,
    /// counts, recent history and last error.
    pub fn status(&self) -> NotifierStatus {
        let mut status = NotifierStatus {
            source: (*self.0.source).clone(),
            started_at: Some(self.0.started_at),
            emitted: self.0.totals.emitted(),
            unaccepted: self.0.totals.unaccepted(),
            detached: self.0.in_flight.count() as u64,
            endpoints: self.0.endpoints.iter().map(|it| it.status()).collect(),
            not_durable: 0,
            #[cfg(feature = "journal")]
            journal: None,
        };
        if let Some(journal) = &self.0.journal {
            journal.add_to(&mut status);
        }
        status
    }

    /// Lets an endpoint deliver again after its receiver disabled it with 410
    /// (Gone). Returns `false` if there is no such endpoint or it was not
    /// disabled.
    pub fn enable(&self, endpoint: &str) -> bool {
        self.endpoint(endpoint).is_some_and(|it| it.enable())
    }

    /// Gives a dead letter back to its endpoint, whatever the endpoint's filter.
    /// The event goes to the end of the queue and is tried like a new one. It keeps
    /// its [number](DeadLetter::number).
    ///
    /// The write fails with [`SinkError::is_no_endpoint`] if there is no endpoint
    /// of that name, and with [`SinkError::is_unsupported`] if its format was changed
    /// to one that cannot carry the event.
    pub fn send_again(&self, letter: &DeadLetter) -> Acceptance {
        match (self.endpoint(&letter.endpoint), &self.0.journal) {
            (Some(endpoint), Some(journal)) => match endpoint.check_again(&letter.event) {
                Ok(()) => journal.send_again(endpoint, letter),
                Err(error) => Acceptance::failed(error),
            },
            (Some(endpoint), None) => endpoint.accept_again(letter),
            (None, _) => Acceptance::failed(SinkError::no_endpoint(&letter.endpoint)),
        }
    }

    fn endpoint(&self, name: &str) -> Option<&Arc<Running>> {
        self.0.endpoints.iter().find(|it| it.name() == name)
    }
}

impl Sink for Notifier {
    fn write(&self, event: &SharedEvent) -> Acceptance {
        self.0.sink.write(event)
    }

    fn is_ready(&self) -> bool {
        self.0.sink.is_ready()
    }

    /// Closes the endpoints and the other sinks.
    /// [`shutdown`](Notifier::shutdown) also waits for deliveries.
    fn close(&self) {
        self.0.sink.close();
        self.0.endpoints.iter().for_each(|it| it.close());
    }
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier")
            .field("source", &self.0.source)
            .field("include_references", &self.0.include_references)
            .finish_non_exhaustive()
    }
}
