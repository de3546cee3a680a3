//! The operations of operators on endpoints and their events: replay, purge, move.
//!
//! Each works in steps of a bounded number of chunks, between which the journal stores
//! events as usual. Each step is one commit.

use std::num::NonZeroU64;
use std::time::SystemTime;

use super::batch::{Batch, left_for, millis};
use super::bits::{Bits, EndpointId};
use super::chunk::{self, Chunk};
use super::entry::Entry;
use super::error::{ErrorKind, JournalError, guarded};
use super::journal::Journal;
use super::reader::Snapshot;
use super::row::Row;
use super::shared::Shared;
use super::writer::Writer;
use crate::event::SharedEvent;

/// The number of chunks in one step.
const CHUNKS: usize = 64;

/// Where a [replay](Journal::replay) begins.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplayFrom {
    /// With the oldest event that is kept.
    Oldest,
    /// With the first event that was accepted at this time or later.
    Time(SystemTime),
    /// With the event that has this id.
    Id(String),
}

impl Journal {
    /// Sends events that an endpoint has settled to it again. They go to the end of its
    /// queue, in their old order, and are tried like new ones. Events that it still waits
    /// for are left out. Returns how many are sent.
    ///
    /// Events are kept for [`retention`](super::JournalOptions::retention) after
    /// all endpoints have settled them, and always until then.
    ///
    /// Blocks while it reads and writes.
    ///
    /// # Errors
    ///
    /// If the journal does not know the endpoint or the event
    /// ([`JournalError::is_not_found`]), or cannot be read or written. Some of the events
    /// may already have been sent.
    pub fn replay(&self, endpoint: &str, from: &ReplayFrom) -> Result<u64, JournalError> {
        let state = self.shared().published().state;
        let endpoint = state
            .named(endpoint)
            .ok_or_else(|| no_endpoint(endpoint))?
            .id;
        let mut from = ReplayStart::of(from);
        let (mut next, end) = (0, state.next);
        let mut sent = 0;
        while next < end {
            let page =
                self.snapshot(|snapshot| settled_by(snapshot, endpoint, next..end, &mut from))?;
            next = page.next;
            let entries = page.events;
            sent += entries.len() as u64;
            self.run(move |writer| writer.store(&entries, |_| Ok(())))?;
        }
        match from {
            ReplayStart::Id(id) => {
                let message = format!("no event {id:?} is kept in the journal");
                Err(JournalError::new(ErrorKind::NotFound, message))
            }
            ReplayStart::Time(_) => Ok(sent),
        }
    }

    /// Removes an endpoint that is no longer configured, and all events that
    /// only it waits for. Returns how many events it waited for. Its dead letters
    /// stay.
    ///
    /// Blocks while it writes.
    ///
    /// # Errors
    ///
    /// If the journal does not know the endpoint
    /// ([`JournalError::is_not_found`]), a notifier delivers to it, or the journal cannot
    /// be written. Some events may already be removed.
    pub fn purge_endpoint(&self, name: &str) -> Result<u64, JournalError> {
        self.remove(name, None)
    }

    /// Gives all events that the endpoint `name` waits for to the endpoint `to`, whatever
    /// its filter, and removes `name`, which must no longer be configured. They go to the
    /// end of the queue, in their old order. Returns how many are moved. The dead letters
    /// of `name` stay.
    ///
    /// Blocks while it reads and writes.
    ///
    /// # Errors
    ///
    /// If the journal does not know one of the endpoints
    /// ([`JournalError::is_not_found`]), a notifier delivers to the first, or the
    /// journal cannot be written. Some events may already have been moved.
    pub fn move_endpoint(&self, name: &str, to: &str) -> Result<u64, JournalError> {
        if name == to {
            let message = "an endpoint cannot be moved to itself";
            return Err(JournalError::new(ErrorKind::Invalid, message));
        }
        let state = self.shared().published().state;
        let to = state.named(to).ok_or_else(|| no_endpoint(to))?.id;
        self.remove(name, Some(to))
    }

    fn remove(&self, name: &str, to: Option<EndpointId>) -> Result<u64, JournalError> {
        let state = self.shared().published().state;
        let endpoint = state.named(name).ok_or_else(|| no_endpoint(name))?.id;
        let (mut next, mut events) = (0, 0);
        loop {
            let page = self.run(move |writer| remove_some(writer, endpoint, next, to))?;
            events += page.1;
            match page.0 {
                Some(more) => next = more,
                None => return Ok(events),
            }
        }
    }

    /// Reads a snapshot of the file.
    pub(super) fn snapshot<R>(
        &self,
        read: impl FnOnce(&Snapshot) -> Result<R, JournalError>,
    ) -> Result<R, JournalError> {
        let database = self.shared().database()?;
        let read = guarded(|| read(&Snapshot::of(database.get()?)?));
        self.watched(read)
    }
}

fn no_endpoint(name: &str) -> JournalError {
    let message = format!("the journal knows no endpoint {name:?}");
    JournalError::new(ErrorKind::NotFound, message)
}

/// The condition for the first event of a replay. An id is replaced by `Time(0)` when the
/// event was found.
enum ReplayStart {
    Time(u64),
    Id(String),
}

impl ReplayStart {
    fn of(from: &ReplayFrom) -> Self {
        match from {
            ReplayFrom::Oldest => Self::Time(0),
            ReplayFrom::Time(time) => Self::Time(millis(*time)),
            ReplayFrom::Id(id) => Self::Id(id.clone()),
        }
    }

    fn has_come(&mut self, event: &SharedEvent) -> bool {
        match self {
            Self::Time(time) => millis(event.accepted_at()) >= *time,
            Self::Id(id) => {
                let found = event.id() == id.as_str();
                if found {
                    *self = Self::Time(0);
                }
                found
            }
        }
    }
}

struct ReplayPage {
    events: Vec<Entry>,
    /// The next chunk begins here or later.
    least: u64,
    next: u64,
}

/// The events of some chunks that an endpoint wanted and has settled.
fn settled_by(
    snapshot: &Snapshot,
    endpoint: EndpointId,
    positions: std::ops::Range<u64>,
    from: &mut ReplayStart,
) -> Result<ReplayPage, JournalError> {
    let mut page = ReplayPage {
        events: Vec::new(),
        least: 0,
        next: positions.end,
    };
    let rows = snapshot.rows(positions.start)?;
    for (looked, found) in rows.enumerate() {
        let (first, row) = found?;
        let row = row?;
        if first < page.least {
            return Err(JournalError::disordered());
        }
        page.least = row.end(first);
        if first >= positions.end || looked == CHUNKS {
            page.next = first;
            break;
        }
        if matches!(from, ReplayStart::Time(time) if row.newest < *time) {
            continue;
        }
        let chunk = snapshot.chunk(first)??;
        let wanted = wanted_by(&chunk, &row, endpoint);
        let left = left_for(&snapshot.state, first, &row, endpoint);
        for (index, bytes) in (0..).zip(chunk.events()) {
            let event = chunk::event(bytes?)?;
            // The chunk may have been packed since the last page.
            if !positions.contains(&(first + u64::from(index))) {
                continue;
            }
            if from.has_come(&event) && wanted.has(index) && !left.has(index) {
                let number = chunk.number(endpoint, index).and_then(NonZeroU64::new);
                page.events.push(Entry::again(event, endpoint, number));
            }
        }
    }
    Ok(page)
}

/// Returns the events of a chunk that an endpoint wanted when they came, or has adopted
/// later.
fn wanted_by(chunk: &Chunk, row: &Row, endpoint: EndpointId) -> Bits {
    let mut members = chunk.members.iter();
    match members.find(|it| it.endpoint == endpoint) {
        Some(member) => member.wants.clone(),
        None if row.left_for(endpoint).is_some() => Bits::All,
        None => Bits::None,
    }
}

/// Ends or moves the events of an endpoint in some chunks. Returns where to continue, and
/// how many events there were.
fn remove_some(
    writer: &mut Writer,
    endpoint: EndpointId,
    next: u64,
    to: Option<EndpointId>,
) -> Result<(Option<u64>, u64), JournalError> {
    let shared = writer.shared().clone();
    if !is_free(&shared, endpoint) {
        let message = "a notifier delivers to the endpoint";
        return Err(JournalError::new(ErrorKind::Invalid, message));
    }
    let rows = writer.write(0, |batch| unsettled_rows(batch, endpoint, next))?;
    let mut entries = Vec::new();
    if let Some(to) = to {
        // Moved events get no number: theirs were numbers of the other endpoint, and the
        // next ones of this endpoint may count events of another source instance.
        let moved = rows.found.iter().flat_map(|(_, _, events)| events);
        entries.extend(moved.map(|event| Entry::again(event.clone(), to, None)));
    }
    let next = rows.next;
    // Storing and settling are one commit, so that a crash neither loses nor doubles an
    // event.
    let count = writer.store(&entries, |batch| {
        let mut count = 0;
        for (first, mut row, _) in rows.found {
            let left = left_for(&batch.state, first, &row, endpoint);
            let left = u64::from(left.len(row.count));
            batch.settle_all(&mut row, endpoint, left);
            batch.changed(first, row)?;
            count += left;
        }
        if next.is_none() {
            batch.state.endpoints.retain(|it| it.id != endpoint);
        }
        Ok(count)
    })?;
    Ok((next, count))
}

fn is_free(shared: &Shared, endpoint: EndpointId) -> bool {
    !shared.is_attached() || shared.is_orphan(endpoint)
}

struct UnsettledRows {
    found: Vec<(u64, Row, Vec<SharedEvent>)>,
    next: Option<u64>,
}

/// Returns some chunks with events that an endpoint has not settled, and these events.
fn unsettled_rows(
    batch: &mut Batch<'_>,
    endpoint: EndpointId,
    mut next: u64,
) -> Result<UnsettledRows, JournalError> {
    let mut found = Vec::new();
    // What begins at the position may have been packed into a chunk since.
    if let Some((first, _)) = batch.row_at(next)? {
        next = first;
    }
    while let Some((first, row)) = batch.row_from(next)? {
        if found.len() == CHUNKS {
            return Ok(UnsettledRows {
                found,
                next: Some(first),
            });
        }
        next = row.end(first);
        let left = left_for(&batch.state, first, &row, endpoint).clone();
        if left.is_empty() {
            continue;
        }
        if let Some(events) = batch.events((first, &row), endpoint, &left)? {
            let events = events.into_iter().map(|it| it.event);
            found.push((first, row, events.collect()));
        }
    }
    Ok(UnsettledRows { found, next: None })
}
