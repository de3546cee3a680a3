//! The state that the handles of a sink and its publisher share.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_nats::Client;
use tokio::sync::watch;

use super::connection::is_connected;
use super::metrics::SinkMetrics;
use super::room::{Bounds, Load, Reservation};
use super::settings::JetStream;
use super::sink_status::JetStreamSinkStatus;
use crate::sink::SinkError;

pub(super) struct Shared {
    pub(super) client: Client,
    stream: String,
    bounds: Arc<Bounds>,
    metrics: SinkMetrics,
    failing: AtomicUsize,
    published: AtomicU64,
    duplicates: AtomicU64,
    retries: AtomicU64,
    last_error: Mutex<Option<String>>,
    stop: watch::Sender<bool>,
}

impl Shared {
    pub(super) fn new(client: Client, stream: String, settings: &JetStream) -> Self {
        let metrics = SinkMetrics::register();
        let most = Load {
            events: settings.queue_events,
            bytes: settings.queue_bytes,
        };
        Self {
            client,
            stream,
            bounds: Bounds::new(most, metrics.waiting.clone()),
            metrics,
            failing: AtomicUsize::new(0),
            published: AtomicU64::new(0),
            duplicates: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            last_error: Mutex::default(),
            stop: watch::Sender::new(false),
        }
    }

    pub(super) fn stream(&self) -> &str {
        &self.stream
    }

    /// Takes room for an event.
    pub(super) fn reserve(&self, bytes: usize) -> Result<Reservation, SinkError> {
        self.bounds.reserve(bytes)
    }

    pub(super) fn waiting(&self) -> usize {
        self.bounds.load().events
    }

    /// Resolves when no event waits.
    pub(super) async fn idle(&self) {
        self.bounds.idle().await;
    }

    pub(super) fn is_ready(&self) -> bool {
        self.failing.load(Ordering::Acquire) == 0
            && self.bounds.has_room()
            && is_connected(&self.client)
    }

    /// Takes no more events.
    pub(super) fn close(&self) {
        self.bounds.close();
    }

    /// Tells the publisher to give up what waits.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Resolves when what waits is to be given up.
    pub(super) async fn stopped(&self) {
        let mut stop = self.stop.subscribe();
        let _stopped = stop.wait_for(|stop| *stop).await;
    }

    pub(super) fn stored(&self, duplicate: bool) {
        self.published.fetch_add(1, Ordering::Relaxed);
        if duplicate {
            self.duplicates.fetch_add(1, Ordering::Relaxed);
            self.metrics.duplicates.increment(1);
        }
        self.metrics.published.increment(1);
    }

    pub(super) fn retries(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
        self.metrics.retries.increment(1);
    }

    /// Notes why a publish failed. `begins` says that the last publish of the
    /// partition succeeded. Returns whether no other partition fails.
    pub(super) fn fails(&self, error: &str, begins: bool) -> bool {
        let mut last = self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *last = Some(error.to_owned());
        begins && self.failing.fetch_add(1, Ordering::AcqRel) == 0
    }

    /// Notes that a partition that failed works again. Returns whether no other fails.
    pub(super) fn works(&self) -> bool {
        self.failing.fetch_sub(1, Ordering::AcqRel) == 1
    }

    pub(super) fn status(&self) -> JetStreamSinkStatus {
        let load = self.bounds.load();
        let last_error = self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        JetStreamSinkStatus {
            stream: self.stream.clone(),
            server_version: self.client.server_info().version,
            connected: is_connected(&self.client),
            ready: self.is_ready(),
            waiting: load.events,
            waiting_bytes: load.bytes,
            failing_partitions: self.failing.load(Ordering::Relaxed),
            published: self.published.load(Ordering::Relaxed),
            duplicates: self.duplicates.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            last_error: last_error.clone(),
        }
    }
}
