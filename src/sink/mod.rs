//! The destinations of events: the [`Sink`] trait and its implementations.
//!
//! | sink | what it does |
//! | --- | --- |
//! | [`ChannelSink`] | passes events to a subscriber in the same process |
//! | [`sink_fn()`] | calls an asynchronous closure |
//! | [`Broadcaster`] | writes to several sinks |
//! | [`Filter::before`] | passes on what a filter wants |
//! | [`Notifier`](crate::Notifier) | writes to its endpoints and its other sinks |
//!
//! `Arc<S>` and `Box<S>` are sinks if `S` is one, `dyn Sink` included.

mod acceptance;
mod broadcaster;
mod channel;
mod counted;
mod destination;
mod error;
mod filter;
mod retrying;
mod sink_fn;

use std::sync::Arc;

pub use self::acceptance::Acceptance;
pub use self::broadcaster::Broadcaster;
pub use self::channel::{ChannelSink, Events};
pub(crate) use self::counted::{Counted, Totals};
pub(crate) use self::destination::{Attempt, Destination, Destinations, Offer, Plain};
pub use self::error::SinkError;
pub use self::filter::Filter;
pub(crate) use self::retrying::{OnFailure, RetryingSink};
pub use self::sink_fn::{SinkFn, sink_fn};
use crate::event::SharedEvent;

/// A destination of events.
///
/// A write resolves when the sink has taken responsibility for the event: it is in
/// a queue, on disk, or wherever the sink keeps it. A sink that works in memory
/// answers at once, and the answer allocates nothing:
///
/// ```
/// use std::sync::Mutex;
/// use tower_registry_notifications::sink::{Acceptance, Sink};
/// use tower_registry_notifications::event::SharedEvent;
///
/// #[derive(Debug, Default)]
/// struct Ids(Mutex<Vec<String>>);
///
/// impl Sink for Ids {
///     fn write(&self, event: &SharedEvent) -> Acceptance {
///         self.0.lock().unwrap().push(event.id().to_string());
///         Acceptance::accepted()
///     }
/// }
/// ```
///
/// A sink that has to wait returns `Acceptance::pending(async move { … })`, or is
/// created by [`sink_fn()`].
pub trait Sink: Send + Sync + 'static {
    /// Writes an event to the sink. Must not block.
    fn write(&self, event: &SharedEvent) -> Acceptance;

    /// Whether the sink could accept an event now. Must be cheap.
    ///
    /// With [`fail_closed`](crate::NotificationLayer::fail_closed) a request
    /// that can change the registry is refused while this is `false`, before
    /// it reaches the registry. It is not a promise: a write may still fail.
    /// Defaults to `true`.
    fn is_ready(&self) -> bool {
        true
    }

    /// Tells the sink that no more events will come. Later writes may fail with
    /// [`SinkError::is_closed`]. [`Notifier::shutdown`](crate::Notifier::shutdown)
    /// closes only the endpoints; to close the other sinks too, call the notifier's
    /// `close`. Does nothing by default.
    fn close(&self) {}
}

impl<T: Sink + ?Sized> Sink for Arc<T> {
    fn write(&self, event: &SharedEvent) -> Acceptance {
        (**self).write(event)
    }

    fn is_ready(&self) -> bool {
        (**self).is_ready()
    }

    fn close(&self) {
        (**self).close();
    }
}

impl<T: Sink + ?Sized> Sink for Box<T> {
    fn write(&self, event: &SharedEvent) -> Acceptance {
        (**self).write(event)
    }

    fn is_ready(&self) -> bool {
        (**self).is_ready()
    }

    fn close(&self) {
        (**self).close();
    }
}

/// Checks at compile time what must be `Send`, `Sync` or object-safe.
const _: () = {
    const fn send<T: Send>() {}
    const fn shared<T: Send + Sync + Clone>() {}
    const fn sink<T: Sink>() {}
    send::<Acceptance>();
    send::<Events>();
    shared::<SharedEvent>();
    shared::<ChannelSink>();
    shared::<Broadcaster>();
    shared::<crate::Bridge>();
    sink::<Arc<dyn Sink>>();
    sink::<Box<dyn Sink>>();
    sink::<crate::Notifier>();
};

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;
    use crate::event::{Action, Event};

    /// Is ready until it is closed.
    #[derive(Default)]
    struct Counting {
        written: AtomicUsize,
        closed: AtomicUsize,
    }

    impl Sink for Counting {
        fn write(&self, _: &SharedEvent) -> Acceptance {
            self.written.fetch_add(1, Relaxed);
            Acceptance::accepted()
        }

        fn is_ready(&self) -> bool {
            self.closed.load(Relaxed) == 0
        }

        fn close(&self) {
            self.closed.fetch_add(1, Relaxed);
        }
    }

    #[tokio::test]
    async fn pointers_and_combinations_of_sinks_pass_everything_on() {
        let inner = Arc::new(Counting::default());
        let boxed: Box<dyn Sink> = Box::new(inner.clone());
        let filtered = Filter::new().before(boxed).unwrap();
        let shared: Arc<dyn Sink> = Arc::new(filtered);
        let sink = Broadcaster::new([shared]);
        sink.write(&Event::new(Action::Pull).into()).await.unwrap();
        assert!(sink.is_ready());
        sink.close();
        assert!(!sink.is_ready());
        assert_eq!(inner.written.load(Relaxed), 1);
        assert_eq!(inner.closed.load(Relaxed), 1);
    }

    #[test]
    fn a_sink_is_ready_unless_it_says_otherwise() {
        let sink = sink_fn(|_| async { Ok::<_, SinkError>(()) });
        sink.close();
        assert!(sink.is_ready());
        assert!(Broadcaster::default().is_ready());
    }
}
