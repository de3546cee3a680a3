//! A queue over a store whose events are damaged or expire.

use super::store::TestStore;
use super::window::settle_all;
use super::window_failing::stuck;
use super::*;

fn damage_all(store: &TestStore) {
    let events = store.events().into_iter();
    events.for_each(|it| store.damage(it.position));
}

#[test]
fn events_that_damage_took_are_missed_and_not_waited_for() {
    let store = TestStore::default().pages_of(3);
    let queue = store.queue(Limits { events: 5, ..MANY });
    (0..20).for_each(|_| store.accept(&queue, event("a")));
    let first = store.take(&queue).unwrap();
    let damaged = store.events().split_off(10);
    damaged[..6].iter().for_each(|it| store.damage(it.position));
    queue.settle(&first);
    let came = settle_all(&store, &queue);
    assert_eq!(came, (2..=10).chain(17..=20).collect::<Vec<_>>());
    assert_eq!(queue.size(), (0, 0));
    assert_eq!(store.told(), (20, 6));

    // From before a restart, and nothing comes after it.
    (0..4).for_each(|_| drop(store.insert(event("a"))));
    let queue = store.queue(MANY);
    queue.announce(4, store.end());
    damage_all(&store);
    assert!(store.take(&queue).is_none());
    assert_eq!(queue.size(), (0, 0));
    assert_eq!(store.told(), (24, 10));
}

#[test]
fn events_that_are_set_aside_and_that_damage_took_are_missed_and_not_waited_for() {
    let store = TestStore::default();
    let queue = store.queue(Limits { events: 80, ..MANY });
    let (failing, lanes) = stuck(&store, &queue, 30);
    queue.settle(&failing);
    queue.release(lanes);
    for _ in 0..16 {
        queue.settle(&queue.take().unwrap());
    }
    assert_eq!(queue.size().0, 14);
    damage_all(&store);
    assert!(store.take(&queue).is_none());
    assert_eq!(queue.size(), (0, 0));
    assert!(queue.state().lanes.is_clear());
    assert_eq!(store.told(), (61, 14));
}

#[test]
fn what_expires_is_returned_once_wherever_it_is() {
    let store = TestStore::default();
    let queue = store.queue(Limits { events: 40, ..MANY });
    // One under way, 16 set aside, 14 that rest in the store, and then some that
    // the queue has not looked at or not read.
    let (failing, lanes) = stuck(&store, &queue, 30);
    (0..60).for_each(|_| store.accept(&queue, event("new")));
    let (all, accepted) = (store.events(), store.told().0);
    assert_eq!((all.len(), accepted), (91, 121));
    let numbers = |entries: Vec<Entry>| -> Vec<_> {
        entries.iter().for_each(|entry| {
            queue.forget(entry);
            queue.settle_forgotten(entry.position());
        });
        entries
            .iter()
            .map(|it| it.number().unwrap().get())
            .collect()
    };
    let of = |stored: &[Stored]| stored.iter().map(|it| it.number).collect::<Vec<_>>();
    assert_eq!(numbers(queue.expire(all[..25].to_vec())), of(&all[1..25]));
    // A store that repeats itself changes nothing.
    assert_eq!(numbers(queue.expire(all[..25].to_vec())), [0; 0]);
    assert_eq!(
        numbers(queue.expire(all[25..80].to_vec())),
        of(&all[25..80])
    );
    assert_eq!(queue.size().0, 1 + 11);
    assert_eq!(queue.expire(Vec::new()).len(), 0);
    queue.settle(&failing);
    queue.release(lanes);
    assert_eq!(settle_all(&store, &queue), of(&all[80..]));
    assert_eq!((queue.size(), store.waiting()), ((0, 0), 0));
    assert_eq!(store.told(), (accepted, 0));
    assert!(queue.state().lanes.is_clear());
}

#[test]
fn an_expired_event_that_was_never_offered_counts_as_accepted() {
    let store = TestStore::default();
    let queue = store.queue(MANY);
    store.accept(&queue, event("a"));
    let first = queue.take().unwrap();
    // A write that failed, and is on disk nevertheless.
    let landed = store.insert(event("a"));
    queue.recover(store.end());
    assert_eq!((store.told().0, queue.size().0), (1, 1));
    let expired = queue.expire(vec![landed]);
    assert_eq!((expired.len(), store.told().0, queue.size().0), (1, 2, 2));
    expired
        .iter()
        .chain([&first])
        .for_each(|it| queue.settle(it));
    assert!(store.take(&queue).is_none());
    assert_eq!((queue.size(), store.told()), ((0, 0), (2, 0)));
}
