//! The model of nats-server.

use std::collections::{BTreeMap, HashMap};

use super::{ACK_WAIT, EXPIRES, MOST, PIN_TTL, Progress, ToServer, ToWorker, World};

/// A consumer of nats-server.
#[derive(Default)]
pub(super) struct Server {
    pub(super) published: u64,
    pub(super) delivered: u64,
    pub(super) number: u64,
    /// When each event under way is delivered again.
    pub(super) pending: BTreeMap<u64, u64>,
    /// Those whose time has come.
    pub(super) again: Vec<u64>,
    pub(super) pin: Option<(usize, u64)>,
    pub(super) pins: u64,
    pub(super) polled: HashMap<usize, u64>,
}

impl Server {
    pub(super) fn acknowledged(&self) -> u64 {
        self.delivered - self.pending.len() as u64
    }
}

impl World {
    pub(super) fn serve(&mut self) {
        for worker in 0..self.workers.len() {
            while let Some((at, _)) = self.workers[worker].outbox.front()
                && *at <= self.now
            {
                let (_, packet) = self.workers[worker].outbox.pop_front().unwrap();
                self.receive(worker, packet);
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

    pub(super) fn deliver(&mut self) {
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

    pub(super) fn receive(&mut self, worker: usize, packet: ToServer) {
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
}
