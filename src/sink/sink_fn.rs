//! A sink from an asynchronous closure: [`sink_fn`].

use std::fmt;
use std::future::Future;

use tower::BoxError;

use super::{Acceptance, Sink, SinkError};
use crate::event::SharedEvent;

/// Creates a sink from an asynchronous closure.
///
/// The event is accepted when the future resolves to `Ok`. The error may be of any
/// type; a [`SinkError`] is passed on unchanged. If nothing in the closure names the
/// type of its error, end it with `Ok::<_, SinkError>(())`. The closure is called for
/// each event, so it clones what its future needs.
///
/// A write that takes longer than the layer's
/// [`accept_timeout`](crate::NotificationLayer::accept_timeout) is dropped, and its
/// event counts as not accepted.
///
/// ```
/// use tower_registry_notifications::{Notifier, sink_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (sender, mut receiver) = tokio::sync::mpsc::channel(100);
/// let notifier = Notifier::builder()
///     .sink(sink_fn(move |event| {
///         let sender = sender.clone();
///         async move { sender.send(event.url()).await }
///     }))
///     .build()?;
/// # drop(notifier); assert_eq!(receiver.recv().await, None);
/// # Ok(()) }
/// ```
pub fn sink_fn<F, Fut, E>(write: F) -> SinkFn<F>
where
    F: Fn(SharedEvent) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError>,
{
    SinkFn(write)
}

/// A sink that calls a closure. Created by [`sink_fn`].
#[derive(Clone)]
pub struct SinkFn<F>(F);

impl<F, Fut, E> Sink for SinkFn<F>
where
    F: Fn(SharedEvent) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError>,
{
    fn write(&self, event: &SharedEvent) -> Acceptance {
        let accepted = (self.0)(event.clone());
        Acceptance::pending(async move { accepted.await.map_err(SinkError::other) })
    }
}

impl<F> fmt::Debug for SinkFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SinkFn")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Action, Event};

    #[tokio::test]
    async fn a_closure_accepts_and_refuses_events_with_any_error() {
        let sink = sink_fn(|event: SharedEvent| async move {
            match event.action() {
                Action::Push => Ok(()),
                _ => Err("only pushes"),
            }
        });
        let write = |action| sink.write(&Event::new(action).into());
        assert!(write(Action::Push).await.is_ok());
        let error = write(Action::Pull).await.unwrap_err();
        let reason = std::error::Error::source(&error).unwrap();
        assert_eq!(reason.to_string(), "only pushes");
    }

    #[tokio::test]
    async fn an_error_of_a_sink_stays_what_it_is() {
        let sink = sink_fn(|_| async { Err(SinkError::full()) });
        let event = Event::new(Action::Push).into();
        assert!(sink.write(&event).await.unwrap_err().is_full());
    }
}
