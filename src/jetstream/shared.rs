//! The state that the publishers of a sink share: bounds, readiness and counts.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_nats::Client;
use tokio::sync::watch;

use super::connection::is_connected;
use super::metrics;
use super::settings::JetStream;
use super::sink_status::JetStreamSinkStatus;
use crate::sink::SinkError;

pub(super) struct Shared {
    pub(super) client: Client,
    stream: String,
    bounds: Bounds,
    open: AtomicBool,
    failing: AtomicUsize,
    published: AtomicU64,
    duplicates: AtomicU64,
    retries: AtomicU64,
    last_error: Mutex<Option<String>>,
    stop: watch::Sender<bool>,
}

/// The events that wait, and their limits.
struct Bounds {
    most_events: usize,
    most_bytes: usize,
    /// Events and bytes that wait. Its changes wake [`Shared::idle`].
    waiting: watch::Sender<(usize, usize)>,
}

/// The room that a waiting event takes, until it is dropped.
pub(super) struct Room {
    shared: Arc<Shared>,
    bytes: usize,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.shared.bounds.waiting.send_modify(|(events, bytes)| {
            *events -= 1;
            *bytes -= self.bytes;
        });
        metrics::waiting(self.shared.waiting());
    }
}

impl Shared {
    pub(super) fn new(client: Client, stream: String, settings: &JetStream) -> Self {
        metrics::register();
        Self {
            client,
            stream,
            bounds: Bounds {
                most_events: settings.queue_events,
                most_bytes: settings.queue_bytes,
                waiting: watch::Sender::default(),
            },
            open: AtomicBool::new(true),
            failing: AtomicUsize::new(0),
            published: AtomicU64::new(0),
            duplicates: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            last_error: Mutex::default(),
            stop: watch::Sender::new(false),
        }
    }

    /// Takes room for an event, if there is any.
    pub(super) fn reserve(self: &Arc<Self>, bytes: usize) -> Result<Room, SinkError> {
        if !self.open.load(Ordering::Acquire) {
            return Err(SinkError::closed());
        }
        let Bounds {
            most_events,
            most_bytes,
            waiting,
        } = &self.bounds;
        // The channel's lock is held meanwhile, so that two writers cannot take the same room.
        let taken = waiting.send_if_modified(|(events, taken)| {
            let fits = *events < *most_events && bytes <= most_bytes.saturating_sub(*taken);
            if fits {
                *events += 1;
                *taken += bytes;
            }
            fits
        });
        if !taken {
            return Err(SinkError::full());
        }
        metrics::waiting(self.waiting());
        let shared = self.clone();
        Ok(Room { shared, bytes })
    }

    pub(super) fn waiting(&self) -> usize {
        self.bounds.waiting.borrow().0
    }

    /// Resolves when no event waits.
    pub(super) async fn idle(&self) {
        let mut waiting = self.bounds.waiting.subscribe();
        // The sender lives as long as this.
        let _idle = waiting.wait_for(|(events, _)| *events == 0).await;
    }

    pub(super) fn is_ready(&self) -> bool {
        let (events, bytes) = *self.bounds.waiting.borrow();
        self.open.load(Ordering::Acquire)
            && self.failing.load(Ordering::Acquire) == 0
            && events < self.bounds.most_events
            && bytes < self.bounds.most_bytes
            && is_connected(&self.client)
    }

    /// Takes no more events.
    pub(super) fn close(&self) {
        self.open.store(false, Ordering::Release);
    }

    /// Tells the publishers to give up what waits.
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
        }
        metrics::published(duplicate);
    }

    pub(super) fn retries(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
        metrics::retried();
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
        let (waiting, waiting_bytes) = *self.bounds.waiting.borrow();
        let last_error = self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        JetStreamSinkStatus {
            stream: self.stream.clone(),
            server_version: self.client.server_info().version,
            connected: is_connected(&self.client),
            ready: self.is_ready(),
            waiting,
            waiting_bytes,
            failing_partitions: self.failing.load(Ordering::Relaxed),
            published: self.published.load(Ordering::Relaxed),
            duplicates: self.duplicates.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            last_error: last_error.clone(),
        }
    }
}
