//! Writes events to the journal: [`JournalSink`].

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use ::metrics::Counter;
use tokio::sync::{oneshot, watch};

use super::metrics;
use crate::endpoint::Running;
use crate::event::{Action, SharedEvent};
use crate::journal::{EndpointId, Journal, JournalError, JournalStatus, Number, Refused, Wanted};
use crate::queue;
use crate::sink::{Acceptance, Attempt, Destination, Offer, SinkError};

/// Writes each event once, for all endpoints that want it. A write is accepted
/// when its event is on disk and the queues know of it.
///
/// # When the journal cannot take an event
///
/// A [write](Attempt::Only) gives the event to the queues in memory only, and counts it as
/// not durable. An event that a queue cannot hold becomes a dead letter. A write that is
/// [repeated](Attempt::is_repeated) fails instead, so that it is repeated: with `fail_closed`
/// nothing is acknowledged that is not on disk, until the time limit.
#[derive(Clone)]
pub(super) struct JournalSink(Arc<Shared>);

struct Shared {
    journal: Journal,
    endpoints: Vec<(EndpointId, Arc<Running>)>,
    closed: AtomicBool,
    /// Number of writes whose event is not yet on disk or in a queue.
    undecided: watch::Sender<usize>,
    not_durable: AtomicU64,
    not_durable_metric: Counter,
}

/// What to do with an event that the journal cannot take.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fallback {
    /// The event goes to the queues, in memory only.
    InMemory,
    /// The write fails.
    Fail,
}

impl JournalSink {
    pub(super) fn new(journal: Journal, endpoints: Vec<(EndpointId, Arc<Running>)>) -> Self {
        Self(Arc::new(Shared {
            journal,
            endpoints,
            closed: AtomicBool::new(false),
            undecided: watch::Sender::new(0),
            not_durable: AtomicU64::new(0),
            not_durable_metric: metrics::not_durable(),
        }))
    }

    /// Writes to one endpoint, whatever its filter says.
    pub(super) fn write_to(
        &self,
        endpoint: &Running,
        event: &SharedEvent,
        number: Number,
    ) -> Acceptance {
        let endpoints = self.0.endpoints.iter();
        let own = endpoints.filter(|(_, it)| it.name() == endpoint.name());
        let wanted = own.map(|(id, _)| *id).collect();
        self.append(event, wanted, number, Fallback::InMemory)
    }

    /// Returns how many events are, or were, in memory only.
    pub(super) fn not_durable(&self) -> u64 {
        self.0.not_durable.load(Ordering::Relaxed)
    }

    /// Resolves when every write is decided.
    pub(super) async fn decided(&self) {
        let mut undecided = self.0.undecided.subscribe();
        // This fails only if the sender is gone, which `self` keeps.
        let _decided = undecided.wait_for(|writes| *writes == 0).await;
    }

    pub(super) fn downgrade(&self) -> WeakSink {
        WeakSink(Arc::downgrade(&self.0))
    }

    /// Returns the endpoints that want an event. Filters are evaluated here and nowhere
    /// else, so that the answer is stored with the event.
    fn wanted(&self, event: &SharedEvent, turn: Attempt) -> Wanted {
        let endpoints = self.0.endpoints.iter();
        let wanted = endpoints.filter(|(_, endpoint)| endpoint.wants_in(event, turn));
        wanted.map(|(id, _)| *id).collect()
    }

    fn append(
        &self,
        event: &SharedEvent,
        wanted: Wanted,
        number: Number,
        fallback: Fallback,
    ) -> Acceptance {
        if wanted.is_empty() {
            return Acceptance::accepted();
        }
        if self.0.closed.load(Ordering::SeqCst) {
            return self.0.refuse_closed(event, &wanted);
        }
        let write = Write::begin(&self.0, event, wanted, number, fallback);
        let answer = match write.append() {
            Ok(answer) => answer,
            Err(write) => {
                return Acceptance::pending(async move {
                    let answer = write.append_with_room().await;
                    answer
                        .await
                        .unwrap_or_else(|_| Acceptance::accepted())
                        .await
                });
            }
        };
        if event.action() == Action::Pull && !self.0.journal.waits_for_pulls() {
            return Acceptance::accepted();
        }
        Acceptance::pending(async move {
            // The sender always answers, even if the write is dropped.
            answer
                .await
                .unwrap_or_else(|_| Acceptance::accepted())
                .await
        })
    }
}

/// A handle that does not keep the journal open.
pub(super) struct WeakSink(Weak<Shared>);

impl WeakSink {
    /// Returns the status, or `None` if the notifier no longer exists.
    pub(super) fn status(&self) -> Option<JournalStatus> {
        Some(self.0.upgrade()?.journal.status())
    }
}

impl Shared {
    fn wanting<'a>(&'a self, wanted: &'a Wanted) -> impl Iterator<Item = &'a Arc<Running>> {
        let endpoints = self.endpoints.iter();
        let wanting = endpoints.filter(|(id, _)| wanted.contains(*id));
        wanting.map(|(_, endpoint)| endpoint)
    }

    fn refuse_closed(&self, event: &SharedEvent, wanted: &Wanted) -> Acceptance {
        let refuse = |it: &Arc<Running>| it.bury_refused(event.into(), queue::Refused::Closed);
        Acceptance::all(self.wanting(wanted).map(refuse))
    }

    fn accept_in_memory(&self, event: &SharedEvent, wanted: &Wanted) -> Acceptance {
        self.not_durable.fetch_add(1, Ordering::Relaxed);
        self.not_durable_metric.increment(1);
        let accept = |it: &Arc<Running>| it.accept_in_memory(event);
        Acceptance::all(self.wanting(wanted).map(accept))
    }
}

/// A write on its way to the disk. If it is dropped before it is decided, the queues get
/// the event in memory, so that it is not lost.
struct Write {
    shared: Arc<Shared>,
    event: SharedEvent,
    wanted: Wanted,
    number: Number,
    fallback: Fallback,
    decided: bool,
}

type Answer = oneshot::Receiver<Acceptance>;

impl Write {
    fn begin(
        shared: &Arc<Shared>,
        event: &SharedEvent,
        wanted: Wanted,
        number: Number,
        fallback: Fallback,
    ) -> Self {
        shared.undecided.send_modify(|writes| *writes += 1);
        Self {
            shared: shared.clone(),
            event: event.clone(),
            wanted,
            number,
            fallback,
            decided: false,
        }
    }

    /// Gives the event to the journal. Returns the write if the journal has no room.
    fn append(self) -> Result<Answer, Self> {
        let (event, wanted) = (self.event.clone(), self.wanted.clone());
        let number = self.number;
        let shared = self.shared.clone();
        let (sender, answer) = oneshot::channel();
        // The callback needs the write, and so does this function if the journal refuses
        // the event, which it does at once. Whichever comes first takes it out of the slot.
        let slot = Arc::new(std::sync::Mutex::new(Some((self, sender))));
        let taken = slot.clone();
        let take = move || {
            let mut slot = taken
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            slot.take()
        };
        let done = {
            let take = take.clone();
            move |result| {
                if let Some((write, sender)) = take() {
                    write.done(result, sender);
                }
            }
        };
        match shared.journal.append(event, wanted, number, done) {
            Ok(()) => Ok(answer),
            Err(refused) => match (take(), refused) {
                (Some((write, _)), Refused::Full) => Err(write),
                (Some((write, sender)), Refused::Closed) => {
                    write.done(Err(JournalError::closed()), sender);
                    Ok(answer)
                }
                (None, _) => Ok(answer),
            },
        }
    }

    /// Waits for room as long as necessary, and gives the event to the journal. Events that
    /// wait for the disk are bounded in memory, so writers must wait.
    async fn append_with_room(mut self) -> Answer {
        loop {
            self.shared.journal.room().await;
            match self.append() {
                Ok(answer) => return answer,
                Err(write) => self = write,
            }
        }
    }

    fn done(mut self, result: Result<u64, JournalError>, sender: oneshot::Sender<Acceptance>) {
        let answer = match result {
            Ok(_) => {
                self.decided = true;
                Acceptance::accepted()
            }
            // The write fails only if somebody waits who will repeat it.
            Err(error) if self.fallback == Fallback::Fail && !sender.is_closed() => {
                self.decided = true;
                Acceptance::failed(SinkError::other(error))
            }
            Err(_) => self.accept_in_memory(),
        };
        // If the writer has stopped waiting, dropping the answer lets the letters of refused
        // events continue in the background.
        let _gone = sender.send(answer);
    }

    fn accept_in_memory(&mut self) -> Acceptance {
        self.decided = true;
        self.shared.accept_in_memory(&self.event, &self.wanted)
    }
}

impl Drop for Write {
    fn drop(&mut self) {
        if !self.decided {
            // The letters of refused events continue in the background.
            drop(self.accept_in_memory());
        }
        self.shared.undecided.send_modify(|writes| *writes -= 1);
    }
}

impl Destination for JournalSink {
    fn is_ready(&self) -> bool {
        !self.0.closed.load(Ordering::SeqCst) && self.0.journal.is_ready()
    }

    /// Takes no more events. The queues stay open for events on their way to the disk.
    fn close(&self) {
        self.0.closed.store(true, Ordering::SeqCst);
    }

    fn offer(&self, offer: Offer<'_>) -> Acceptance {
        let Offer { event, turn, .. } = offer;
        if turn.is_repeated() && self.0.closed.load(Ordering::SeqCst) {
            return Acceptance::failed(SinkError::closed());
        }
        let fallback = match turn.is_repeated() {
            true => Fallback::Fail,
            false => Fallback::InMemory,
        };
        self.append(event, self.wanted(event, turn), Number::Next, fallback)
    }
}
