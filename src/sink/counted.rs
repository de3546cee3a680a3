//! Counts events that are not accepted: [`Counted`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Acceptance, Sink};
use crate::event::SharedEvent;

/// How many events were not accepted. Clones share the count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unaccepted(Arc<AtomicU64>);

impl Unaccepted {
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        crate::metrics::unaccepted();
    }
}

/// Counts the events that not all sinks accept, each once.
pub(crate) struct Counted<S> {
    sink: S,
    unaccepted: Unaccepted,
}

impl<S: Sink> Counted<S> {
    pub(crate) fn new(sink: S, unaccepted: Unaccepted) -> Self {
        Self { sink, unaccepted }
    }
}

/// A write that is not decided. If it is dropped, nobody learns whether the
/// event was accepted: it counts as if it was not.
struct Undecided {
    unaccepted: Unaccepted,
    accepted: bool,
}

impl Undecided {
    fn decide(&mut self, accepted: bool) {
        self.accepted = accepted;
    }
}

impl Drop for Undecided {
    fn drop(&mut self) {
        if !self.accepted {
            self.unaccepted.add();
        }
    }
}

impl<S: Sink> Sink for Counted<S> {
    fn write(&self, event: &SharedEvent) -> Acceptance {
        match self.sink.write(event).answer() {
            Ok(answer) => {
                if answer.is_err() {
                    self.unaccepted.add();
                }
                Acceptance::ready(answer)
            }
            Err(write) => {
                let mut undecided = Undecided {
                    unaccepted: self.unaccepted.clone(),
                    accepted: false,
                };
                Acceptance::pending(async move {
                    let answer = write.await;
                    undecided.decide(answer.is_ok());
                    answer
                })
            }
        }
    }

    fn is_ready(&self) -> bool {
        self.sink.is_ready()
    }

    fn close(&self) {
        self.sink.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Action, Event};
    use crate::sink::{SinkError, sink_fn};

    #[tokio::test]
    async fn refused_and_dropped_events_count_as_unaccepted() {
        let unaccepted = Unaccepted::default();
        let event = SharedEvent::from(Event::new(Action::Push));
        let sink = |accepts: bool| {
            let sink = sink_fn(move |_| async move {
                tokio::task::yield_now().await;
                accepts.then_some(()).ok_or(SinkError::full())
            });
            Counted::new(sink, unaccepted.clone())
        };
        sink(true).write(&event).await.unwrap();
        assert_eq!(unaccepted.count(), 0);
        sink(false).write(&event).await.unwrap_err();
        assert_eq!(unaccepted.count(), 1);
        drop(sink(true).write(&event));
        assert_eq!(unaccepted.count(), 2);
    }
}
