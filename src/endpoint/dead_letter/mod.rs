//! Events that will not be tried again: [`DeadLetter`], and where they go.

mod burial;
mod file;
mod letter;
mod writer;

use std::sync::Arc;

use tokio::sync::mpsc;

pub(crate) use self::burial::Burial;
pub use self::file::DeadLetterFile;
pub use self::letter::{DeadLetter, Reason};
pub(crate) use self::writer::{Cause, DeadLetterWriter, Fate, Fates};
use crate::sink::{Acceptance, Sink, SinkError};

/// Takes dead letters.
///
/// Any [`Sink`] is one, and gets the events without the reasons.
///
/// A write that fails, panics or takes longer than 5 s loses the letter, which
/// is counted and logged.
pub trait DeadLetterSink: Send + Sync + 'static {
    /// Offers `letter` to the sink. Must not block.
    fn bury(&self, letter: &Arc<DeadLetter>) -> Acceptance;

    /// How many letters may be offered before the first of them is kept. A sink
    /// that keeps many letters at the cost of one returns more than 1. Defaults
    /// to 1.
    fn concurrency(&self) -> usize {
        1
    }

    /// Where the letters are kept, for people: it follows "kept in". Defaults to
    /// "the sink of dead letters".
    fn location(&self) -> String {
        "the sink of dead letters".into()
    }
}

impl<S: Sink> DeadLetterSink for S {
    fn bury(&self, letter: &Arc<DeadLetter>) -> Acceptance {
        self.write(&letter.event)
    }
}

/// Dead letters for a subscriber in the same process.
///
/// It never waits. When the subscriber is behind by the whole capacity, the
/// letter is lost, which is counted and logged.
#[derive(Clone, Debug)]
pub struct DeadLetterChannel(mpsc::Sender<Arc<DeadLetter>>);

impl DeadLetterChannel {
    /// Creates a channel that holds up to `capacity` letters (at least one), and
    /// the subscriber's end.
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

    fn location(&self) -> String {
        "the channel of dead letters".into()
    }
}

/// The letters that a [`DeadLetterChannel`] took, in order.
#[derive(Debug)]
pub struct DeadLetters(mpsc::Receiver<Arc<DeadLetter>>);

impl DeadLetters {
    /// Returns the next letter; `None` when all channels to it are gone.
    pub async fn recv(&mut self) -> Option<Arc<DeadLetter>> {
        self.0.recv().await
    }

    /// Returns the next letter if one is there.
    pub fn try_recv(&mut self) -> Option<Arc<DeadLetter>> {
        self.0.try_recv().ok()
    }
}
