//! Events that survive the process: the [`Journal`].
//!
//! With a journal, an event is on disk before the client sees the response. It stays there
//! until every endpoint that wants it has settled it: it was delivered, or is a dead letter
//! that was kept. Events that do not fit into the queues in memory wait on disk.
//!
//! ```no_run
//! use tower_registry_notifications::journal::Journal;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let journal = Journal::open("/var/lib/registry/notifications")?;
//! for endpoint in journal.status().endpoints {
//!     println!("{}: {} events wait", endpoint.name, endpoint.waiting);
//! }
//! # Ok(()) }
//! ```
//!
//! # Promises
//!
//! - An event that was accepted survives a crash of the process (`kill -9`) and
//!   of the machine (a power loss). It is delivered at least once, with the same
//!   id each time.
//! - Events of one repository reach an endpoint in the order in which they were
//!   accepted, also across restarts.
//! - An event that was delivered within the last second before a crash may be
//!   delivered again. The [interval](JournalOptions::settle_interval) can be
//!   shorter, at the cost of more syncs.
//! - An event that is removed because of a [limit](#space) becomes a dead letter. An event
//!   lost to damage of the file is counted ([`JournalStatus::damaged`]) and logged.
//!
//! The promises hold if the disk keeps what it has confirmed as synced. They rest
//! on `fdatasync` for the file and on `fsync` for its folder when the file is
//! created. Local file systems of Linux (ext4, XFS, Btrfs, ZFS) with their default
//! settings keep to that. So do those of macOS, where `fdatasync` of Rust's standard
//! library flushes the disk's cache too (`F_FULLFSYNC`). On Windows it is
//! `FlushFileBuffers`. These do not keep to it, or not always:
//!
//! - Network file systems. NFS depends on the server's settings; locks may not
//!   exclude a process on another machine.
//! - Disks and controllers with a volatile cache that ignore flushes, and virtual
//!   disks whose cache mode does (`unsafe` in QEMU).
//! - File systems mounted without barriers, and `tmpfs`. The journal survives
//!   `kill -9` there, and no power loss.
//!
//! These are not promised at all:
//!
//! - Exactly one delivery. Receivers recognize an event that comes again by its
//!   id.
//! - That nothing is lost after a sync has failed. The kernel may have dropped
//!   what it could not write, and reports that only once. The journal fails the
//!   writes of that commit, opens the file again and verifies all of it, but what
//!   it reads may come from the kernel's cache. Replace a disk that fails.
//! - That a file that somebody empties is noticed: it looks like a new one.
//!
//! # Layout
//!
//! The journal is one file, a [redb](https://docs.rs/redb) database. A thread
//! writes: it takes all events that wait and commits them together, with one wait
//! for the disk, so that many writers share each sync. The events of a commit are
//! one or a few *chunks*: compressed with LZ4, with a checksum. An event is stored
//! once for all endpoints.
//!
//! | table | content |
//! | --- | --- |
//! | `state` | format, counts, endpoints; for each endpoint a cursor: all before it is settled |
//! | `index` | for each chunk, which of its events each endpoint has not settled |
//! | `chunks` | the events, who wants them, and their numbers for each endpoint |
//! | `retained` | chunks that are settled and kept for replay, by time |
//! | `letters` | dead letters |
//! | `damaged` | chunks that cannot be read, as they are |
//!
//! Of 64 small chunks, those that still wait become one, if their events were accepted
//! within a minute. A chunk is freed when the last of its events is settled; an event that cannot
//! be delivered keeps its own chunk and no other. Commits use redb's quick repair,
//! so that opening takes milliseconds, also after a crash and with millions of
//! events. Memory does not grow with the number of events: what is not in a queue
//! is on disk only, and [`JournalOptions::cache_bytes`] of the file are cached.
//!
//! # Space
//!
//! [`JournalOptions::max_bytes`] bounds the events, and
//! [`JournalOptions::max_letter_bytes`] the dead letters. Beyond the limit the oldest
//! events become dead letters, and the oldest dead letters are removed. An event that is
//! under way at an endpoint, or waits for another attempt, stays until that has failed, and
//! others go in its place. An
//! event whose dead letter was lost, which is counted and logged, stays in the journal until
//! its space is needed or the dead letters of 10,000 younger events of its endpoint were
//! lost too. If events arrive faster than their endpoints make dead letters, writes fail
//! beyond nine eighths of `max_bytes`.
//!
//! The file grows in large steps that take no space on disk before they are used. Free
//! space is used again. When the journal is opened, a file of 64 MiB or more that is less
//! than a quarter full is made smaller.
//!
//! # Costs
//!
//! A write that is alone waits for two syncs of the disk. Many writers share them:
//! 64 of them store 45,000 events a second on a disk that takes 0.28 ms for one
//! append and sync, and 76,000 where a sync costs nothing. Ten million pulls that
//! three endpoints wait for take 37 MiB of memory in the whole process, 59 MiB while
//! they are delivered, and 275 bytes each on disk. They are open after 1 ms, also after
//! `kill -9`, and after 5 ms with a cold cache. Events that come one by one take about
//! 420 bytes each on disk. The queues of the three endpoints were drained at more than
//! 100,000 events a second. `cargo bench -p benches --features journal --bench journal`
//! measures it on your machine.
//!
//! # Faults
//!
//! | fault | what happens |
//! | --- | --- |
//! | another process has the file open | opening fails, [`JournalError::is_locked`] |
//! | a later release wrote the file | opening fails, [`JournalError::is_newer_format`] |
//! | file or folder cannot be written | opening fails, [`JournalError::is_read_only`] |
//! | the file is cut off, or not a journal | opening fails, [`JournalError::is_damaged`]; the file is left as it is |
//! | the file is removed, replaced or cut off while it is open | the journal is down, until its own file is back as a whole or the process is restarted |
//! | wrong bytes in an entry of the index | it is rebuilt from its chunk; events may be delivered again |
//! | wrong bytes in a chunk | the chunk is set aside; its events are counted as damaged and logged |
//! | wrong bytes in the tree itself | opening fails or the journal is down, [`JournalError::is_damaged`] |
//! | any error of the disk, no space | the write fails; the journal is down |
//! | redb panics, as it may on a damaged file | the same: the panic is caught |
//! | redb panics while it cleans up after a panic | the process ends; about one flipped bit in 3,000 has this effect |
//!
//! While the journal is *down*, writes fail at once. The file is opened again,
//! verified as a whole, after 100 ms and then with pauses of up to 10 s.
//!
//! redb verifies its pages only when asked. [`Journal::check`] does that, and reads
//! every event and dead letter. [`JournalOptions::verify`] verifies the pages each time
//! that the file is opened.
//!
//! # Logs
//!
//! | level | message |
//! | --- | --- |
//! | error | `the journal is down`, with the error; info `the journal works again` |
//! | error | `the journal is damaged`, with the position; then either `an entry of the journal's index was damaged: …` or `events of the journal are damaged and cannot be delivered` |
//! | error | `the journal has lost what was written last`, `events are missing from the journal`: damage that no checksum shows |
//! | error | `the journal's limit of dead letters is reached: the oldest are lost` |
//! | warn | `the journal was not closed cleanly` |
//! | info | `the journal's file is mostly free and is made smaller` |
//! | debug | `the journal stays down`: each attempt to open the file again that failed |
//!
//! # Endpoints
//!
//! An endpoint's name is its identity in the journal. One that is no longer
//! configured is *orphaned*: its events stay, are shown in the
//! [status](JournalEndpoint::orphaned), and age out by
//! [`JournalOptions::max_age`] into dead letters. They can be
//! [purged](Journal::purge_endpoint) or [moved](Journal::move_endpoint).

mod batch;
mod bits;
mod check;
mod chunk;
mod codec;
mod consumer;
mod database;
mod down;
mod entry;
mod error;
mod file;
mod inbox;
#[expect(
    clippy::module_inception,
    reason = "it holds `Journal`, and this file only docs"
)]
mod journal;
mod letter_filter;
mod letters;
mod limits;
mod list;
mod operate;
mod options;
mod pack;
mod reader;
mod repair;
mod row;
mod settle;
mod shared;
mod state;
mod status;
mod storage;
mod writer;

pub(crate) use self::bits::{EndpointId, Wanted};
pub use self::check::JournalCheck;
pub(crate) use self::consumer::{Attach, Backlog, Consumer, Stored};
pub(crate) use self::entry::Number;
pub use self::error::JournalError;
pub(crate) use self::inbox::Refused;
pub use self::journal::Journal;
pub use self::letter_filter::LetterFilter;
pub use self::letters::KeptLetter;
pub use self::list::WaitingEvent;
pub use self::operate::ReplayFrom;
pub use self::options::JournalOptions;
pub(crate) use self::reader::{Page, PageLimits};
pub(crate) use self::shared::Attachment;
pub use self::status::{JournalEndpoint, JournalStatus};

#[cfg(test)]
pub(crate) mod tests;
