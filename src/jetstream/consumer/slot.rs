//! A partition as a worker serves it: [`Slot`].

use std::time::Duration;

use tokio::time::Instant;

use super::partition::Partition;
use super::poll::Poll;
use super::received::Received;

/// A partition as a worker serves it.
pub(super) struct Slot {
    pub(super) consumer: String,
    pub(super) partition: Partition<Received>,
    pub(super) poll: Poll,
    pub(super) phase: Phase,
    /// Messages that the server has not delivered, as of its last answer.
    pub(super) left: u64,
    /// When the server was last asked for that number.
    pub(super) asked: Instant,
    /// Whether anything has happened since [`Partition::act`] was called last.
    pub(super) touched: bool,
}

/// Whether the worker serves the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Another worker serves the partition, or nobody does.
    Away,
    Serving,
    /// The worker gives the partition up, and waits for the events that are with the queue.
    Leaving,
    /// The server was told to give the pin to another worker.
    Unpinning {
        since: Instant,
    },
}

/// How long the server may take to unpin.
const UNPIN: Duration = Duration::from_secs(2);

/// What is next for a partition that is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReleaseStep {
    Wait,
    Unpin,
    /// Give back what is held.
    Abandon,
}

impl Slot {
    pub(super) fn new(consumer: String, ack_wait: Duration, pins: bool, now: Instant) -> Self {
        let mut partition = Partition::new(ack_wait, pins, now);
        partition.leave(now);
        Self {
            consumer,
            partition,
            poll: Poll::new(now),
            phase: Phase::Away,
            left: 0,
            asked: now,
            touched: true,
        }
    }

    /// Sets whether the worker is to serve the partition.
    pub(super) fn serve(&mut self, now: Instant, serve: bool) {
        match (self.phase, serve) {
            (Phase::Away, true) => {
                self.phase = Phase::Serving;
                self.poll = Poll::new(now);
                self.partition.join();
            }
            (Phase::Serving, false) => {
                self.phase = Phase::Leaving;
                self.partition.leave(now);
            }
            // Giving up a partition is not interrupted: another worker may already have
            // been told to serve it.
            _ => {}
        }
    }

    pub(super) fn release_step(&mut self, now: Instant, pins: bool) -> ReleaseStep {
        match self.phase {
            Phase::Leaving if !self.partition.has_left(now) => ReleaseStep::Wait,
            Phase::Leaving if pins && self.partition.pin().is_some() => {
                self.phase = Phase::Unpinning { since: now };
                ReleaseStep::Unpin
            }
            Phase::Leaving => ReleaseStep::Abandon,
            Phase::Unpinning { since } if now >= since + UNPIN => ReleaseStep::Abandon,
            Phase::Away | Phase::Serving | Phase::Unpinning { .. } => ReleaseStep::Wait,
        }
    }

    pub(super) fn abandon(&mut self, now: Instant) -> Vec<Received> {
        self.phase = Phase::Away;
        self.left = 0;
        self.partition.abandon(now)
    }
}
