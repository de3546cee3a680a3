//! Limits in bytes and age, and what is kept for replay.

use super::*;
use crate::dead_letter::DeadLetterSink as _;

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn beyond_the_byte_limit_the_oldest_events_become_dead_letters() {
    let options = Journal::options().max_bytes(20_000);
    let stage = Stage::new(options, &["a", "b"]);
    let [a, b] = stage.ids[..] else { panic!() };
    let mut number = 0;
    while stage.queues.expired.lock().unwrap().is_empty() {
        let wanted: &[_] = if number == 1 { &[b] } else { &[a, b] };
        stage.append(&event(number), wanted).unwrap();
        number += 1;
        assert!(number < 1000);
    }
    let expired = std::mem::take(&mut *stage.queues.expired.lock().unwrap());
    assert_eq!(
        expired[..2],
        [(a, 1, Reason::Overflow), (b, 1, Reason::Overflow)]
    );
    // They are there until their letters are kept, and no others are taken for
    // the same room.
    assert_eq!(stage.positions(a)[0], 1);
    stage.journal.turn();
    assert!(stage.queues.expired.lock().unwrap().is_empty());
    stage.settle(a, [1]);
    stage.settle(b, [1]);
    assert_eq!(stage.positions(a)[0], 3);
    assert!(stage.journal.status().bytes <= 20_000);
}

#[test]
fn far_beyond_the_limit_events_are_refused_until_there_is_room() {
    let options = Journal::options().max_bytes(4_000);
    let stage = Stage::new(options, &["a"]);
    let a = stage.ids[0];
    let full = (0..1000).find_map(|it| stage.append(&event(it), &[a]).err());
    assert!(full.unwrap().is_full());
    assert!(!stage.journal.is_ready());
    let positions = stage.positions(a);
    stage.settle(a, positions);
    assert!(stage.journal.is_ready());
    stage.append(&event(1), &[a]).unwrap();
}

#[test]
fn events_that_are_too_old_become_dead_letters() {
    let options = || Journal::options().max_age(HOUR);
    let stage = Stage::new(options(), &["a"]);
    let a = stage.ids[0];
    let old = SystemTime::now() - 2 * HOUR;
    stage.append(&event_at(1, old), &[a]).unwrap();
    stage.append(&event_at(2, old), &[a]).unwrap();
    stage.append(&event(3), &[a]).unwrap();
    let expired = std::mem::take(&mut *stage.queues.expired.lock().unwrap());
    assert_eq!(expired, [(a, 1, Reason::Expired), (a, 2, Reason::Expired)]);
    assert_eq!(stage.positions(a), [1, 2, 3]);
    // Nobody has made letters of them: after a restart they are told again.
    let stage = stage.reopened(options(), &["a"]);
    stage.journal.turn();
    assert_eq!(*stage.queues.expired.lock().unwrap(), expired);
}

#[test]
fn events_of_an_endpoint_that_is_gone_age_out_into_dead_letters() {
    let stage = Stage::new(JournalOptions::default(), &["a", "gone"]);
    let [a, gone] = stage.ids[..] else { panic!() };
    let old = SystemTime::now() - 2 * HOUR;
    stage.append(&event_at(1, old), &[a, gone]).unwrap();
    stage.append(&event(2), &[a, gone]).unwrap();
    stage.settle(a, [1, 2]);
    let stage = stage.reopened(Journal::options().max_age(HOUR), &["a"]);
    let status = stage.journal.status();
    let orphaned: Vec<_> = status.endpoints.iter().map(|it| it.orphaned).collect();
    assert_eq!(orphaned, [false, true]);
    stage.journal.turn();
    let letters = stage.journal.dead_letters(&LetterFilter::new());
    let letters: Vec<_> = letters.map(|it| it.unwrap().letter).collect();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].endpoint, "gone");
    assert_eq!(letters[0].reason, Reason::Expired);
    assert_eq!(letters[0].event.repository(), "library/1");
    assert_eq!(stage.positions(gone), [2]);
    assert_eq!(stage.journal.status().events, 1);
}

#[test]
fn settled_events_are_kept_for_the_time_of_retention() {
    let stage = Stage::new(Journal::options().retention(HOUR), &["a"]);
    let a = stage.ids[0];
    for number in 0..3 {
        stage.append(&event(number), &[a]).unwrap();
    }
    stage.settle(a, [1, 2]);
    assert_eq!(stage.positions(a), [3]);
    let status = stage.journal.status();
    assert_eq!((status.events, status.endpoints[0].waiting), (3, 1));
    // With a shorter time, those that are kept go.
    let stage = stage.reopened(JournalOptions::default(), &["a"]);
    stage.journal.turn();
    assert_eq!(stage.journal.status().events, 1);
    assert_eq!(stage.positions(a), [3]);
}

#[test]
fn events_kept_for_replay_make_room_before_others() {
    let options = Journal::options().retention(HOUR).max_bytes(8_000);
    let stage = Stage::new(options, &["a"]);
    let a = stage.ids[0];
    for number in 0..100 {
        let position = stage.append(&event(number), &[a]).unwrap();
        if number != 90 {
            stage.settle(a, [position]);
        }
    }
    assert!(stage.queues.expired.lock().unwrap().is_empty());
    assert_eq!(stage.positions(a), [91]);
    let status = stage.journal.status();
    assert!(status.bytes <= 8_000 && status.events > 1);
}

/// Events that are under way at their endpoint when the limits end them may stay for
/// days. Others go in their place, however many there are of them.
#[test]
fn the_limits_find_space_whatever_is_pinned() {
    let options = JournalOptions {
        max_bytes: 40_000,
        // More chunks are pinned than go at a time.
        pack_from: usize::MAX,
        ..JournalOptions::default()
    };
    let stage = Stage::new(options, &["a"]);
    let a = stage.ids[0];
    let pinned = 1..=90;
    stage
        .queues
        .under_way
        .lock()
        .unwrap()
        .extend(pinned.clone());
    for number in 0..1_000 {
        stage.append(&event(number), &[a]).unwrap();
        let expired = std::mem::take(&mut *stage.queues.expired.lock().unwrap());
        let kept = expired.into_iter().filter(|it| !pinned.contains(&it.1));
        stage.settle(a, kept.map(|(_, position, _)| position));
    }
    let positions = stage.positions(a);
    assert!(positions.starts_with(&Vec::from_iter(pinned)));
    let status = stage.journal.status();
    assert!(status.bytes <= 45_000, "{status:?}");
    // Every event was to end once.
    let next = stage.queues.expired.lock().unwrap().len();
    assert_eq!(next, 0);
}

/// What one notifier was told to end, and has not, the next one is told of again.
#[test]
fn a_second_notifier_learns_what_the_limits_have_ended() {
    let stage = Stage::new(Journal::options().max_age(HOUR), &["a"]);
    let a = stage.ids[0];
    let old = SystemTime::now() - 2 * HOUR;
    stage.append(&event_at(1, old), &[a]).unwrap();
    let told = || std::mem::take(&mut *stage.queues.expired.lock().unwrap());
    assert_eq!(told(), [(a, 1, Reason::Expired)]);
    stage.attachment.end();
    let second = { &stage.journal }.attach(attach(&["a"]), "2", stage.queues.clone());
    stage.journal.turn();
    assert_eq!(told(), [(a, 1, Reason::Expired)]);
    drop(second);
}

/// An event that is sent again is as young as a new one.
#[test]
fn the_age_of_an_event_begins_anew_when_it_is_sent_again() {
    let options = || Journal::options().max_age(HOUR).retention(24 * HOUR);
    let stage = Stage::new(options(), &["a"]);
    let a = stage.ids[0];
    let old = SystemTime::now() - 2 * HOUR;
    let began = SystemTime::now();
    drop(
        stage
            .journal
            .bury(&Arc::new(letter("a", Reason::GaveUp, &event_at(1, old)))),
    );
    stage.journal.turn();
    let all = LetterFilter::new();
    assert_eq!(stage.journal.send_letters_again(&all).unwrap(), 1);
    let delivered = stage.queues.delivered.lock().unwrap().pop().unwrap().1;
    assert!(delivered.since >= began);
    stage.settle(a, [1]);
    let from = ReplayFrom::Time(old - HOUR);
    assert_eq!(stage.journal.replay("a", &from).unwrap(), 1);
    stage.journal.turn();
    assert!(stage.queues.expired.lock().unwrap().is_empty());
    let stage = stage.reopened(options(), &["a"]);
    stage.journal.turn();
    assert!(stage.queues.expired.lock().unwrap().is_empty());
    let waits = stage.page(a, 0).unwrap().events;
    // To the millisecond, as the index has it.
    assert!(waits[0].since >= began - Duration::from_millis(1));
    assert_eq!(waits[0].event.accepted_at(), old);
}
