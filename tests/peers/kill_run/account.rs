//! What the clients did, and what the receiver got: [`Account`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tower_registry_notifications::event::{Action, Event};

/// How long the last events may take to arrive.
const PATIENCE: Duration = Duration::from_secs(180);

/// One operation. No two are the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Operation {
    pub(crate) action: Action,
    pub(crate) repository: String,
    pub(crate) digest: String,
}

#[derive(Debug, Default)]
pub(crate) struct Account(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Every operation that was begun, with its place among those of its
    /// repository, which follow one another.
    begun: HashMap<Operation, usize>,
    acknowledged: HashSet<Operation>,
    /// Acknowledged ones that the receiver has not got.
    missing: HashSet<Operation>,
    /// Ids of the events that the receiver got, in order.
    received: Vec<(Operation, String)>,
    seen: HashMap<Operation, String>,
}

impl Account {
    pub(crate) fn begin(&self, operation: &Operation) {
        let mut state = self.0.lock().unwrap();
        let place = state.begun.len();
        state.begun.insert(operation.clone(), place);
    }

    /// A client has got its 2xx, and of a pull the last byte.
    pub(crate) fn acknowledge(&self, operation: &Operation) {
        let mut state = self.0.lock().unwrap();
        if !state.seen.contains_key(operation) {
            state.missing.insert(operation.clone());
        }
        state.acknowledged.insert(operation.clone());
    }

    pub(crate) fn receive(&self, event: Event) {
        let operation = Operation {
            action: event.action,
            repository: event.target.repository,
            digest: event.target.descriptor.digest,
        };
        let mut state = self.0.lock().unwrap();
        state.missing.remove(&operation);
        let first = state.seen.entry(operation.clone());
        first.or_insert_with(|| event.id.clone());
        state.received.push((operation, event.id));
    }

    pub(crate) fn missing(&self) -> usize {
        self.0.lock().unwrap().missing.len()
    }

    /// How many events the receiver got, each counted once.
    pub(crate) fn received(&self) -> usize {
        self.0.lock().unwrap().seen.len()
    }

    /// Waits until the receiver has got all that was acknowledged, or for too long.
    pub(crate) async fn until_complete(&self) {
        let began = Instant::now();
        while self.missing() > 0 && began.elapsed() < PATIENCE {
            sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) fn summary(&self) -> String {
        let state = self.0.lock().unwrap();
        let (acknowledged, unique) = (state.acknowledged.len(), state.seen.len());
        format!(
            "{} operations begun, {acknowledged} acknowledged, {unique} events received, \
             {} of them again, {} missing",
            state.begun.len(),
            state.received.len() - unique,
            state.missing.len()
        )
    }

    pub(crate) fn check(&self, repeat: &str) {
        let state = self.0.lock().unwrap();
        assert!(!state.acknowledged.is_empty(), "nothing was acknowledged");
        let missing: Vec<_> = state.missing.iter().take(5).collect();
        assert!(missing.is_empty(), "{repeat} lacks {missing:?}");
        let mut places = BTreeMap::<&str, Vec<usize>>::new();
        let mut came = HashSet::new();
        for (operation, id) in &state.received {
            let place = state.begun.get(operation);
            let place = place.unwrap_or_else(|| panic!("{repeat}: {operation:?} was invented"));
            assert_eq!(state.seen.get(operation), Some(id), "{repeat}: another id");
            if came.insert(operation) {
                places
                    .entry(&operation.repository)
                    .or_default()
                    .push(*place);
            }
        }
        for (repository, places) in places {
            assert!(places.is_sorted(), "{repeat}: {repository} is out of order");
        }
    }
}
