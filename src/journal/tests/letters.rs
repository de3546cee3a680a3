//! Dead letters in the journal.

use futures_util::FutureExt as _;

use super::*;
use crate::dead_letter::DeadLetterSink as _;
use redb::ReadableTable as _;

use crate::journal::batch::LETTERS;

fn bury(stage: &Stage, letter: DeadLetter) {
    let kept = stage.journal.bury(&Arc::new(letter));
    stage.journal.turn();
    kept.now_or_never().unwrap().unwrap();
}

fn ids(stage: &Stage, filter: &LetterFilter) -> Vec<u64> {
    let letters = stage.journal.dead_letters(filter);
    letters.map(|it| it.unwrap().id).collect()
}

#[test]
fn letters_are_listed_by_endpoint_reason_and_age_and_purged() {
    let stage = Stage::new(JournalOptions::default(), &["a", "b"]);
    let event = event(1);
    bury(&stage, letter("a", Reason::Rejected, &event));
    bury(&stage, letter("b", Reason::GaveUp, &event));
    bury(&stage, letter("a", Reason::GaveUp, &event));
    let stage = stage.reopened(JournalOptions::default(), &["a", "b"]);
    let all = LetterFilter::new();
    assert_eq!(ids(&stage, &all), [1, 2, 3]);
    assert_eq!(ids(&stage, &all.clone().endpoint("a")), [1, 3]);
    assert_eq!(ids(&stage, &all.clone().reason(Reason::GaveUp)), [2, 3]);
    assert_eq!(ids(&stage, &all.clone().id(2)), [2]);
    assert_eq!(ids(&stage, &all.clone().id(9)), [0; 0]);
    let soon = SystemTime::now() + Duration::from_secs(60);
    assert_eq!(ids(&stage, &all.clone().kept_since(soon)), [0; 0]);
    assert_eq!(ids(&stage, &all.clone().kept_before(soon)), [1, 2, 3]);
    let kept = stage.journal.dead_letters(&all).next().unwrap().unwrap();
    assert_eq!(kept.letter, letter("a", Reason::Rejected, &event));
    let purged = stage.journal.purge_letters(&all.clone().endpoint("a"));
    assert_eq!(purged.unwrap(), 2);
    assert_eq!(ids(&stage, &all), [2]);
    let status = stage.journal.status();
    assert_eq!(status.dead_letters, 1);
    stage.journal.purge_letters(&all).unwrap();
    let status = stage.journal.status();
    assert_eq!((status.dead_letters, status.dead_letter_bytes), (0, 0));
}

#[test]
fn letters_are_sent_again_once_and_those_of_unknown_endpoints_stay() {
    let stage = Stage::new(JournalOptions::default(), &["a"]);
    for number in 0..600 {
        let endpoint = if number == 300 { "gone" } else { "a" };
        let letter = Arc::new(letter(endpoint, Reason::GaveUp, &event(number)));
        // The answers come with the turn.
        drop(stage.journal.bury(&letter));
    }
    stage.journal.turn();
    let all = LetterFilter::new();
    assert_eq!(ids(&stage, &all).len(), 600);
    assert_eq!(stage.journal.send_letters_again(&all).unwrap(), 599);
    assert_eq!(ids(&stage, &all), [301]);
    let delivered = stage.queues.take(stage.ids[0]);
    assert_eq!(delivered.len(), 599);
    assert!(delivered.is_sorted());
    let events = stage.page(stage.ids[0], 0).unwrap().events;
    // They keep the number that they had.
    assert!(events.iter().all(|it| it.number == Some(3)));
    assert_eq!(events[300].event.repository(), "library/301");
    assert_eq!(stage.journal.send_letters_again(&all).unwrap(), 0);
}

#[test]
fn the_oldest_letters_go_at_the_limit_and_are_counted() {
    let options = Journal::options().max_letter_bytes(4_000);
    let stage = Stage::new(options, &["a"]);
    for number in 0..40 {
        bury(&stage, letter("a", Reason::GaveUp, &event(number)));
    }
    let status = stage.journal.status();
    assert!(status.dead_letter_bytes <= 4_000);
    assert!(status.dead_letters >= 3);
    assert_eq!(status.dead_letters_dropped + status.dead_letters, 40);
    let left = ids(&stage, &LetterFilter::new());
    assert!(left.ends_with(&[39, 40]));
}

#[test]
fn a_letter_that_was_not_written_is_not_kept() {
    let stage = Stage::new(JournalOptions::default(), &["a"]);
    let letter = Arc::new(letter("a", Reason::GaveUp, &event(1)));
    let bury = || stage.journal.bury(&letter);
    stage.disk.fail_after(0, u64::MAX / 2);
    let failed = bury();
    stage.journal.turn();
    let error = failed.now_or_never().unwrap().unwrap_err();
    assert!(!error.is_full() && !error.is_closed());
    let waits = bury();
    drop(stage);
    assert!(waits.now_or_never().unwrap().unwrap_err().is_closed());
}

#[test]
fn a_damaged_letter_keeps_no_other_from_its_turn() {
    let stage = Stage::new(JournalOptions::default(), &["a"]);
    for number in 0..3 {
        bury(&stage, letter("a", Reason::GaveUp, &event(number)));
    }
    let disk = stage.disk.clone();
    drop(stage);
    let database = redb::Builder::new()
        .create_with_backend(disk.clone())
        .unwrap();
    let txn = database.begin_write().unwrap();
    let mut letters = txn.open_table(LETTERS).unwrap();
    let mut value = letters.get(2).unwrap().unwrap().value().to_vec();
    *value.last_mut().unwrap() ^= 1;
    letters.insert(2, &*value).unwrap();
    drop(letters);
    txn.commit().unwrap();
    drop(database);

    let stage = Stage::on(disk, JournalOptions::default(), &["a"]);
    let all = LetterFilter::new();
    let listed: Vec<_> = stage.journal.dead_letters(&all).collect();
    assert_eq!(listed.iter().filter(|it| it.is_ok()).count(), 2);
    let error = stage.journal.send_letters_again(&all).unwrap_err();
    assert!(error.is_damaged());
    assert!(
        error.to_string().contains("dead letter 2 is damaged"),
        "{error}"
    );
    assert_eq!(
        stage.positions(stage.ids[0]).len(),
        2,
        "the others were sent"
    );
    assert_eq!(stage.journal.status().dead_letters, 1);

    // Whether it is one of this endpoint cannot be read.
    let error = stage.journal.purge_letters(&all.clone().endpoint("a"));
    assert!(error.unwrap_err().is_damaged());
    assert_eq!(stage.journal.purge_letters(&all.clone().id(2)).unwrap(), 1);
    assert_eq!(stage.journal.status().dead_letters, 0);
    assert_eq!(stage.journal.dead_letters(&all).count(), 0);
}
