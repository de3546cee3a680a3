//! The state that the store and the consumer of one endpoint share: [`StoreState`].

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use crate::endpoint::Running;
use crate::journal::{EndpointId, Stored};
use crate::queue::Position;

/// The largest number of events of one endpoint that stay in the journal although their
/// dead letters were lost. Beyond it the oldest end.
const MOST_LOST: usize = 10_000;

/// What the store and the consumer of one endpoint know of it.
#[derive(Default)]
pub(super) struct StoreState {
    id: OnceLock<EndpointId>,
    /// Not kept alive: it has the store, and the store has this.
    endpoint: OnceLock<Weak<Running>>,
    lost: Mutex<LostLetters>,
}

/// Events whose dead letters were lost, which was counted and logged. They stay in the
/// journal and are delivered again after a restart, unless their space is needed before.
#[derive(Debug, Default)]
struct LostLetters {
    positions: BTreeSet<Position>,
    /// The journal's limits have ended all events below this position.
    expired: Position,
}

impl StoreState {
    /// Returns its id in the journal, or `None` before the journal is attached.
    pub(super) fn id(&self) -> Option<EndpointId> {
        self.id.get().copied()
    }

    /// Sets the id when the journal is attached.
    pub(super) fn set_id(&self, id: EndpointId) {
        // Each is set once.
        let _first = self.id.set(id);
    }

    /// Sets the endpoint, before the journal is attached.
    pub(super) fn set_endpoint(&self, endpoint: &Arc<Running>) {
        let _first = self.endpoint.set(Arc::downgrade(endpoint));
    }

    /// Takes those out of what the journal has handed over that the endpoint does not
    /// want: they came before it.
    pub(super) fn take_unwanted(&self, events: &mut Vec<Stored>) -> Vec<Position> {
        let endpoint = self.endpoint.get().and_then(Weak::upgrade);
        let unwanted = |stored: &mut Stored| {
            let wants = |it: &Arc<Running>| it.wants(&stored.event);
            stored.adopted && !endpoint.as_ref().is_none_or(wants)
        };
        let taken = events.extract_if(.., unwanted);
        taken.map(|it| Position(it.position)).collect()
    }

    fn lost(&self) -> MutexGuard<'_, LostLetters> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the dead letter of an event was lost. Returns the event that has to end
    /// now: this one if its space is needed, or the oldest if there are too many.
    pub(super) fn lose(&self, position: Position) -> Option<Position> {
        let mut lost = self.lost();
        if position < lost.expired {
            return Some(position);
        }
        lost.positions.insert(position);
        match lost.positions.len() > MOST_LOST {
            true => lost.positions.pop_first(),
            false => None,
        }
    }

    /// Takes out of `events` those whose dead letters were lost before and those that the
    /// endpoint does not want, and returns them. The journal's limits end all events up to
    /// the last one.
    pub(super) fn expire(&self, events: &mut Vec<Stored>) -> Vec<Position> {
        let mut lost = self.lost();
        if let Some(last) = events.last() {
            lost.expired = lost.expired.max(Position(last.position).next());
        }
        let ended = events.extract_if(.., |it| lost.positions.remove(&Position(it.position)));
        let mut ended: Vec<_> = ended.map(|it| Position(it.position)).collect();
        drop(lost);
        ended.extend(self.take_unwanted(events));
        ended
    }
}

impl fmt::Debug for StoreState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreState")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::event::{Action, Event};

    fn stored(position: u64) -> Stored {
        Stored {
            position,
            number: None,
            since: SystemTime::now(),
            adopted: false,
            event: Event::new(Action::Pull).into(),
        }
    }

    #[test]
    fn an_event_whose_letter_is_lost_stays_until_the_limits_end_it() {
        let state = StoreState::default();
        assert_eq!(state.lose(Position(5)), None);
        assert_eq!(state.lose(Position(9)), None);
        let mut events: Vec<_> = [3, 5, 6].map(stored).into();
        assert_eq!(state.expire(&mut events), [Position(5)]);
        let left: Vec<_> = events.iter().map(|it| it.position).collect();
        assert_eq!(left, [3, 6]);
        // Whatever is lost after the limits have spoken ends.
        assert_eq!(state.lose(Position(3)), Some(Position(3)));
        assert_eq!(state.lose(Position(7)), None);
        let mut events: Vec<_> = [7, 8, 9].map(stored).into();
        assert_eq!(state.expire(&mut events), [Position(7), Position(9)]);
    }

    #[test]
    fn no_more_than_so_many_events_without_letters_stay() {
        let state = StoreState::default();
        for position in 0..MOST_LOST as u64 {
            assert_eq!(state.lose(Position(position)), None);
        }
        assert_eq!(state.lose(Position(1 << 20)), Some(Position(0)));
    }
}
