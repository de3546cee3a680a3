//! Disks that fail, are full, or lose what was written.

use super::child::{child, path_of_child, succeeded};
use super::*;

/// A scenario in which each call of the disk may fail. Returns the events that
/// the journal said it has.
fn scenario(stage: &Stage) -> Vec<(u64, SharedEvent)> {
    let mut kept = Vec::new();
    for number in 0..12 {
        let event = event(number);
        match stage.append(&event, &stage.ids) {
            Ok(position) => kept.push((position, event)),
            Err(error) => assert!(error.is_down(), "{error:?}"),
        }
        if number == 5 {
            let settled = kept.drain(..2.min(kept.len()));
            stage.settle(stage.ids[0], settled.map(|(position, _)| position));
        }
        if let Err(error) = stage.page(stage.ids[0], 0) {
            assert!(error.is_down(), "{error:?}");
        }
    }
    kept
}

fn survives(stage: Stage, kept: &[(u64, SharedEvent)]) {
    stage.disk.work();
    // It works again without a restart.
    stage.journal.turn();
    stage.append(&event(99), &stage.ids).unwrap();
    let stage = stage.reopened(JournalOptions::default(), &["a"]);
    let events = stage.page(stage.ids[0], 0).unwrap().events;
    for (position, event) in kept {
        let found = events.iter().find(|it| it.position == *position);
        assert!(found.is_some_and(|it| it.event == *event), "{position}");
    }
    assert!(stage.journal.check().unwrap().is_intact());
}

#[test]
fn an_error_of_any_call_of_the_disk_loses_nothing_that_was_accepted() {
    let stage = Stage::new(JournalOptions::default(), &["a"]);
    let before = stage.disk.calls();
    assert_eq!(scenario(&stage).len(), 10);
    let calls = stage.disk.calls() - before;
    assert!(calls > 50);
    for many in [1, 2, 1000] {
        for call in 0..calls {
            let stage = Stage::new(JournalOptions::default(), &["a"]);
            stage.disk.fail_after(call, many);
            let kept = scenario(&stage);
            survives(stage, &kept);
        }
    }
}

#[test]
fn a_panic_within_the_storage_is_an_error() {
    for call in 0..60 {
        let stage = Stage::new(JournalOptions::default(), &["a"]);
        stage.disk.panic_after(call);
        let kept = scenario(&stage);
        survives(stage, &kept);
    }
}

#[test]
fn a_disk_without_space_is_named_as_such_and_works_again_later() {
    let stage = Stage::new(JournalOptions::default(), &["a"]);
    stage.append(&event(1), &stage.ids).unwrap();
    stage.disk.fill();
    let full = stage.append(&event(2), &stage.ids).unwrap_err();
    assert!(full.is_full() && full.is_down(), "{full:?}");
    assert!(!stage.journal.is_ready());
    assert!(stage.append(&event(3), &stage.ids).unwrap_err().is_down());
    assert!(stage.journal.status().error.is_some());
    assert!(stage.queues.recovered.lock().unwrap().is_empty());
    stage.disk.work();
    stage.journal.turn();
    // A queue has to know where events may be that failed for it before it reads any.
    assert_eq!(*stage.queues.recovered.lock().unwrap(), [false, true]);
    assert!(stage.journal.is_ready() && stage.journal.status().error.is_none());
    let position = stage.append(&event(4), &stage.ids).unwrap();
    let positions = stage.positions(stage.ids[0]);
    assert!(positions.contains(&1) && positions.contains(&position));
}

/// A limit on the size of files stands for a full disk: the error of the system
/// is another one, but it comes from a real file.
#[test]
fn a_file_that_may_not_grow_keeps_what_it_has() {
    if let Some(path) = path_of_child() {
        let (journal, attachment) = attached(Journal::options(), &path);
        let mut kept = 0;
        let error = loop {
            match try_append(&journal, &event(kept), attachment.endpoints()) {
                Ok(_) => kept += 1,
                Err(error) => break error,
            }
        };
        assert!(error.is_full(), "{error:?}");
        println!("kept {kept}.");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let limit = "trap '' XFSZ; ulimit -f 1024; exec \"$@\"";
    let test = (module_path!(), "a_file_that_may_not_grow_keeps_what_it_has");
    let output = child(test, &path, limit);
    succeeded(&output);
    let text = String::from_utf8(output.stdout).unwrap();
    let (_, kept) = text.split_once("kept ").unwrap();
    let (kept, _) = kept.split_once('.').unwrap();
    let kept: u64 = kept.parse().unwrap();
    assert!(kept > 10, "{kept}");
    let journal = Journal::open(&path).unwrap();
    assert!(journal.status().events >= kept);
    assert!(journal.check().unwrap().is_intact());
}

/// A disk that has lost its last commit although it was synced.
#[test]
fn a_file_that_has_gone_back_gives_no_position_and_no_number_twice() {
    let stage = Stage::new(JournalOptions::default(), &["a"]);
    stage.append(&event(1), &stage.ids).unwrap();
    let before = stage.disk.bytes();
    stage.append(&event(2), &stage.ids).unwrap();
    stage.disk.fail_after(0, 1);
    stage.append(&event(3), &stage.ids).unwrap_err();
    stage.disk.set_bytes(before);
    stage.disk.work();
    stage.journal.turn();
    stage.queues.take(stage.ids[0]);
    let position = stage.append(&event(4), &stage.ids).unwrap();
    assert_eq!(stage.queues.take(stage.ids[0]), [(position, Some(3))]);
    assert_eq!(position, 3);
    assert_eq!(stage.journal.status().damaged, 1);
}
