//! A sink that writes to several sinks: [`Broadcaster`].

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::{Acceptance, Sink};
use crate::event::SharedEvent;

/// A sink that writes every event to several sinks.
///
/// Each of them gets the event, whatever the others answer. The write resolves when
/// all have answered, and fails if one of them fails. A panic of a sink counts as a
/// failure of that sink alone.
///
/// A [`Notifier`](crate::Notifier) broadcasts to its endpoints and sinks already. Use
/// this for a [`Bridge`](crate::Bridge) without a notifier:
///
/// ```
/// use std::sync::Arc;
/// use tower_registry_notifications::Bridge;
/// use tower_registry_notifications::event::RequestRecord;
/// use tower_registry_notifications::sink::{Broadcaster, ChannelSink, Sink};
///
/// let (audit, mut audited) = ChannelSink::new(100);
/// let (search, _indexed) = ChannelSink::new(100);
/// let sinks: [Arc<dyn Sink>; 2] = [Arc::new(audit), Arc::new(search)];
/// let bridge = Bridge::new(Arc::new(Broadcaster::new(sinks)), RequestRecord::new("1", "DELETE"));
///
/// let _accepted = bridge.tag_deleted("library/debian", "12");
/// assert_eq!(audited.try_recv().unwrap().tag(), "12");
/// ```
#[derive(Clone, Default)]
pub struct Broadcaster(Vec<Arc<dyn Sink>>);

impl Broadcaster {
    /// Creates a broadcaster to these sinks.
    pub fn new(sinks: impl IntoIterator<Item = Arc<dyn Sink>>) -> Self {
        Self(sinks.into_iter().collect())
    }
}

impl Sink for Broadcaster {
    fn write(&self, event: &SharedEvent) -> Acceptance {
        let write = |sink: &Arc<dyn Sink>| Acceptance::catching(|| sink.write(event));
        Acceptance::all(self.0.iter().map(write))
    }

    /// Whether all of its sinks are ready. One that panics is not.
    fn is_ready(&self) -> bool {
        let ready = |sink: &Arc<dyn Sink>| catch_unwind(AssertUnwindSafe(|| sink.is_ready()));
        self.0.iter().all(|sink| ready(sink).unwrap_or(false))
    }

    /// Closes all of its sinks.
    fn close(&self) {
        for sink in &self.0 {
            // A sink that panics must not keep the others open.
            let _panicked = catch_unwind(AssertUnwindSafe(|| sink.close()));
        }
    }
}

impl fmt::Debug for Broadcaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Broadcaster({} sinks)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Action, Event};
    use crate::sink::{ChannelSink, SinkError};

    struct FailingSink(fn() -> SinkError);

    impl Sink for FailingSink {
        fn write(&self, _: &SharedEvent) -> Acceptance {
            let error = self.0;
            Acceptance::pending(async move { Err(error()) })
        }
    }

    struct PanickingSink;

    impl Sink for PanickingSink {
        fn write(&self, _: &SharedEvent) -> Acceptance {
            panic!("at once")
        }

        fn is_ready(&self) -> bool {
            panic!("not even this")
        }

        fn close(&self) {
            panic!("nor this")
        }
    }

    #[tokio::test]
    async fn a_sink_that_fails_or_panics_harms_no_other() {
        let (sink, mut events) = ChannelSink::new(1);
        let broadcaster = Broadcaster::new([
            Arc::new(FailingSink(SinkError::closed)) as Arc<dyn Sink>,
            Arc::new(FailingSink(|| panic!("later"))),
            Arc::new(PanickingSink),
            Arc::new(sink),
        ]);
        let event = SharedEvent::from(Event::new(Action::Pull));
        assert!(broadcaster.write(&event).await.is_err());
        assert_eq!(events.recv().await.unwrap().id(), event.id());
        broadcaster.close();
        assert!(!broadcaster.is_ready());
    }
}
