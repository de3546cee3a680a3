use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Acceptance, Sink, SinkError};
use crate::event::SharedEvent;

/// Pause before the first repetition. It doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A sink that writes every event to several sinks, to each until it accepts
/// the event or a time limit has passed.
///
/// A sink that is not ready is not written to before the limit. Otherwise an
/// endpoint would make a dead letter of the event at each attempt.
pub(crate) struct RetryingSink {
    sinks: Vec<Arc<dyn Sink>>,
    limit: Duration,
}

impl RetryingSink {
    pub(crate) fn new(sinks: Vec<Arc<dyn Sink>>, limit: Duration) -> Self {
        Self { sinks, limit }
    }
}

impl Sink for RetryingSink {
    fn write(&self, event: &SharedEvent) -> Acceptance {
        let deadline = Instant::now() + self.limit;
        let write = |sink: &Arc<dyn Sink>| {
            if sink.is_ready() {
                match Acceptance::catching(|| sink.write(event)).answer() {
                    Ok(Ok(())) => return Acceptance::accepted(),
                    Ok(Err(_)) => {}
                    Err(write) => return retry(Some(write), sink, event, deadline),
                }
            }
            retry(None, sink, event, deadline)
        };
        Acceptance::all(self.sinks.iter().map(write))
    }

    fn is_ready(&self) -> bool {
        self.sinks.iter().all(|sink| sink.is_ready())
    }
}

/// Waits for a write, if there is one, and repeats it until the deadline.
fn retry(
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
            if last || sink.is_ready() {
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
        RetryingSink::new(sinks, limit).write(&event).await.unwrap();
        let attempts = |sink: &Accepts| sink.attempts.load(Ordering::Relaxed);
        assert_eq!((attempts(&first), attempts(&fifth)), (1, 5));

        let began = Instant::now();
        let answer = RetryingSink::new(vec![never.clone()], limit).write(&event);
        assert!(answer.await.unwrap_err().is_full());
        assert_eq!(began.elapsed(), limit);
        assert!((5..30).contains(&attempts(&never)));
    }
}
