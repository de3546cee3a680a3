//! Configures and starts a notifier: [`NotifierBuilder`].
//!
//! Everything is checked before anything is started, so that all mistakes are reported at
//! once and a failed build leaves no task behind.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::journal::{AttachedJournal, Journal, Starting};
use super::notifier::{Inner, Notifier};
use crate::endpoint::dead_letter::DeadLetterSink;
use crate::endpoint::{Checked, Endpoint, EndpointContext, Running};
use crate::error::{BuildError, Mistakes};
use crate::event::SourceRecord;
use crate::host::is_valid_in_url;
use crate::in_flight::InFlight;
use crate::queue::Store;
use crate::redact::shown_name;
use crate::sink::{Counted, Destination, Destinations, Plain, Sink, Totals};
use crate::worker_runtime::WorkerRuntime;

/// Configures a [`Notifier`].
///
/// ```no_run
/// use tower_registry_notifications::dead_letter::DeadLetterFile;
/// use tower_registry_notifications::{Endpoint, Notifier, SourceRecord};
///
/// # fn build() -> Result<(), Box<dyn std::error::Error>> {
/// let notifier = Notifier::builder()
///     .source(SourceRecord::new("registry.example.com:5000"))
///     .dead_letters(DeadLetterFile::new("/var/lib/registry/dead-letters.jsonl"))
///     .endpoint(Endpoint::new("ci", "https://ci.example.com/events"))
///     .endpoint(Endpoint::new("scanner", "https://scanner.example.com/events"))
///     .build()?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct NotifierBuilder {
    source: Option<SourceRecord>,
    public_host: Option<String>,
    include_references: bool,
    sinks: Vec<Arc<dyn Sink>>,
    endpoints: Vec<Endpoint>,
    dead_letters: Option<Arc<dyn DeadLetterSink>>,
    own_runtime: bool,
    journal: Option<Journal>,
    clock: fn() -> SystemTime,
}

impl Default for NotifierBuilder {
    fn default() -> Self {
        Self {
            source: None,
            public_host: None,
            include_references: false,
            sinks: Vec::new(),
            endpoints: Vec::new(),
            dead_letters: None,
            own_runtime: false,
            journal: None,
            clock: SystemTime::now,
        }
    }
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
    /// Defaults to the host of each request, or if a request has none to the address of
    /// the [source](Self::source). An event keeps the host of the notifier that made it,
    /// even if another one delivers it.
    #[must_use]
    pub fn public_host(mut self, host: impl Into<String>) -> Self {
        self.public_host = Some(host.into());
        self
    }

    /// Sets the source like [`source`](Self::source), unless one has been set already, for
    /// example by a configuration file.
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

    /// Adds a sink, which gets all events.
    #[must_use]
    pub fn sink(mut self, sink: impl Sink) -> Self {
        self.sinks.push(Arc::new(sink));
        self
    }

    /// Sets where the dead letters of endpoints go that have no sink of dead
    /// letters of their own. A journal keeps such letters itself: with one, this has
    /// no effect. Without both they are lost, which is counted and logged.
    #[must_use]
    pub fn dead_letters(mut self, sink: impl DeadLetterSink) -> Self {
        self.dead_letters = Some(Arc::new(sink));
        self
    }

    /// Adds an endpoint. No two endpoints may have the same name.
    #[must_use]
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.endpoints.push(endpoint);
        self
    }

    /// Keeps the events of all endpoints in a journal until they are delivered, so
    /// that an accepted event survives a crash. Defaults to none: events wait in
    /// memory. See [`journal`](crate::journal) for its promises.
    ///
    /// The name of an endpoint is its identity in the journal. The journal also keeps
    /// dead letters of endpoints without a dead-letter sink of their own. The limits of
    /// an endpoint's queue bound how much of the journal is in memory. Its
    /// [`Overflow`](crate::endpoint::Overflow) does not apply: the limits of the journal
    /// are set with [`JournalOptions`](crate::journal::JournalOptions).
    #[cfg(feature = "journal")]
    #[must_use]
    pub fn journal(mut self, journal: Journal) -> Self {
        self.journal = Some(journal);
        self
    }

    /// Sets the wall clock.
    #[cfg(all(test, feature = "journal"))]
    pub(crate) fn clock(mut self, clock: fn() -> SystemTime) -> Self {
        self.clock = clock;
        self
    }

    /// Sets whether deliveries run in a separate runtime with one thread, which ends
    /// after all endpoints have ended. Otherwise they run in the runtime in which the
    /// notifier is built, between its other tasks. If few threads serve many requests,
    /// responses are faster with a separate runtime. Defaults to `false`.
    ///
    /// Dead-letter sinks, layers and clients of your own run there too. With a separate
    /// runtime, a notifier can be built outside a Tokio runtime.
    #[must_use]
    pub fn own_runtime(mut self, own: bool) -> Self {
        self.own_runtime = own;
        self
    }

    /// Returns the names of the endpoints that are not disabled.
    #[cfg(feature = "jetstream")]
    pub(crate) fn endpoint_names(&self) -> Vec<String> {
        let enabled = self.endpoints.iter().filter(|it| !it.is_disabled());
        enabled.map(|it| it.name().to_owned()).collect()
    }

    /// Whether an endpoint sends the numbers of events.
    #[cfg(feature = "jetstream")]
    pub(crate) fn has_sequences(&self) -> bool {
        self.endpoints.iter().any(Endpoint::has_sequence)
    }

    /// Whether there are sinks besides the endpoints.
    #[cfg(feature = "jetstream")]
    pub(crate) fn has_sinks(&self) -> bool {
        !self.sinks.is_empty()
    }

    /// Whether there is a journal.
    pub fn has_journal(&self) -> bool {
        self.journal.is_some()
    }

    /// Whether there is an endpoint that is not disabled.
    pub fn has_endpoints(&self) -> bool {
        self.endpoints.iter().any(|it| !it.is_disabled())
    }

    /// Builds the notifier and spawns a task for each endpoint that is not disabled.
    /// Install the metrics recorder, if any, before this.
    ///
    /// # Errors
    ///
    /// If a setting of an endpoint is invalid, two endpoints have the same name,
    /// there are endpoints but no Tokio runtime and no
    /// [own one](Self::own_runtime), or the journal cannot be written or
    /// has a notifier already. All mistakes are reported at
    /// once, each with field, value and remedy.
    pub fn build(self) -> Result<Notifier, BuildError> {
        self.build_over(|_| None)
    }

    /// Builds a notifier whose endpoints keep their events in the stores that `store`
    /// returns by name, or in memory. With a journal all of them use the journal.
    pub(crate) fn build_over(
        self,
        store: impl FnMut(&str) -> Option<Box<dyn Store>>,
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
                let name = shown_name(endpoint.name());
                mistakes.add(BuildError::new("endpoint name", name, remedy));
            }
            if endpoint.is_disabled() {
                mistakes.take(endpoint.check_disabled());
                continue;
            }
            // A journal keeps the letters of endpoints without a sink of their own.
            let others = self.dead_letters.as_ref();
            let others = others.filter(|_| self.journal.is_none());
            let endpoint = endpoint.dead_letters_or(others);
            checked.extend(mistakes.take(endpoint.checked()));
        }
        let Some(runtime) = runtime.filter(|_| mistakes.is_empty()) else {
            return mistakes.failed();
        };
        let stores = Stores {
            journal: self.journal,
            store,
            clock: self.clock,
        };
        let started = StartedEndpoints::start(stores, checked, &source, runtime)?;
        let plain = self.sinks.into_iter().map(|it| Arc::new(Plain(it)) as _);
        let mut destinations: Vec<Arc<dyn Destination>> = plain.collect();
        match &started.journal {
            Some(journal) => destinations.push(journal.destination()),
            None => destinations.extend(started.endpoints.iter().map(|it| it.clone() as _)),
        }
        let destinations = Destinations::new(destinations);
        let totals = Totals::registered();
        Ok(Notifier(Arc::new(Inner {
            source: Arc::new(source),
            include_references: self.include_references,
            sink: Arc::new(Counted::new(destinations.clone(), totals.clone())),
            totals,
            started_at: SystemTime::now(),
            destinations,
            endpoints: started.endpoints,
            journal: started.journal,
            tasks: Mutex::new(started.tasks),
            in_flight: InFlight::new(),
        })))
    }
}

/// The parts of a notifier after its endpoints were started.
struct StartedEndpoints {
    endpoints: Vec<Arc<Running>>,
    journal: Option<AttachedJournal>,
    tasks: Vec<JoinHandle<()>>,
}

/// The stores under the endpoints.
struct Stores<S> {
    journal: Option<Journal>,
    /// Returns the store of an endpoint, by name. Used if there is no journal.
    store: S,
    clock: fn() -> SystemTime,
}

impl StartedEndpoints {
    fn start(
        mut stores: Stores<impl FnMut(&str) -> Option<Box<dyn Store>>>,
        checked: Vec<Checked>,
        source: &SourceRecord,
        runtime: WorkerRuntime,
    ) -> Result<Self, BuildError> {
        let clock = stores.clock;
        let mut starting = stores.journal.map(|it| Starting::new(it, clock));
        let (mut endpoints, mut workers) = (Vec::new(), Vec::new());
        let inside = runtime.enter();
        for endpoint in checked {
            let context = match &mut starting {
                Some(journal) => journal.next_context(),
                None => EndpointContext {
                    store: (stores.store)(endpoint.name()),
                    dead_letters: None,
                    clock,
                },
            };
            let (running, worker) = endpoint.start(context);
            endpoints.push(running);
            workers.push(worker);
        }
        // Attached before the workers run: a store cannot be asked before it has its id in
        // the journal.
        let journal = starting
            .map(|it| it.attach(&endpoints, source))
            .transpose()?;
        drop(inside);
        Ok(Self {
            endpoints,
            journal,
            tasks: runtime.start(workers)?,
        })
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
            .field("journal", &self.journal)
            .finish_non_exhaustive()
    }
}
