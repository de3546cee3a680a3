use std::sync::Arc;

use futures_util::FutureExt as _;

use super::entry::memory_of;
use super::*;
use crate::event::{Action, Event, SharedEvent, SourceRecord};

mod hand_over;
mod leased;
mod store;
mod window;
mod window_failing;
mod window_losses;

fn event(repository: &str) -> SharedEvent {
    event_of(repository, 0)
}

/// An event that takes at least so many bytes. It was accepted at the time of its timestamp:
/// another time would take bytes, and how many depends on the time.
fn event_of(repository: &str, bytes: usize) -> SharedEvent {
    let mut event = Event::new(Action::Pull);
    event.target.repository = repository.into();
    event.target.tag = "t".repeat(bytes);
    SharedEvent::accepted(&event, SourceRecord::default(), event.timestamp)
}

const MANY: Limits = Limits {
    events: usize::MAX / 2,
    bytes: usize::MAX / 2,
};

fn queue(limits: Limits) -> Arc<Queue> {
    Queue::new(limits, |_| {})
}

fn repository(entry: Option<Entry>) -> String {
    entry.map_or_else(String::new, |entry| entry.repository().to_owned())
}

#[test]
fn events_and_bytes_are_bounded_until_they_are_settled() {
    let one = memory_of(&event("a"));
    for limits in [
        Limits { events: 2, ..MANY },
        Limits {
            bytes: 2 * one,
            ..MANY
        },
    ] {
        let queue = queue(limits);
        let first = event("a");
        queue.push(&first).unwrap();
        queue.push(&event("a")).unwrap();
        assert_eq!(queue.push(&event("a")), Err(Refused::Full));
        let taken = queue.take().unwrap();
        assert_eq!(taken.event.id(), first.id());
        assert_eq!(queue.push(&event("a")), Err(Refused::Full), "under way");
        queue.settle(&taken);
        queue.push(&event("a")).unwrap();
        queue.close();
        assert_eq!(queue.push(&event("a")), Err(Refused::Closed));
        assert_eq!(queue.size(), (2, 2 * one));
        for _ in 0..2 {
            queue.settle(&queue.take().unwrap());
        }
        assert!(queue.take().is_none());
        assert_eq!(queue.size(), (0, 0));
    }
}

#[test]
fn one_event_larger_than_the_bound_is_always_refused_and_drops_none() {
    let one = memory_of(&event("a"));
    let queue = queue(Limits {
        bytes: 2 * one,
        ..MANY
    });
    let large = event(&"b".repeat(2 * one));
    let refused = Refused::TooLarge {
        bytes: memory_of(&large),
        most: 2 * one,
    };
    for waiting in 0..2 {
        assert_eq!(queue.size().0, waiting);
        assert_eq!(queue.push(&large), Err(refused));
        let mut dropped = Vec::new();
        assert_eq!(queue.push_dropping(&large, &mut dropped), Err(refused));
        assert!(dropped.is_empty());
        assert_eq!(queue.push_or_wait(&large).err(), Some(refused));
        queue.push(&event("a")).unwrap();
    }
}

#[test]
fn only_the_busy_repository_waits() {
    let queue = queue(MANY);
    for name in ["a", "a", "b", "a", "c", "b"] {
        queue.push(&event(name)).unwrap();
    }
    let first = queue.take().unwrap();
    let a = queue.occupy(std::slice::from_ref(&first));
    let second = queue.take().unwrap();
    assert_eq!(second.repository(), "b");
    let b = queue.occupy(std::slice::from_ref(&second));
    assert_eq!(repository(queue.take()), "c", "the third is not occupied");
    assert!(queue.take().is_none());
    queue.push(&event("a")).unwrap();
    queue.release(a);
    for _ in 0..3 {
        assert_eq!(repository(queue.take()), "a");
    }
    assert!(queue.take().is_none());
    queue.release(b);
    assert_eq!(repository(queue.take()), "b");
    assert!(queue.state().lanes.is_clear());
}

#[test]
fn an_entry_put_back_comes_next() {
    let queue = queue(MANY);
    let events: Vec<_> = (0..4).map(|_| event("a")).collect();
    events.iter().for_each(|event| queue.push(event).unwrap());
    let first = queue.take().unwrap();
    let second = queue.take().unwrap();
    queue.put_back(second);
    let lanes = queue.occupy(std::slice::from_ref(&first));
    assert!(queue.take().is_none());
    queue.release(lanes);
    for event in &events[1..] {
        assert_eq!(queue.take().unwrap().event.id(), event.id());
    }
}

#[test]
fn the_oldest_that_waits_makes_room() {
    let queue = queue(Limits { events: 3, ..MANY });
    let events: Vec<_> = (0..3).map(|_| event("a")).collect();
    events.iter().for_each(|event| queue.push(event).unwrap());
    let under_way = queue.take().unwrap();
    let _lanes = queue.occupy(std::slice::from_ref(&under_way));
    assert!(queue.take().is_none(), "put aside");
    let mut dropped = Vec::new();
    for _ in 0..3 {
        queue.push_dropping(&event("b"), &mut dropped).unwrap();
    }
    let ids: Vec<_> = dropped
        .iter()
        .map(|entry| entry.event.id().to_string())
        .collect();
    assert_eq!(
        ids[..2],
        [events[1].id().to_string(), events[2].id().to_string()]
    );
    assert_eq!(dropped.len(), 3);
    assert_eq!(dropped[2].repository(), "b");
    assert_eq!(queue.size().0, 3);
}

#[test]
fn an_event_that_cannot_fit_drops_none() {
    let one = memory_of(&event("a"));
    let queue = queue(Limits {
        bytes: 4 * one,
        ..MANY
    });
    let large = event(&"b".repeat(2 * one + one / 2));
    (0..4).for_each(|_| queue.push(&event("a")).unwrap());
    let under_way = queue.take().unwrap();
    let put_back = queue.take().unwrap();
    queue.put_back(put_back);
    let mut dropped = Vec::new();
    let refused = queue.push_dropping(&large, &mut dropped);
    assert_eq!((refused, dropped.len()), (Err(Refused::Full), 0));
    queue.push_dropping(&event("a"), &mut dropped).unwrap();
    assert_eq!(dropped.len(), 1);
    // Without any under way, there is room for it.
    queue.settle(&under_way);
    queue.push_dropping(&large, &mut dropped).unwrap();
    assert_eq!((dropped.len(), queue.size().0), (4, 1));
}

fn must_wait(queue: &Arc<Queue>, event: &SharedEvent) -> Waiter {
    queue.push_or_wait(event).unwrap().expect("must wait")
}

fn answer(waiter: Waiter) -> Option<Result<(), Refused>> {
    futures_util::FutureExt::now_or_never(waiter)
}

#[test]
fn writers_wait_for_room_in_their_order() {
    let queue = queue(Limits { events: 1, ..MANY });
    queue.push(&event("a")).unwrap();
    let mut writers: Vec<_> = ["0", "1", "2"]
        .iter()
        .map(|name| must_wait(&queue, &event(name)))
        .collect();
    assert_eq!(writers[1].cancel(), Err(Refused::Full));
    for expected in ["a", "0", "2"] {
        let entry = queue.take().unwrap();
        assert_eq!(entry.repository(), expected);
        queue.settle(&entry);
    }
    let answers: Vec<_> = writers.into_iter().map(answer).collect();
    assert_eq!(answers[0], Some(Ok(())));
    assert_eq!(answers[2], Some(Ok(())));
    queue.push(&event("b")).unwrap();
    let late = must_wait(&queue, &event("c"));
    queue.close();
    assert_eq!(answer(late), Some(Err(Refused::Closed)));
}

#[test]
fn a_later_write_never_overtakes_one_that_waits() {
    let one = memory_of(&event("a"));
    let bytes = 3 * one;
    let queue = queue(Limits { bytes, ..MANY });
    let large = event(&"a".repeat(one));
    (0..2).for_each(|_| queue.push(&event("a")).unwrap());
    // Not polled, and yet it has its place.
    let first = must_wait(&queue, &large);
    // There is room for these, but not for the one before.
    assert_eq!(queue.push(&event("a")), Err(Refused::Full));
    assert!(!queue.has_room());
    let second = must_wait(&queue, &event("a"));
    let entry = queue.take().unwrap();
    queue.settle(&entry);
    assert_eq!(queue.size(), (2, one + memory_of(&large)));
    let entry = queue.take().unwrap();
    queue.settle(&entry);
    assert_eq!(queue.take().unwrap().event.id(), large.id());
    assert_eq!(
        (answer(first), answer(second)),
        (Some(Ok(())), Some(Ok(())))
    );
}

#[test]
fn the_place_of_a_writer_that_gives_up_goes_to_those_behind() {
    let one = memory_of(&event("a"));
    let queue = queue(Limits {
        bytes: 3 * one,
        ..MANY
    });
    let mut large = Event::new(Action::Pull);
    large.target.repository = "b".repeat(one);
    (0..2).for_each(|_| queue.push(&event("a")).unwrap());
    let first = must_wait(&queue, &SharedEvent::from(large));
    let mut second = must_wait(&queue, &event("c"));
    drop(first);
    assert_eq!(second.cancel(), Ok(()), "accepted before it was polled");
    assert_eq!(queue.size().0, 3);
}

#[test]
fn every_accepted_event_is_reported_once() {
    let told = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = told.clone();
    let accepted = move |events| {
        count.fetch_add(events, std::sync::atomic::Ordering::Relaxed);
    };
    let queue = Queue::new(Limits { events: 2, ..MANY }, accepted);
    let told = || told.load(std::sync::atomic::Ordering::Relaxed);
    queue.push(&event("a")).unwrap();
    assert!(queue.push_or_wait(&event("a")).unwrap().is_none());
    let waiter = must_wait(&queue, &event("a"));
    assert_eq!(told(), 2);
    queue.settle(&queue.take().unwrap());
    assert_eq!(told(), 3);
    drop(waiter);
    queue.push_dropping(&event("a"), &mut Vec::new()).unwrap();
    queue.push(&event("a")).unwrap_err();
    assert_eq!(told(), 4);
}

#[test]
fn without_a_store_the_queue_numbers_what_it_accepts() {
    let queue = queue(Limits { events: 2, ..MANY });
    let mut dropped = Vec::new();
    queue.push(&event("a")).unwrap();
    queue.push(&event("b")).unwrap();
    queue.push(&event("c")).unwrap_err();
    queue.push_dropping(&event("d"), &mut dropped).unwrap();
    let waiter = must_wait(&queue, &event("e"));
    queue.settle(&queue.take().unwrap());
    drop(waiter);
    let numbers: Vec<_> = std::iter::from_fn(|| queue.take())
        .map(|entry| (entry.repository().to_owned(), entry.number().unwrap().get()))
        .collect();
    assert_eq!(numbers, [("d".into(), 3), ("e".into(), 4)]);
}

#[test]
fn a_reader_that_waits_for_several_events_is_woken_by_the_last() {
    let queue = queue(MANY);
    let is_woken = || queue.changed().now_or_never().is_some();
    let look = |events| {
        let bytes = usize::MAX;
        queue.watch(Threshold { events, bytes });
    };
    assert!(!is_woken());
    queue.push(&event("a")).unwrap();
    let forming = queue.take();
    assert!(forming.is_some() && is_woken());
    look(3);
    queue.push(&event("a")).unwrap();
    queue.push(&event("b")).unwrap();
    assert!(!is_woken());
    queue.push(&event("c")).unwrap();
    assert!(is_woken());
    queue.push(&event("d")).unwrap();
    assert!(!is_woken(), "it has been told");
    // What came before it waits counts.
    look(4);
    assert!(is_woken());
    look(5);
    assert!(!is_woken());
    queue.close();
    assert!(is_woken());
}

#[test]
fn a_reader_that_waits_for_bytes_is_woken_by_the_event_that_brings_them() {
    let queue = queue(MANY);
    let is_woken = || queue.changed().now_or_never().is_some();
    queue.push(&event("a")).unwrap();
    assert!(queue.take().is_some() && is_woken());
    let small = memory_of(&event("b"));
    let look = |bytes| {
        let events = usize::MAX;
        queue.watch(Threshold { events, bytes });
    };
    look(3 * small);
    queue.push(&event("b")).unwrap();
    queue.push(&event("c")).unwrap();
    assert!(!is_woken());
    queue.push(&event("d")).unwrap();
    assert!(is_woken());
    queue.push(&event("e")).unwrap();
    assert!(!is_woken(), "it has been told");
    look(4 * small);
    assert!(is_woken());
    // Events that it has taken no longer count.
    while queue.take().is_some() {}
    look(small + 1);
    queue.push(&event("f")).unwrap();
    assert!(!is_woken());
    queue.push(&event_of("g", 1000)).unwrap();
    assert!(is_woken());
}

#[test]
fn a_reader_without_events_is_woken_by_the_next() {
    let queue = queue(MANY);
    queue.watch(Threshold::NEVER);
    queue.push(&event("a")).unwrap();
    assert!(queue.changed().now_or_never().is_some());
}
