//! Dead letters in the journal.
//!
//! | part of the value | content |
//! | --- | --- |
//! | version | 1 |
//! | kept | when it was stored, in milliseconds since 1970 |
//! | reason, endpoint | as in the letter, for filters |
//! | letter | as JSON, compressed |
//! | checksum | see [`codec`] |

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use redb::ReadableDatabase as _;
use serde::Serialize;
use tokio::sync::oneshot;

use crate::dead_letter::{DeadLetter, DeadLetterSink};
use crate::sink::{Acceptance, SinkError};

use super::batch::{Batch, LETTERS};
use super::codec::{self, Damage, Decoder, Table};
use super::entry::Entry;
use super::error::{ErrorKind, JournalError, guarded, redb_error};
use super::inbox::{Letter, Refused};
use super::journal::Journal;
use super::letter_filter::{LetterFilter, LetterHead};

const VERSION: u8 = 1;

/// The number of letters that are read, sent or removed at once.
const PAGE: usize = 256;

/// A dead letter in a [`Journal`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct KeptLetter {
    /// Its number in the journal.
    pub id: u64,
    /// When it was stored.
    #[serde(with = "crate::event::timestamp")]
    pub kept: SystemTime,
    /// The letter itself.
    pub letter: DeadLetter,
}

fn encode(id: u64, now: u64, letter: &DeadLetter) -> Result<Vec<u8>, JournalError> {
    let json = serde_json::to_vec(letter);
    let json = json.map_err(|error| JournalError::new(ErrorKind::Invalid, error.to_string()))?;
    let mut out = vec![VERSION];
    codec::put(&mut out, now);
    codec::put_bytes(&mut out, letter.reason.as_str().as_bytes());
    codec::put_bytes(&mut out, letter.endpoint.as_bytes());
    codec::put_compressed(&mut out, &json);
    Ok(codec::seal(Table::Letters, id, out))
}

fn head(id: u64, value: &[u8]) -> Result<(LetterHead<'_>, Decoder<'_>), Damage> {
    let mut input = Decoder(codec::unseal(Table::Letters, id, value)?);
    if input.byte()? != VERSION {
        return Err(Damage::Content);
    }
    let kept = Duration::from_millis(input.number()?);
    let head = LetterHead {
        kept: SystemTime::UNIX_EPOCH
            .checked_add(kept)
            .ok_or(Damage::Content)?,
        reason: input.text()?,
        endpoint: input.text()?,
    };
    Ok((head, input))
}

/// Reads a letter, if the filter wants it.
fn decode(id: u64, value: &[u8], filter: &LetterFilter) -> Result<Option<KeptLetter>, Damage> {
    let (head, input) = head(id, value)?;
    if !filter.wants(&head) {
        return Ok(None);
    }
    let json = codec::decompressed(input)?;
    let letter = serde_json::from_slice(&json).map_err(|_| Damage::Content)?;
    Ok(Some(KeptLetter {
        id,
        kept: head.kept,
        letter,
    }))
}

/// Whether a letter can be read.
pub(super) fn is_sound(id: u64, value: &[u8]) -> bool {
    decode(id, value, &LetterFilter::new()).is_ok()
}

impl Batch<'_> {
    /// Stores letters, and removes the oldest ones beyond the limit.
    pub(super) fn bury<'a>(
        &mut self,
        letters: impl IntoIterator<Item = &'a DeadLetter>,
        most_bytes: u64,
    ) -> Result<(), JournalError> {
        let mut letters = letters.into_iter().peekable();
        if letters.peek().is_none() {
            return Ok(());
        }
        let mut table = self.txn().open_table(LETTERS).map_err(redb_error)?;
        let state = &mut self.state;
        for letter in letters {
            let id = state.next_letter;
            let value = encode(id, self.now, letter)?;
            table.insert(id, &*value).map_err(redb_error)?;
            state.next_letter += 1;
            state.letters += 1;
            state.letter_bytes += value.len() as u64;
        }
        let mut dropped = 0;
        while state.letter_bytes > most_bytes
            && let Some((_, value)) = table.pop_first().map_err(redb_error)?
        {
            state.letters = state.letters.saturating_sub(1);
            let bytes = value.value().len() as u64;
            state.letter_bytes = state.letter_bytes.saturating_sub(bytes);
            dropped += 1;
        }
        state.letters_dropped += dropped;
        if dropped > 0 {
            tracing::error!(
                dropped,
                "the journal's limit of dead letters is reached: the oldest are lost"
            );
        }
        Ok(())
    }

    /// Removes letters. Returns how many of them existed.
    fn unbury(&mut self, ids: &[u64]) -> Result<u64, JournalError> {
        let mut table = self.txn().open_table(LETTERS).map_err(redb_error)?;
        let mut removed = 0;
        for id in ids {
            if let Some(value) = table.remove(id).map_err(redb_error)? {
                let bytes = value.value().len() as u64;
                self.state.letter_bytes = self.state.letter_bytes.saturating_sub(bytes);
                self.state.letters = self.state.letters.saturating_sub(1);
                removed += 1;
            }
        }
        Ok(removed)
    }
}

impl Journal {
    /// Returns the dead letters that a filter selects, the oldest first. They are read
    /// while the iterator advances.
    ///
    /// Blocks while it reads.
    ///
    /// # Errors
    ///
    /// Each item is an error if the letter is damaged, and the last one if the
    /// journal cannot be read.
    pub fn dead_letters(
        &self,
        filter: &LetterFilter,
    ) -> impl Iterator<Item = Result<KeptLetter, JournalError>> + use<> {
        let pages = Pages::new(self, filter);
        pages.map(|letter| letter.map_err(|unread| unread.error))
    }

    /// Gives dead letters back to their endpoints, whatever the endpoints' filters, and
    /// removes the letters. The events go to the end of the queue and are tried like new
    /// ones. Those that the endpoint's format cannot carry become dead letters again.
    /// Letters of endpoints that the journal does not know stay. Returns how many were sent.
    ///
    /// Blocks while it reads and writes.
    ///
    /// # Errors
    ///
    /// If a letter is damaged: all others were sent. If the journal cannot be read or
    /// written: some letters may already have been sent. What was sent was removed.
    pub fn send_letters_again(&self, filter: &LetterFilter) -> Result<u64, JournalError> {
        let mut sent = 0;
        let damage = self.each_page(filter, |letters, _damaged| {
            sent += self.run(move |writer| {
                let mut ids = Vec::new();
                let mut entries = Vec::new();
                for letter in letters {
                    if let Some(endpoint) = writer.state().named(&letter.letter.endpoint) {
                        ids.push(letter.id);
                        let DeadLetter { event, number, .. } = letter.letter;
                        entries.push(Entry::again(event, endpoint.id, number));
                    }
                }
                // Storing the events and removing the letters are one commit, so that a
                // crash neither loses nor doubles one.
                let sent = writer.store(&entries, |batch| batch.unbury(&ids))?;
                Ok(sent)
            })?;
            Ok(())
        })?;
        damage.map_or(Ok(sent), Err)
    }

    /// Removes dead letters for good. Returns how many were removed. A filter that selects
    /// all letters, or one by its number, also removes damaged ones.
    ///
    /// Blocks while it reads and writes.
    ///
    /// # Errors
    ///
    /// If a letter is damaged and the filter cannot tell whether it selects it: all others
    /// were removed. If the journal cannot be read or written: some letters may already be
    /// removed.
    pub fn purge_letters(&self, filter: &LetterFilter) -> Result<u64, JournalError> {
        let mut removed = 0;
        let with_damaged = filter.wants_damaged();
        let damage = self.each_page(filter, |letters, mut damaged| {
            damaged.retain(|_| with_damaged);
            let ids: Vec<_> = letters.iter().map(|it| it.id).chain(damaged).collect();
            removed += self.run(move |writer| writer.write(0, |batch| batch.unbury(&ids)))?;
            Ok(())
        })?;
        let damage = damage.filter(|_| !with_damaged);
        damage.map_or(Ok(removed), Err)
    }

    /// Calls `each` with the letters of each page, and the numbers of those that are
    /// damaged. Returns the error of the first damaged letter, which keeps no other from
    /// its turn.
    fn each_page(
        &self,
        filter: &LetterFilter,
        mut each: impl FnMut(Vec<KeptLetter>, Vec<u64>) -> Result<(), JournalError>,
    ) -> Result<Option<JournalError>, JournalError> {
        // Letters that are stored meanwhile are left out: an event that is sent again may
        // become a dead letter at once, and the loop would never end.
        let end = self.shared().published().state.next_letter;
        let mut letters = Pages::new(self, filter);
        let mut first = None;
        loop {
            let (mut page, mut damaged) = (Vec::new(), Vec::new());
            for letter in letters.by_ref().take(PAGE) {
                match letter {
                    Ok(letter) => page.push(letter),
                    Err(LetterReadError { id: None, error }) => return Err(error),
                    Err(LetterReadError {
                        id: Some(id),
                        error,
                    }) => {
                        damaged.push(id);
                        first.get_or_insert(error);
                    }
                }
            }
            page.retain(|it| it.id < end);
            if page.is_empty() && damaged.is_empty() {
                return Ok(first);
            }
            each(page, damaged)?;
        }
    }

    fn letter_page(&self, filter: &LetterFilter, from: u64) -> Result<LetterPage, JournalError> {
        let database = self.shared().database()?;
        self.watched(guarded(|| {
            let txn = database.get()?.begin_read().map_err(redb_error)?;
            let table = txn.open_table(LETTERS).map_err(redb_error)?;
            let mut page = LetterPage::default();
            for entry in table.range(from..).map_err(redb_error)? {
                let (key, value) = entry.map_err(redb_error)?;
                let id = key.value();
                if filter.id.is_some_and(|it| it != id) {
                    break;
                }
                if page.letters.len() == PAGE {
                    page.next = Some(id);
                    break;
                }
                let letter = decode(id, value.value(), filter).map_err(|damage| LetterReadError {
                    id: Some(id),
                    error: JournalError::letter(id, damage),
                });
                page.letters.extend(letter.transpose());
            }
            Ok(page)
        }))
    }
}

/// Why a letter was not read.
struct LetterReadError {
    /// The letter that is damaged. `None` if the journal cannot be read.
    id: Option<u64>,
    error: JournalError,
}

#[derive(Default)]
struct LetterPage {
    letters: VecDeque<Result<KeptLetter, LetterReadError>>,
    next: Option<u64>,
}

struct Pages {
    journal: Journal,
    filter: LetterFilter,
    next: Option<u64>,
    page: VecDeque<Result<KeptLetter, LetterReadError>>,
}

impl Pages {
    fn new(journal: &Journal, filter: &LetterFilter) -> Self {
        Self {
            journal: journal.clone(),
            filter: filter.clone(),
            next: Some(filter.id.unwrap_or(0)),
            page: VecDeque::new(),
        }
    }
}

impl Iterator for Pages {
    type Item = Result<KeptLetter, LetterReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(letter) = self.page.pop_front() {
                return Some(letter);
            }
            match self.journal.letter_page(&self.filter, self.next.take()?) {
                Ok(page) => (self.page, self.next) = (page.letters, page.next),
                Err(error) => return Some(Err(LetterReadError { id: None, error })),
            }
        }
    }
}

/// Keeps dead letters in the journal, each with the next commit.
impl DeadLetterSink for Journal {
    fn bury(&self, letter: &Arc<DeadLetter>) -> Acceptance {
        let (sender, answer) = oneshot::channel();
        let letter = Letter {
            letter: letter.clone(),
            done: Box::new(move |result| {
                // The letter is kept even if nobody waits for the answer.
                let _gone = sender.send(result);
            }),
        };
        match self.keep(letter) {
            Err(Refused::Full) => Acceptance::failed(SinkError::full()),
            Err(Refused::Closed) => Acceptance::failed(SinkError::closed()),
            Ok(()) => Acceptance::pending(async move {
                match answer.await {
                    Ok(result) => result.map_err(SinkError::other),
                    Err(_) => Err(SinkError::closed()),
                }
            }),
        }
    }

    fn concurrency(&self) -> usize {
        2_000
    }

    fn location(&self) -> String {
        format!("the journal {}", self.location())
    }
}
