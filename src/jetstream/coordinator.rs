//! The task of a worker that concerns all of its endpoints: [`Coordinator`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Subscriber};
use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio::time::{Instant, interval, timeout};

use super::balance::{Members, PRESENCE, Presence};
use super::connection::is_connected;
use super::consumer::Assignment;
use super::maintenance::Maintenance;

/// How long a worker listens for others before it serves partitions.
const LISTEN: Duration = Duration::from_millis(1500);

/// Keeps the list of workers, assigns the partitions, and does the maintenance of the stream.
pub(super) struct Coordinator {
    pub(super) client: Client,
    pub(super) subject: String,
    pub(super) heard: Subscriber,
    pub(super) partitions: u16,
    pub(super) members: Members,
    pub(super) assignment: watch::Sender<Assignment>,
    pub(super) maintenance: Maintenance,
    pub(super) every: Duration,
}

impl Coordinator {
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let start = Instant::now();
        let mut presence = interval(PRESENCE);
        let mut look = start + self.every;
        loop {
            tokio::select! {
                Some(message) = self.heard.next() => {
                    if let Ok(heard) = serde_json::from_slice(&message.payload)
                        && self.members.record(Instant::now(), heard)
                    {
                        // The other worker has just started and does not know this one.
                        self.announce(false).await;
                    }
                }
                _ = presence.tick() => self.announce(false).await,
                () = stopped(&mut stop) => break,
            }
            let now = Instant::now();
            self.members.expire(now);
            // By then every running worker has answered.
            if now >= start + LISTEN {
                self.assign();
            }
            if now >= look {
                look = now + self.every;
                let own = self.maintained_partitions();
                // Bounded: while it lasts, nobody hears of this worker.
                let maintenance = self.maintenance.look(&own, &self.members);
                if timeout(PRESENCE, maintenance).await.is_err() {
                    // There is more to do.
                    look = now + 2 * PRESENCE;
                }
            }
        }
        // The consumers give up their partitions. Other workers need not wait until this one
        // counts as gone.
        self.assignment.send_replace(None);
        self.announce(true).await;
    }

    async fn announce(&self, leaves: bool) {
        let own = self.members.own().clone();
        let presence = serde_json::to_vec(&Presence { leaves, ..own });
        if let Ok(presence) = presence
            && is_connected(&self.client)
        {
            let _closed = self
                .client
                .publish(self.subject.clone(), presence.into())
                .await;
        }
    }

    fn assign(&self) {
        let endpoints = self.members.own().endpoints.iter();
        let own = endpoints.map(|endpoint| {
            let partitions = self.members.own_partitions(endpoint, self.partitions);
            (endpoint.clone(), partitions)
        });
        let own = Some(Arc::new(own.collect::<HashMap<_, _>>()));
        self.assignment.send_if_modified(|assignment| {
            let changes = *assignment != own;
            if changes {
                assignment.clone_from(&own);
            }
            changes
        });
    }

    /// Returns the partitions whose maintenance this worker does: those that it serves for its
    /// first endpoint. Every partition has such a worker.
    fn maintained_partitions(&self) -> Vec<u16> {
        let Some(first) = self.members.own().endpoints.first() else {
            return Vec::new();
        };
        let own = self.members.own_partitions(first, self.partitions);
        let numbered = (0..self.partitions).zip(own);
        numbered
            .filter(|(_, own)| *own)
            .map(|(partition, _)| partition)
            .collect()
    }
}

/// Resolves when the worker is to stop, or is dropped.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _stopped = stop.wait_for(|stop| *stop).await;
}
