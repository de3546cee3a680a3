//! Events that will not be tried again: [`DeadLetter`], and what keeps them.
//!
//! | sink | keeps letters |
//! | --- | --- |
//! | [`DeadLetterFile`] | in a file, one a line |
//! | [`DeadLetterChannel`] | in memory, for a subscriber in the same process |
//! | any [`Sink`] | as events, without the reasons |
//! | a [`DeadLetterSink`] of your own | wherever you like |

mod file;
mod letter;
mod outcome;
mod write;
mod writer;

use std::sync::Arc;

use tokio::sync::mpsc;

pub use self::file::DeadLetterFile;
pub use self::letter::{DeadLetter, Reason};
pub(crate) use self::outcome::{LetterCounts, LetterOutcome};
pub(crate) use self::write::LetterWrite;
pub(crate) use self::writer::{Cause, DeadLetterWriter};
use crate::sink::{Acceptance, Sink, SinkError};

/// Keeps dead letters.
///
/// Every [`Sink`] is also a dead-letter sink, and gets the events without the
/// reasons. If a write fails, panics or takes longer than 5 s, the letter is lost,
/// which is counted and logged.
///
/// ```
/// use std::sync::{Arc, Mutex};
///
/// use tower_registry_notifications::Endpoint;
/// use tower_registry_notifications::dead_letter::{DeadLetter, DeadLetterSink};
/// use tower_registry_notifications::sink::Acceptance;
///
/// #[derive(Clone, Default)]
/// struct Letters(Arc<Mutex<Vec<Arc<DeadLetter>>>>);
///
/// impl DeadLetterSink for Letters {
///     fn bury(&self, letter: &Arc<DeadLetter>) -> Acceptance {
///         self.0.lock().unwrap().push(letter.clone());
///         Acceptance::accepted()
///     }
///
///     fn location(&self) -> String {
///         "the memory of this process".into()
///     }
/// }
///
/// let endpoint = Endpoint::new("ci", "https://ci.example.com/events");
/// let endpoint = endpoint.dead_letters(Letters::default());
/// # let _ = endpoint;
/// ```
pub trait DeadLetterSink: Send + Sync + 'static {
    /// Offers `letter` to the sink. The answer resolves when the letter is kept or lost. A
    /// sink that has to wait returns [`Acceptance::pending`], because this must not block.
    fn bury(&self, letter: &Arc<DeadLetter>) -> Acceptance;

    /// Returns how many letters may be offered before the first of them is kept. A
    /// sink that keeps many letters at the cost of one returns more than 1. Defaults
    /// to 1.
    fn concurrency(&self) -> usize {
        1
    }

    /// Returns where the letters are kept, for reports and log lines in which it follows
    /// "kept in". Defaults to "the sink of dead letters".
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
/// It never waits. If the channel is full because the subscriber is behind, the
/// letter is lost, which is counted and logged.
///
/// ```
/// use tower_registry_notifications::dead_letter::DeadLetterChannel;
/// use tower_registry_notifications::Endpoint;
///
/// let (channel, mut letters) = DeadLetterChannel::new(1_000);
/// let endpoint = Endpoint::new("ci", "https://ci.example.com/events").dead_letters(channel);
/// # let _ = endpoint;
/// # let _ = async move {
/// while let Some(letter) = letters.recv().await {
///     println!("{}: {:?}", letter.event.id(), letter.reason);
/// }
/// # };
/// ```
#[derive(Clone, Debug)]
pub struct DeadLetterChannel(mpsc::Sender<Arc<DeadLetter>>);

impl DeadLetterChannel {
    /// Creates a channel that holds up to `capacity` letters, at least one, and
    /// returns it with the subscriber's end.
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
    /// Waits for the next letter. Returns `None` when every clone of the channel was dropped
    /// and no letter is left.
    pub async fn recv(&mut self) -> Option<Arc<DeadLetter>> {
        self.0.recv().await
    }

    /// Returns the next letter if there is one now.
    pub fn try_recv(&mut self) -> Option<Arc<DeadLetter>> {
        self.0.try_recv().ok()
    }
}
