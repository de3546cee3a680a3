//! Endpoints: how events are queued, batched, delivered, retried and accounted for.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod batches;
mod chaos;
#[path = "../common/mod.rs"]
mod common;
mod delivery;
mod failing;
mod faults;
mod headers;
mod logs;
mod order;
mod overflow;
mod own_runtime;
mod panics;
mod pauses;
mod sequence;
mod sequence_in_journal;
mod shutdown;
mod signature;
mod status;
mod statuses;
mod traces;
mod transport;
mod warnings;
