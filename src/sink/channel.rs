use tokio::sync::mpsc;

use super::{Sink, SinkError, Write};
use crate::event::SharedEvent;

/// A sink for subscribers in the same process.
///
/// It never waits: when the subscriber is behind by the whole capacity, the
/// write fails with [`SinkError::is_full`]; when it is gone, with
/// [`SinkError::is_closed`].
#[derive(Clone, Debug)]
pub struct ChannelSink(mpsc::Sender<SharedEvent>);

impl ChannelSink {
    /// A sink that holds up to `capacity` events (at least one), and the
    /// subscriber's end.
    pub fn new(capacity: usize) -> (Self, Events) {
        let (sender, receiver) = mpsc::channel(capacity.max(1));
        (Self(sender), Events(receiver))
    }
}

impl Sink for ChannelSink {
    fn write(&self, event: &SharedEvent) -> Write {
        Write::ready(self.0.try_send(event.clone()).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SinkError::full(),
            mpsc::error::TrySendError::Closed(_) => SinkError::closed(),
        }))
    }

    fn is_ready(&self) -> bool {
        !self.0.is_closed() && self.0.capacity() > 0
    }
}

/// The events that a [`ChannelSink`] took, in order.
#[derive(Debug)]
pub struct Events(mpsc::Receiver<SharedEvent>);

impl Events {
    /// The next event; `None` when all sinks of this channel are gone.
    pub async fn recv(&mut self) -> Option<SharedEvent> {
        self.0.recv().await
    }

    /// The next event if one is there.
    pub fn try_recv(&mut self) -> Option<SharedEvent> {
        self.0.try_recv().ok()
    }
}
