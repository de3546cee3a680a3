//! Repeats a write until it is accepted, for fail-closed: [`RetryingSink`].
//!
//! Each destination is retried by itself, so that one that fails does not make the others
//! get an event twice.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::destination::{Attempt, Destination, Destinations, Offer, offer};
use super::{Acceptance, Sink, SinkError};
use crate::event::SharedEvent;

/// Pause before the first repetition. It doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A sink that writes every event to several destinations, to each until it
/// accepts the event or a time limit has passed.
pub(crate) struct RetryingSink {
    destinations: Destinations,
    limit: Duration,
    failed: Arc<OnFailure>,
}

/// Is called with the error of each write that is repeated.
pub(crate) type OnFailure = dyn Fn(&SinkError) + Send + Sync;

impl RetryingSink {
    pub(crate) fn new(destinations: Destinations, limit: Duration, failed: Arc<OnFailure>) -> Self {
        Self {
            destinations,
            limit,
            failed,
        }
    }
}

impl Sink for RetryingSink {
    fn write(&self, event: &SharedEvent) -> Acceptance {
        let once = Offer::now(event, Attempt::First);
        let deadline = once.at + self.limit;
        let write = |destination: &Arc<dyn Destination>| {
            // A destination that accepts at once, as nearly all do, needs no future.
            let first = match offer(&**destination, once).answer() {
                Ok(Ok(())) => return Acceptance::accepted(),
                Ok(Err(error)) => Acceptance::failed(error),
                Err(pending) => pending,
            };
            let failed = self.failed.clone();
            retry(first, destination.clone(), event.clone(), deadline, failed)
        };
        Acceptance::all(self.destinations.iter().map(write))
    }

    fn is_ready(&self) -> bool {
        self.destinations.is_ready()
    }

    fn close(&self) {
        self.destinations.close();
    }
}

/// Waits for the first answer, and offers the event again until the deadline.
fn retry(
    first: Acceptance,
    destination: Arc<dyn Destination>,
    event: SharedEvent,
    deadline: Instant,
    failed: Arc<OnFailure>,
) -> Acceptance {
    Acceptance::pending(async move {
        let again = |turn| offer(&*destination, Offer::now(&event, turn));
        let mut answer = first.await;
        let mut pause = FIRST_PAUSE;
        while let Err(error) = &answer {
            failed(error);
            let next = Instant::now() + pause;
            // The last offer is made at the deadline, because there may be room by then. A
            // closed destination does not open again, so its last offer is made at once.
            if error.is_closed() || next >= deadline {
                if !error.is_closed() {
                    tokio::time::sleep_until(deadline).await;
                }
                return again(Attempt::Last).await;
            }
            tokio::time::sleep_until(next).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            answer = again(Attempt::Again).await;
        }
        answer
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::event::{Action, Event};
    use crate::sink::destination::Plain;

    /// Accepts the event in its n-th attempt.
    struct AcceptsLater {
        at: usize,
        attempts: AtomicUsize,
    }

    impl Sink for AcceptsLater {
        fn write(&self, _: &SharedEvent) -> Acceptance {
            match self.attempts.fetch_add(1, Ordering::Relaxed) + 1 >= self.at {
                true => Acceptance::accepted(),
                false => Acceptance::failed(SinkError::full()),
            }
        }
    }

    fn retrying(destinations: Destinations, limit: Duration) -> RetryingSink {
        RetryingSink::new(destinations, limit, Arc::new(|_| ()))
    }

    #[tokio::test(start_paused = true)]
    async fn each_sink_is_tried_until_it_accepts_and_no_longer_than_the_limit() {
        let sink = |at| {
            let attempts = AtomicUsize::new(0);
            Arc::new(AcceptsLater { at, attempts })
        };
        let destination =
            |sink: &Arc<AcceptsLater>| -> Arc<dyn Destination> { Arc::new(Plain(sink.clone())) };
        let (first, fifth, never) = (sink(1), sink(5), sink(usize::MAX));
        let sinks = Destinations::new([destination(&first), destination(&fifth)]);
        let limit = Duration::from_secs(60);
        let event = SharedEvent::from(Event::new(Action::Delete));
        retrying(sinks, limit).write(&event).await.unwrap();
        let attempts = |sink: &AcceptsLater| sink.attempts.load(Ordering::Relaxed);
        assert_eq!((attempts(&first), attempts(&fifth)), (1, 5));

        let began = Instant::now();
        let answer = retrying(Destinations::new([destination(&never)]), limit).write(&event);
        assert!(answer.await.unwrap_err().is_full());
        assert_eq!(began.elapsed(), limit);
        assert!((5..30).contains(&attempts(&never)));
    }

    struct PanickingSink;

    impl Sink for PanickingSink {
        fn write(&self, _: &SharedEvent) -> Acceptance {
            panic!("in a write")
        }

        fn is_ready(&self) -> bool {
            panic!("in the readiness check")
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_sink_that_panics_keeps_no_event_from_the_others() {
        let accepts = Arc::new(AcceptsLater {
            at: 1,
            attempts: AtomicUsize::new(0),
        });
        let sinks: [Arc<dyn Sink>; 2] = [Arc::new(PanickingSink), accepts.clone()];
        let sinks = sinks.map(|sink| Arc::new(Plain(sink)) as Arc<dyn Destination>);
        let event = SharedEvent::from(Event::new(Action::Delete));
        let retrying = retrying(Destinations::new(sinks), Duration::from_secs(60));
        assert!(!retrying.is_ready());
        assert!(retrying.write(&event).await.is_err());
        assert_eq!(accepts.attempts.load(Ordering::Relaxed), 1);
    }
}
