//! The dead letters of the page: in a journal, or in memory ([`Letters`]).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tower_registry_notifications::Notifier;
use tower_registry_notifications::dead_letter::{DeadLetter, DeadLetterSink, Reason};
use tower_registry_notifications::sink::{Acceptance, SinkError};

use super::feed;
use super::journal::JournalLetters;

/// The most letters that are kept in memory. Further letters are lost, which is counted
/// and logged.
const KEPT: usize = 500;
/// The most letters that the page shows. They are the oldest.
pub(super) const SHOWN: usize = 500;

/// Selects letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Selection {
    All,
    /// The letter with this id.
    One(u64),
}

/// What the page shows of the letters.
#[derive(Debug, Default)]
pub(super) struct LetterRows {
    /// At most [`SHOWN`], the oldest first, so that rows do not move when letters are added.
    pub(super) letters: Vec<Value>,
    /// Number of all letters.
    pub(super) total: u64,
    /// Why letters are missing from the list.
    pub(super) error: Option<String>,
}

/// The place where a notifier's dead letters are kept.
#[derive(Clone, Debug)]
pub(super) enum Store {
    Memory(Letters),
    Journal(JournalLetters),
}

impl Store {
    pub(super) async fn shown(&self) -> LetterRows {
        match self {
            Self::Memory(letters) => letters.shown(),
            Self::Journal(letters) => letters.shown().await,
        }
    }

    /// Sends letters to their endpoints again. Returns their number.
    pub(super) async fn send_again(
        &self,
        notifier: &Notifier,
        which: Selection,
    ) -> Result<u64, String> {
        match self {
            Self::Memory(letters) => letters.send_again(notifier, which).await,
            Self::Journal(letters) => letters.send_again(notifier, which).await,
        }
    }

    /// Removes letters. Returns their number.
    pub(super) async fn purge(&self, which: Selection) -> Result<u64, String> {
        match self {
            Self::Memory(letters) => Ok(letters.purge(which)),
            Self::Journal(letters) => letters.purge(which).await,
        }
    }
}

/// Returns what the page shows of one letter: unlike the letter's own JSON, a short form of
/// the event.
pub(super) fn row(id: u64, letter: &DeadLetter) -> Value {
    json!({
        "id": id,
        "endpoint": letter.endpoint,
        "reason": letter.reason,
        "error": letter.error,
        "answer": letter.answer,
        "attempts": letter.attempts,
        "event": feed::row(&letter.event),
    })
}

/// Keeps dead letters in memory, of endpoints without a dead-letter sink of their own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Letters(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    letters: BTreeMap<u64, Arc<DeadLetter>>,
    last: u64,
}

impl Letters {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown(&self) -> LetterRows {
        let letters = self.kept().letters.clone();
        let shown = letters.iter().take(SHOWN);
        LetterRows {
            letters: shown.map(|(id, letter)| row(*id, letter)).collect(),
            total: letters.len() as u64,
            error: None,
        }
    }

    fn ids(&self, which: Selection) -> Vec<u64> {
        match which {
            Selection::All => self.kept().letters.keys().copied().collect(),
            Selection::One(id) => vec![id],
        }
    }

    fn purge(&self, which: Selection) -> u64 {
        let ids = self.ids(which);
        let mut kept = self.kept();
        let removed = ids.iter().filter_map(|id| kept.letters.remove(id));
        removed.count() as u64
    }

    /// Ends at the first letter that is not accepted.
    async fn send_again(&self, notifier: &Notifier, which: Selection) -> Result<u64, String> {
        let mut sent = 0;
        for id in self.ids(which) {
            let is_sent = self.send_one_again(notifier, id).await;
            sent += u64::from(is_sent.map_err(|error| error.to_string())?);
        }
        Ok(sent)
    }

    /// Sends one letter again. Returns `false` if there is none with this id.
    ///
    /// The letter is removed first, so that concurrent requests do not send it twice. It is
    /// put back if the endpoint does not exist or cannot carry the event. If the endpoint's
    /// queue refused the event, it has become a new dead letter already.
    async fn send_one_again(&self, notifier: &Notifier, id: u64) -> Result<bool, SinkError> {
        let Some(letter) = self.kept().letters.remove(&id) else {
            return Ok(false);
        };
        match notifier.send_again(&letter).await {
            Ok(()) => Ok(true),
            Err(error) => {
                if error.is_no_endpoint() || error.is_unsupported() {
                    self.kept().letters.insert(id, letter);
                }
                Err(error)
            }
        }
    }
}

impl DeadLetterSink for Letters {
    fn bury(&self, letter: &Arc<DeadLetter>) -> Acceptance {
        // The process is about to end and this memory with it, so do not claim to keep it.
        if letter.reason == Reason::Shutdown {
            return Acceptance::failed(SinkError::closed());
        }
        let mut kept = self.kept();
        if kept.letters.len() >= KEPT {
            return Acceptance::failed(SinkError::full());
        }
        kept.last += 1;
        let id = kept.last;
        kept.letters.insert(id, letter.clone());
        Acceptance::accepted()
    }

    fn location(&self) -> String {
        "the memory of this process".into()
    }
}
