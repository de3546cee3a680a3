//! Events that a store lends, and gets back.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Mutex;
use std::time::SystemTime;

use super::*;

/// Lends all events but those that it has revoked.
#[derive(Clone, Debug, Default)]
struct LendingStore(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    revoked: HashSet<Position>,
    /// Positions, each with what became of it.
    ends: Vec<(u64, &'static str)>,
}

impl LendingStore {
    fn end(&self, position: Position, end: &'static str) {
        self.0.lock().unwrap().ends.push((position.0, end));
    }

    fn ends(&self) -> Vec<(u64, &'static str)> {
        std::mem::take(&mut self.0.lock().unwrap().ends)
    }

    fn revoke(&self, positions: impl IntoIterator<Item = u64>) {
        let mut state = self.0.lock().unwrap();
        state.revoked.extend(positions.into_iter().map(Position));
    }
}

impl Store for LendingStore {
    fn refill(&self, _: Position, _: PageLimits, _: Refill) {
        panic!("everything is lent");
    }

    fn reload(&self, _: &str, _: Range<Position>, _: PageLimits, _: Reload) {
        panic!("everything is in memory");
    }

    fn can_reload(&self) -> bool {
        false
    }

    fn settle(&self, position: Position) {
        self.end(position, "settled");
    }

    fn bury(&self, position: Position) {
        self.end(position, "buried");
    }

    fn lose(&self, position: Position) {
        self.end(position, "lost");
    }

    fn may_deliver(&self, position: Position) -> bool {
        !self.0.lock().unwrap().revoked.contains(&position)
    }

    fn give_back(&self, position: Position) {
        self.end(position, "given back");
    }

    fn kept_in(&self) -> &str {
        "the lender"
    }
}

fn stored(position: u64, repository: &str) -> Stored {
    let event = event(repository);
    Stored {
        position: Position(position),
        number: 0,
        accepted_at: SystemTime::now(),
        event,
    }
}

fn lent(limits: Limits) -> (LendingStore, Arc<Queue>) {
    let lender = LendingStore::default();
    let queue = Queue::over(lender.clone(), limits, SystemTime::now, |_| {}, |_| {});
    (lender, queue)
}

fn positions(queue: &Arc<Queue>) -> Vec<u64> {
    let taken = std::iter::from_fn(|| queue.take());
    taken.map(|entry| entry.position().unwrap().0).collect()
}

#[test]
fn everything_that_is_lent_is_taken_whatever_the_bounds() {
    let (_, queue) = lent(Limits {
        events: 1,
        bytes: 1,
    });
    queue.borrow_events((1..=5).map(|at| stored(at, "a")).collect(), 5);
    assert_eq!(queue.size().0, 5);
    assert_eq!(positions(&queue), [1, 2, 3, 4, 5]);
}

#[test]
fn what_waits_is_given_back_and_the_rest_stays_in_order() {
    let (lender, queue) = lent(MANY);
    let events = [(1, "a"), (2, "a"), (3, "b"), (4, "a"), (5, "b"), (6, "c")];
    queue.borrow_events(events.map(|(at, name)| stored(at, name)).into(), 6);
    let first = queue.take().unwrap();
    let busy = queue.occupy(std::slice::from_ref(&first));
    // 2 is set aside: its repository is busy.
    let third = queue.take().unwrap();
    assert_eq!(third.position(), Some(Position(3)));
    queue.put_back(third);

    lender.revoke([2, 3, 6]);
    queue.give_back_waiting();
    let mut given = lender.ends();
    given.sort_unstable();
    assert_eq!(given, [2, 3, 6].map(|at| (at, "given back")));
    assert_eq!(queue.size().0, 3);
    assert!(queue.may_deliver(&first));

    queue.settle(&first);
    queue.release(busy);
    assert_eq!(lender.ends(), [(1, "settled")]);
    // They may come again, under other positions.
    queue.borrow_events(vec![stored(7, "c")], 0);
    let rest = positions(&queue);
    assert_eq!(rest, [4, 5, 7]);
}

#[test]
fn nothing_is_counted_any_more_once_all_has_come_back() {
    let (lender, queue) = lent(MANY);
    queue.borrow_events((1..=4).map(|at| stored(at, "a")).collect(), 4);
    let taken = queue.take().unwrap();
    lender.revoke(1..=4);
    assert!(!queue.may_deliver(&taken));
    queue.give_back(&taken);
    queue.give_back_waiting();
    assert_eq!(queue.size(), (0, 0));
    assert!(queue.state().lanes.is_clear());
    assert_eq!(lender.ends().len(), 4);
}

#[test]
fn a_store_is_told_what_became_of_dead_letters() {
    let (lender, queue) = lent(MANY);
    queue.borrow_events((1..=2).map(|at| stored(at, "a")).collect(), 2);
    for _ in 0..2 {
        queue.forget(&queue.take().unwrap());
    }
    queue.settle_forgotten(Some(Position(1)));
    queue.lose_forgotten(Some(Position(2)));
    assert_eq!(lender.ends(), [(1, "buried"), (2, "lost")]);
}
