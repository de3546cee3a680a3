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
#[derive(Default)]
pub(super) struct Queues(OnceLock<State>);

struct State {
    parts: HashMap<EndpointId, Parts>,
    /// Where dead letters are written.
    runtime: Option<Handle>,
}

struct Parts {
    queue: Weak<Queue>,
    dead_letters: Weak<DeadLetterWriter>,
}

impl Queues {
    /// Sets what the journal delivers to. It is called once, before anything is
    /// written.
    pub(super) fn set(&self, ids: &[EndpointId], endpoints: &[Arc<Running>]) {
        let parts = |endpoint: &Arc<Running>| {
            let (queue, dead_letters) = endpoint.parts();
            Parts {
                queue: Arc::downgrade(queue),
                dead_letters: Arc::downgrade(dead_letters),
            }
        };
        let parts = ids.iter().copied().zip(endpoints.iter().map(parts));
        let state = State {
            parts: parts.collect(),
            runtime: Handle::try_current().ok(),
        };
        let _first = self.0.set(state);
    }

    fn queue(&self, endpoint: EndpointId) -> Option<Arc<Queue>> {
        self.0.get()?.parts.get(&endpoint)?.queue.upgrade()
    }
}

impl Consumer for Queues {
    fn deliver(&self, endpoint: EndpointId, events: &[Stored]) {
        if let Some(queue) = self.queue(endpoint) {
            let events: Vec<_> = events.iter().cloned().map(stored).collect();
            queue.offer(&events);
        }
    }

    fn expire(&self, endpoint: EndpointId, events: Vec<Stored>, reason: Reason) {
        let state = self.0.get();
        let parts = state.and_then(|state| Some((state.parts.get(&endpoint)?, state)));
        let Some((
            Parts {
                queue,
                dead_letters,
            },
            state,
        )) = parts
        else {
            return;
        };
        let (Some(queue), Some(dead_letters), Some(runtime)) =
            (queue.upgrade(), dead_letters.upgrade(), &state.runtime)
        else {
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
        let parts = self.0.get().into_iter().flat_map(|it| it.parts.values());
        let queues = parts.filter_map(|it| it.queue.upgrade());
        queues.for_each(|queue| queue.recover(Position(end)));
    }
}

/// An event with the account of no attempts.
fn untried<T, U: Default>(entry: T) -> (T, U) {
    (entry, U::default())
}
