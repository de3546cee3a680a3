//! Owns the endpoints and their tasks: [`Notifier`].

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::bridge::Bridge;
use crate::endpoint::dead_letter::{DeadLetter, DeadLetterSink};
use crate::endpoint::{BURIAL, Endpoint, EndpointStatus, Running};
use crate::error::{BuildError, Mistakes};
use crate::event::{Action, RequestRecord, SharedEvent, SourceRecord};
use crate::host::is_valid_in_url;
use crate::in_flight::InFlight;
use crate::queue::Store;
use crate::shutdown::ShutdownReport;
use crate::sink::{
    Acceptance, Broadcaster, Counted, Destination, Plain, RetryingSink, Sink, SinkError, Totals,
};
use crate::worker_runtime::WorkerRuntime;

/// Owns the endpoints, the other sinks and their tasks.
///
/// A notifier is a handle: all clones refer to the same notifier. When the last
/// clone is dropped, the endpoints accept no more events and deliver those that
/// they have, as long as the runtime runs. [`shutdown`](Self::shutdown) waits
/// for them.
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
/// | `registry_notifications_dead_letters_total` | counter | `reason`, `endpoint` | events that will not be tried again: `rejected`, `gave_up`, `overflow` or `shutdown` |
/// | `registry_notifications_lost_total` | counter | `endpoint` | dead letters that no dead-letter sink kept |
/// | `registry_notifications_unsupported_total` | counter | `endpoint` | events that the filter wants and the [format](crate::Format) cannot carry |
/// | `registry_notifications_queue_age_seconds` | gauge | `endpoint` | age of the oldest undelivered event |
/// | `registry_notifications_delivery_seconds` | histogram | `endpoint` | duration of an attempt |
/// | `registry_notifications_end_to_end_seconds` | histogram | `endpoint` | time from an event's timestamp to its acceptance by the receiver |
/// | `registry_notifications_batch_events` | histogram | `endpoint` | events in one request |
/// | `registry_notifications_emitted_total` | counter | `action`, `kind` | events by action and kind, with or without an endpoint: `push`, `pull`, `mount` or `delete` of a `manifest`, `blob`, `tag` or `repository` |
/// | `registry_notifications_unaccepted_total` | counter | | events that at least one sink did not accept |
/// | `registry_notifications_missing_facts_total` | counter | `fact` | facts omitted from events; see below |
/// | `registry_notifications_unknown_outcomes_total` | counter | | requests that may or may not have changed the registry, so that an event may be missing: the registry's service failed or panicked, or a proxy lost its response |
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
/// ends once. Whenever no write is in progress, for each endpoint:
///
/// - `Events` = `Successes` + dead letters of all reasons + pending. An event
///   that the queue refuses counts as one of `Events` and as a dead letter. A
///   write that waits for room is counted when it is decided.
/// - Dead letters = those that the dead-letter sink kept + lost.
/// - Responses by status = `Failures` + attempts that succeeded.
/// - Attempts = responses by status + `Errors`.
/// - After [`shutdown`](Self::shutdown) nothing is pending.
///
/// Gauges are updated with each attempt, and every 10 s while events wait.
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
/// | error | `no runtime is left to finish a request in` |
/// | warn | `deliveries fail`, with URL, causes, events that wait, next attempt, and what to check where the status says so; of a redirect also its `location` |
/// | warn | `events are given up`: events become dead letters, which a sink is there to keep |
/// | warn | `an event is refused: it alone is larger than the queue's byte limit` |
/// | warn | `a dead letter that was cut off is removed`: a dead-letter file ended in an incomplete line |
/// | warn | `trusted_proxies is set, but the peer address of no request is known`, once: forwarding headers are not believed |
/// | warn | `a request without a client took too long`: the `detached_timeout` was reached |
/// | warn | `a stat took too long`, `a lookup of tags took too long`, `only the first 10000 tags are looked at`, `untag_lookup needs a service to ask: set stat_with`, `an event lacks its references`: events lack facts |
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
pub struct Notifier(Arc<Inner>);

struct Inner {
    source: Arc<SourceRecord>,
    include_references: bool,
    sink: Arc<dyn Sink>,
    /// The same one by one.
    destinations: Vec<Arc<dyn Destination>>,
    totals: Totals,
    started_at: SystemTime,
    endpoints: Vec<Arc<Running>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    in_flight: InFlight,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.endpoints.iter().for_each(|endpoint| endpoint.close());
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

    /// A sink whose writes are repeated until every endpoint and sink has
    /// accepted the event, or `limit` has passed.
    pub(crate) fn retrying_sink(&self, limit: Duration) -> Arc<dyn Sink> {
        let destinations = self.0.destinations.clone();
        let sink = RetryingSink::new(destinations, limit);
        Arc::new(Counted::new(sink, self.0.totals.clone()))
    }

    /// Requests whose clients have hung up.
    pub(crate) fn in_flight(&self) -> &InFlight {
        &self.0.in_flight
    }

    /// The endpoints that are not disabled.
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

    /// Returns a snapshot: what was emitted, and of each endpoint its state,
    /// counts, recent history and last error.
    pub fn status(&self) -> NotifierStatus {
        NotifierStatus {
            source: (*self.0.source).clone(),
            started_at: Some(self.0.started_at),
            emitted: self.0.totals.emitted(),
            unaccepted: self.0.totals.unaccepted(),
            detached: self.0.in_flight.count() as u64,
            endpoints: self.0.endpoints.iter().map(|it| it.status()).collect(),
        }
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
        match self.endpoint(&letter.endpoint) {
            Some(endpoint) => endpoint.accept_again(letter),
            None => Acceptance::failed(SinkError::no_endpoint(&letter.endpoint)),
        }
    }

    fn endpoint(&self, name: &str) -> Option<&Arc<Running>> {
        self.0.endpoints.iter().find(|it| it.name() == name)
    }

    /// Closes the endpoints, delivers what waits within `deadline`, and reports
    /// what is left.
    ///
    /// First waits for requests that continue although their clients have
    /// disconnected, then closes the endpoints and waits until they have
    /// delivered their events, all within `deadline`. Writes after that fail
    /// with [`SinkError::is_closed`]. Other sinks are not closed.
    ///
    /// Events that are left become dead letters, which the dead-letter sinks
    /// have another 5 s to keep. Those that they do not keep are lost, counted
    /// and logged. An attempt in progress at the deadline is cancelled, and its
    /// events count as left: the receiver may or may not have them. A disabled
    /// endpoint is not waited for.
    ///
    /// A second call waits for the first and returns the same report. If the
    /// first call was dropped, the second continues it.
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        let began = tokio::time::Instant::now();
        // Requests whose clients have hung up still make events, which the
        // queues must be open for.
        let _ = timeout(deadline, self.0.in_flight.idle()).await;
        let unfinished = self.0.in_flight.count();
        let deadline = deadline.saturating_sub(began.elapsed());
        let endpoints = &self.0.endpoints;
        endpoints.iter().for_each(|endpoint| endpoint.close());
        let mut tasks = self.0.tasks.lock().await;
        // After a call that was dropped half-way, some have ended already.
        tasks.retain(|task| !task.is_finished());
        let stop: Vec<_> = tasks.iter().map(JoinHandle::abort_handle).collect();
        let mut all = std::pin::pin!(futures_util::future::join_all(tasks.iter_mut()));
        if timeout(deadline, &mut all).await.is_err() {
            endpoints.iter().for_each(|endpoint| endpoint.stop());
            // The workers keep to the limit themselves, and account for what is
            // left then. One that does not is blocked by code of the user's.
            if timeout(BURIAL + GRACE, &mut all).await.is_err() {
                stop.iter().for_each(|task| task.abort());
                let _blocked = timeout(GRACE, all).await;
            }
        }
        self.letters_decided().await;
        let accounts = endpoints.iter().map(|it| (it.name(), it.account()));
        ShutdownReport::of(accounts, unfinished, self.0.totals.unaccepted())
    }

    /// Waits for the dead letters of events that were refused or had to make
    /// room. Those that are not kept in time are lost.
    async fn letters_decided(&self) {
        let endpoints = &self.0.endpoints;
        let decided =
            || futures_util::future::join_all(endpoints.iter().map(|it| it.letters_decided()));
        if timeout(BURIAL, decided()).await.is_err() {
            endpoints.iter().for_each(|it| it.close_dead_letters());
            let _unpolled = timeout(GRACE, decided()).await;
        }
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
    }
}

/// How long tasks may take to notice that they are to end.
const GRACE: Duration = Duration::from_secs(2);

/// A snapshot of a [`Notifier`], without secrets.
///
/// Its JSON is an object with these fields: `source` as in events, `emitted` as
/// `{"push":{"manifest":2,"blob":5},…}`, and `endpoints` as [`EndpointStatus`]
/// describes them.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct NotifierStatus {
    /// The source of all events.
    pub source: SourceRecord,
    /// When the notifier was built.
    #[serde(with = "crate::event::optional_timestamp")]
    pub started_at: Option<SystemTime>,
    /// Events since then, by action and kind, whether or not a sink accepted
    /// them.
    pub emitted: BTreeMap<Action, BTreeMap<crate::event::Kind, u64>>,
    /// Events that at least one sink did not accept.
    pub unaccepted: u64,
    /// Requests that go on although their clients have disconnected.
    pub detached: u64,
    /// The endpoints, in the order of the configuration.
    pub endpoints: Vec<EndpointStatus>,
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier")
            .field("source", &self.0.source)
            .field("include_references", &self.0.include_references)
            .finish_non_exhaustive()
    }
}

/// Configures a [`Notifier`].
#[derive(Clone, Default)]
pub struct NotifierBuilder {
    source: Option<SourceRecord>,
    public_host: Option<String>,
    include_references: bool,
    sinks: Vec<Arc<dyn Sink>>,
    endpoints: Vec<Endpoint>,
    dead_letters: Option<Arc<dyn DeadLetterSink>>,
    own_runtime: bool,
}

impl NotifierBuilder {
    /// Sets the registry node that events come from. Defaults to one without an
    /// address, whose instance id is new for each notifier.
    #[must_use]
    pub fn source(mut self, source: SourceRecord) -> Self {
        self.source = Some(source);
        self
    }

    /// Sets the host under which clients reach the registry, with its port if that is not
    /// the default: `registry.example.com:5000`. The formats
    /// [`Azure`](crate::Format::Azure), [`Harbor`](crate::Format::Harbor) and
    /// [`ImageUpdater`](crate::Format::ImageUpdater) put it before the repository, and
    /// their receivers compare it with the names of images.
    ///
    /// Defaults to the host of each request, and where a request has none, to the
    /// address of the [source](Self::source). An event keeps the host of the notifier
    /// that made it, also when another one delivers it.
    #[must_use]
    pub fn public_host(mut self, host: impl Into<String>) -> Self {
        self.public_host = Some(host.into());
        self
    }

    /// Sets the source like [`source`](Self::source) if none has been set, as by a
    /// configuration file that names one.
    #[must_use]
    pub fn or_source(mut self, source: SourceRecord) -> Self {
        self.source.get_or_insert(source);
        self
    }

    /// Whether events of manifests list what the manifest refers to. Defaults
    /// to `false`.
    #[must_use]
    pub fn include_references(mut self, include: bool) -> Self {
        self.include_references = include;
        self
    }

    /// Adds a sink of any kind.
    #[must_use]
    pub fn sink(mut self, sink: impl Sink) -> Self {
        self.sinks.push(Arc::new(sink));
        self
    }

    /// Sets where the dead letters of endpoints go that have no sink of dead
    /// letters of their own. By default such letters are lost, which is counted
    /// and logged.
    #[must_use]
    pub fn dead_letters(mut self, sink: impl DeadLetterSink) -> Self {
        self.dead_letters = Some(Arc::new(sink));
        self
    }

    /// Adds an endpoint.
    #[must_use]
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.endpoints.push(endpoint);
        self
    }

    /// Sets whether deliveries run in a runtime of their own, on a thread of
    /// their own, which ends when all endpoints have. Otherwise they run in the
    /// runtime in which the notifier is built, between its other tasks, and wake
    /// its threads. Where few threads serve many requests, responses come sooner
    /// with a runtime for the deliveries. Defaults to `false`.
    ///
    /// A dead-letter sink, a layer and a client of your own run there too. With
    /// it, a notifier can be built outside of a Tokio runtime.
    #[must_use]
    pub fn own_runtime(mut self, own: bool) -> Self {
        self.own_runtime = own;
        self
    }

    /// The names of the endpoints that are not disabled.
    #[cfg(feature = "jetstream")]
    pub(crate) fn endpoint_names(&self) -> Vec<String> {
        let enabled = self.endpoints.iter().filter(|it| !it.is_disabled());
        enabled.map(|it| it.name().to_owned()).collect()
    }

    /// Whether an endpoint shows the numbers of events.
    #[cfg(feature = "jetstream")]
    pub(crate) fn has_sequences(&self) -> bool {
        self.endpoints.iter().any(Endpoint::has_sequence)
    }

    /// Whether there are sinks besides the endpoints.
    #[cfg(feature = "jetstream")]
    pub(crate) fn has_sinks(&self) -> bool {
        !self.sinks.is_empty()
    }

    /// Whether there is an endpoint that is not disabled.
    pub fn has_endpoints(&self) -> bool {
        self.endpoints.iter().any(|it| !it.is_disabled())
    }

    /// Builds the notifier and spawns a task for each endpoint that is not
    /// disabled. A metrics recorder must be installed before.
    ///
    /// # Errors
    ///
    /// If a setting of an endpoint is invalid, two endpoints have the same name,
    /// or there are endpoints but no Tokio runtime and no
    /// [own one](Self::own_runtime). All mistakes are reported at once, each with
    /// field, value and remedy.
    pub fn build(self) -> Result<Notifier, BuildError> {
        self.build_over(|_| None)
    }

    /// Builds a notifier whose endpoints have their events in these stores, by name,
    /// or in memory.
    pub(crate) fn build_over(
        self,
        mut store: impl FnMut(&str) -> Option<Box<dyn Store>>,
    ) -> Result<Notifier, BuildError> {
        let mut mistakes = Mistakes::default();
        let runtime = mistakes.take(WorkerRuntime::new(self.has_endpoints(), self.own_runtime));
        let mut source = self.source.unwrap_or_else(|| SourceRecord::new(""));
        source.public_host = self.public_host.unwrap_or(source.public_host);
        if !source.public_host.is_empty() && !is_valid_in_url(&source.public_host) {
            let remedy = "write a host, with or without a port: registry.example.com:5000";
            mistakes.add(BuildError::new("public host", &source.public_host, remedy));
        }
        let mut names = HashSet::new();
        let mut checked = Vec::new();
        for endpoint in self.endpoints {
            if !names.insert(endpoint.name().to_owned()) {
                let remedy = "give each endpoint a name of its own";
                mistakes.add(BuildError::new("endpoint name", endpoint.name(), remedy));
            }
            if endpoint.is_disabled() {
                mistakes.take(endpoint.check_disabled());
                continue;
            }
            let endpoint = endpoint.dead_letters_or(self.dead_letters.as_ref());
            checked.extend(mistakes.take(endpoint.checked()));
        }
        let Some(runtime) = runtime.filter(|_| mistakes.is_empty()) else {
            return mistakes.failed();
        };
        let mut sinks = self.sinks;
        let others = sinks.iter().cloned();
        let mut destinations: Vec<Arc<dyn Destination>> =
            others.map(|sink| Arc::new(Plain(sink)) as _).collect();
        let (mut endpoints, mut workers) = (Vec::new(), Vec::new());
        let inside = runtime.enter();
        for endpoint in checked {
            let store = store(endpoint.name());
            let (running, worker) = endpoint.start(store);
            sinks.push(running.clone());
            destinations.push(running.clone());
            endpoints.push(running);
            workers.push(worker);
        }
        drop(inside);
        let tasks = runtime.start(workers)?;
        let totals = Totals::registered();
        Ok(Notifier(Arc::new(Inner {
            source: Arc::new(source),
            include_references: self.include_references,
            sink: Arc::new(Counted::new(Broadcaster::new(sinks), totals.clone())),
            totals,
            started_at: SystemTime::now(),
            destinations,
            endpoints,
            tasks: Mutex::new(tasks),
            in_flight: InFlight::new(),
        })))
    }
}

impl fmt::Debug for NotifierBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotifierBuilder")
            .field("source", &self.source)
            .field("public_host", &self.public_host)
            .field("include_references", &self.include_references)
            .field("endpoints", &self.endpoints)
            .field("own_runtime", &self.own_runtime)
            .finish_non_exhaustive()
    }
}
