//! Owns the endpoints and their tasks: [`Notifier`].

use std::borrow::Borrow;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::bridge::Bridge;
use crate::endpoint::dead_letter::DeadLetter;
use crate::endpoint::{BURIAL, Endpoint, EndpointStatus, Running};
use crate::error::{BuildError, Kind, Mistakes};
use crate::event::{RequestRecord, SharedEvent, SourceRecord};
use crate::in_flight::InFlight;
use crate::shutdown::ShutdownReport;
use crate::sink::{
    Acceptance, Broadcaster, Counted, Destination, Plain, RetryingSink, Sink, SinkError,
};

/// Where events go: the endpoints and other sinks, and what all events share.
///
/// A notifier is a handle: its clones are one notifier. When the last of them
/// is dropped, the endpoints take no more events and deliver what they have, as
/// long as the runtime runs; [`shutdown`](Self::shutdown) waits for them.
///
/// # Metrics
///
/// They go to the recorder of the [`metrics`](https://docs.rs/metrics) facade
/// that is installed when the notifier is built; without one they cost nothing.
/// The first three have the names, labels and values of the reference.
///
/// | metric | type | labels | what it is |
/// | --- | --- | --- | --- |
/// | `registry_notifications_events_total` | counter | `type`, `endpoint` | `Events` that were written to the endpoint, `Successes`: events that the receiver has accepted, `Failures`: attempts that it answered otherwise, `Errors`: attempts that got no answer |
/// | `registry_notifications_pending_total` | gauge | `endpoint` | events that wait or are under way |
/// | `registry_notifications_status_total` | counter | `code`, `endpoint` | answers by status, `200 OK` |
/// | `registry_notifications_retries_total` | counter | `endpoint` | attempts that were not the first at their events |
/// | `registry_notifications_dead_letters_total` | counter | `reason`, `endpoint` | events that will not be tried again: `rejected`, `gave_up`, `overflow` or `shutdown` |
/// | `registry_notifications_lost_total` | counter | `endpoint` | dead letters that no sink of dead letters has |
/// | `registry_notifications_queue_age_seconds` | gauge | `endpoint` | how long the oldest event that is not delivered has waited |
/// | `registry_notifications_delivery_seconds` | histogram | `endpoint` | duration of attempts |
/// | `registry_notifications_end_to_end_seconds` | histogram | `endpoint` | from the happening to the acceptance by the receiver |
/// | `registry_notifications_batch_events` | histogram | `endpoint` | events in a request |
/// | `registry_notifications_unaccepted_total` | counter | | events that a sink did not accept; each counts once, however many sinks there are |
/// | `registry_notifications_missing_facts_total` | counter | `fact` | events that lack a fact for which there was no source: `media_type`, `digest`, `size`, `references`, `untagged` (tags of a deleted manifest), `repository` (the one that a mount is from), or, because a request names none that is valid or more than one, `actor`, `host`, `base_url` (the URL is relative) or `user_agent` |
///
/// Every event that an endpoint's filter wants ends once. For each endpoint,
/// whenever nothing is being written:
///
/// - `Events` = `Successes` + dead letters of all reasons + pending. Events that
///   the queue refuses are `Events` and dead letters at once; a write that waits
///   for room is not counted before it is decided.
/// - Dead letters = letters that the sink of dead letters has + lost.
/// - Answers by status = attempts with an answer = `Failures` + attempts that
///   succeeded; attempts = `Failures` + `Errors` + those.
/// - A durable store keeps what is pending at the end; without one, nothing is
///   pending after [`shutdown`](Self::shutdown).
///
/// Gauges are brought up to date with each attempt, and every 10 s while events
/// wait. Counters begin at zero, but for those by `code` and `fact`, which are
/// there from their first count on.
///
/// `metrics-exporter-prometheus` makes summaries of histograms unless it is
/// given buckets, and summaries cannot be added up over nodes. Buckets for
/// seconds, and for the size of batches, which end in `_events`:
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
/// The crate speaks through [`tracing`](https://docs.rs/tracing). Everything
/// about an endpoint has its name as the field `endpoint`.
///
/// | level | what |
/// | --- | --- |
/// | error | events are lost; an endpoint is disabled by its receiver |
/// | warn | deliveries begin to fail; events become dead letters; the registry did not answer what the layer asked |
/// | info | the receiver answers again |
/// | debug | each attempt that failed; the span `delivery` of each attempt, with `endpoint`, `events` and `attempt` |
///
/// What goes on is told once, when it begins, and again 5 minutes later at the
/// earliest if it was over in between.
#[derive(Clone)]
pub struct Notifier(Arc<Inner>);

struct Inner {
    source: Arc<SourceRecord>,
    include_references: bool,
    sink: Arc<dyn Sink>,
    /// The same one by one.
    destinations: Vec<Arc<dyn Destination>>,
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
    /// Begins to configure a notifier.
    pub fn builder() -> NotifierBuilder {
        NotifierBuilder::default()
    }

    /// The sink that writes to every endpoint and every other sink.
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
        Arc::new(Counted::new(RetryingSink::new(destinations, limit)))
    }

    /// Requests whose clients have hung up.
    pub(crate) fn in_flight(&self) -> &InFlight {
        &self.0.in_flight
    }

    /// Returns the bridge for one request, for a registry that reports itself
    /// what happens: it writes to this notifier, with its source and its
    /// setting for references.
    pub fn bridge(&self, request: impl Borrow<RequestRecord>) -> Bridge {
        Bridge::new(self.sink(), request)
            .source(self.source())
            .include_references(self.includes_references())
    }

    /// The source of all events.
    pub fn source(&self) -> Arc<SourceRecord> {
        self.0.source.clone()
    }

    /// Do events of manifests carry what the manifest refers to?
    pub fn includes_references(&self) -> bool {
        self.0.include_references
    }

    /// What became of the events of each endpoint so far.
    pub fn status(&self) -> NotifierStatus {
        NotifierStatus {
            source: (*self.0.source).clone(),
            endpoints: self.0.endpoints.iter().map(|it| it.status()).collect(),
        }
    }

    /// Lets an endpoint deliver again that was disabled because its receiver
    /// said that it is gone (410). False if there is no such endpoint, or it
    /// was not disabled.
    pub fn enable(&self, endpoint: &str) -> bool {
        self.endpoint(endpoint).is_some_and(|it| it.enable())
    }

    /// Gives a dead letter back to its endpoint, whatever that one's filter
    /// says: with a new place in the order, and as many attempts as any event.
    ///
    /// The write fails with [`SinkError::is_no_endpoint`] if there is none of
    /// that name.
    pub fn send_again(&self, letter: &DeadLetter) -> Acceptance {
        match self.endpoint(&letter.endpoint) {
            Some(endpoint) => endpoint.accept(&letter.event),
            None => Acceptance::failed(SinkError::no_endpoint(&letter.endpoint)),
        }
    }

    fn endpoint(&self, name: &str) -> Option<&Arc<Running>> {
        self.0.endpoints.iter().find(|it| it.name() == name)
    }

    /// Waits for requests that go on although their clients have hung up, takes
    /// no more events, waits until all endpoints have delivered theirs, all of
    /// it for at most `deadline`, and says what is left.
    ///
    /// Events that are left become dead letters, for which their sinks have
    /// another 5 s. What they have not kept by then is lost, counted and logged.
    /// An attempt that is under way at the deadline is given up, and its events
    /// count as left: whether the receiver has them is not known. An endpoint
    /// that is disabled is not waited for. Writes after this fail with
    /// [`SinkError::is_closed`]. Other sinks are not shut down.
    ///
    /// Called again, it waits for the first call to end, and reports the same;
    /// if that was dropped half-way, it goes on in its place.
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
        ShutdownReport::of(accounts, unfinished)
    }

    /// Waits for dead letters of other events: those that were refused, or had
    /// to make room. What is not kept in time is lost.
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

    /// Lets the endpoints and the other sinks take no more events.
    /// [`shutdown`](Notifier::shutdown) also waits for deliveries.
    fn close(&self) {
        self.0.sink.close();
    }
}

/// How long tasks may take to notice that they are to end.
const GRACE: Duration = Duration::from_secs(2);

/// A snapshot of a [`Notifier`], without secrets.
///
/// In JSON an object with `source`, as in events, and `endpoints`, a list of
/// [`EndpointStatus`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct NotifierStatus {
    /// The source of all events.
    pub source: SourceRecord,
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
    source: SourceRecord,
    include_references: bool,
    sinks: Vec<Arc<dyn Sink>>,
    endpoints: Vec<Endpoint>,
}

impl NotifierBuilder {
    /// The node that events come from. Default: no address, a new instance id.
    #[must_use]
    pub fn source(mut self, source: SourceRecord) -> Self {
        self.source = source;
        self
    }

    /// Should events of manifests carry what the manifest refers to? Default: no.
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

    /// Adds an endpoint.
    #[must_use]
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.endpoints.push(endpoint);
        self
    }

    /// The notifier. Spawns a task for each endpoint that is not disabled.
    /// Install a recorder of metrics before.
    ///
    /// # Errors
    ///
    /// When a setting of an endpoint makes no sense, two have the same name, or
    /// there are endpoints but no Tokio runtime. All mistakes are reported, each
    /// with field, value and remedy.
    pub fn build(self) -> Result<Notifier, BuildError> {
        let mut mistakes = Mistakes::default();
        let runtime = tokio::runtime::Handle::try_current();
        if runtime.is_err() && self.endpoints.iter().any(|it| !it.is_disabled()) {
            let remedy = "build the notifier inside of a Tokio runtime";
            let error = BuildError::new("runtime", "none", remedy);
            mistakes.add(error.with_kind(Kind::NoRuntime));
        }
        let mut names = HashSet::new();
        let mut checked = Vec::new();
        for endpoint in self.endpoints {
            if !names.insert(endpoint.name().to_owned()) {
                let remedy = "give each endpoint a name of its own";
                mistakes.add(BuildError::new("endpoint name", endpoint.name(), remedy));
            }
            let disabled = endpoint.is_disabled();
            let endpoint = mistakes.take(endpoint.checked());
            checked.extend(endpoint.filter(|_| !disabled));
        }
        mistakes.or(())?;
        let mut sinks = self.sinks;
        let others = sinks.iter().cloned();
        let mut destinations: Vec<Arc<dyn Destination>> =
            others.map(|sink| Arc::new(Plain(sink)) as _).collect();
        let (mut endpoints, mut workers) = (Vec::new(), Vec::new());
        for endpoint in checked {
            let (running, worker) = endpoint.start();
            sinks.push(running.clone());
            destinations.push(running.clone());
            endpoints.push(running);
            workers.push(worker);
        }
        let spawn = |worker| Some(runtime.as_ref().ok()?.spawn(worker));
        let tasks = workers.into_iter().filter_map(spawn).collect();
        Ok(Notifier(Arc::new(Inner {
            source: Arc::new(self.source),
            include_references: self.include_references,
            sink: Arc::new(Counted::new(Broadcaster::new(sinks))),
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
            .field("include_references", &self.include_references)
            .field("endpoints", &self.endpoints)
            .finish_non_exhaustive()
    }
}
