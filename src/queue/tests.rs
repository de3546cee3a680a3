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

fn queue(limits: Limits) -> Arc<Queue> {
    Queue::new(limits, MemoryStore::default(), || {})
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
    let mut large = Event::new(Action::Pull);
    large.target.repository = "b".repeat(2 * one);
    let large = SharedEvent::from(large);
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
    let mut large = Event::new(Action::Pull);
    large.target.repository = "b".repeat(2 * one + one / 2);
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
    let mut large = Event::new(Action::Pull);
    large.target.repository = "a".repeat(one);
    let large = SharedEvent::from(large);
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
    let accepted = move || {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    };
    let queue = Queue::new(
        Limits { events: 2, ..MANY },
        MemoryStore::default(),
        accepted,
    );
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

/// A store that outlives the process, and answers when the test says so.
#[derive(Clone, Debug, Default)]
struct Shelf(Arc<Mutex<ShelfState>>);

#[derive(Debug, Default)]
struct ShelfState {
    events: std::collections::BTreeMap<Position, SharedEvent>,
    asked: Vec<(Position, Reply)>,
    next: u64,
}

impl Store for Shelf {
    fn append(&self, event: &SharedEvent) -> Position {
        let mut state = self.0.lock().unwrap();
        let position = Position(state.next);
        // With gaps, as a store has that several endpoints share.
        state.next += 3;
        state.events.insert(position, event.clone());
        position
    }

    fn load(&self, position: Position, reply: Reply) {
        self.0.lock().unwrap().asked.push((position, reply));
    }

    fn settle(&self, position: Position) {
        let settled = self.0.lock().unwrap().events.remove(&position);
        assert!(settled.is_some(), "{position:?} was settled twice");
    }

    fn kept_in(&self) -> Option<&str> {
        Some("the shelf")
    }
}

impl Shelf {
    /// Answers everything that was asked for, or drops the questions.
    fn answer(&self, answer: bool) -> usize {
        let asked = std::mem::take(&mut self.0.lock().unwrap().asked);
        let questions = asked.len();
        for (position, reply) in asked {
            let event = self.0.lock().unwrap().events.get(&position).cloned();
            if answer {
                reply.answer(event);
            }
        }
        questions
    }
}

#[test]
fn a_repository_that_fails_costs_a_durable_store_no_memory_and_no_other_its_turn() {
    let shelf = Shelf::default();
    let limits = Limits { events: 40, ..MANY };
    let queue = Queue::new(limits, shelf.clone(), || {});
    queue.push(&event("bad")).unwrap();
    let failing = queue.take().unwrap();
    let lanes = queue.occupy(std::slice::from_ref(&failing));
    let mut bad = Vec::new();
    for round in 0..1000 {
        let event_of_bad = event("bad");
        bad.push(event_of_bad.id().to_string());
        queue.push(&event_of_bad).unwrap();
        queue.push(&event("good")).unwrap();
        let good = queue.take().unwrap();
        assert_eq!(good.repository(), "good");
        queue.settle(&good);
        assert_eq!(queue.size().0, round + 2);
    }
    // The failing one, and those of its lane that stay in memory.
    assert_eq!(queue.size().1, 17 * failing.memory());
    queue.settle(&failing);
    queue.release(lanes);

    let mut questions = 0;
    for id in bad {
        let entry = loop {
            match queue.take() {
                Some(entry) => break entry,
                // Every other answer is forgotten, and asked for again.
                None => {
                    questions += shelf.answer(questions % 2 == 1);
                }
            }
        };
        assert_eq!(entry.event.id(), id);
        queue.settle(&entry);
    }
    assert_eq!(questions, 2 * (1000 - 16));
    assert_eq!(queue.size(), (0, 0));
    assert!(queue.state().lanes.is_clear());
    assert!(shelf.0.lock().unwrap().events.is_empty());
}

#[test]
fn an_event_missing_from_the_store_is_forgotten() {
    let shelf = Shelf::default();
    let queue = Queue::new(MANY, shelf.clone(), || {});
    queue.push(&event("a")).unwrap();
    let first = queue.take().unwrap();
    let lanes = queue.occupy(std::slice::from_ref(&first));
    (0..18).for_each(|_| queue.push(&event("a")).unwrap());
    assert!(queue.take().is_none());
    queue.settle(&first);
    queue.release(lanes);
    for _ in 0..16 {
        queue.settle(&queue.take().unwrap());
    }
    shelf.0.lock().unwrap().events.clear();
    for left in [2, 1] {
        assert_eq!(queue.size().0, left);
        assert!(queue.take().is_none());
        assert_eq!(shelf.answer(true), 1);
    }
    assert_eq!(queue.size(), (0, 0));
    assert!(queue.state().lanes.is_clear());
}
