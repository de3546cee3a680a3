//! Workers and a server in simulated time: whatever stops, is cut off or dies, the
//! first deliveries of a repository are in order, and every event is delivered. Without
//! the gate they are not, and without the lease many more events are delivered again.
//!
//! The server is a model of what nats-server was observed to do: it delivers again
//! each event when *its* wait is over, in any order, and newer ones meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

use super::super::lease::Lease;
use super::{Action, Delivered, Partition, Progress};

mod server;
mod worker;

use self::server::Server;
use self::worker::Worker;

/// Simulated milliseconds, and how far one step goes.
const STEP: u64 = 10;
const ACK_WAIT: u64 = 1500;
const PIN_TTL: u64 = 1000;
const EXPIRES: u64 = 300;
/// The most events under way.
const MOST: usize = 8;
const REPOSITORIES: u64 = 3;
const EVENTS: u64 = 400;

#[derive(Clone, Copy, Debug)]
struct Rules {
    pins: bool,
    gate: bool,
    lease: bool,
}

enum ToWorker {
    Deliver {
        sequence: u64,
        number: u64,
        pin: u64,
    },
    Answer {
        asked: Instant,
        progress: Progress,
    },
    Progressed {
        sequence: u64,
        told: Instant,
    },
    Acknowledged(u64),
    LostPin,
}

enum ToServer {
    Poll { pin: Option<String> },
    Ask { asked: Instant },
    Progress { sequence: u64, told: Instant },
    Acknowledge(u64),
}

struct World {
    rules: Rules,
    base: Instant,
    now: u64,
    random: Rng,
    server: Server,
    workers: Vec<Worker>,
    /// The deliveries of each repository, repetitions included.
    received: Vec<Vec<u64>>,
}

impl World {
    fn new(seed: u64, rules: Rules) -> Self {
        let base = Instant::now();
        let workers = (0..3).map(|_| Worker::new(base, rules)).collect();
        Self {
            rules,
            base,
            now: 0,
            random: Rng::with_seed(seed),
            server: Server::default(),
            workers,
            received: vec![Vec::new(); usize::try_from(REPOSITORIES).unwrap()],
        }
    }

    fn instant(&self, at: u64) -> Instant {
        self.base + Duration::from_millis(at)
    }

    /// Runs with faults until everything is published, then without until everything
    /// is acknowledged. Returns what is wrong.
    fn run(mut self) -> Result<usize, String> {
        let end = 400_000;
        while self.server.acknowledged() < EVENTS {
            if self.now > end {
                let (server, pending) = (&self.server, &self.server.pending);
                return Err(format!(
                    "stuck: {} of {EVENTS}, {pending:?}",
                    server.delivered
                ));
            }
            self.now += STEP;
            if self.server.published < EVENTS {
                if self.random.u8(..) < 40 {
                    self.server.published +=
                        self.random.u64(1..4).min(EVENTS - self.server.published);
                }
                self.fault();
            }
            self.serve();
            for worker in 0..self.workers.len() {
                self.work(worker);
            }
        }
        self.check()
    }

    /// Returns the number of repetitions if the first deliveries are in order.
    fn check(&self) -> Result<usize, String> {
        let mut repetitions = 0;
        for (repository, received) in self.received.iter().enumerate() {
            let (mut seen, mut last) = (BTreeSet::new(), 0);
            for sequence in received {
                if !seen.insert(*sequence) {
                    repetitions += 1;
                } else if *sequence < last {
                    return Err(format!("{repository}: {sequence} after {last}"));
                } else {
                    last = *sequence;
                }
            }
            let expected = (1..=EVENTS).filter(|it| it % REPOSITORIES == repository as u64);
            if seen.len() != expected.count() {
                return Err(format!("{repository}: lost events"));
            }
        }
        Ok(repetitions)
    }

    fn fault(&mut self) {
        let count = self.workers.len();
        let worker = self.random.usize(0..count);
        match self.random.u32(0..800) {
            // Stopped for less or more than the waits.
            0..=3 => {
                let pause = self.random.u64(100..4000);
                let stalls = self.random.bool();
                let own = &mut self.workers[worker];
                own.stopped_until = self.now + pause;
                // What it has said may leave it only when it goes on.
                if stalls {
                    own.outbox.iter_mut().for_each(|(at, _)| *at += pause);
                }
            }
            // Killed, and another one starts.
            4 => self.workers[worker] = Worker::new(self.instant(self.now), self.rules),
            // Cut off: what is under way is lost.
            5 | 6 => self.cut(worker),
            7 => {
                (0..count).for_each(|worker| self.cut(worker));
                let again = self.now + ACK_WAIT;
                self.server.pending.values_mut().for_each(|at| *at = again);
                self.server.again.clear();
                self.server.pin = None;
                self.server.polled.clear();
            }
            _ => {}
        }
    }

    fn cut(&mut self, worker: usize) {
        self.workers[worker].inbox.clear();
        self.workers[worker].outbox.clear();
    }

    fn latency(&mut self) -> u64 {
        self.random.u64(1..40)
    }

    fn send_to_worker(&mut self, worker: usize, packet: ToWorker) {
        let at = self.now + self.latency();
        let inbox = &mut self.workers[worker].inbox;
        // A connection keeps the order.
        let at = at.max(inbox.back().map_or(0, |(at, _)| *at));
        inbox.push_back((at, packet));
    }
}

/// How many runs to make, or the one to repeat.
fn seeds(short: u64) -> std::ops::Range<u64> {
    let variable = |name| Some(std::env::var(name).ok()?.parse().unwrap());
    match variable("PARTITION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..variable("PARTITION_SEEDS").unwrap_or(short),
    }
}

const PINNED: Rules = Rules {
    pins: true,
    gate: true,
    lease: true,
};

/// The outcome of some runs.
#[derive(Debug, Default)]
struct Outcome {
    repetitions: usize,
    out_of_order: usize,
}

fn outcome(rules: Rules) -> Outcome {
    let mut outcome = Outcome::default();
    for seed in 0..30 {
        match World::new(seed, rules).run() {
            Ok(repetitions) => outcome.repetitions += repetitions,
            Err(error) => outcome.out_of_order += usize::from(error.contains(" after ")),
        }
    }
    outcome
}

#[test]
fn first_deliveries_are_in_order_whatever_happens_to_the_workers() {
    let mut repetitions = 0;
    for seed in seeds(60) {
        match World::new(seed, PINNED).run() {
            Ok(more) => repetitions += more,
            Err(error) => panic!("PARTITION_SEED={seed}: {error}"),
        }
    }
    assert!(repetitions > 0, "nothing went wrong");
}

#[test]
fn so_they_are_without_pins_one_at_a_time() {
    let rules = Rules {
        pins: false,
        gate: false,
        ..PINNED
    };
    for seed in seeds(20) {
        if let Err(error) = World::new(seed, rules).run() {
            panic!("PARTITION_SEED={seed}: {error}");
        }
    }
}

#[test]
fn without_the_gate_first_deliveries_are_out_of_order() {
    let rules = Rules {
        gate: false,
        ..PINNED
    };
    let outcome = outcome(rules);
    assert!(outcome.out_of_order > 5, "{outcome:?}");
}

#[test]
fn without_the_lease_more_is_delivered_again() {
    let rules = Rules {
        lease: false,
        ..PINNED
    };
    let (without, with) = (outcome(rules), outcome(PINNED));
    assert_eq!((without.out_of_order, with.out_of_order), (0, 0));
    assert!(
        without.repetitions > 2 * with.repetitions,
        "{without:?}, {with:?}"
    );
}
