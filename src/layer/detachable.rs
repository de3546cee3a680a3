//! Work that runs to completion even if nobody waits for it: [`Detachable`].
//!
//! The invariant: once the inner service has been called with a request that can
//! change the registry, its future is polled to its end, unless it panics, reaches
//! the time limit of detached work, or the runtime ends. A panic and the limit are
//! counted.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;

use super::settings::Settings;

/// A future that continues in a task of its own if it is dropped before its end.
///
/// A registry commits before it responds. A client that hangs up in between, or
/// a timeout outside the layer, drops the response future. If the work ended
/// there, the registry would have acted without an event. Until it is dropped,
/// the future runs in the task of the request, so that its panics, task-locals
/// and spans are where they would be without the layer.
pub(super) struct Detachable<T> {
    /// `None` while it is polled, after its end, and after a panic in it.
    work: Option<BoxFuture<'static, T>>,
    settings: Arc<Settings>,
    /// A function for this `T`, so that only [`new`](Self::new) needs the bound
    /// `T: 'static`, and no type that contains this one does.
    detach: fn(BoxFuture<'static, T>, &Settings),
}

impl<T: 'static> Detachable<T> {
    pub(super) fn new(
        work: impl Future<Output = T> + Send + 'static,
        settings: Arc<Settings>,
    ) -> Self {
        Self {
            work: Some(Box::pin(work)),
            settings,
            detach,
        }
    }
}

fn detach<T: 'static>(work: BoxFuture<'static, T>, settings: &Settings) {
    let limit = settings.detached_timeout;
    let in_flight = settings.notifier.in_flight();
    in_flight.spawn(limit, async move { drop(work.await) });
}

impl<T> Future for Detachable<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Some(mut work) = self.work.take() else {
            // The caller polls after the end, which the contract of `Future` forbids.
            return Poll::Pending;
        };
        // Counts only if unwinding drops it; otherwise it is forgotten below.
        let panics = PanicGuard;
        // The work is outside `self` during the poll. If the poll panics, unwinding
        // drops it here and `drop` finds nothing to detach: a future that has
        // panicked must not be polled again.
        let polled = work.as_mut().poll(cx);
        std::mem::forget(panics);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<T> Drop for Detachable<T> {
    fn drop(&mut self) {
        // Reached before the end when the client hangs up, a timeout outside the
        // layer fires, or middleware outside the layer panics.
        if let Some(work) = self.work.take() {
            (self.detach)(work, &self.settings);
        }
    }
}

/// Counts a request whose future panics: the registry may have acted before the
/// panic.
struct PanicGuard;

impl Drop for PanicGuard {
    fn drop(&mut self) {
        crate::metrics::unknown_outcome();
    }
}
