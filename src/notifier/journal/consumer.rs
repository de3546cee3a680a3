//! The queues as the consumer of the journal: [`Queues`].

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, Weak};

use tokio::runtime::Handle;

use super::store::stored;
use crate::dead_letter::Reason;
use crate::endpoint::Running;
use crate::endpoint::dead_letter::{Cause, DeadLetterWriter};
use crate::journal::{Consumer, EndpointId, Stored};
use crate::queue::{Position, Queue};

/// The queues of the endpoints, by their number in the journal.
///
/// It keeps none of them alive: they have the journal, and the journal has it.
pub(super) struct Queues {
    /// In the order in which they are attached.
    parts: Vec<Parts>,
    /// Which of them has which number, once they are attached.
    ids: OnceLock<HashMap<EndpointId, usize>>,
    /// Where dead letters are written.
    runtime: Option<Handle>,
}

struct Parts {
    queue: Weak<Queue>,
    dead_letters: Weak<DeadLetterWriter>,
    /// Tells the store its number.
    id: Arc<OnceLock<EndpointId>>,
}

impl Queues {
    /// What the journal is to deliver to, with where the store of each endpoint
    /// learns its number.
    pub(super) fn new(endpoints: &[Arc<Running>], ids: Vec<Arc<OnceLock<EndpointId>>>) -> Self {
        let parts = |(endpoint, id): (&Arc<Running>, _)| {
            let (queue, dead_letters) = endpoint.parts();
            Parts {
                queue: Arc::downgrade(queue),
                dead_letters: Arc::downgrade(dead_letters),
                id,
            }
        };
        Self {
            parts: endpoints.iter().zip(ids).map(parts).collect(),
            ids: OnceLock::new(),
            runtime: Handle::try_current().ok(),
        }
    }

    fn parts(&self, endpoint: EndpointId) -> Option<&Parts> {
        self.parts.get(*self.ids.get()?.get(&endpoint)?)
    }

    fn queue(&self, endpoint: EndpointId) -> Option<Arc<Queue>> {
        self.parts(endpoint)?.queue.upgrade()
    }
}

impl Consumer for Queues {
    fn attached(&self, endpoints: &[(EndpointId, u64)], end: u64) {
        for ((id, waiting), parts) in endpoints.iter().zip(&self.parts) {
            // Each is set once, here.
            let _first = parts.id.set(*id);
            if let Some(queue) = parts.queue.upgrade() {
                queue.announce(
                    usize::try_from(*waiting).unwrap_or(usize::MAX),
                    Position(end),
                );
            }
        }
        let ids = endpoints.iter().map(|(id, _)| *id).zip(0..).collect();
        let _first = self.ids.set(ids);
    }

    fn deliver(&self, endpoint: EndpointId, events: &[Stored]) {
        if let Some(queue) = self.queue(endpoint) {
            let events: Vec<_> = events.iter().cloned().map(stored).collect();
            queue.offer(&events);
        }
    }

    fn expire(&self, endpoint: EndpointId, events: Vec<Stored>, reason: Reason) {
        let Some(parts) = self.parts(endpoint) else {
            return;
        };
        let (Some(queue), Some(dead_letters), Some(runtime)) = (
            parts.queue.upgrade(),
            parts.dead_letters.upgrade(),
            &self.runtime,
        ) else {
            return;
        };
        let expired = queue.expire(events.into_iter().map(stored).collect());
        if expired.is_empty() {
            return;
        }
        // The journal waits for nobody: it may keep the letters itself.
        runtime.spawn(async move {
            let (expired, cause) = (expired.into_iter().map(untried), Cause::default());
            let told = |_| {};
            dead_letters
                .bury_all(&queue, expired, reason, &cause, None, told)
                .await;
        });
    }

    fn recovered(&self, end: u64) {
        let queues = self.parts.iter().filter_map(|it| it.queue.upgrade());
        queues.for_each(|queue| queue.recover(Position(end)));
    }
}

/// An event with the account of no attempts.
fn untried<T, U: Default>(entry: T) -> (T, U) {
    (entry, U::default())
}
