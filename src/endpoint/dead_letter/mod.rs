//! Events that will not be tried again: [`DeadLetter`], and where they go.

mod file;
mod grave;

use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

pub use self::file::DeadLetterFile;
pub(super) use self::grave::{Cause, Grave};
use crate::event::{Event, SharedEvent};
use crate::sink::{Acceptance, Sink, SinkError};

/// An event that will not be tried again, kept with the reason.
///
/// [`Notifier::send_again`](crate::Notifier::send_again) gives it back to its
/// endpoint. In JSON it is an object with these fields, the event in the form
/// of format v2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DeadLetter {
    /// Name of the endpoint that did not get the event.
    pub endpoint: String,
    /// Why it will not be tried again.
    pub reason: Reason,
    /// What the last attempt came to: the receiver's status, or what kept it
    /// from answering.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The first bytes of the receiver's answer (at most 1 KiB), what is not
    /// UTF-8 replaced. Where it repeats a secret of the endpoint, `…` stands.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub answer: String,
    /// How often the event was tried.
    pub attempts: u32,
    /// When it was tried first.
    #[serde(default, with = "crate::event::optional_timestamp")]
    pub first_attempt: Option<SystemTime>,
    /// When it was tried last.
    #[serde(default, with = "crate::event::optional_timestamp")]
    pub last_attempt: Option<SystemTime>,
    /// The event itself.
    pub event: Event,
}

/// Why an event will not be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// The receiver rejected it for good.
    Rejected,
    /// It was tried as often, or as long, as the retry policy allows.
    GaveUp,
    /// It found the queue full, or had to make room for a newer one.
    Overflow,
    /// It was left when the notifier was shut down.
    Shutdown,
}

impl Reason {
    pub(crate) const ALL: [Self; 4] =
        [Self::Rejected, Self::GaveUp, Self::Overflow, Self::Shutdown];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::GaveUp => "gave_up",
            Self::Overflow => "overflow",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Takes dead letters.
///
/// Any [`Sink`] is one, and gets their events without the reasons.
pub trait DeadLetterSink: Send + Sync + 'static {
    /// Offers `letter` to the sink. Must not block.
    fn bury(&self, letter: &Arc<DeadLetter>) -> Acceptance;
}

impl<S: Sink> DeadLetterSink for S {
    fn bury(&self, letter: &Arc<DeadLetter>) -> Acceptance {
        self.write(&SharedEvent::from(letter.event.clone()))
    }
}

/// Dead letters for a subscriber in the same process.
///
/// It never waits: when the subscriber is behind by the whole capacity, the
/// letter is lost, which is counted and logged.
#[derive(Clone, Debug)]
pub struct DeadLetterChannel(mpsc::Sender<Arc<DeadLetter>>);

impl DeadLetterChannel {
    /// A channel that holds up to `capacity` letters (at least one), and the
    /// subscriber's end.
    pub fn new(capacity: usize) -> (Self, DeadLetters) {
        let (sender, receiver) = mpsc::channel(capacity.max(1));
        (Self(sender), DeadLetters(receiver))
    }
}

impl DeadLetterSink for DeadLetterChannel {
    fn bury(&self, letter: &Arc<DeadLetter>) -> Acceptance {
        Acceptance::ready(
            self.0
                .try_send(letter.clone())
                .map_err(|error| match error {
                    mpsc::error::TrySendError::Full(_) => SinkError::full(),
                    mpsc::error::TrySendError::Closed(_) => SinkError::closed(),
                }),
        )
    }
}

/// The letters that a [`DeadLetterChannel`] took, in order.
#[derive(Debug)]
pub struct DeadLetters(mpsc::Receiver<Arc<DeadLetter>>);

impl DeadLetters {
    /// The next letter; `None` when all channels to it are gone.
    pub async fn recv(&mut self) -> Option<Arc<DeadLetter>> {
        self.0.recv().await
    }

    /// The next letter if one is there.
    pub fn try_recv(&mut self) -> Option<Arc<DeadLetter>> {
        self.0.try_recv().ok()
    }
}
