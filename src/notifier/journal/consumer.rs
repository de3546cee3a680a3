//! The queues as the consumer of the journal: [`Queues`].

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use ::metrics::Histogram;
use tokio::runtime::Handle;

use super::metrics;
use super::store::stored;
use super::store_state::StoreState;
use crate::dead_letter::Reason;
use crate::endpoint::Running;
use crate::endpoint::dead_letter::{Cause, DeadLetterWriter};
use crate::journal::{Backlog, Consumer, EndpointId, Stored};
use crate::queue::{Entry, Position, Queue};

/// The queues of the endpoints, by their number in the journal.
///
/// It keeps no queue alive, because that would be a circle: the queues have the journal,
/// and the journal has this.
pub(super) struct Queues {
    /// The queues and their surroundings, in the order in which they are attached.
    queues: Vec<EndpointQueue>,
    /// The index of each endpoint by its id, once the journal is attached.
    ids: OnceLock<HashMap<EndpointId, usize>>,
    /// Where dead letters are written.
    runtime: Option<Handle>,
    syncs: Histogram,
}

struct EndpointQueue {
    queue: Weak<Queue>,
    dead_letters: Weak<DeadLetterWriter>,
    state: Arc<StoreState>,
}

impl Queues {
    /// Creates the consumer of these endpoints, each with what it shares with its store.
    pub(super) fn new(endpoints: &[Arc<Running>], states: Vec<Arc<StoreState>>) -> Self {
        let queue = |(endpoint, state): (&Arc<Running>, _)| {
            let (queue, dead_letters) = endpoint.parts();
            let state: Arc<StoreState> = state;
            state.set_endpoint(endpoint);
            EndpointQueue {
                queue: Arc::downgrade(queue),
                dead_letters: Arc::downgrade(dead_letters),
                state,
            }
        };
        Self {
            queues: endpoints.iter().zip(states).map(queue).collect(),
            ids: OnceLock::new(),
            runtime: Handle::try_current().ok(),
            syncs: metrics::syncs(),
        }
    }

    fn find(&self, endpoint: EndpointId) -> Option<&EndpointQueue> {
        self.queues.get(*self.ids.get()?.get(&endpoint)?)
    }

    fn queue(&self, endpoint: EndpointId) -> Option<Arc<Queue>> {
        self.find(endpoint)?.queue.upgrade()
    }
}

impl Consumer for Queues {
    fn attached(&self, endpoints: &[Backlog], end: u64) {
        for (backlog, found) in endpoints.iter().zip(&self.queues) {
            found.state.set_id(backlog.endpoint);
            if let Some(queue) = found.queue.upgrade() {
                // Those that it may not want are never offered.
                queue.recover(Position(backlog.adopted));
                let events = usize::try_from(backlog.events).unwrap_or(usize::MAX);
                queue.announce(events, Position(end));
            }
        }
        let ids = endpoints.iter().map(|it| it.endpoint).zip(0..).collect();
        let _first = self.ids.set(ids);
    }

    fn deliver(&self, endpoint: EndpointId, events: &[Stored]) {
        if let Some(queue) = self.queue(endpoint) {
            let events: Vec<_> = events.iter().cloned().map(stored).collect();
            queue.offer(&events);
        }
    }

    fn expire(&self, endpoint: EndpointId, mut events: Vec<Stored>, reason: Reason) -> bool {
        let Some(found) = self.find(endpoint) else {
            return false;
        };
        let (Some(queue), Some(dead_letters), Some(runtime)) = (
            found.queue.upgrade(),
            found.dead_letters.upgrade(),
            &self.runtime,
        ) else {
            return false;
        };
        // The letters of these events were lost before, or the endpoint does not want them.
        // They end without a letter.
        for position in found.state.expire(&mut events) {
            queue.settle_forgotten(Some(position));
        }
        let mut under_way: HashSet<_> = events.iter().map(|it| Position(it.position)).collect();
        let expired = queue.expire(events.into_iter().map(stored).collect());
        for position in expired.iter().filter_map(Entry::position) {
            under_way.remove(&position);
        }
        if !expired.is_empty() {
            // In a task of its own, because the journal must not wait: it may be the one that
            // keeps the letters.
            runtime.spawn(async move {
                let (expired, cause) = (expired.into_iter().map(untried), Cause::default());
                let told = |_| {};
                dead_letters
                    .bury_all(&queue, expired, reason, &cause, None, told)
                    .await;
            });
        }
        under_way.is_empty()
    }

    fn synced(&self, duration: Duration) {
        self.syncs.record(duration);
    }

    fn recovered(&self, end: u64) {
        let queues = self.queues.iter().filter_map(|it| it.queue.upgrade());
        queues.for_each(|queue| queue.recover(Position(end)));
    }
}

/// Pairs an event with the account of no attempts.
fn untried<T, U: Default>(entry: T) -> (T, U) {
    (entry, U::default())
}
