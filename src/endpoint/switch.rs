use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Whether an endpoint delivers, paused by a receiver that is gone, and
/// whether its worker is to end. For one worker.
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

    /// True if it was on.
    pub(super) fn turn_off(&self) -> bool {
        !self.off.swap(true, Ordering::SeqCst)
    }

    /// True if it was off.
    pub(super) fn turn_on(&self) -> bool {
        let was_off = self.off.swap(false, Ordering::SeqCst);
        self.changed.notify_one();
        was_off
    }

    /// The worker is to give up what is left.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.changed.notify_one();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Resolves when it was turned on or stopped.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}
