//! The dead letters of a journal on the page: [`JournalLetters`].

use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tower_registry_notifications::Notifier;
use tower_registry_notifications::journal::{Journal, LetterFilter};

use super::letters::{LetterRows, SHOWN, Selection, row};
use crate::causes::with_causes;

/// The dead letters of a notifier's journal.
#[derive(Clone, Debug)]
pub(crate) struct JournalLetters {
    journal: Journal,
    /// Held while letters are sent again. They are read before they are sent, so two
    /// concurrent requests would send the same letter twice.
    sending: Arc<Mutex<()>>,
}

impl JournalLetters {
    /// Returns `None` if the notifier has no journal.
    pub(super) fn of(notifier: &Notifier) -> Option<Self> {
        Some(Self {
            journal: notifier.journal()?.clone(),
            sending: Arc::default(),
        })
    }

    pub(super) async fn shown(&self) -> LetterRows {
        let shown = self.blocking(|journal| {
            let mut shown = LetterRows {
                total: journal.status().dead_letters,
                ..LetterRows::default()
            };
            for letter in journal.dead_letters(&LetterFilter::new()).take(SHOWN) {
                match letter {
                    Ok(kept) => shown.letters.push(row(kept.id, &kept.letter)),
                    Err(error) => shown.error = Some(with_causes(&error)),
                }
            }
            Ok(shown)
        });
        shown.await.unwrap_or_else(|error| LetterRows {
            error: Some(error),
            ..LetterRows::default()
        })
    }

    /// Sends letters again and returns their number. Letters of endpoints that are not
    /// configured stay in the journal.
    ///
    /// # Errors
    ///
    /// If the journal fails, or if the only matching letters are those of an endpoint that is
    /// not configured.
    pub(super) async fn send_again(
        &self,
        notifier: &Notifier,
        which: Selection,
    ) -> Result<u64, String> {
        let _alone = self.sending.lock().await;
        let endpoints = notifier.status().endpoints.into_iter();
        let names: Vec<_> = endpoints.map(|it| it.name).collect();
        self.blocking(move |journal| {
            let mut sent = 0;
            for name in names {
                let filter = filter(which).endpoint(name);
                let again = journal.send_letters_again(&filter);
                sent += again.map_err(|error| with_causes(&error))?;
            }
            let left = journal.dead_letters(&filter(which)).next();
            match left {
                Some(Ok(left)) if sent == 0 => {
                    let name = left.letter.endpoint;
                    Err(format!("no endpoint named {name} is configured"))
                }
                _ => Ok(sent),
            }
        })
        .await
    }

    pub(super) async fn purge(&self, which: Selection) -> Result<u64, String> {
        self.blocking(move |journal| {
            let purged = journal.purge_letters(&filter(which));
            purged.map_err(|error| with_causes(&error))
        })
        .await
    }

    /// Runs `run`, which waits for the disk, on a thread for blocking work.
    async fn blocking<R: Send + 'static>(
        &self,
        run: impl FnOnce(&Journal) -> Result<R, String> + Send + 'static,
    ) -> Result<R, String> {
        let journal = self.journal.clone();
        let ran = spawn_blocking(move || run(&journal)).await;
        ran.unwrap_or_else(|error| Err(error.to_string()))
    }
}

fn filter(which: Selection) -> LetterFilter {
    match which {
        Selection::All => LetterFilter::new(),
        Selection::One(id) => LetterFilter::new().id(id),
    }
}
