use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Acceptance, Sink, SinkError};
use crate::event::SharedEvent;

/// Pause before a sink is first tried again. It doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A sink that writes every event to several sinks, to each until it accepts
/// the event or a time limit has passed.
///
/// A sink that is not ready is not written to before the limit, so that an
/// endpoint makes one dead letter of an event that it does not accept, and not
/// one for each attempt.
pub(crate) struct Insistent {
    sinks: Vec<Arc<dyn Sink>>,
    limit: Duration,
}

impl Insistent {
    pub(crate) fn new(sinks: Vec<Arc<dyn Sink>>, limit: Duration) -> Self {
        Self { sinks, limit }
    }
}

impl Sink for Insistent {
    fn write(&self, event: &SharedEvent) -> Acceptance {
        let deadline = Instant::now() + self.limit;
        let write = |sink: &Arc<dyn Sink>| {
            if is_ready(sink) {
                match Acceptance::catching(|| sink.write(event)).answer() {
                    Ok(Ok(())) => return Acceptance::accepted(),
                    Ok(Err(_)) => {}
                    Err(write) => return insist(Some(write), sink, event, deadline),
                }
            }
            insist(None, sink, event, deadline)
        };
        Acceptance::all(self.sinks.iter().map(write))
    }

    fn is_ready(&self) -> bool {
        self.sinks.iter().all(is_ready)
    }
}

/// A sink that panics is not ready. The registry has acted by then, and the
/// other sinks need the event.
fn is_ready(sink: &Arc<dyn Sink>) -> bool {
    catch_unwind(AssertUnwindSafe(|| sink.is_ready())).unwrap_or(false)
}

/// Goes on with a write, if there is one, and writes again until the deadline.
fn insist(
    write: Option<Acceptance>,
    sink: &Arc<dyn Sink>,
    event: &SharedEvent,
    deadline: Instant,
) -> Acceptance {
    let (sink, event) = (sink.clone(), event.clone());
    Acceptance::pending(async move {
        if let Some(write) = write
            && write.await.is_ok()
        {
            return Ok(());
        }
        let mut pause = FIRST_PAUSE;
        loop {
            let next = Instant::now() + pause;
            tokio::time::sleep_until(next.min(deadline)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            let last = next >= deadline;
            if last || is_ready(&sink) {
                let answer = Acceptance::catching(|| sink.write(&event)).await;
                if answer.is_ok() || last || answer.as_ref().is_err_and(SinkError::is_closed) {
                    return answer;
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::event::{Action, Event};

    /// Accepts the event in its n-th attempt.
    struct Accepts {
        at: usize,
        attempts: AtomicUsize,
    }

    impl Sink for Accepts {
        fn write(&self, _: &SharedEvent) -> Acceptance {
            match self.attempts.fetch_add(1, Ordering::Relaxed) + 1 >= self.at {
                true => Acceptance::accepted(),
                false => Acceptance::failed(SinkError::full()),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_sink_is_tried_until_it_accepts_and_no_longer_than_the_limit() {
        let sink = |at| {
            let attempts = AtomicUsize::new(0);
            Arc::new(Accepts { at, attempts })
        };
        let (first, fifth, never) = (sink(1), sink(5), sink(usize::MAX));
        let sinks: Vec<Arc<dyn Sink>> = vec![first.clone(), fifth.clone()];
        let limit = Duration::from_secs(60);
        let event = SharedEvent::from(Event::new(Action::Delete));
        Insistent::new(sinks, limit).write(&event).await.unwrap();
        let attempts = |sink: &Accepts| sink.attempts.load(Ordering::Relaxed);
        assert_eq!((attempts(&first), attempts(&fifth)), (1, 5));

        let began = Instant::now();
        let answer = Insistent::new(vec![never.clone()], limit).write(&event);
        assert!(answer.await.unwrap_err().is_full());
        assert_eq!(began.elapsed(), limit);
        assert!((5..30).contains(&attempts(&never)));
    }

    struct Panics;

    impl Sink for Panics {
        fn write(&self, _: &SharedEvent) -> Acceptance {
            panic!("in a write")
        }

        fn is_ready(&self) -> bool {
            panic!("in the readiness check")
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_sink_that_panics_keeps_no_event_from_the_others() {
        let accepts = Arc::new(Accepts {
            at: 1,
            attempts: AtomicUsize::new(0),
        });
        let sinks: Vec<Arc<dyn Sink>> = vec![Arc::new(Panics), accepts.clone()];
        let event = SharedEvent::from(Event::new(Action::Delete));
        let insistent = Insistent::new(sinks, Duration::from_secs(60));
        assert!(!insistent.is_ready());
        assert!(insistent.write(&event).await.is_err());
        assert_eq!(accepts.attempts.load(Ordering::Relaxed), 1);
    }
}
