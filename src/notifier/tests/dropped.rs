//! A notifier that is dropped gives its journal back, and numbers go on.

use std::time::Duration;

use tokio::time::sleep;

use super::stage::{Receiver, Stage, numbers_are_unique};
use crate::journal::tests::SimulatedDisk;
use crate::journal::{Journal, JournalOptions, ReplayFrom};
use crate::{Notifier, SourceRecord};

#[tokio::test(start_paused = true)]
async fn another_notifier_delivers_what_a_dropped_one_has_left() {
    let receiver = Receiver::answering(503);
    let endpoint = receiver.endpoint();
    let options = JournalOptions::default();
    let mut stage = Stage::new(&SimulatedDisk::default(), options, |it| {
        it.endpoint(endpoint)
    });
    for tag in 0..20 {
        stage.write(tag).await;
    }
    let build = |journal: &Journal| {
        let builder = Notifier::builder().source(SourceRecord::new("registry:5000"));
        builder
            .journal(journal.clone())
            .endpoint(receiver.endpoint())
            .build()
    };
    let taken = build(&stage.journal).unwrap_err();
    assert!(
        taken.to_string().contains("uses the journal already"),
        "{taken}"
    );
    // A sink that somebody keeps does not keep the journal.
    let kept = stage.notifier.sink();
    stage.notifier = {
        drop(std::mem::replace(
            &mut stage.notifier,
            Notifier::builder().build().unwrap(),
        ));
        build(&stage.journal).unwrap()
    };
    assert!(!kept.is_ready());
    receiver.answer(200);
    stage.drained().await;
    let accepted = std::mem::take(&mut *receiver.accepted.lock().unwrap());
    // Once: the first notifier delivers nothing any more.
    assert_eq!(accepted.len(), 20);
    drop(kept);
    let third = build(&stage.journal).unwrap_err();
    assert!(
        third.to_string().contains("uses the journal already"),
        "{third}"
    );
}

/// A receiver that counts finds no number twice, but for an event that comes again.
#[tokio::test(start_paused = true)]
async fn no_number_is_given_twice_across_restarts_and_replays_keep_theirs() {
    let disk = SimulatedDisk::default();
    let receiver = Receiver::answering(200);
    let day = Duration::from_secs(24 * 3600);
    let start = || {
        let endpoint = receiver.endpoint();
        let options = Journal::options().retention(day);
        Stage::new(&disk, options, |it| it.endpoint(endpoint))
    };
    let mut tag = 0;
    for life in 0..4 {
        let stage = start();
        for _ in 0..5 {
            stage.write(tag).await;
            tag += 1;
        }
        stage.drained().await;
        // What comes now is left to the next one.
        receiver.answer(503);
        for _ in 0..5 {
            stage.write(tag).await;
            tag += 1;
        }
        sleep(Duration::from_secs(30)).await;
        match life % 2 {
            0 => drop(stage.notifier.shutdown(Duration::ZERO).await),
            _ => stage.kill().await,
        }
        receiver.answer(200);
    }
    let stage = start();
    stage.drained().await;
    let first = receiver.accepted.lock().unwrap().clone();
    assert_eq!(first.len() as u64, tag);
    // Until it is on disk that they were delivered.
    stage.journal.flush().await.unwrap();
    assert!(numbers_are_unique(&first));
    // Each source instance counts from 1 and without a gap.
    let mut numbers: Vec<_> = first
        .iter()
        .map(|it| (it.instance.clone(), it.number))
        .collect();
    numbers.sort();
    let instances = numbers.chunk_by(|one, other| one.0 == other.0);
    let counted = instances.map(|all| all.iter().filter_map(|it| it.1).collect::<Vec<_>>());
    assert_eq!(counted.collect::<Vec<_>>(), vec![Vec::from_iter(1..=10); 4]);

    assert_eq!(stage.journal.replay("a", &ReplayFrom::Oldest).unwrap(), tag);
    stage.write(tag).await;
    stage.drained().await;
    let mut all = receiver.accepted.lock().unwrap().clone();
    assert!(numbers_are_unique(&all));
    let again = all.split_off(first.len());
    assert_eq!(again.len() as u64, tag + 1);
    assert!(again[..again.len() - 1].iter().all(|it| first.contains(it)));
}
