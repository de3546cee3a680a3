//! A sink for a subscriber in the same process: [`ChannelSink`].

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;
use tokio::sync::mpsc;

use super::{Acceptance, Sink, SinkError};
use crate::event::SharedEvent;

/// A sink for a subscriber in the same process.
///
/// A write never waits. It fails with [`SinkError::is_full`] if the channel is full
/// because the subscriber is behind, and with [`SinkError::is_closed`] if the
/// subscriber was dropped.
///
/// ```
/// use tower_registry_notifications::Notifier;
/// use tower_registry_notifications::sink::ChannelSink;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (sink, mut events) = ChannelSink::new(1_000);
/// let notifier = Notifier::builder().sink(sink).build()?;
/// # drop(notifier);
/// while let Some(event) = events.recv().await {
///     println!("{} {}", event.action(), event.repository());
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct ChannelSink(mpsc::Sender<SharedEvent>);

impl ChannelSink {
    /// Creates a sink that holds up to `capacity` events, at least one, and returns it
    /// with the subscriber's end.
    pub fn new(capacity: usize) -> (Self, Events) {
        let (sender, receiver) = mpsc::channel(capacity.max(1));
        (Self(sender), Events(receiver))
    }
}

impl Sink for ChannelSink {
    fn write(&self, event: &SharedEvent) -> Acceptance {
        let sent = self.0.try_send(event.clone());
        Acceptance::ready(sent.map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SinkError::full(),
            mpsc::error::TrySendError::Closed(_) => SinkError::closed(),
        }))
    }

    /// Whether there is room and the subscriber exists.
    fn is_ready(&self) -> bool {
        self.0.capacity() > 0 && !self.0.is_closed()
    }
}

/// The events that a [`ChannelSink`] accepted, in order. Also a
/// [`Stream`](https://docs.rs/futures-core/0.3/futures_core/stream/trait.Stream.html).
///
/// It ends when every clone of the sink was dropped.
#[derive(Debug)]
pub struct Events(mpsc::Receiver<SharedEvent>);

impl Events {
    /// Waits for the next event. Returns `None` when every clone of the sink was dropped
    /// and no event is left.
    pub async fn recv(&mut self) -> Option<SharedEvent> {
        self.0.recv().await
    }

    /// Returns the next event if there is one now.
    pub fn try_recv(&mut self) -> Option<SharedEvent> {
        self.0.try_recv().ok()
    }
}

impl Stream for Events {
    type Item = SharedEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<SharedEvent>> {
        self.0.poll_recv(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len(), None)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;
    use crate::event::{Action, Event};

    #[tokio::test]
    async fn a_channel_is_ready_while_there_is_room_and_a_subscriber() {
        let (sink, mut events) = ChannelSink::new(1);
        let event = SharedEvent::from(Event::new(Action::Pull));
        assert!(sink.is_ready());
        sink.write(&event).await.unwrap();
        assert!(!sink.is_ready());
        assert!(sink.write(&event).await.unwrap_err().is_full());
        events.try_recv().unwrap();
        assert!(sink.is_ready());
        drop(events);
        assert!(!sink.is_ready());
        assert!(sink.write(&event).await.unwrap_err().is_closed());
    }

    #[tokio::test]
    async fn events_are_a_stream_that_ends_with_the_last_sink() {
        let (sink, events) = ChannelSink::new(4);
        for action in [Action::Push, Action::Delete] {
            sink.clone()
                .write(&Event::new(action).into())
                .await
                .unwrap();
        }
        drop(sink);
        let actions: Vec<_> = events.map(|event| event.action()).collect().await;
        assert_eq!(actions, [Action::Push, Action::Delete]);
    }
}
