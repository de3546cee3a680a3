//! Turns events into dead letters: [`DeadLetterWriter`].

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{DeadLetter, DeadLetterSink, Reason};
use crate::endpoint::batch::Tried;
use crate::endpoint::status::Counts;
use crate::event::SharedEvent;
use crate::queue::{Entry, Queue};
use crate::sink::{SinkError, Write};

/// How long a sink of dead letters may take for one letter.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Most letters that may be on their way to a slow sink. Events that are refused
/// beyond that are lost: memory must not grow with a disk that hangs.
const MOST_UNDECIDED: usize = 10_000;

/// Makes dead letters of an endpoint's events, counts and logs them, and passes
/// them to the sink of dead letters if there is one.
///
/// Every event that is passed in is counted exactly once when its end is known,
/// as a dead letter and, if nothing keeps the letter, as lost. That holds for
/// futures that are dropped, too: they go on in the background, and count as
/// lost if there is no runtime to go on in.
pub(crate) struct DeadLetterWriter {
    endpoint: Arc<str>,
    sink: Option<Arc<dyn DeadLetterSink>>,
    counts: Arc<Counts>,
    /// Where letters go on whose future is dropped.
    runtime: Option<Handle>,
    /// Letters that are not decided.
    undecided: watch::Sender<usize>,
    /// Whether undecided letters are lost now.
    closed: watch::Sender<bool>,
}

/// What the last attempt came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cause {
    pub(crate) error: String,
    pub(crate) answer: String,
}

/// What became of a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The sink of dead letters has it.
    Kept,
    /// Nothing has it. It was counted and logged.
    Lost,
}

/// How many dead letters met which fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fates {
    pub(crate) kept: usize,
    pub(crate) lost: usize,
}

impl Fates {
    fn lost(lost: usize) -> Self {
        Self { kept: 0, lost }
    }
}

impl DeadLetterWriter {
    pub(crate) fn new(
        endpoint: Arc<str>,
        sink: Option<Arc<dyn DeadLetterSink>>,
        counts: Arc<Counts>,
    ) -> Arc<Self> {
        Arc::new(Self {
            endpoint,
            sink,
            counts,
            runtime: Handle::try_current().ok(),
            undecided: watch::Sender::new(0),
            closed: watch::Sender::new(false),
        })
    }

    /// Where letters are kept, in words for people. `None` if they are not.
    pub(crate) fn location(&self) -> Option<String> {
        self.sink.as_ref().map(|sink| sink.location())
    }

    /// Makes a dead letter of an event that the queue has refused: never tried,
    /// and not counted as written before.
    pub(crate) fn refuse(self: &Arc<Self>, event: &SharedEvent, reason: Reason) -> Burial {
        if *self.undecided.borrow() >= MOST_UNDECIDED {
            let undecided = Undecided::new(self.clone(), event, reason, true);
            return Burial::decided(undecided.lost("too many dead letters wait for their sink"));
        }
        let (cause, tried) = (Cause::default(), Tried::default());
        Burial::of(self.begin(event, reason, &cause, &tried, true))
    }

    /// Makes a dead letter of an event that the queue had accepted.
    pub(crate) fn bury(self: &Arc<Self>, event: &SharedEvent, reason: Reason) -> Burial {
        let (cause, tried) = (Cause::default(), Tried::default());
        Burial::of(self.begin(event, reason, &cause, &tried, false))
    }

    /// Makes dead letters of events that were taken from `queue`, in order, and
    /// passes their fates to `tell`. As many are offered to the sink at a time as
    /// it takes. Letters that are not kept at `deadline` are lost.
    ///
    /// The queue forgets an event when its letter is offered: from then on, this
    /// writer accounts for it.
    pub(crate) async fn bury_all(
        self: &Arc<Self>,
        queue: &Queue,
        entries: impl IntoIterator<Item = (Entry, Tried)>,
        reason: Reason,
        cause: &Cause,
        deadline: Option<Instant>,
        tell: impl Fn(Fates),
    ) {
        let concurrency = self.sink.as_ref().map_or(1, |it| it.concurrency());
        let concurrency = concurrency.clamp(1, MOST_UNDECIDED);
        let mut entries = entries.into_iter();
        let mut closed = self.closed.subscribe();
        loop {
            let end = deadline.map_or_else(after_timeout, |it| it.min(after_timeout()));
            if end <= Instant::now() {
                let rest = entries.map(|(entry, _)| queue.forget(&entry)).count();
                let why = "there was no time left for their dead letters";
                self.lose(rest, reason, why);
                return tell(Fates::lost(rest));
            }
            let begin = |(entry, tried): (Entry, Tried)| {
                queue.forget(&entry);
                let begun = self.begin(&entry.event, reason, cause, &tried, false);
                (entry.position(), begun)
            };
            let begun: Vec<_> = entries.by_ref().take(concurrency).map(begin).collect();
            if begun.is_empty() {
                return;
            }
            // One timer for all of them.
            let mut late = pin!(tokio::time::sleep_until(end));
            let mut fates = Fates::default();
            for (position, begun) in begun {
                match begun.fate(&mut late, &mut closed).await {
                    Fate::Kept => {
                        queue.settle_forgotten(position);
                        fates.kept += 1;
                    }
                    Fate::Lost => fates.lost += 1,
                }
            }
            tell(fates);
        }
    }

    fn begin(
        self: &Arc<Self>,
        event: &SharedEvent,
        reason: Reason,
        cause: &Cause,
        tried: &Tried,
        refused: bool,
    ) -> Begun {
        if self.counts.gives_up() {
            let (endpoint, reason, error) = (&*self.endpoint, reason.as_str(), &*cause.error);
            tracing::warn!(
                endpoint,
                reason,
                error,
                event = event.id,
                "events are given up"
            );
        }
        let undecided = Undecided::new(self.clone(), event, reason, refused);
        let Some(sink) = &self.sink else {
            return Begun::Decided(undecided.lost("there is no sink of dead letters"));
        };
        let letter = Arc::new(DeadLetter {
            endpoint: self.endpoint.to_string(),
            reason,
            error: Some(cause.error.clone()).filter(|error| !error.is_empty()),
            answer: cause.answer.clone(),
            attempts: tried.attempts,
            first_attempt: tried.first,
            last_attempt: tried.last,
            event: (**event).clone(),
        });
        match Write::catching(|| sink.bury(&letter)).answer() {
            Ok(answer) => Begun::Decided(undecided.answered(answer)),
            Err(write) => Begun::Pending(undecided, write),
        }
    }

    /// Resolves when every letter is decided.
    pub(crate) async fn decided(&self) {
        let mut undecided = self.undecided.subscribe();
        // Fails only when the sender is gone, which `self` has.
        let _decided = undecided.wait_for(|letters| *letters == 0).await;
    }

    /// Ends the wait for all sinks: letters that are not decided are lost.
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Counts and logs accepted events that are lost without a letter.
    pub(crate) fn lose(&self, events: usize, reason: Reason, why: &str) {
        if events > 0 {
            self.counts.dead(reason, events);
            self.counts.lost(events);
            tracing::error!(endpoint = &*self.endpoint, events, why, "events are lost");
        }
    }
}

impl fmt::Debug for DeadLetterWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetterWriter")
            .field("endpoint", &self.endpoint)
            .field("location", &self.location())
            .finish_non_exhaustive()
    }
}

fn after_timeout() -> Instant {
    Instant::now() + TIMEOUT
}

/// A letter whose fate is not known. When it is dropped, it is lost.
struct Undecided {
    writer: Arc<DeadLetterWriter>,
    event: String,
    reason: Reason,
    refused: bool,
    decided: bool,
}

impl Undecided {
    fn new(
        writer: Arc<DeadLetterWriter>,
        event: &SharedEvent,
        reason: Reason,
        refused: bool,
    ) -> Self {
        writer.undecided.send_modify(|letters| *letters += 1);
        Self {
            writer,
            event: event.id.to_string(),
            reason,
            refused,
            decided: false,
        }
    }

    fn answered(mut self, answer: Result<(), SinkError>) -> Fate {
        match answer {
            Ok(()) => {
                self.decide();
                Fate::Kept
            }
            Err(error) => self.lost(&with_causes(&error)),
        }
    }

    fn lost(mut self, why: &str) -> Fate {
        self.lose(why);
        Fate::Lost
    }

    fn lose(&mut self, why: &str) {
        self.decide();
        if self.writer.counts.lost(1) {
            let (endpoint, event) = (&*self.writer.endpoint, &*self.event);
            tracing::error!(endpoint, event, error = why, "events are lost");
        }
    }

    /// Counts the event. A refused one was not counted as written before: an
    /// event that `events` does not know must not be a dead letter.
    fn decide(&mut self) {
        self.decided = true;
        if self.refused {
            self.writer.counts.written();
        }
        self.writer.counts.dead(self.reason, 1);
    }
}

impl Drop for Undecided {
    fn drop(&mut self) {
        if !self.decided {
            self.lose("the runtime ended before its dead letter was kept");
        }
        self.writer.undecided.send_modify(|letters| *letters -= 1);
    }
}

/// An error with its causes.
fn with_causes(error: &SinkError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// A letter that was offered to the sink.
enum Begun {
    Decided(Fate),
    Pending(Undecided, Write),
}

impl Begun {
    /// Resolves when the sink has answered, it is too `late`, or the writer was
    /// `closed`.
    async fn fate(
        self,
        late: &mut Pin<&mut tokio::time::Sleep>,
        closed: &mut watch::Receiver<bool>,
    ) -> Fate {
        let (undecided, write) = match self {
            Self::Decided(fate) => return fate,
            Self::Pending(undecided, write) => (undecided, write),
        };
        tokio::select! {
            biased;
            answer = write => undecided.answered(answer),
            () = late => undecided.lost("the sink of dead letters did not answer in time"),
            _ = closed.wait_for(|closed| *closed) => {
                undecided.lost("the notifier was shut down before its dead letter was kept")
            }
        }
    }
}

/// Resolves when the fate of a dead letter is known. If it is dropped before,
/// the letter goes on in the background.
#[must_use = "the letter may not be kept before this resolves"]
pub(crate) struct Burial(State);

enum State {
    Decided(Fate),
    Pending {
        /// `None` once it was resolved.
        future: Option<Pin<Box<dyn Future<Output = Fate> + Send>>>,
        runtime: Option<Handle>,
    },
}

impl Burial {
    fn decided(fate: Fate) -> Self {
        Self(State::Decided(fate))
    }

    fn of(begun: Begun) -> Self {
        let (runtime, mut closed) = match &begun {
            Begun::Decided(fate) => return Self::decided(*fate),
            Begun::Pending(undecided, _) => {
                let writer = &undecided.writer;
                (writer.runtime.clone(), writer.closed.subscribe())
            }
        };
        let end = after_timeout();
        let future = async move {
            let mut late = pin!(tokio::time::sleep_until(end));
            begun.fate(&mut late, &mut closed).await
        };
        Self(State::Pending {
            future: Some(Box::pin(future)),
            runtime,
        })
    }

    /// The fate if it is known already, else the burial again.
    pub(crate) fn fate(self) -> Result<Fate, Self> {
        match &self.0 {
            State::Decided(fate) => Ok(*fate),
            State::Pending { .. } => Err(self),
        }
    }
}

impl Future for Burial {
    type Output = Fate;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Fate> {
        let fate = match &mut self.0 {
            State::Decided(fate) => return Poll::Ready(*fate),
            State::Pending {
                future: Some(future),
                ..
            } => ready!(future.as_mut().poll(cx)),
            // Nobody polls it again after it has resolved.
            State::Pending { future: None, .. } => return Poll::Pending,
        };
        self.0 = State::Decided(fate);
        Poll::Ready(fate)
    }
}

impl Drop for Burial {
    fn drop(&mut self) {
        if let State::Pending { future, runtime } = &mut self.0
            && let (Some(future), Some(runtime)) = (future.take(), runtime)
        {
            runtime.spawn(future);
        }
    }
}
