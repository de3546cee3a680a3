//! A queue over a store: what fits into the window, and what stays behind.

use std::time::{Duration, SystemTime};

use super::store::TestStore;
use super::window_failing::stuck;
use super::*;

pub(super) fn settle_all(store: &TestStore, queue: &Arc<Queue>) -> Vec<u64> {
    std::iter::from_fn(|| {
        let entry = store.take(queue)?;
        queue.settle(&entry);
        Some(entry.number().unwrap().get())
    })
    .collect()
}

#[test]
fn what_does_not_fit_stays_in_the_store_and_comes_in_order() {
    let one = memory_of(&event("a"));
    for limits in [
        Limits { events: 4, ..MANY },
        Limits {
            bytes: 4 * one,
            ..MANY
        },
    ] {
        let store = TestStore::default();
        let queue = store.queue(limits);
        (0..100).for_each(|_| store.accept(&queue, event("a")));
        assert_eq!(queue.size(), (100, 4 * one));
        assert_eq!(store.questions(), (0, 0), "nobody has made room");
        let first = queue.take().unwrap();
        queue.settle(&first);
        assert!(store.questions().0 == 0, "more than half is there");
        let mut expected: Vec<_> = (2..=100).collect();
        assert_eq!(settle_all(&store, &queue), expected);
        assert_eq!((queue.size(), store.waiting()), ((0, 0), 0));

        // It has caught up, and takes what is offered at once.
        store.accept(&queue, event("a"));
        assert_eq!(queue.size(), (1, one));
        expected = vec![101];
        assert_eq!(settle_all(&store, &queue), expected);
    }
}

#[test]
fn a_restart_goes_on_with_what_the_store_has() {
    let store = TestStore::default().pages_of(3);
    (0..10).for_each(|_| drop(store.insert(event("a"))));
    let queue = store.queue(MANY);
    queue.announce(10, store.end());
    assert_eq!(queue.size(), (10, 0));
    // Behind, so it does not overtake.
    store.accept(&queue, event("a"));
    let expected: Vec<_> = (1..=11).collect();
    assert_eq!(settle_all(&store, &queue), expected);
}

#[test]
fn one_question_is_asked_at_a_time_and_again_if_it_is_dropped() {
    let store = TestStore::default();
    let queue = store.queue(MANY);
    drop(store.insert(event("a")));
    queue.announce(1, store.end());
    for asked in 1..4 {
        for _ in 0..3 {
            assert!(queue.take().is_none());
        }
        assert_eq!(store.questions(), (asked, 0));
        assert!(store.answer(false));
    }
    assert_eq!(settle_all(&store, &queue), [1]);
}

#[test]
fn a_store_that_has_nothing_to_say_does_not_wake_the_reader() {
    let store = TestStore::default();
    let queue = store.queue(MANY);
    queue.announce(0, Position(u64::MAX));
    let changed = || futures_util::FutureExt::now_or_never(queue.changed()).is_some();
    assert!(changed());
    assert!(queue.take().is_none());
    assert!(store.answer(true));
    assert!(!changed());
    drop(store.insert(event("a")));
    assert!(queue.take().is_none());
    assert!(store.answer(true));
    assert!(changed());
    assert_eq!(queue.take().unwrap().number().unwrap().get(), 1);
}

#[test]
fn a_write_that_failed_and_is_read_before_the_recovery_counts_once() {
    let store = TestStore::default();
    (0..3).for_each(|_| drop(store.insert(event("a"))));
    let queue = store.queue(MANY);
    queue.announce(3, store.end());
    // A page for the events before it contains what the failed write has left, and
    // only then the store says that it works again.
    drop(store.insert(event("a")));
    assert_eq!(settle_all(&store, &queue), [1, 2, 3, 4]);
    assert_eq!(store.told(), (3, 0), "it may be offered yet");
    for _ in 0..2 {
        queue.recover(store.end());
        assert_eq!((queue.size(), store.told()), ((0, 0), (4, 0)));
    }
}

#[test]
fn a_reader_that_has_gone_leaves_everything_to_the_store() {
    let store = TestStore::default();
    let queue = store.queue(Limits { events: 20, ..MANY });
    let _stuck = stuck(&store, &queue, 30);
    (0..40).for_each(|_| store.accept(&queue, event("new")));
    while store.questions().0 == 0 {
        queue.settle(&queue.take().unwrap());
    }
    let size = queue.size().0;
    drop(queue.drain());
    assert_eq!(queue.size().0, size);
    while store.answer(true) {}
    store.accept(&queue, event("new"));
    assert_eq!(queue.size().0, size + 1);
    assert_eq!(queue.abandon().stored, size + 1);
    store.accept(&queue, event("new"));
    assert_eq!(queue.size(), (size + 2, 0));
    assert_eq!(store.told().1, 0);
}

#[test]
fn what_is_in_memory_only_comes_after_what_the_store_has_and_has_no_number() {
    let store = TestStore::default();
    let queue = store.queue(Limits { events: 6, ..MANY });
    (0..10).for_each(|_| store.accept(&queue, event("a")));
    let failing = queue.take().unwrap();
    let lanes = queue.occupy(std::slice::from_ref(&failing));
    queue.put_back(queue.take().unwrap_or_else(|| failing.clone()));
    // It is behind: these wait for the store to be read.
    queue.release(lanes);
    let lone = event("a");
    while queue.push(&lone).is_err() {
        let entry = store.take(&queue).unwrap();
        queue.settle(&entry);
    }
    store.accept(&queue, event("a"));
    let mut order = Vec::new();
    while let Some(entry) = store.take(&queue) {
        assert_eq!(entry.is_stored(), entry.event.id() != lone.id());
        assert_eq!(entry.position().is_some(), entry.is_stored());
        order.push(entry.number().map_or(0, |number| number.get()));
        queue.settle(&entry);
    }
    assert_eq!(order[order.len() - 3..], [10, 0, 11]);
    assert_eq!((queue.size(), store.waiting()), ((0, 0), 0));
}

#[test]
fn a_lane_keeps_events_in_memory_between_those_of_the_store() {
    let store = TestStore::default();
    let queue = store.queue(MANY);
    store.accept(&queue, event("a"));
    let failing = queue.take().unwrap();
    let lanes = queue.occupy(std::slice::from_ref(&failing));
    let lone = |_| {
        (0..20).for_each(|_| store.accept(&queue, event("a")));
        queue.push(&event("a")).unwrap();
    };
    (0..3).for_each(lone);
    assert!(queue.take().is_none());
    queue.settle(&failing);
    queue.release(lanes);
    let numbers: Vec<_> = std::iter::from_fn(|| {
        let entry = store.take(&queue)?;
        queue.settle(&entry);
        Some(entry.number().map_or(0, |number| number.get()))
    })
    .collect();
    let block = |first: u64| (first..first + 20).chain([0]);
    let expected: Vec<_> = [2, 22, 42].into_iter().flat_map(block).collect();
    assert_eq!(numbers, expected);
    assert!(queue.state().lanes.is_clear());
}

#[test]
fn a_reader_that_ends_leaves_events_to_the_store_and_loses_the_others() {
    let store = TestStore::default();
    let queue = store.queue(Limits { events: 5, ..MANY });
    (0..4).for_each(|_| store.accept(&queue, event("a")));
    queue.push(&event("b")).unwrap();
    (0..4).for_each(|_| store.accept(&queue, event("a")));
    drop(queue.take());
    let abandoned = queue.abandon();
    assert_eq!((abandoned.stored, abandoned.lost), (8, 1));
    assert_eq!(queue.size(), (8, 0));
    assert_eq!(store.waiting(), 8);
}

#[tokio::test(start_paused = true)]
async fn an_event_is_as_old_as_its_acceptance_in_an_earlier_process() {
    let store = TestStore::default();
    let queue = store.queue(MANY);
    let hour = Duration::from_secs(3600);
    let mut stored = store.insert(event("a"));
    for (accepted_at, at_least, at_most) in [
        (SystemTime::now() - hour, hour, hour + hour / 60),
        // A wall clock that was put back makes no event older than it is.
        (SystemTime::now() + hour, Duration::ZERO, Duration::ZERO),
    ] {
        stored.accepted_at = accepted_at;
        queue.offer(std::slice::from_ref(&stored));
        let entry = queue.take().unwrap();
        let age = entry.since().elapsed();
        assert!((at_least..=at_most).contains(&age), "{age:?}");
        // From here on it counts on the monotonic clock.
        tokio::time::advance(hour).await;
        assert_eq!(entry.since().elapsed(), age + hour);
        stored.position = stored.position.next();
    }
}
