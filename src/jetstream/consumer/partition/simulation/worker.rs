//! A worker, and the queue in it.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::{
    ACK_WAIT, Action, Delivered, EXPIRES, Lease, Partition, REPOSITORIES, Rules, STEP, ToServer,
    ToWorker, World,
};

/// An event that is with the worker's queue.
pub(super) struct Queued {
    pub(super) sequence: u64,
    pub(super) lease: Lease,
    /// Not tried before.
    pub(super) due: u64,
    /// When the attempt ends, and whether it succeeds.
    pub(super) attempt: Option<(u64, bool)>,
}

pub(super) struct Worker {
    pub(super) partition: Partition<()>,
    pub(super) queue: Vec<Queued>,
    pub(super) inbox: VecDeque<(u64, ToWorker)>,
    pub(super) outbox: VecDeque<(u64, ToServer)>,
    pub(super) stopped_until: u64,
    /// When it last had nothing to read.
    pub(super) idle: u64,
}

impl Worker {
    pub(super) fn new(now: Instant, rules: Rules) -> Self {
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

    pub(super) fn receive(&mut self, now: Instant, came: Instant, packet: ToWorker) {
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

impl World {
    pub(super) fn work(&mut self, worker: usize) {
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
            own.receive(now, came, packet);
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

    pub(super) fn send_to_server(&mut self, worker: usize, packet: ToServer) {
        let at = self.now + self.latency();
        let outbox = &mut self.workers[worker].outbox;
        let at = at.max(outbox.back().map_or(0, |(at, _)| *at));
        outbox.push_back((at, packet));
    }

    pub(super) fn perform(&mut self, worker: usize, action: Action) {
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
    pub(super) fn attempt(&mut self, worker: usize) {
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
