//! Counts the events of a notifier, and those that are not accepted: [`Counted`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Acceptance, Sink};
use crate::event::{Action, Kind, SharedEvent};
use crate::metrics::EmittedCounters;

/// Counts of all events of a notifier. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    unaccepted: AtomicU64,
    /// By action and kind, in the order of their declarations.
    emitted: [[AtomicU64; Kind::ALL.len()]; Action::ALL.len()],
    metrics: EmittedCounters,
}

impl Totals {
    /// Returns counts of zero, and registers the metrics at the recorder that is
    /// installed now.
    pub(crate) fn registered() -> Self {
        let totals = Self::default();
        crate::metrics::register();
        totals.0.metrics.register();
        totals
    }

    /// Returns how many events were not accepted.
    pub(crate) fn unaccepted(&self) -> u64 {
        self.0.unaccepted.load(Ordering::Relaxed)
    }

    fn add_unaccepted(&self) {
        self.0.unaccepted.fetch_add(1, Ordering::Relaxed);
        crate::metrics::unaccepted();
    }

    fn add_emitted(&self, event: &SharedEvent) {
        let (action, kind) = (event.action(), event.kind());
        self.0.emitted[action as usize][kind as usize].fetch_add(1, Ordering::Relaxed);
        self.0.metrics.add(action, kind);
    }

    /// Returns how many events there were of each kind, by action.
    pub(crate) fn emitted(&self) -> BTreeMap<Action, BTreeMap<Kind, u64>> {
        let mut counts: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for action in Action::ALL {
            for kind in Kind::ALL {
                let count = self.0.emitted[action as usize][kind as usize].load(Ordering::Relaxed);
                if count > 0 || action.applies_to(kind) {
                    counts.entry(action).or_default().insert(kind, count);
                }
            }
        }
        counts
    }
}

/// Counts events, and those that not all sinks accept, each once.
pub(crate) struct Counted<S> {
    sink: S,
    totals: Totals,
}

impl<S: Sink> Counted<S> {
    pub(crate) fn new(sink: S, totals: Totals) -> Self {
        Self { sink, totals }
    }
}

/// A write that is not decided. If it is dropped, it is unknown whether the event was
/// accepted, and it counts as not accepted.
struct PendingWrite {
    totals: Totals,
    accepted: bool,
}

impl PendingWrite {
    fn decide(&mut self, accepted: bool) {
        self.accepted = accepted;
    }
}

impl Drop for PendingWrite {
    fn drop(&mut self) {
        if !self.accepted {
            self.totals.add_unaccepted();
        }
    }
}

impl<S: Sink> Sink for Counted<S> {
    fn write(&self, event: &SharedEvent) -> Acceptance {
        self.totals.add_emitted(event);
        match self.sink.write(event).answer() {
            Ok(answer) => {
                if answer.is_err() {
                    self.totals.add_unaccepted();
                }
                Acceptance::ready(answer)
            }
            Err(write) => {
                let mut undecided = PendingWrite {
                    totals: self.totals.clone(),
                    accepted: false,
                };
                Acceptance::pending(async move {
                    // If the future is dropped here, `undecided` counts the event.
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
    use crate::event::Event;
    use crate::sink::{SinkError, sink_fn};

    #[tokio::test]
    async fn refused_and_dropped_events_count_as_unaccepted() {
        let totals = Totals::default();
        let event = SharedEvent::from(Event::new(Action::Push));
        let sink = |accepts: bool| {
            let sink = sink_fn(move |_| async move {
                tokio::task::yield_now().await;
                accepts.then_some(()).ok_or(SinkError::full())
            });
            Counted::new(sink, totals.clone())
        };
        sink(true).write(&event).await.unwrap();
        assert_eq!(totals.unaccepted(), 0);
        sink(false).write(&event).await.unwrap_err();
        assert_eq!(totals.unaccepted(), 1);
        drop(sink(true).write(&event));
        assert_eq!(totals.unaccepted(), 2);
    }

    #[tokio::test]
    async fn events_are_counted_by_action_and_kind_whether_accepted_or_not() {
        let totals = Totals::default();
        let sink = sink_fn(|_| async { Err(SinkError::full()) });
        let sink = Counted::new(sink, totals.clone());
        let mut event = Event::new(Action::Delete);
        event.kind = Some(Kind::Tag);
        for _ in 0..2 {
            sink.write(&event.clone().into()).await.unwrap_err();
        }
        let emitted = totals.emitted();
        assert_eq!(emitted[&Action::Delete][&Kind::Tag], 2);
        assert_eq!(emitted[&Action::Push][&Kind::Manifest], 0);
        assert!(!emitted[&Action::Mount].contains_key(&Kind::Tag));
    }
}
