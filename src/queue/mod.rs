//! Holds the accepted events of one endpoint until they are settled: [`Queue`].
//!
//! A queue is [lanes] for the order and [bounds] for the memory.
//! It has many writers and one reader. Its events live in memory only, or in a
//! [store] that outlives the process: then the queue is a
//! [window] over the store, and what does not fit into its bounds stays
//! there.
//!
//! | file | its job |
//! | --- | --- |
//! | `store.rs` | the contract of a store |
//! | `entry.rs`, `numbering.rs` | an accepted event with its place in the order; its number |
//! | `bounds.rs`, `overflow.rs` | how much fits, and what happens when nothing does |
//! | `fresh.rs` | the events that the reader has not looked at, and when it is woken |
//! | `lane.rs`, `lanes.rs` | the events of one repository that are set aside; the order |
//! | `window.rs` | how far the queue has read its store |
//! | `waiting.rs` | writers that wait for room |
//! | `state.rs`, `queue.rs` | all of this under one lock; the queue |
//! | `waiter.rs`, `admission.rs` | the writer's side: events that are in memory only |
//! | `reader.rs` | the reader's side, and how an event ends |
//! | `hand_over.rs` | the store's side: events that it hands over, and what it is asked for |
//! | `leased.rs` | events that a store lends, and gets back |
//! | `expire.rs` | events that a store gives up |
//!
//! Each file names only files above it.

mod admission;
mod bounds;
mod entry;
mod expire;
mod fresh;
mod hand_over;
mod lane;
mod lanes;
mod leased;
mod numbering;
mod overflow;
#[expect(
    clippy::module_inception,
    reason = "it holds `Queue`, and this file only docs"
)]
mod queue;
mod reader;
mod state;
mod store;
mod waiter;
mod waiting;
mod window;

pub(crate) use self::admission::Admission;
pub(crate) use self::bounds::{Limits, Refused};
pub(crate) use self::entry::Entry;
pub(crate) use self::fresh::Threshold;
pub(crate) use self::numbering::Numbering;
pub use self::overflow::Overflow;
pub(crate) use self::queue::{Queue, QueueSnapshot};
pub(crate) use self::reader::{Abandoned, BusyRepositories};
pub(crate) use self::store::Position;
#[cfg_attr(
    not(test),
    allow(unused_imports, reason = "without stores, nobody hands over events")
)]
pub(crate) use self::store::{Page, PageLimits, Refill, Reload, Store, Stored};
pub(crate) use self::waiter::Waiter;

#[cfg(test)]
mod tests;
