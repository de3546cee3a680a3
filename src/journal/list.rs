//! Lists the events that wait, for operators: [`WaitingEvent`].

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::mpsc;

use serde::Serialize;

use super::batch::left_for;
use super::bits::EndpointId;
use super::consumer::Stored;
use super::error::{ErrorKind, JournalError};
use super::journal::Journal;
use super::reader::{Page, PageLimits};
use crate::event::SharedEvent;

/// How much is read at once.
const PAGE: PageLimits = PageLimits {
    events: 256,
    bytes: 4 << 20,
};

/// An event of a [`Journal`] that an endpoint waits for.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct WaitingEvent {
    /// Its place among all events of the journal.
    pub position: u64,
    /// Its number among the events that the endpoint wants of one source instance,
    /// from 1. `None` if the endpoint did not want it when it came.
    pub number: Option<u64>,
    /// The event itself.
    pub event: SharedEvent,
}

impl Journal {
    /// Returns the events that an endpoint waits for, the oldest first. They are read
    /// while the iterator advances.
    ///
    /// Blocks while it reads.
    ///
    /// # Errors
    ///
    /// If the journal does not know the endpoint
    /// ([`JournalError::is_not_found`]). The last item is an error if the journal
    /// cannot be read.
    pub fn waiting(
        &self,
        endpoint: &str,
    ) -> Result<impl Iterator<Item = Result<WaitingEvent, JournalError>> + use<>, JournalError>
    {
        let state = self.shared().published().state;
        let message = || format!("the journal knows no endpoint {endpoint:?}");
        let known = state.named(endpoint);
        let known = known.ok_or_else(|| JournalError::new(ErrorKind::NotFound, message()))?;
        Ok(Events {
            journal: self.clone(),
            endpoint: known.id,
            next: Some(0),
            page: VecDeque::new(),
        })
    }
}

impl Journal {
    /// Returns the number of events within some positions that an endpoint has wanted when
    /// they came, and has not settled. Blocks while it reads.
    pub(crate) fn count(
        &self,
        endpoint: EndpointId,
        positions: Range<u64>,
    ) -> Result<usize, JournalError> {
        self.snapshot(|snapshot| {
            let state = &snapshot.state;
            let adopted = state.endpoint(endpoint).map_or(0, |it| it.adopted.1);
            let from = positions.start.max(adopted);
            let mut count = 0;
            for found in snapshot.rows(from)? {
                let (first, row) = found?;
                if first >= positions.end {
                    break;
                }
                let row = row?;
                let left = left_for(state, first, &row, endpoint);
                let within = |index: &u32| {
                    let position = first + u64::from(*index);
                    (from..positions.end).contains(&position) && left.has(*index)
                };
                count += (0..row.count).filter(within).count();
            }
            Ok(count)
        })
    }
}

struct Events {
    journal: Journal,
    endpoint: EndpointId,
    /// Where the next page begins, if there is one.
    next: Option<u64>,
    page: VecDeque<Stored>,
}

impl Events {
    fn read(&self, from: u64) -> Result<Page, JournalError> {
        let (sender, answer) = mpsc::sync_channel(1);
        let reply = move |page| {
            // The caller may have stopped waiting.
            let _gone = sender.send(page);
        };
        self.journal.read(self.endpoint, from, PAGE, reply);
        answer
            .recv()
            .unwrap_or_else(|_| Err(JournalError::closed()))
    }
}

impl Iterator for Events {
    type Item = Result<WaitingEvent, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.page.is_empty() {
            let from = self.next.take()?;
            match self.read(from) {
                Ok(page) => {
                    self.next = Some(page.next).filter(|_| !page.at_end);
                    self.page = page.events.into();
                }
                Err(error) => return Some(Err(error)),
            }
        }
        let Stored {
            position,
            number,
            event,
            ..
        } = self.page.pop_front()?;
        Some(Ok(WaitingEvent {
            position,
            number,
            event,
        }))
    }
}
