//! Work that ends even if nobody waits for it: [`Detachable`].

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;

use super::settings::Settings;

/// A future that is moved to a task of its own when it is dropped before its
/// end.
///
/// A registry commits before it responds. A client that hangs up in between,
/// or a timeout outside of the layer, drops the response future, and with it
/// the only chance to see whether there is something to report. Until then the
/// future runs in the task of the request, so that its panics, task-locals and
/// spans are where they would be without the layer.
pub(super) struct Detachable<T> {
    /// `None` as soon as it has ended, and while it is polled: a future that
    /// panics must not be polled again.
    work: Option<BoxFuture<'static, T>>,
    settings: Arc<Settings>,
    /// Made where `T` is known to be `'static`, so that no type which holds
    /// this needs the bound.
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
            // As any future that is polled after its end, it has no answer.
            return Poll::Pending;
        };
        let panics = CountPanic;
        let polled = work.as_mut().poll(cx);
        std::mem::forget(panics);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<T> Drop for Detachable<T> {
    /// Whatever ends the request, also a panic outside of the layer.
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            (self.detach)(work, &self.settings);
        }
    }
}

/// Counts a request whose future panics: the registry may have acted before.
struct CountPanic;

impl Drop for CountPanic {
    fn drop(&mut self) {
        crate::metrics::unknown_outcome();
    }
}
