//! The room for events that wait for an acknowledgement.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::Gauge;
use tokio::sync::Notify;

use crate::sink::SinkError;

/// The number and bytes of waiting events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

/// How much may wait, and how much does.
pub(super) struct Bounds {
    most: Load,
    now: Mutex<State>,
    /// Notified when nothing waits any more.
    idle: Notify,
    gauge: Gauge,
}

#[derive(Default)]
struct State {
    load: Load,
    /// Whether no more events are taken.
    closed: bool,
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn load(&self) -> Load {
        self.lock().load
    }

    /// Takes no more events. Every event that was taken counts from here on until it gives
    /// its room back.
    pub(super) fn close(&self) {
        self.lock().closed = true;
    }

    /// Whether an event that takes no memory would be taken.
    pub(super) fn has_room(&self) -> bool {
        let now = self.lock();
        let (load, most) = (now.load, self.most);
        !now.closed && load.events < most.events && load.bytes < most.bytes
    }

    /// Takes room for an event.
    pub(super) fn reserve(self: &Arc<Self>, bytes: usize) -> Result<Reservation, SinkError> {
        let mut now = self.lock();
        if now.closed {
            return Err(SinkError::closed());
        }
        if bytes > self.most.bytes {
            let most = self.most.bytes;
            let reason = format!(
                "the event takes {bytes} bytes, and `queue_bytes` of JetStream allows {most}"
            );
            return Err(SinkError::permanent(reason));
        }
        let Load {
            events,
            bytes: used,
        } = now.load;
        if events >= self.most.events || bytes > self.most.bytes - used {
            return Err(SinkError::full());
        }
        now.load.events += 1;
        now.load.bytes += bytes;
        self.show(now.load);
        drop(now);
        let bounds = self.clone();
        Ok(Reservation { bounds, bytes })
    }

    #[allow(clippy::cast_precision_loss, reason = "of far fewer events than 2^52")]
    fn show(&self, load: Load) {
        self.gauge.set(load.events as f64);
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
pub(super) struct Reservation {
    bounds: Arc<Bounds>,
    bytes: usize,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut now = self.bounds.lock();
        now.load.events -= 1;
        now.load.bytes -= self.bytes;
        self.bounds.show(now.load);
        let is_idle = now.load.events == 0;
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
        let refused = |bytes| bounds.reserve(bytes).err().unwrap();
        assert!(refused(5).is_full());
        assert!(refused(11).is_permanent(), "there will never be room");
        let _second = bounds.reserve(2).unwrap();
        let _third = bounds.reserve(1).unwrap();
        assert!(refused(0).is_full());
        assert!(!bounds.has_room());
        drop(first);
        assert!(bounds.has_room());
        let load = Load {
            events: 2,
            bytes: 3,
        };
        assert_eq!(bounds.load(), load);
        bounds.close();
        assert!(refused(0).is_closed() && !bounds.has_room());
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
