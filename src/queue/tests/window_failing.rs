//! A queue over a store while events keep failing: they leave the window to others.

use super::store::TestStore;
use super::window::settle_all;
use super::*;

/// Takes the next event, which stays under way as if its receiver failed.
pub(super) fn fail(store: &TestStore, queue: &Arc<Queue>) -> (Entry, BusyRepositories) {
    let entry = store.take(queue).unwrap();
    let lanes = queue.occupy(std::slice::from_ref(&entry));
    (entry, lanes)
}

#[test]
fn an_event_that_is_larger_than_the_window_does_not_wait_for_one_that_fails() {
    let one = memory_of(&event("a"));
    let limits = Limits {
        bytes: 2 * one,
        ..MANY
    };
    for restarted in [false, true] {
        let store = TestStore::default();
        let large = |repository| event_of(repository, 9 * one);
        let events = [event("a"), large("b"), event("c"), large("d"), event("e")];
        let queue = store.queue(limits);
        if restarted {
            events.iter().for_each(|it| drop(store.insert(it.clone())));
            queue.announce(events.len(), store.end());
        } else {
            events
                .iter()
                .for_each(|it| store.accept(&queue, it.clone()));
        }
        let _failing = fail(&store, &queue);
        let failing_too = fail(&store, &queue);
        assert_eq!(failing_too.0.repository(), "b");
        let third = store.take(&queue).unwrap();
        assert_eq!(third.repository(), "c", "others go on");
        queue.settle(&third);
        // But there is only one of these at a time.
        assert!(store.take(&queue).is_none());
        let questions = store.questions();
        assert!(queue.take().is_none());
        assert_eq!(store.questions(), questions, "it would not fit again");
        queue.settle(&failing_too.0);
        queue.release(failing_too.1);
        assert_eq!(settle_all(&store, &queue), [4, 5]);
    }
}

#[test]
fn an_event_that_does_not_fit_beside_one_that_fails_does_not_wait_for_it() {
    let one = memory_of(&event("a"));
    let store = TestStore::default();
    let queue = store.queue(Limits {
        bytes: 3 * one,
        ..MANY
    });
    for event in [event("a"), event_of("b", 2 * one), event("c")] {
        store.accept(&queue, event);
    }
    let _failing = fail(&store, &queue);
    assert_eq!(settle_all(&store, &queue), [2, 3]);
}

/// Many events of one repository behind one that fails, and others in between.
pub(super) fn stuck(
    store: &TestStore,
    queue: &Arc<Queue>,
    events: usize,
) -> (Entry, BusyRepositories) {
    store.accept(queue, event("bad"));
    let failing = store.take(queue).unwrap();
    let lanes = queue.occupy(std::slice::from_ref(&failing));
    for _ in 0..events {
        store.accept(queue, event("bad"));
        store.accept(queue, event("good"));
        let good = store.take(queue).unwrap();
        assert_eq!(good.repository(), "good");
        queue.settle(&good);
    }
    (failing, lanes)
}

#[test]
fn no_more_than_the_window_is_in_memory_whatever_the_limits_allow() {
    let store = TestStore::default();
    let queue = store.queue(MANY);
    let one = memory_of(&event("a"));
    (0..30_000).for_each(|_| store.accept(&queue, event("a")));
    assert_eq!(queue.size(), (30_000, 10_000 * one));
    let numbers = settle_all(&store, &queue);
    assert_eq!(numbers.len(), 30_000);
    assert!(numbers.is_sorted());
}

#[test]
fn a_repository_that_fails_costs_a_handful_of_events_whatever_waits_behind() {
    let store = TestStore::default();
    let queue = store.queue(Limits { events: 80, ..MANY });
    let (failing, lanes) = stuck(&store, &queue, 100_000);
    let one = failing.memory();
    assert_eq!(queue.size(), (100_001, 17 * one));
    assert_eq!(queue.state().lanes.slots(), 16 + 1);
    assert_eq!(store.questions(), (0, 0));
    queue.settle(&failing);
    queue.release(lanes);
    let numbers = settle_all(&store, &queue);
    assert_eq!(numbers.len(), 100_000);
    assert!(numbers.is_sorted());
    assert_eq!((queue.size(), store.waiting()), ((0, 0), 0));
    assert!(queue.state().lanes.is_clear());
    // About as many at a time as there is room for.
    let reloads = store.questions().1;
    assert!((1_200..1_300).contains(&reloads), "{reloads}");
}

#[test]
fn repositories_that_fail_leave_most_of_the_window_to_others() {
    let store = TestStore::default();
    let queue = store.queue(Limits { events: 40, ..MANY });
    let mut failing = Vec::new();
    for bad in 0..10 {
        store.accept(&queue, event(&format!("bad {bad}")));
        let entry = store.take(&queue).unwrap();
        let lanes = queue.occupy(std::slice::from_ref(&entry));
        failing.push((entry, lanes));
    }
    for round in 0..1_000 {
        store.accept(&queue, event(&format!("bad {}", round % 10)));
        store.accept(&queue, event("good"));
        let good = store.take(&queue).unwrap();
        assert_eq!(good.repository(), "good");
        queue.settle(&good);
        let in_memory = queue.size().1 / good.memory();
        assert!(in_memory <= 10 + 40 / 4, "{in_memory}");
    }
    for (entry, lanes) in failing {
        queue.settle(&entry);
        queue.release(lanes);
    }
    assert_eq!(settle_all(&store, &queue).len(), 1_000);
    assert!(queue.state().lanes.is_clear());
}

#[test]
fn a_store_that_cannot_reload_has_its_events_kept_in_memory() {
    let store = TestStore::default().without_reload();
    let queue = store.queue(Limits { events: 80, ..MANY });
    let (failing, lanes) = stuck(&store, &queue, 50);
    assert_eq!(queue.size(), (51, 51 * failing.memory()));
    queue.settle(&failing);
    queue.release(lanes);
    assert_eq!(settle_all(&store, &queue).len(), 50);
    assert_eq!(store.questions(), (0, 0));
}
