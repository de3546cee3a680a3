use std::sync::Arc;

use super::*;
use crate::event::{Action, Event};

fn event(repository: &str) -> SharedEvent {
    let mut event = Event::new(Action::Pull);
    event.target.repository = repository.into();
    event.into()
}

const MANY: Limits = Limits {
    events: usize::MAX / 2,
    bytes: usize::MAX / 2,
};

fn repository(entry: Option<Entry>) -> String {
    entry.map_or_else(String::new, |entry| entry.event.repository().to_owned())
}

#[test]
fn events_and_bytes_are_bounded_until_they_are_settled() {
    let one = event("a").memory();
    for limits in [
        Limits { events: 2, ..MANY },
        Limits {
            bytes: 2 * one,
            ..MANY
        },
    ] {
        let queue = MemoryQueue::new(limits);
        let first = event("a");
        queue.push(&first).unwrap();
        queue.push(&event("a")).unwrap();
        assert_eq!(queue.push(&event("a")), Err(Refused::Full));
        let taken = queue.take().unwrap();
        assert_eq!(taken.event.id(), first.id());
        assert_eq!(queue.push(&event("a")), Err(Refused::Full), "under way");
        queue.settle(&taken.event);
        queue.push(&event("a")).unwrap();
        queue.close();
        assert_eq!(queue.push(&event("a")), Err(Refused::Closed));
        assert_eq!(queue.size(), (2, 2 * one));
        for _ in 0..2 {
            queue.settle(&queue.take().unwrap().event);
        }
        assert!(queue.take().is_none());
        assert_eq!(queue.size(), (0, 0));
    }
}

#[test]
fn one_event_larger_than_the_bound_passes_alone() {
    let queue = MemoryQueue::new(Limits { bytes: 1, ..MANY });
    queue.push(&event("a")).unwrap();
    assert_eq!(queue.push(&event("a")), Err(Refused::Full));
}

#[test]
fn a_busy_repository_waits_and_no_other() {
    let queue = MemoryQueue::new(MANY);
    for name in ["a", "a", "b", "a", "c", "b"] {
        queue.push(&event(name)).unwrap();
    }
    let first = queue.take().unwrap();
    let a = queue.seal([&first.event]);
    let second = queue.take().unwrap();
    assert_eq!(second.event.repository(), "b");
    let b = queue.seal([&second.event]);
    assert_eq!(repository(queue.take()), "c", "the third not sealed");
    assert!(queue.take().is_none());
    queue.push(&event("a")).unwrap();
    queue.release(a);
    for _ in 0..3 {
        assert_eq!(repository(queue.take()), "a");
    }
    assert!(queue.take().is_none());
    queue.release(b);
    assert_eq!(repository(queue.take()), "b");
    assert!(queue.state().line.is_clear());
}

#[test]
fn what_is_put_back_comes_next() {
    let queue = MemoryQueue::new(MANY);
    let events: Vec<_> = (0..4).map(|_| event("a")).collect();
    events.iter().for_each(|event| queue.push(event).unwrap());
    let first = queue.take().unwrap();
    let second = queue.take().unwrap();
    queue.put_back(second);
    let lanes = queue.seal([&first.event]);
    assert!(queue.take().is_none());
    queue.release(lanes);
    for event in &events[1..] {
        assert_eq!(queue.take().unwrap().event.id(), event.id());
    }
}

#[test]
fn the_oldest_that_waits_makes_room() {
    let queue = MemoryQueue::new(Limits { events: 3, ..MANY });
    let events: Vec<_> = (0..3).map(|_| event("a")).collect();
    events.iter().for_each(|event| queue.push(event).unwrap());
    let under_way = queue.take().unwrap();
    let _lanes = queue.seal([&under_way.event]);
    assert!(queue.take().is_none(), "put aside");
    let mut dropped = Vec::new();
    for _ in 0..3 {
        queue.push_dropping(&event("b"), &mut dropped).unwrap();
    }
    let ids: Vec<_> = dropped.iter().map(|event| event.id()).collect();
    assert_eq!(ids[..2], [events[1].id(), events[2].id()]);
    assert_eq!(dropped.len(), 3);
    assert_eq!(dropped[2].repository(), "b");
    assert_eq!(queue.size().0, 3);
}

#[test]
fn one_that_cannot_fit_drops_none() {
    let one = event("a").memory();
    let queue = MemoryQueue::new(Limits {
        bytes: 4 * one,
        ..MANY
    });
    let mut large = Event::new(Action::Pull);
    large.target.repository = "b".repeat(3 * one);
    let large = SharedEvent::from(large);
    (0..4).for_each(|_| queue.push(&event("a")).unwrap());
    let under_way = queue.take().unwrap();
    let put_back = queue.take().unwrap();
    queue.put_back(put_back);
    let mut dropped = Vec::new();
    let refused = queue.push_dropping(&large, &mut dropped);
    assert_eq!((refused, dropped.len()), (Err(Refused::Full), 0));
    queue.push_dropping(&event("a"), &mut dropped).unwrap();
    assert_eq!(dropped.len(), 1);
    // Without any under way, it may be as large as it likes.
    queue.settle(&under_way.event);
    queue.push_dropping(&large, &mut dropped).unwrap();
    assert_eq!((dropped.len(), queue.size().0), (4, 1));
}

#[tokio::test]
async fn writers_wait_for_room_in_their_order() {
    let queue = Arc::new(MemoryQueue::new(Limits { events: 1, ..MANY }));
    queue.push(&event("a")).unwrap();
    let writers: Vec<_> = (0..3)
        .map(|n| {
            let queue = queue.clone();
            tokio::spawn(async move { queue.push_waiting(&event(&n.to_string())).await })
        })
        .collect();
    tokio::task::yield_now().await;
    writers[1].abort();
    for expected in ["a", "0", "2"] {
        let entry = loop {
            match queue.take() {
                Some(entry) => break entry,
                None => tokio::task::yield_now().await,
            }
        };
        assert_eq!(entry.event.repository(), expected);
        queue.settle(&entry.event);
    }
    queue.push(&event("b")).unwrap();
    let late = tokio::spawn({
        let queue = queue.clone();
        async move { queue.push_waiting(&event("c")).await }
    });
    tokio::task::yield_now().await;
    queue.close();
    assert_eq!(late.await.unwrap(), Err(Refused::Closed));
}
