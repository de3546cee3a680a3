use std::fmt;
use std::sync::Arc;

use super::{Sink, Write};
use crate::event::SharedEvent;

/// A sink that writes every event to several sinks.
///
/// Each of them gets the event whatever the others answer. The write resolves
/// when all have answered, and fails if one of them did. A sink that panics
/// has failed.
#[derive(Clone, Default)]
pub struct Broadcaster(Vec<Arc<dyn Sink>>);

impl Broadcaster {
    /// A broadcaster to these sinks.
    pub fn new(sinks: impl IntoIterator<Item = Arc<dyn Sink>>) -> Self {
        Self(sinks.into_iter().collect())
    }
}

impl Sink for Broadcaster {
    fn write(&self, event: &SharedEvent) -> Write {
        let write = |sink: &Arc<dyn Sink>| Write::catching(|| sink.write(event));
        Write::all(self.0.iter().map(write))
    }

    fn is_ready(&self) -> bool {
        self.0.iter().all(|sink| sink.is_ready())
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

    struct Fails(fn() -> SinkError);

    impl Sink for Fails {
        fn write(&self, _: &SharedEvent) -> Write {
            let error = self.0;
            Write::pending(async move { Err(error()) })
        }
    }

    struct Panics;

    impl Sink for Panics {
        fn write(&self, _: &SharedEvent) -> Write {
            panic!("at once")
        }
    }

    #[tokio::test]
    async fn one_that_fails_or_panics_harms_no_other() {
        let (sink, mut events) = ChannelSink::new(1);
        let broadcaster = Broadcaster::new([
            Arc::new(Fails(SinkError::closed)) as Arc<dyn Sink>,
            Arc::new(Fails(|| panic!("later"))),
            Arc::new(Panics),
            Arc::new(sink),
        ]);
        let event = SharedEvent::from(Event::new(Action::Pull));
        assert!(broadcaster.write(&event).await.is_err());
        assert_eq!(events.recv().await.unwrap().id, event.id);
    }
}
