//! The journal as the store of one queue: [`JournalStore`].

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::store_state::StoreState;
use crate::journal::{self, EndpointId, Journal};
use crate::queue::{Page, PageLimits, Position, Refill, Reload, Store, Stored};

/// How much is read at once: enough that the cost of a call does not matter, and little
/// enough that a page does not burden the memory.
const PAGE: PageLimits = PageLimits {
    events: 1_000,
    bytes: 4 << 20,
};

/// The events of a journal that one endpoint waits for.
pub(super) struct JournalStore {
    journal: Journal,
    state: Arc<StoreState>,
    kept_in: String,
}

impl JournalStore {
    pub(super) fn new(journal: Journal, state: Arc<StoreState>) -> Self {
        let kept_in = format!("the journal {}", journal.location());
        Self {
            journal,
            state,
            kept_in,
        }
    }

    fn reader(&self) -> Reader {
        Reader {
            journal: self.journal.clone(),
            state: self.state.clone(),
        }
    }
}

/// A journal, and the endpoint whose events are read.
struct Reader {
    journal: Journal,
    state: Arc<StoreState>,
}

impl Reader {
    /// The events of a page that the endpoint wants. The others end.
    fn wanted(&self, id: EndpointId, mut events: Vec<journal::Stored>) -> Vec<journal::Stored> {
        for position in self.state.take_unwanted(&mut events) {
            self.journal.settle(id, position.0);
        }
        events
    }
}

impl Store for JournalStore {
    fn refill(&self, from: Position, most: PageLimits, reply: Refill) {
        // Without an id the journal is not attached yet. The queue asks again when the
        // events of the journal are announced.
        let Some(id) = self.state.id() else { return };
        let reader = self.reader();
        let answer = move |page: Result<journal::Page, _>| {
            // If the journal is down, the reply is dropped, and the queue asks again after
            // the journal has recovered.
            if let Ok(page) = page {
                let next = Position(page.next);
                let events = reader.wanted(id, page.events);
                let events = events.into_iter().map(stored).collect();
                reply.answer(Page { events, next });
            }
        };
        self.journal.read(id, from.0, limited(most), answer);
    }

    fn reload(&self, repository: &str, range: Range<Position>, most: PageLimits, reply: Reload) {
        let Some(id) = self.state.id() else { return };
        let search = Search {
            reader: self.reader(),
            id,
            repository: repository.into(),
            end: range.end,
            most,
            reply,
        };
        search.read_page(range.start);
    }

    fn settle(&self, position: Position) {
        if let Some(id) = self.state.id() {
            self.journal.settle(id, position.0);
        }
    }

    fn lose(&self, position: Position) {
        if let Some(ended) = self.state.lose(position) {
            self.settle(ended);
        }
    }

    fn unoffered(&self, range: Range<Position>) -> usize {
        let range = range.start.0..range.end.0;
        let waiting = self.state.id().map(|id| self.journal.count(id, range));
        // A journal that is down cannot tell.
        waiting.and_then(Result::ok).unwrap_or(0)
    }

    fn kept_in(&self) -> &str {
        &self.kept_in
    }
}

/// Looks for events of one repository among those of its endpoint.
struct Search {
    reader: Reader,
    id: EndpointId,
    repository: Box<str>,
    end: Position,
    most: PageLimits,
    reply: Reload,
}

impl Search {
    /// Reads one page after another, until there is an event.
    fn read_page(self, from: Position) {
        let (journal, id) = (self.reader.journal.clone(), self.id);
        let answer = move |page: Result<journal::Page, _>| {
            if let Ok(page) = page {
                self.search_page(page);
            }
        };
        journal.read(id, from.0, limited(PAGE), answer);
    }

    fn search_page(self, page: journal::Page) {
        let next = match page.at_end {
            true => self.end,
            false => Position(page.next).min(self.end),
        };
        let is_wanted = |stored: &journal::Stored| {
            Position(stored.position) < self.end && stored.event.repository() == &*self.repository
        };
        let events = self.reader.wanted(self.id, page.events);
        let events = events.into_iter().filter(is_wanted).map(stored);
        let mut events: Vec<_> = events.collect();
        if events.is_empty() && next < self.end {
            return self.read_page(next);
        }
        let next = match events.get(self.most.events.max(1)) {
            Some(first_left) => first_left.position,
            None => next,
        };
        events.truncate(self.most.events.max(1));
        self.reply.answer(Page { events, next });
    }
}

fn limited(most: PageLimits) -> journal::PageLimits {
    journal::PageLimits {
        events: most.events.min(PAGE.events),
        bytes: most.bytes.min(PAGE.bytes),
    }
}

pub(super) fn stored(stored: journal::Stored) -> Stored {
    Stored {
        position: Position(stored.position),
        number: stored.number.unwrap_or(0),
        accepted_at: stored.since,
        event: stored.event,
    }
}

impl fmt::Debug for JournalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournalStore")
            .field("journal", &self.journal)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
