//! The side that delivers: [`JetStreamWorker`].

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::{self, stream::Stream};
use serde::Serialize;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::balance::{Members, Presence};
use super::connection::{self, is_at_least, is_connected};
use super::consumer::{Assignment, Lag, Place, Prepared, Waits};
use super::coordinator::Coordinator;
use super::error::{ErrorKind, JetStreamError};
use super::maintenance::Maintenance;
use super::patience::{no_answer, retry_until};
use super::settings::JetStream;
use super::{metrics, stream};
use crate::event::uuid_v7;
use crate::notifier::{Notifier, NotifierBuilder, NotifierStatus};
use crate::shutdown::ShutdownReport;

/// Delivers the events of a stream to endpoints.
///
/// Any number of workers with the same endpoints share the work: each partition of an
/// endpoint is delivered by one worker at a time. Batches, retries, filters and dead
/// letters of an [`Endpoint`](crate::Endpoint) work as without a stream, with these
/// differences:
///
/// - An event that waits for another attempt is held by the worker. If another worker
///   takes it over, its attempts are counted from the beginning.
/// - At most 64 events of a partition and an endpoint are under way. While 64 events of a
///   partition wait for another attempt, the rest of the partition waits too.
/// - `queue_events`, `queue_bytes` and `overflow` of endpoints have no effect: events
///   wait in the stream.
/// - An event whose dead letter no sink keeps is lost, as without a stream.
///
/// The name of an endpoint is its identity. Workers that differ in the settings of an
/// endpoint deliver each its partitions as it is configured, as they do while they are
/// updated one by one.
#[derive(Clone)]
pub struct JetStreamWorker(Arc<Inner>);

struct Inner {
    notifier: Notifier,
    client: Client,
    stream: String,
    id: String,
    lags: Vec<(String, Arc<Lag>)>,
    aged_out: Arc<AtomicU64>,
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Drop for Inner {
    /// Lets the tasks give up their partitions and end.
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

impl JetStream {
    /// Connects, makes sure that there are a stream and consumers that fit, and begins
    /// to deliver to the endpoints of `endpoints`, which must have no other sinks.
    /// Metrics go to the recorder that is installed then.
    ///
    /// An endpoint without consumers gets all events that the stream has. The
    /// consumers of an endpoint that no worker has any more keep events from being
    /// removed until they are too old, which is logged:
    /// [remove them](Self::remove_endpoint).
    ///
    /// # Errors
    ///
    /// If a setting or an endpoint is invalid, no server can be reached within
    /// [`connect_timeout`](Self::connect_timeout), it has no JetStream or does not
    /// accept the credentials, or the stream or a consumer differs from the settings.
    pub async fn worker(
        &self,
        endpoints: NotifierBuilder,
    ) -> Result<JetStreamWorker, JetStreamError> {
        let settings = self.checked()?;
        check(&endpoints)?;
        let client = connection::connect(settings).await?;
        let name = stream::ensure(&client, settings).await?;
        let deadline = Instant::now() + settings.connect_timeout;
        let context = jetstream::new(client.clone());
        let find = || async { context.get_stream(&name).await.map_err(no_answer) };
        let stream = retry_until(deadline, find).await?;
        metrics::register_worker();
        let start = Start {
            settings,
            client,
            stream,
            deadline,
        };
        start.start(endpoints).await
    }
}

/// Refuses what has no meaning for a worker.
fn check(endpoints: &NotifierBuilder) -> Result<(), JetStreamError> {
    let wrong = |message| Err(JetStreamError::new(ErrorKind::Setting, message));
    if endpoints.has_sinks() {
        return wrong("a worker has endpoints only: it can have no other sinks");
    }
    if endpoints.has_journal() {
        return wrong(
            "a worker can have no journal: its events are in the stream. Remove `journal` from \
             its configuration",
        );
    }
    if endpoints.has_sequences() {
        return wrong(
            "a worker cannot number events: other workers deliver some of them. Remove \
             `sequence` from its endpoints",
        );
    }
    if !endpoints.has_endpoints() {
        return wrong("a worker needs an endpoint that is not disabled");
    }
    Ok(())
}

/// A worker that starts.
struct Start<'a> {
    settings: &'a JetStream,
    client: Client,
    stream: Stream,
    /// Until when JetStream is asked again while it does not answer.
    deadline: Instant,
}

impl Start<'_> {
    async fn start(self, endpoints: NotifierBuilder) -> Result<JetStreamWorker, JetStreamError> {
        let settings = self.settings;
        let names = endpoints.endpoint_names();
        let stream = self.stream.cached_info().config.name.clone();
        let prepared = names
            .iter()
            .map(|name| (name.clone(), Prepared::new(&stream)));
        let mut prepared: HashMap<_, _> = prepared.collect();
        // Before consumers are created, in case that an endpoint is not valid.
        let notifier = endpoints.build_over(|name| Some(prepared.get(name)?.store()));
        let notifier = notifier.map_err(|error| {
            JetStreamError::new(ErrorKind::Setting, "an endpoint is not valid").because(error)
        })?;
        let (assignment, assigned) = watch::channel(Some(Arc::default()));
        let (mut tasks, mut lags) = (Vec::new(), Vec::new());
        let place = Place {
            client: &self.client,
            stream: &self.stream,
            version: &self.client.server_info().version,
            prefix: &settings.prefix,
            partitions: settings.partitions,
            waits: Waits {
                ack: settings.ack_wait,
                pin: settings.ack_wait * 2 / 3,
            },
            deadline: self.deadline,
        };
        for endpoint in notifier.endpoints() {
            let Some(own) = prepared.remove(endpoint.name()) else {
                continue;
            };
            let name = endpoint.name().to_owned();
            let consumer = own.into_consumer(&place, endpoint.clone(), assigned.clone());
            let (consumer, lag) = consumer.await?;
            tasks.push(tokio::spawn(consumer.run()));
            lags.push((name, lag));
        }
        let id = uuid_v7::new().to_string();
        let stop = watch::Sender::new(false);
        let aged_out = Arc::new(AtomicU64::new(0));
        let coordinator = self
            .coordinator(&id, names, assignment, aged_out.clone())
            .await?;
        tasks.push(tokio::spawn(coordinator.run(stop.subscribe())));
        Ok(JetStreamWorker(Arc::new(Inner {
            notifier,
            client: self.client,
            stream,
            id,
            lags,
            aged_out,
            stop,
            tasks: Mutex::new(tasks),
        })))
    }

    async fn coordinator(
        &self,
        id: &str,
        endpoints: Vec<String>,
        assignment: watch::Sender<Assignment>,
        aged_out: Arc<AtomicU64>,
    ) -> Result<Coordinator, JetStreamError> {
        let settings = self.settings;
        let subject = format!("{}.workers", settings.prefix);
        let heard = self
            .client
            .subscribe(subject.clone())
            .await
            .map_err(|error| {
                JetStreamError::new(ErrorKind::Unreachable, "cannot subscribe to NATS")
                    .because(error)
            })?;
        let maintenance = Maintenance {
            stream: self.stream.clone(),
            prefix: settings.prefix.clone(),
            keeps: settings.keep_acknowledged,
            max_age: settings.max_age,
            oldest: HashMap::new(),
            purges: is_at_least(&self.client.server_info().version, 2, 10),
            removed: HashMap::new(),
            orphans: HashSet::new(),
            aged_out,
        };
        let own = Presence {
            id: id.to_owned(),
            endpoints,
            leaves: false,
        };
        Ok(Coordinator {
            client: self.client.clone(),
            subject,
            heard,
            partitions: settings.partitions,
            members: Members::new(own),
            assignment,
            maintenance,
            every: settings.maintenance,
        })
    }
}

impl JetStreamWorker {
    /// Returns a snapshot for people and monitoring.
    pub fn status(&self) -> JetStreamWorkerStatus {
        let Inner {
            notifier,
            client,
            stream,
            id,
            lags,
            aged_out,
            ..
        } = &*self.0;
        let lag = lags.iter().map(|(endpoint, lag)| JetStreamLag {
            endpoint: endpoint.clone(),
            partitions: lag.all(),
        });
        JetStreamWorkerStatus {
            id: id.clone(),
            stream: stream.clone(),
            server_version: client.server_info().version,
            connected: is_connected(client),
            lag: lag.collect(),
            aged_out: aged_out.load(Ordering::Relaxed),
            notifier: notifier.status(),
        }
    }

    /// Returns the notifier that delivers, for what operators look at. An event that
    /// is written to it is not in the stream: this worker alone delivers it, from
    /// memory.
    pub fn notifier(&self) -> &Notifier {
        &self.0.notifier
    }

    /// Lets an endpoint deliver again after its receiver disabled it with 410 (Gone);
    /// see [`Notifier::enable`].
    pub fn enable(&self, endpoint: &str) -> bool {
        self.0.notifier.enable(endpoint)
    }

    /// Gives up all partitions, finishes and acknowledges what is under way, and
    /// reports what is left.
    ///
    /// Other workers continue at once. An attempt that is under way at `deadline` is
    /// cancelled, and another worker delivers its event again. Nothing is lost: events
    /// that are not delivered stay in the stream.
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        let began = Instant::now();
        self.0.stop.send_replace(true);
        let mut tasks = self.0.tasks.lock().await;
        let all = futures_util::future::join_all(tasks.iter_mut());
        if timeout(deadline, all).await.is_err() {
            tasks.iter().for_each(|task| task.abort());
        }
        tasks.clear();
        // The last acknowledgements must reach the server, or their events are delivered
        // again.
        let _flushed = timeout(Duration::from_secs(1), self.0.client.flush()).await;
        let rest = deadline.saturating_sub(began.elapsed());
        self.0.notifier.shutdown(rest).await
    }
}

impl fmt::Debug for JetStreamWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JetStreamWorker")
            .field("id", &self.0.id)
            .field("stream", &self.0.stream)
            .finish_non_exhaustive()
    }
}

/// A snapshot of a [`JetStreamWorker`], without secrets. In JSON the fields have these
/// names.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct JetStreamWorkerStatus {
    /// The worker's id, which is new at each start.
    pub id: String,
    /// Name of the stream.
    pub stream: String,
    /// Version of the server that is or was last connected.
    pub server_version: String,
    /// Whether there is a connection.
    pub connected: bool,
    /// How many events wait, for each endpoint.
    pub lag: Vec<JetStreamLag>,
    /// How often this worker noticed that the stream had dropped events by age before
    /// an endpoint had them.
    pub aged_out: u64,
    /// The endpoints. Their counts are those of this worker.
    pub notifier: NotifierStatus,
}

/// How many events of a stream an endpoint does not have yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct JetStreamLag {
    /// Name of the endpoint.
    pub endpoint: String,
    /// Events of each partition that are not delivered, as of a few seconds ago.
    /// `None` if another worker serves the partition.
    pub partitions: Vec<Option<u64>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Endpoint;
    use crate::sink::ChannelSink;

    #[tokio::test]
    async fn what_has_no_meaning_for_a_worker_is_refused() {
        let endpoint = || Endpoint::new("e", "http://receiver");
        let with = |endpoint| Notifier::builder().endpoint(endpoint);
        let wrong = [
            ("sequence", with(endpoint().sequence(true))),
            ("needs an endpoint", with(endpoint().disabled(true))),
            ("needs an endpoint", Notifier::builder()),
            ("other sinks", with(endpoint()).sink(ChannelSink::new(1).0)),
        ];
        for (word, endpoints) in wrong {
            // Nobody listens there, and nobody is asked.
            let stream = JetStream::new("nats://127.0.0.1:1");
            let error = stream.worker(endpoints).await.unwrap_err();
            assert!(error.is_setting(), "{error}");
            assert!(error.to_string().contains(word), "{error}");
        }
    }

    /// Its events would be in the journal, which has none of the stream's.
    #[cfg(feature = "journal")]
    #[tokio::test]
    async fn a_worker_has_no_journal() {
        let folder = tempfile::tempdir().unwrap();
        let journal = crate::journal::Journal::open(folder.path().join("journal")).unwrap();
        let endpoint = Endpoint::new("e", "http://receiver");
        let endpoints = Notifier::builder().endpoint(endpoint).journal(journal);
        let stream = JetStream::new("nats://127.0.0.1:1");
        let error = stream.worker(endpoints).await.unwrap_err();
        assert!(error.is_setting(), "{error}");
        assert!(error.to_string().contains("journal"), "{error}");
    }
}
