//! Turns an endpoint off and on, and stops it: [`Switch`].

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Whether an endpoint delivers, and whether its worker is to end. A receiver that is
/// gone turns deliveries off. Wakes the one worker.
#[derive(Debug, Default)]
pub(super) struct Switch {
    off: AtomicBool,
    stopped: AtomicBool,
    changed: Notify,
}

impl Switch {
    pub(super) fn is_off(&self) -> bool {
        self.off.load(Ordering::SeqCst)
    }

    /// Turns deliveries off. Returns whether they were on.
    pub(super) fn turn_off(&self) -> bool {
        !self.off.swap(true, Ordering::SeqCst)
    }

    /// Turns deliveries on, and wakes the worker. Returns whether they were off.
    pub(super) fn turn_on(&self) -> bool {
        let was_off = self.off.swap(false, Ordering::SeqCst);
        self.changed.notify_one();
        was_off
    }

    /// Tells the worker to give up what is left, and wakes it.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.changed.notify_one();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Resolves after deliveries were turned on or the worker was stopped. A change
    /// between two calls is not missed: `Notify` keeps one permit.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}
