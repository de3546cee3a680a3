//! Turns events into dead letters: [`DeadLetterWriter`].

use std::fmt;
use std::num::NonZeroU64;
use std::pin::pin;
use std::sync::Arc;

use tokio::time::Instant;

use super::outcome::{LetterCounts, LetterOutcome, Shared, after_timeout};
use super::write::{LetterWrite, OfferedLetter, PendingLetter};
use super::{DeadLetter, DeadLetterSink, Reason};
use crate::endpoint::batch::AttemptHistory;
use crate::endpoint::status::Counts;
use crate::event::SharedEvent;
use crate::queue::{Entry, Queue};
use crate::sink::Acceptance;

/// The largest number of letters that may be on their way to a slow sink. Events that
/// are refused beyond that are lost, so that memory does not grow while a disk hangs.
const MOST_PENDING: usize = 10_000;

/// Makes dead letters of an endpoint's events, counts and logs them, and passes
/// them to the sink of dead letters if there is one.
///
/// Every event that is passed in is counted exactly once when its outcome is known, as
/// a dead letter and, if nothing keeps the letter, as lost. A future that is dropped
/// continues in the background. Without a runtime its letter counts as lost.
pub(crate) struct DeadLetterWriter {
    shared: Arc<Shared>,
    sink: Option<Arc<dyn DeadLetterSink>>,
}

/// The outcome of the last attempt.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cause {
    pub(crate) error: String,
    pub(crate) answer: String,
}

impl DeadLetterWriter {
    pub(crate) fn new(
        endpoint: Arc<str>,
        sink: Option<Arc<dyn DeadLetterSink>>,
        counts: Arc<Counts>,
    ) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::new(Shared::new(endpoint, counts)),
            sink,
        })
    }

    /// Returns where letters are kept, in words for people. `None` without a sink.
    pub(crate) fn location(&self) -> Option<String> {
        self.sink.as_ref().map(|sink| sink.location())
    }

    /// Makes a dead letter of an event that the queue has refused: never tried,
    /// and not counted as written before.
    pub(crate) fn refuse(
        self: &Arc<Self>,
        event: &SharedEvent,
        number: Option<NonZeroU64>,
        reason: Reason,
    ) -> LetterWrite {
        if *self.shared.pending.borrow() >= MOST_PENDING {
            let pending = PendingLetter::new(self.shared.clone(), event, reason, true);
            return LetterWrite::decided(pending.lost("too many dead letters wait for their sink"));
        }
        let (cause, history) = (Cause::default(), AttemptHistory::default());
        LetterWrite::new(self.offer(event, number, reason, (&cause, &history), true))
    }

    /// Makes a dead letter of an event that no queue has, for a reason of its own.
    #[cfg(feature = "jetstream")]
    pub(crate) fn reject(self: &Arc<Self>, event: &SharedEvent, error: String) -> LetterWrite {
        let answer = String::new();
        let (cause, history) = (Cause { error, answer }, AttemptHistory::default());
        LetterWrite::new(self.offer(event, None, Reason::Rejected, (&cause, &history), true))
    }

    /// Makes a dead letter of an event that the queue had accepted.
    pub(crate) fn bury(self: &Arc<Self>, entry: &Entry, reason: Reason) -> LetterWrite {
        let (cause, history) = (Cause::default(), AttemptHistory::default());
        let (event, number) = (&entry.event, entry.number());
        LetterWrite::new(self.offer(event, number, reason, (&cause, &history), false))
    }

    /// Makes dead letters of events that were taken from `queue`, in order, and
    /// passes to `tell` how many were kept and lost. As many are offered at a time as the sink's
    /// concurrency allows. Letters that are not kept by `deadline` are lost.
    ///
    /// The queue forgets an event when its letter is offered: from then on, this
    /// writer accounts for it.
    pub(crate) async fn bury_all(
        self: &Arc<Self>,
        queue: &Queue,
        entries: impl IntoIterator<Item = (Entry, AttemptHistory)>,
        reason: Reason,
        cause: &Cause,
        deadline: Option<Instant>,
        tell: impl Fn(LetterCounts),
    ) {
        let concurrency = self.sink.as_ref().map_or(1, |it| it.concurrency());
        let concurrency = concurrency.clamp(1, MOST_PENDING);
        let mut entries = entries.into_iter();
        let mut closed = self.shared.closed.subscribe();
        loop {
            let end = deadline.map_or_else(after_timeout, |it| it.min(after_timeout()));
            if end <= Instant::now() {
                let rest = entries.map(|(entry, _)| queue.forget(&entry)).count();
                let why = "there was no time left for their dead letters";
                self.lose(rest, reason, why);
                return tell(LetterCounts::lost(rest));
            }
            let offer = |(entry, history): (Entry, AttemptHistory)| {
                queue.forget(&entry);
                let (event, number) = (&entry.event, entry.number());
                let offered = self.offer(event, number, reason, (cause, &history), false);
                (entry.position(), offered)
            };
            let offered: Vec<_> = entries.by_ref().take(concurrency).map(offer).collect();
            if offered.is_empty() {
                return;
            }
            // One timer serves all of them.
            let mut late = pin!(tokio::time::sleep_until(end));
            let mut counts = LetterCounts::default();
            for (position, offered) in offered {
                match offered.outcome(&mut late, &mut closed).await {
                    LetterOutcome::Kept => {
                        queue.settle_forgotten(position);
                        counts.kept += 1;
                    }
                    LetterOutcome::Lost => {
                        queue.lose_forgotten(position);
                        counts.lost += 1;
                    }
                }
            }
            tell(counts);
        }
    }

    fn offer(
        self: &Arc<Self>,
        event: &SharedEvent,
        number: Option<NonZeroU64>,
        reason: Reason,
        (cause, history): (&Cause, &AttemptHistory),
        refused: bool,
    ) -> OfferedLetter {
        let pending = PendingLetter::new(self.shared.clone(), event, reason, refused);
        let error = Some(&*cause.error).filter(|error| !error.is_empty());
        let Some(sink) = &self.sink else {
            // One log line instead of two: it says that the event is lost, and why it
            // was given up.
            return OfferedLetter::Decided(
                pending.lost_after(error, "there is no sink of dead letters"),
            );
        };
        if self.shared.counts.gives_up() {
            let (endpoint, reason) = (&*self.shared.endpoint, reason.as_str());
            tracing::warn!(
                endpoint,
                reason,
                error,
                event = %event.id(),
                dead_letters = sink.location(),
                "events are given up"
            );
        }
        let letter = Arc::new(DeadLetter {
            endpoint: self.shared.endpoint.to_string(),
            reason,
            number,
            error: error.map(str::to_owned),
            answer: cause.answer.clone(),
            attempts: history.attempts,
            first_attempt: history.first,
            last_attempt: history.last,
            event: event.clone(),
        });
        match Acceptance::catching(|| sink.bury(&letter)).answer() {
            Ok(answer) => OfferedLetter::Decided(pending.answered(answer)),
            Err(write) => OfferedLetter::Pending(pending, write),
        }
    }

    /// Resolves when every letter is decided.
    pub(crate) async fn decided(&self) {
        let mut pending = self.shared.pending.subscribe();
        // Fails only when the sender is gone, which `self` has.
        let _decided = pending.wait_for(|letters| *letters == 0).await;
    }

    /// Ends the wait for all sinks: letters that are not decided are lost.
    pub(crate) fn close(&self) {
        self.shared.closed.send_replace(true);
    }

    /// Counts and logs accepted events that are lost without a letter.
    pub(crate) fn lose(&self, events: usize, reason: Reason, why: &str) {
        if events > 0 {
            self.shared.counts.dead(reason, events);
            self.shared.counts.lost(events);
            tracing::error!(
                endpoint = &*self.shared.endpoint,
                reason = reason.as_str(),
                events,
                why,
                "events are lost"
            );
        }
    }
}

impl fmt::Debug for DeadLetterWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetterWriter")
            .field("endpoint", &self.shared.endpoint)
            .field("location", &self.location())
            .finish_non_exhaustive()
    }
}
