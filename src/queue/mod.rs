//! Holds the accepted events of one endpoint until they are settled: [`Queue`].
//!
//! A queue is [lanes](lanes) for the order and [bounds](bounds) for the memory.
//! It has many writers and one reader. Its events live in memory only, or in a
//! [store](store) that outlives the process: then the queue is a
//! [window](window) over the store, and what does not fit into its bounds stays
//! there.
//!
//! | file | its job |
//! | --- | --- |
//! | `queue.rs` | the queue: the reader's side, and how an event ends |
//! | `admission.rs`, `waiter.rs` | writes to a queue, and writers that wait for room |
//! | `window.rs` | events that a store hands over; how far the queue has read its store |
//! | `leased.rs` | events that a store lends, and gets back |
//! | `store.rs` | the contract of a store |
//! | `lanes.rs`, `entry.rs` | the order; an event with its place in it |
//! | `expire.rs` | events that a store gives up |
//! | `bounds.rs`, `overflow.rs` | how much fits, and what happens when nothing does |

mod admission;
mod bounds;
mod entry;
mod expire;
mod lanes;
mod leased;
mod overflow;
#[expect(
    clippy::module_inception,
    reason = "it holds `Queue`, and this file only docs"
)]
mod queue;
mod store;
mod waiter;
mod window;

pub(crate) use self::admission::{Admission, Numbering};
pub(crate) use self::bounds::{Limits, Refused};
pub(crate) use self::entry::Entry;
pub use self::overflow::Overflow;
pub(crate) use self::queue::{Abandoned, Occupied, Queue};
pub(crate) use self::store::Position;
#[cfg_attr(
    not(test),
    allow(unused_imports, reason = "without stores, nobody hands over events")
)]
pub(crate) use self::store::{Page, Refill, Reload, Room, Store, Stored};
pub(crate) use self::waiter::Waiter;

#[cfg(test)]
mod tests;
