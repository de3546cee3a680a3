//! Workers and a server in simulated time: whatever stops, is cut off or dies, the
//! first deliveries of a repository are in order, and every event is delivered. Without
//! the gate they are not, and without the lease many more events are delivered again.
//!
//! The server is a model of what nats-server was observed to do: it delivers again
//! each event when *its* wait is over, in any order, and newer ones meanwhile.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

use super::super::lease::Lease;
use super::{Action, Delivered, Partition, Progress};

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

/// A consumer of nats-server.
#[derive(Default)]
struct Server {
    published: u64,
    delivered: u64,
    number: u64,
    /// When each event under way is delivered again.
    pending: BTreeMap<u64, u64>,
    /// Those whose time has come.
    again: Vec<u64>,
    pin: Option<(usize, u64)>,
    pins: u64,
    polled: HashMap<usize, u64>,
}

/// An event that is with the worker's queue.
struct Queued {
    sequence: u64,
    lease: Lease,
    /// Not tried before.
    due: u64,
    /// When the attempt ends, and whether it succeeds.
    attempt: Option<(u64, bool)>,
}

struct Worker {
    partition: Partition<()>,
    queue: Vec<Queued>,
    inbox: VecDeque<(u64, ToWorker)>,
    outbox: VecDeque<(u64, ToServer)>,
    stopped_until: u64,
    /// When it last had nothing to read.
    idle: u64,
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

    fn serve(&mut self) {
        for worker in 0..self.workers.len() {
            while let Some((at, _)) = self.workers[worker].outbox.front()
                && *at <= self.now
            {
                let (_, packet) = self.workers[worker].outbox.pop_front().unwrap();
                self.hear(worker, packet);
            }
        }
        let (now, server) = (self.now, &mut self.server);
        for (sequence, at) in &server.pending {
            if *at <= now && !server.again.contains(sequence) {
                server.again.push(*sequence);
            }
        }
        self.random.shuffle(&mut server.again);
        if let Some((worker, _)) = server.pin
            && server
                .polled
                .get(&worker)
                .is_none_or(|at| at + PIN_TTL <= now)
        {
            server.pin = None;
        }
        let polling = |at: &u64| at + EXPIRES > now;
        if server.pin.is_none() {
            let mut waiting: Vec<_> = server.polled.iter().filter(|it| polling(it.1)).collect();
            waiting.sort_unstable();
            if let Some((worker, _)) = self.random.choice(&waiting) {
                server.pins += 1;
                server.pin = Some((**worker, server.pins));
            }
        }
        self.deliver();
    }

    fn deliver(&mut self) {
        loop {
            let now = self.now;
            let server = &mut self.server;
            let polling = |worker: &usize| {
                server
                    .polled
                    .get(worker)
                    .is_some_and(|at| at + EXPIRES > now)
            };
            let to = match (self.rules.pins, server.pin) {
                (true, Some((worker, pin))) => polling(&worker).then_some((worker, pin)),
                (true, None) => None,
                // Whoever asks.
                (false, _) => {
                    let workers: Vec<_> = (0..self.workers.len()).filter(polling).collect();
                    self.random.choice(workers).map(|worker| (worker, 0))
                }
            };
            let Some((worker, pin)) = to else { return };
            let most = if self.rules.pins { MOST } else { 1 };
            let sequence = match server.again.pop() {
                Some(sequence) => sequence,
                None if server.delivered < server.published && server.pending.len() < most => {
                    server.delivered += 1;
                    server.delivered
                }
                None => return,
            };
            server.pending.insert(sequence, now + ACK_WAIT);
            server.number += 1;
            let number = server.number;
            let packet = ToWorker::Deliver {
                sequence,
                number,
                pin,
            };
            self.send_to_worker(worker, packet);
        }
    }

    fn hear(&mut self, worker: usize, packet: ToServer) {
        let (now, server) = (self.now, &mut self.server);
        match packet {
            ToServer::Poll { pin } => {
                let owner = server.pin.filter(|(owner, _)| *owner == worker);
                let stale = pin.is_some() && owner.map(|(_, pin)| pin.to_string()) != pin;
                if stale && self.rules.pins {
                    return self.send_to_worker(worker, ToWorker::LostPin);
                }
                server.polled.insert(worker, now);
            }
            ToServer::Ask { asked } => {
                let progress = Progress {
                    delivered: server.delivered,
                    pending: server.pending.len(),
                };
                self.send_to_worker(worker, ToWorker::Answer { asked, progress });
            }
            ToServer::Progress { sequence, told } => {
                if let Some(at) = server.pending.get_mut(&sequence) {
                    *at = now + ACK_WAIT;
                    server.again.retain(|it| *it != sequence);
                }
                self.send_to_worker(worker, ToWorker::Progressed { sequence, told });
            }
            ToServer::Acknowledge(sequence) => {
                server.pending.remove(&sequence);
                server.again.retain(|it| *it != sequence);
                self.send_to_worker(worker, ToWorker::Acknowledged(sequence));
            }
        }
    }

    fn work(&mut self, worker: usize) {
        if self.now < self.workers[worker].stopped_until {
            return;
        }
        let now = self.instant(self.now);
        let came = self.instant(self.workers[worker].idle);
        let own = &mut self.workers[worker];
        while let Some((at, _)) = own.inbox.front()
            && *at <= self.now
        {
            let (_, packet) = own.inbox.pop_front().unwrap();
            own.hear(now, came, packet);
        }
        own.idle = self.now;
        let mut actions = Vec::new();
        own.partition.act(now, &mut actions);
        for action in actions {
            self.perform(worker, action);
        }
        self.attempt(worker);
        if self.now.is_multiple_of(EXPIRES / 2 / STEP * STEP) {
            let pin = self.workers[worker].partition.pin().map(str::to_owned);
            self.send_to_server(worker, ToServer::Poll { pin });
        }
    }

    fn send_to_server(&mut self, worker: usize, packet: ToServer) {
        let at = self.now + self.latency();
        let outbox = &mut self.workers[worker].outbox;
        let at = at.max(outbox.back().map_or(0, |(at, _)| *at));
        outbox.push_back((at, packet));
    }

    fn perform(&mut self, worker: usize, action: Action) {
        let now = self.instant(self.now);
        match action {
            Action::Ask => self.send_to_server(worker, ToServer::Ask { asked: now }),
            Action::Progress(sequence) => {
                self.send_to_server(
                    worker,
                    ToServer::Progress {
                        sequence,
                        told: now,
                    },
                );
            }
            Action::Acknowledge(sequence) => {
                self.send_to_server(worker, ToServer::Acknowledge(sequence));
            }
            Action::Admit(sequence) => {
                let own = &mut self.workers[worker];
                own.queue.push(Queued {
                    sequence,
                    lease: own.partition.lease().clone(),
                    due: 0,
                    attempt: None,
                });
            }
            Action::Revoke => {
                let own = &mut self.workers[worker];
                let partition = &mut own.partition;
                own.queue.retain(|it| {
                    let keeps = it.attempt.is_some() || it.lease.is_valid(now);
                    if !keeps {
                        partition.returned(it.sequence);
                    }
                    keeps
                });
            }
        }
    }

    /// The queue and the deliveries of a worker: one at a time for each repository, in
    /// the order of the queue, again after a while where it fails.
    fn attempt(&mut self, worker: usize) {
        let (now, instant) = (self.now, self.instant(self.now));
        let leases = self.rules.lease;
        let Worker {
            queue, partition, ..
        } = &mut self.workers[worker];
        let mut busy = BTreeSet::new();
        let mut index = 0;
        while index < queue.len() {
            let queued = &mut queue[index];
            let repository = queued.sequence % REPOSITORIES;
            if let Some((at, succeeds)) = queued.attempt
                && at <= now
            {
                if succeeds {
                    partition.settled(instant, queued.sequence);
                    queue.remove(index);
                    continue;
                }
                queued.attempt = None;
                queued.due = now + self.random.u64(10..1000);
            }
            if !busy.insert(repository) || queued.attempt.is_some() || now < queued.due {
                index += 1;
                continue;
            }
            if leases && !queued.lease.is_valid(instant) {
                partition.returned(queued.sequence);
                queue.remove(index);
                busy.remove(&repository);
                continue;
            }
            let succeeds = self.random.u8(..) > 40;
            if succeeds {
                self.received[usize::try_from(repository).unwrap()].push(queued.sequence);
            }
            queued.attempt = Some((now + self.random.u64(5..150), succeeds));
            index += 1;
        }
    }
}

impl Server {
    fn acknowledged(&self) -> u64 {
        self.delivered - self.pending.len() as u64
    }
}

impl Worker {
    fn new(now: Instant, rules: Rules) -> Self {
        let mut partition = Partition::new(Duration::from_millis(ACK_WAIT), rules.gate, now);
        if !rules.lease {
            partition.hold *= 1_000_000;
        }
        Self {
            partition,
            queue: Vec::new(),
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            stopped_until: 0,
            idle: 0,
        }
    }

    fn hear(&mut self, now: Instant, came: Instant, packet: ToWorker) {
        match packet {
            ToWorker::Deliver {
                sequence,
                number,
                pin,
            } => {
                let delivered = Delivered {
                    sequence,
                    number,
                    pin: Some(pin.to_string()),
                    came,
                    message: (),
                };
                self.partition.delivered(now, delivered, |_, ()| {});
            }
            ToWorker::Answer { asked, progress } => self.partition.answered(asked, progress),
            ToWorker::Progressed { sequence, told } => self.partition.progressed(sequence, told),
            ToWorker::Acknowledged(sequence) => self.partition.acknowledged(sequence),
            ToWorker::LostPin => self.partition.lost_pin(),
        }
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
