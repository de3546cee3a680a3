//! Takes events out of an endpoint's queue and delivers them: [`Worker`].
//!
//! One task does it all: it forms batches, posts as many at a time as the endpoint's
//! concurrency allows, and keeps those that wait for another attempt. Repositories
//! with a batch under way or waiting are busy, so that their order holds.
//!
//! ```text
//! run ─▶ launch ─▶ attempt ─▶ judge ─┬─▶ settle: delivered, or a dead letter
//!          ▲                         └─▶ retry: parked until it is due ─┐
//!          └────────────────────────────────────────────────────────────┘
//! ```
//!
//! `run.rs` waits for what is next, and `close.rs` accounts for what is left at
//! the end.

mod close;
mod gate;
mod give_back;
mod in_flight;
mod judge;
mod launch;
mod repoll;
mod retry;
mod run;
mod settle;

use std::sync::{Arc, Mutex};

pub(crate) use self::close::DEAD_LETTERS_TIMEOUT;
pub(super) use self::in_flight::InFlight;
use super::batch_settings::Batch;
use super::dead_letter::DeadLetterWriter;
use super::delivery::{Poster, Transport};
use super::retry::Retry;
use super::running::Leftover;
use super::status::Counts;
use super::switch::Switch;
use crate::queue::Queue;
use crate::sink::Sink;

/// Delivers the events of one endpoint.
pub(super) struct Worker {
    pub(super) name: Arc<str>,
    pub(super) queue: Arc<Queue>,
    pub(super) counts: Arc<Counts>,
    pub(super) dead_letters: Arc<DeadLetterWriter>,
    pub(super) switch: Arc<Switch>,
    pub(super) poster: Arc<Poster>,
    pub(super) transport: Transport,
    /// The sink that events are written to instead of being posted.
    pub(super) destination: Option<Arc<dyn Sink>>,
    pub(super) retry: Retry,
    pub(super) concurrency: usize,
    pub(super) batch: Batch,
    pub(super) random: fastrand::Rng,
    pub(super) in_flight: InFlight,
    /// The account of the events that were left at the end.
    pub(super) leftover: Arc<Mutex<Leftover>>,
}
