//! The side that registries write to: [`JetStreamSink`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::sync::oneshot;

use super::error::JetStreamError;
use super::outbox::Waiting;
use super::publisher::{Publisher, Written};
use super::settings::JetStream;
use super::shared::Shared;
use super::sink_status::JetStreamSinkStatus;
use super::{connection, stream, subject};
use crate::endpoint::Endpoint;
use crate::event::SharedEvent;
use crate::sink::{Acceptance, Sink, SinkError};

/// The number of repositories for which an endpoint writes at the same time.
const UNDER_WAY: usize = 256;

/// Writes events to a JetStream stream.
///
/// A write resolves when JetStream has acknowledged the event. Until then it is
/// published again, with the same id, so that the stream has it once. The events
/// of a repository are stored in the order in which they were written.
///
/// While JetStream cannot be reached or is full, events wait in memory, within
/// [`queue_events`](JetStream::queue_events) and
/// [`queue_bytes`](JetStream::queue_bytes); more are refused
/// ([`SinkError::is_full`]). The sink is then not
/// [ready](Sink::is_ready), so that a layer with
/// [`fail_closed`](crate::NotificationLayer::fail_closed) refuses requests before
/// the registry acts. An event whose write is dropped is still published.
///
/// Clones are handles to the same sink.
#[derive(Clone)]
pub struct JetStreamSink(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    partitions: u16,
    written: UnboundedSender<Written>,
}

impl Drop for Inner {
    /// Lets the publisher end when it has published what waits.
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl JetStream {
    /// Connects, creates the stream or compares an existing one with the settings,
    /// and starts to publish. Metrics go to the recorder that is installed then.
    ///
    /// # Errors
    ///
    /// If a setting is invalid, no server can be reached within
    /// [`connect_timeout`](Self::connect_timeout), it has no JetStream or does not
    /// accept the credentials, or the stream differs from the settings.
    pub async fn sink(&self) -> Result<JetStreamSink, JetStreamError> {
        let settings = self.checked()?;
        let client = connection::connect(settings).await?;
        let stream = stream::ensure(&client, settings).await?;
        let shared = Arc::new(Shared::new(client, stream, settings));
        let partitions = settings.partitions;
        let publisher = Publisher::new(shared.clone(), &settings.prefix, partitions).await?;
        let (written, receiver) = mpsc::unbounded_channel();
        tokio::spawn(publisher.run(receiver));
        Ok(JetStreamSink(Arc::new(Inner {
            shared,
            partitions,
            written,
        })))
    }
}

impl JetStreamSink {
    /// Returns an endpoint that writes to this sink, for a notifier with a journal: an
    /// event waits in the journal until JetStream has acknowledged it, so that it
    /// survives a crash of the registry, and a stream that is full or away for longer
    /// than memory lasts.
    ///
    /// The name is the endpoint's in the journal, in status and metrics. It has a
    /// queue, a filter, retries and dead letters like others. An event that is larger
    /// than the server's `max_payload` becomes a dead letter. Without a journal, give
    /// the sink itself to the notifier.
    pub fn endpoint(&self, name: impl Into<String>) -> Endpoint {
        Endpoint::writing_to(name, self.clone()).concurrency(UNDER_WAY)
    }

    /// Returns a snapshot for people and monitoring.
    pub fn status(&self) -> JetStreamSinkStatus {
        self.0.shared.status()
    }

    /// Takes no more events, publishes those that wait, and returns how many were
    /// not acknowledged within `deadline`. Their writes fail, and whether the
    /// stream has them is unknown.
    ///
    /// Call it after [`Notifier::shutdown`](crate::Notifier::shutdown), which
    /// waits for requests that still make events.
    pub async fn shutdown(&self, deadline: Duration) -> usize {
        let shared = &self.0.shared;
        shared.close();
        let in_time = tokio::time::timeout(deadline, shared.idle()).await.is_ok();
        if in_time {
            return 0;
        }
        // Counted first: the publisher gives up its events as soon as it is told to.
        let left = shared.waiting();
        shared.stop();
        left
    }
}

impl Sink for JetStreamSink {
    fn write(&self, event: &SharedEvent) -> Acceptance {
        let inner = &*self.0;
        let room = match inner.shared.reserve(event.memory()) {
            Ok(room) => room,
            Err(error) => return Acceptance::failed(error),
        };
        let partition = subject::partition(event.repository(), inner.partitions);
        let (answer, acknowledged) = oneshot::channel();
        let waiting = Waiting {
            event: event.clone(),
            answer,
            room,
        };
        if inner.written.send((partition, waiting)).is_err() {
            return Acceptance::failed(SinkError::closed());
        }
        Acceptance::pending(async move {
            acknowledged
                .await
                .unwrap_or_else(|_| Err(SinkError::closed()))
        })
    }

    /// Whether there is a connection, room for another event, and no partition
    /// whose last publish failed.
    fn is_ready(&self) -> bool {
        self.0.shared.is_ready()
    }

    /// Takes no more events. Those that wait are published.
    fn close(&self) {
        self.0.shared.close();
    }
}

impl fmt::Debug for JetStreamSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JetStreamSink")
            .field(&self.status())
            .finish()
    }
}
