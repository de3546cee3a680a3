//! Dead letters in memory, for the page: [`Letters`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tower_registry_notifications::Notifier;
use tower_registry_notifications::dead_letter::{DeadLetter, DeadLetterSink, Reason};
use tower_registry_notifications::sink::{Acceptance, SinkError};

use super::feed;

/// Letters that are kept. What comes beyond is lost, which is counted and logged.
const MOST: usize = 500;

/// Keeps the dead letters of endpoints that name no other place for them.
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

    /// What the page shows of them, the newest first.
    pub(crate) fn shown(&self) -> Vec<Value> {
        let letters: Vec<_> = self.kept().letters.clone().into_iter().rev().collect();
        let shown = letters.into_iter().map(|(id, letter)| {
            // The letter's own JSON has the event whole.
            let event = feed::row(&letter.event);
            json!({
                "id": id,
                "endpoint": letter.endpoint,
                "reason": letter.reason,
                "error": letter.error,
                "answer": letter.answer,
                "attempts": letter.attempts,
                "event": event,
            })
        });
        shown.collect()
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.kept().letters.keys().copied().collect()
    }

    /// Removes a letter. Returns false if there is none with this id.
    pub(crate) fn purge(&self, id: u64) -> bool {
        self.kept().letters.remove(&id).is_some()
    }

    /// Gives a letter back to its endpoint. Returns false if there is none with
    /// this id.
    ///
    /// The letter is taken out first, so that two requests do not send it twice,
    /// and put back if the endpoint does not accept it. A letter that the
    /// endpoint's queue refused has come back as a new one by then.
    pub(crate) async fn send_again(&self, notifier: &Notifier, id: u64) -> Result<bool, SinkError> {
        let Some(letter) = self.kept().letters.remove(&id) else {
            return Ok(false);
        };
        match notifier.send_again(&letter).await {
            Ok(()) => Ok(true),
            Err(error) => {
                if error.is_no_endpoint() {
                    self.kept().letters.insert(id, letter);
                }
                Err(error)
            }
        }
    }
}

impl DeadLetterSink for Letters {
    fn bury(&self, letter: &Arc<DeadLetter>) -> Acceptance {
        // This memory ends with the process: it keeps nothing from a shutdown.
        if letter.reason == Reason::Shutdown {
            return Acceptance::failed(SinkError::closed());
        }
        let mut kept = self.kept();
        if kept.letters.len() >= MOST {
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
