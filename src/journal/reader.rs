//! The thread that reads: [`Reader`].
//!
//! To refill a queue, chunks are read, perhaps from the disk, and their events decoded.
//! This must not delay commits, so it happens in a separate thread, on a snapshot of the
//! file.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use redb::{Database, ReadOnlyTable, ReadableDatabase as _};

use super::batch::{self, left_for};
use super::bits::EndpointId;
use super::chunk::{self, Chunk};
use super::codec::Damage;
use super::consumer::Stored;
use super::error::{ErrorKind, JournalError, guarded, redb_error};
use super::inbox::Answer;
use super::row::Row;
use super::shared::Shared;
use super::state::{self, State};
use super::writer::{Inbox, Writer};

/// The largest number of index entries that one read looks at. Then it answers with a page
/// that may be empty, so that other reads get their turn.
const MOST_ROWS: usize = 4 << 10;

/// How often one chunk is repaired for one read. Other reads may have had it repaired
/// before.
const REPAIRS: u32 = 2;

/// The limits of a page. One event is returned whatever its size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageLimits {
    pub(crate) events: usize,
    /// As [`SharedEvent::memory`](crate::event::SharedEvent::memory) counts them.
    pub(crate) bytes: usize,
}

/// Events of an endpoint that are not settled, in the order of their positions.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) events: Vec<Stored>,
    /// The position at which the next page begins.
    pub(crate) next: u64,
    /// Whether there was nothing after `next` when the page was read. Events
    /// that were stored meanwhile have positions from `next` on.
    pub(crate) at_end: bool,
}

pub(super) struct ReadRequest {
    pub(super) endpoint: EndpointId,
    pub(super) from: u64,
    pub(super) most: PageLimits,
    pub(super) reply: Answer<Page>,
    /// The chunk that was repaired last for this read, and how often.
    pub(super) repaired: (u64, u32),
}

/// Reads that wait.
#[derive(Default)]
struct PendingReads {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    reads: VecDeque<ReadRequest>,
    closed: bool,
}

impl PendingReads {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, read: ReadRequest) {
        let mut waiting = self.waiting();
        if waiting.closed {
            drop(waiting);
            return (read.reply)(Err(JournalError::closed()));
        }
        waiting.reads.push_back(read);
        drop(waiting);
        self.changed.notify_one();
    }

    fn close(&self) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        let rest = std::mem::take(&mut waiting.reads);
        drop(waiting);
        self.changed.notify_one();
        let closed = JournalError::closed;
        rest.into_iter()
            .for_each(|read| (read.reply)(Err(closed())));
    }

    #[cfg(test)]
    fn pop(&self) -> Option<ReadRequest> {
        self.waiting().reads.pop_front()
    }

    /// Waits for a read. `None` when the journal is closed.
    fn next(&self) -> Option<ReadRequest> {
        let mut waiting = self.waiting();
        loop {
            if waiting.closed {
                return None;
            }
            if let Some(read) = waiting.reads.pop_front() {
                return Some(read);
            }
            let waited = self.changed.wait(waiting);
            waiting = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Serves reads. A clone is another handle to the same reader.
#[derive(Clone)]
pub(super) struct Reader {
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
    reads: Arc<PendingReads>,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, inbox: Arc<Inbox>) -> Self {
        Self {
            shared,
            inbox,
            reads: Arc::default(),
        }
    }

    pub(super) fn push(&self, read: ReadRequest) {
        self.reads.push(read);
    }

    pub(super) fn close(&self) {
        self.reads.close();
    }

    /// Reads until the journal is closed.
    pub(super) fn run(&self) {
        while let Some(read) = self.reads.next() {
            // A queue that panics when it is answered must not end the reads of the others.
            let served = guarded(|| {
                self.serve(read);
                Ok(())
            });
            if served.is_err() {
                tracing::error!("a queue of the journal panicked");
            }
        }
    }

    /// Serves the reads that wait now.
    #[cfg(test)]
    pub(super) fn serve_waiting(&self) {
        while let Some(read) = self.reads.pop() {
            self.serve(read);
        }
    }

    /// Passes on a result of reading. If it shows that the handle is dead, the writer opens
    /// the file again.
    pub(super) fn watched<R>(&self, read: Result<R, JournalError>) -> Result<R, JournalError> {
        if let Err(error) = &read
            && error.is_fatal()
        {
            let cause = error.clone();
            self.inbox
                .run(Box::new(move |writer: &mut Writer| writer.fail(&cause)));
        }
        read
    }

    fn serve(&self, read: ReadRequest) {
        // The settled events are read before the snapshot. An event whose settling is
        // committed in between is then left out by both. In the other order it could be in
        // neither, and be delivered again.
        let settled = self.inbox.unwritten(read.endpoint);
        let found = self.shared.database();
        let found = found.and_then(|database| guarded(|| page(database.get()?, &read, &settled)));
        match self.watched(found) {
            Ok(ReadResult::Page(page)) => (read.reply)(Ok(page)),
            Ok(ReadResult::Damage(first, damage)) => self.repair(read, first, damage),
            Err(error) => (read.reply)(Err(error)),
        }
    }

    /// Lets the writer repair the damage or set the chunk aside, and reads again. If the
    /// damage is still there after that, the writer does not see what the reader sees: the
    /// tree that has led to it is damaged.
    fn repair(&self, mut read: ReadRequest, first: u64, damage: Damage) {
        read.repaired = match read.repaired {
            (before, times) if before == first => (first, times + 1),
            _ => (first, 1),
        };
        if read.repaired.1 > REPAIRS {
            let error = self.watched::<Page>(Err(JournalError::disordered()));
            return (read.reply)(error);
        }
        let location = &*self.shared.location;
        tracing::error!(journal = location, position = first, %damage, "the journal is damaged");
        let reads = self.reads.clone();
        let job = move |writer: &mut Writer| {
            let repaired = writer.write(0, |batch| batch.repair(first));
            match repaired {
                Ok(()) => reads.push(read),
                Err(error) => (read.reply)(Err(error)),
            }
        };
        // If the journal is closed, the read is dropped with its reply.
        self.inbox.run(Box::new(job));
    }
}

enum ReadResult {
    Page(Page),
    /// The chunk that begins here, or its entry in the index, is damaged.
    Damage(u64, Damage),
}

/// A snapshot of the file.
pub(super) struct Snapshot {
    pub(super) state: State,
    index: ReadOnlyTable<u64, &'static [u8]>,
    chunks: ReadOnlyTable<u64, &'static [u8]>,
}

impl Snapshot {
    pub(super) fn of(database: &Database) -> Result<Self, JournalError> {
        let txn = database.begin_read().map_err(redb_error)?;
        let states = txn.open_table(batch::STATE).map_err(redb_error)?;
        let value = states.get(state::KEY).map_err(redb_error)?;
        let value = value.ok_or_else(|| JournalError::new(ErrorKind::Damaged, "has no state"))?;
        Ok(Self {
            state: State::decode(value.value())?,
            index: txn.open_table(batch::INDEX).map_err(redb_error)?,
            chunks: txn.open_table(batch::CHUNKS).map_err(redb_error)?,
        })
    }

    /// Returns the entries of the index, from the chunk that has the event at a position, or
    /// else the next chunk. Each is after the one before, or an error.
    pub(super) fn rows(
        &self,
        position: u64,
    ) -> Result<impl Iterator<Item = Result<batch::IndexEntry, JournalError>>, JournalError> {
        let before = batch::entry(
            self.index
                .range(..=position)
                .map_err(redb_error)?
                .next_back(),
        )?;
        let from = match before {
            Some((first, Ok(row))) if row.end(first) <= position => position,
            Some((first, _)) => first,
            None => position,
        };
        let rows = self.index.range(from..).map_err(redb_error)?;
        let rows = rows.filter_map(|entry| batch::entry(Some(entry)).transpose());
        Ok(ascending(rows))
    }

    pub(super) fn chunk(&self, first: u64) -> Result<Result<Chunk, Damage>, JournalError> {
        let value = self.chunks.get(first).map_err(redb_error)?;
        Ok(value.map_or(Err(Damage::Missing), |value| {
            Chunk::decode(first, value.value())
        }))
    }
}

/// Makes an error of each entry that is not after the one before: a damaged tree may lead
/// back to entries that have been read, again and again.
fn ascending(
    rows: impl Iterator<Item = Result<batch::IndexEntry, JournalError>>,
) -> impl Iterator<Item = Result<batch::IndexEntry, JournalError>> {
    let mut last = None;
    rows.map(move |found| {
        let (first, row) = found?;
        match last.replace(first).is_some_and(|last| first <= last) {
            true => Err(JournalError::disordered()),
            false => Ok((first, row)),
        }
    })
}

fn page(
    database: &Database,
    read: &ReadRequest,
    settled: &HashSet<u64>,
) -> Result<ReadResult, JournalError> {
    let snapshot = Snapshot::of(database)?;
    let state = &snapshot.state;
    let endpoint = state.endpoint(read.endpoint);
    let endpoint =
        endpoint.ok_or_else(|| JournalError::new(ErrorKind::NotFound, "no such endpoint"))?;
    let from = read.from.max(endpoint.cursor);
    let mut builder = PageBuilder {
        read,
        from,
        settled,
        bytes: 0,
        page: Page {
            events: Vec::new(),
            next: from,
            at_end: false,
        },
    };
    for (looked, found) in snapshot.rows(from)?.enumerate() {
        let (first, row) = found?;
        let damage = match row {
            Ok(_) if looked == MOST_ROWS => return Ok(ReadResult::Page(builder.page)),
            Ok(row) if left_for(state, first, &row, read.endpoint).is_empty() => {
                builder.page.next = row.end(first);
                continue;
            }
            Ok(row) => match snapshot.chunk(first)? {
                Ok(chunk) => match builder.take(state, first, &row, &chunk) {
                    Ok(true) => continue,
                    Ok(false) => return Ok(ReadResult::Page(builder.page)),
                    Err(damage) => damage,
                },
                Err(damage) => damage,
            },
            Err(damage) => damage,
        };
        // Events that were read before the damage are returned first.
        return Ok(match builder.page.events.is_empty() {
            true => ReadResult::Damage(first, damage),
            false => ReadResult::Page(builder.page),
        });
    }
    builder.page.next = from.max(state.next);
    builder.page.at_end = true;
    Ok(ReadResult::Page(builder.page))
}

struct PageBuilder<'a> {
    read: &'a ReadRequest,
    from: u64,
    settled: &'a HashSet<u64>,
    bytes: usize,
    page: Page,
}

impl PageBuilder<'_> {
    /// Takes the events of a chunk that are not settled. Returns `false` if the page is
    /// full.
    fn take(
        &mut self,
        state: &State,
        first: u64,
        row: &Row,
        chunk: &Chunk,
    ) -> Result<bool, Damage> {
        // Both were written in one commit, so one of them is damaged.
        if chunk.count != row.count {
            return Err(Damage::Content);
        }
        let endpoint = self.read.endpoint;
        let left = left_for(state, first, row, endpoint);
        for (index, bytes) in (0..).zip(chunk.events()) {
            let bytes = bytes?;
            let position = first + u64::from(index);
            if position < self.from || !left.has(index) || self.settled.contains(&position) {
                continue;
            }
            let event = chunk::event(bytes)?;
            let memory = event.memory();
            let PageLimits { events, bytes } = self.read.most;
            let room = self.page.events.len() < events && self.bytes + memory <= bytes;
            if !room && !self.page.events.is_empty() {
                self.page.next = position;
                return Ok(false);
            }
            self.bytes += memory;
            self.page.next = position + 1;
            self.page.events.push(Stored {
                position,
                number: chunk.number(endpoint, index),
                since: row.since(event.accepted_at()),
                adopted: chunk.is_adopted(endpoint, index),
                event,
            });
        }
        self.page.next = row.end(first);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_that_leads_back_to_what_was_read_is_damaged() {
        for keys in [
            &[3, 5, 9, 5, 9, 5][..],
            &[3, 5, 9, 9, 9, 9],
            &[7, 9, 11, 7, 9, 11],
        ] {
            let rows = keys
                .iter()
                .cycle()
                .map(|it| Ok((*it, Err(Damage::Missing))));
            let read: Result<Vec<_>, _> = ascending(rows.take(1000)).collect();
            assert!(read.unwrap_err().is_damaged());
            let rows = keys[..3].iter().map(|it| Ok((*it, Err(Damage::Missing))));
            let read: Vec<_> = ascending(rows).map(|it| it.unwrap().0).collect();
            assert_eq!(read, keys[..3]);
        }
    }
}
