//! The room for events that wait for an acknowledgement.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::Gauge;
use tokio::sync::Notify;

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

/// How much may wait, and how much does.
pub(super) struct Bounds {
    most: Load,
    now: Mutex<Load>,
    /// Notified when nothing waits any more.
    idle: Notify,
    gauge: Gauge,
}

impl Bounds {
    pub(super) fn new(most: Load, gauge: Gauge) -> Arc<Self> {
        Arc::new(Self {
            most,
            now: Mutex::default(),
            idle: Notify::new(),
            gauge,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Load> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn load(&self) -> Load {
        *self.lock()
    }

    /// Whether an event that takes no memory would fit.
    pub(super) fn has_room(&self) -> bool {
        let now = self.load();
        now.events < self.most.events && now.bytes < self.most.bytes
    }

    /// Takes room for an event, if there is any.
    pub(super) fn reserve(self: &Arc<Self>, bytes: usize) -> Option<Room> {
        let mut now = self.lock();
        if now.events >= self.most.events || bytes > self.most.bytes.saturating_sub(now.bytes) {
            return None;
        }
        now.events += 1;
        now.bytes += bytes;
        self.show(&now);
        drop(now);
        let bounds = self.clone();
        Some(Room { bounds, bytes })
    }

    #[allow(clippy::cast_precision_loss, reason = "of far fewer events than 2^52")]
    fn show(&self, now: &Load) {
        self.gauge.set(now.events as f64);
    }

    /// Resolves when no event waits.
    pub(super) async fn idle(&self) {
        loop {
            // Listens before it looks, so that it misses no end.
            let mut idle = std::pin::pin!(self.idle.notified());
            idle.as_mut().enable();
            if self.load().events == 0 {
                return;
            }
            idle.await;
        }
    }
}

/// The room that a waiting event takes, until it is dropped.
pub(super) struct Room {
    bounds: Arc<Bounds>,
    bytes: usize,
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut now = self.bounds.lock();
        now.events -= 1;
        now.bytes -= self.bytes;
        self.bounds.show(&now);
        let is_idle = now.events == 0;
        drop(now);
        if is_idle {
            self.bounds.idle.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn bounds(events: usize, bytes: usize) -> Arc<Bounds> {
        Bounds::new(Load { events, bytes }, Gauge::noop())
    }

    #[test]
    fn events_and_bytes_are_bounded_until_the_room_is_given_back() {
        let bounds = bounds(3, 10);
        let first = bounds.reserve(6).unwrap();
        assert!(bounds.reserve(5).is_none());
        let _second = bounds.reserve(2).unwrap();
        let _third = bounds.reserve(1).unwrap();
        assert!(bounds.reserve(0).is_none());
        assert!(!bounds.has_room());
        drop(first);
        assert!(bounds.has_room());
        let load = Load {
            events: 2,
            bytes: 3,
        };
        assert_eq!(bounds.load(), load);
    }

    #[tokio::test]
    async fn idle_is_when_the_last_event_has_given_its_room_back() {
        let bounds = bounds(3, 10);
        let rooms = [bounds.reserve(1), bounds.reserve(1)];
        let mut idle = std::pin::pin!(bounds.idle());
        assert!(idle.as_mut().now_or_never().is_none());
        let [first, second] = rooms;
        drop(first);
        assert!(idle.as_mut().now_or_never().is_none());
        drop(second);
        idle.await;
        bounds.idle().await;
    }
}
