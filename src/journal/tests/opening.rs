//! Opening a file: of other formats, locked, read-only, foreign, new, or mostly free.

use std::fs;
use std::path::Path;
use std::process::Command;

use redb::{Database, ReadableDatabase as _, TableDefinition};

use super::child::{child, path_of_child, succeeded};
use super::*;
use crate::journal::codec::{self, Table};
use crate::journal::state::{FORMAT, KEY};

const STATE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("state");

fn opened(path: &Path) -> JournalError {
    let error = Journal::open(path).unwrap_err();
    // It says which file it is.
    assert!(error.to_string().contains(&path.display().to_string()));
    error
}

#[test]
fn a_second_process_finds_the_journal_locked() {
    if let Some(path) = path_of_child() {
        assert!(opened(&path).is_locked());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let journal = Journal::open(&path).unwrap();
    assert!(opened(&path).is_locked());
    let test = (module_path!(), "a_second_process_finds_the_journal_locked");
    succeeded(&child(test, &path, "exec \"$@\""));
    drop(journal);
    Journal::open(&path).unwrap();
}

#[test]
fn a_file_of_a_later_format_is_told_from_a_damaged_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    drop(Journal::open(&path).unwrap());
    let original = fs::read(&path).unwrap();
    let database = Database::open(&path).unwrap();
    let txn = database.begin_write().unwrap();
    let mut later = Vec::new();
    codec::put(&mut later, FORMAT + 1);
    let later = codec::seal(Table::State, KEY, later);
    txn.open_table(STATE).unwrap().insert(KEY, &*later).unwrap();
    txn.commit().unwrap();
    drop(database);
    assert!(opened(&path).is_newer_format());
    // The storage has a version of its own, in both of its headers.
    let mut later = original;
    (later[64], later[192]) = (200, 200);
    fs::write(&path, later).unwrap();
    let error = opened(&path);
    assert!(error.is_newer_format(), "{error:?}");
}

#[test]
fn a_folder_that_cannot_be_written_is_named_as_such() {
    if let Some(path) = path_of_child() {
        assert!(opened(&path).is_read_only());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mode = |mode| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(folder.path(), mode).unwrap();
    };
    mode(0o555);
    let path = folder.path().join("journal");
    // Nothing keeps root from writing.
    let test = (
        module_path!(),
        "a_folder_that_cannot_be_written_is_named_as_such",
    );
    let nobody = "exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$@\"";
    let id = Command::new("id").arg("-u").output().unwrap().stdout;
    match id.trim_ascii() == b"0" {
        true => succeeded(&child(test, &path, nobody)),
        false => assert!(opened(&path).is_read_only()),
    }
    mode(0o755);
    // A folder that is not there is not created: it may be one that is not
    // mounted.
    let error = opened(&folder.path().join("missing/journal"));
    assert!(!error.is_read_only() && !error.is_damaged());
}

#[test]
fn a_file_that_is_no_journal_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    for content in [&b"not a journal"[..], &[0; 100_000]] {
        fs::write(&path, content).unwrap();
        assert!(opened(&path).is_damaged());
        assert_eq!(fs::read(&path).unwrap(), content);
    }
    fs::remove_file(&path).unwrap();
    let other = Database::create(&path).unwrap();
    let txn = other.begin_write().unwrap();
    let table: TableDefinition<'_, &str, &str> = TableDefinition::new("other");
    txn.open_table(table).unwrap().insert("a", "b").unwrap();
    txn.commit().unwrap();
    drop(other);
    assert!(opened(&path).is_damaged());
    let other = Database::open(&path).unwrap();
    let txn = other.begin_read().unwrap();
    assert_eq!(txn.list_tables().unwrap().count(), 1);
    assert_eq!(
        txn.open_table(table)
            .unwrap()
            .get("a")
            .unwrap()
            .unwrap()
            .value(),
        "b"
    );
}

/// A file of this release that later ones have to read.
#[test]
fn a_file_of_format_1_can_be_read() {
    let golden = include_bytes!("golden/journal-1.redb.lz4");
    let bytes = lz4_flex::block::decompress_size_prepended(golden).unwrap();
    let disk = Disk::default();
    disk.set_bytes(bytes);
    let stage = Stage::on(disk, JournalOptions::default(), &["ci", "audit"]);
    let [ci, audit] = stage.ids[..] else { panic!() };
    assert_eq!(stage.positions(ci), [2, 3]);
    assert_eq!(stage.positions(audit), [1, 3]);
    let events = stage.page(audit, 0).unwrap().events;
    assert_eq!(events[0].event.id(), "0192d5a0-0000-7000-8000-000000000001");
    assert_eq!(events[1].number, Some(2));
    let letters = stage.journal.dead_letters(&LetterFilter::new());
    let letters: Vec<_> = letters.map(|it| it.unwrap()).collect();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].letter.endpoint, "ci");
    assert!(stage.journal.check().unwrap().is_intact());
}

#[test]
fn a_file_that_is_mostly_free_is_made_smaller_when_it_is_opened() {
    let stage = Stage::new(JournalOptions::default(), &["a"]);
    let a = stage.ids[0];
    for number in 0..40 {
        let events: Vec<_> = (0..64).map(|it| event(100 * number + it)).collect();
        let wanted = |_| stage.ids.iter().copied().collect::<Wanted>();
        for event in events {
            stage
                .journal
                .append(event, wanted(0), Number::Next, |_| {})
                .unwrap();
        }
        stage.journal.turn();
    }
    let positions = stage.positions(a);
    stage.settle(a, positions.into_iter().skip(5));
    let full = stage.disk.bytes().len();
    let options = JournalOptions {
        compact_from: 100_000,
        ..JournalOptions::default()
    };
    let stage = stage.reopened(options, &["a"]);
    let compacted = stage.disk.bytes().len();
    assert!(compacted < full / 2, "{full} {compacted}");
    assert_eq!(stage.positions(a), [1, 2, 3, 4, 5]);
    assert!(stage.journal.check().unwrap().is_intact());
}

#[test]
fn a_new_file_has_its_name_only_when_it_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..30 {
        let path = folder.path().join(format!("journal {number}"));
        let journal = std::thread::spawn({
            let path = path.clone();
            move || Journal::open(path).unwrap()
        });
        // What a process that is killed would leave, as soon as there is anything.
        let seen = loop {
            match fs::read(&path) {
                Ok(seen) => break seen,
                Err(_) => std::thread::yield_now(),
            }
        };
        assert!(seen.starts_with(b"redb"), "{} bytes", seen.len());
        drop(journal.join().unwrap());
        let names = fs::read_dir(folder.path()).unwrap();
        assert_eq!(names.count(), number + 1, "another file is left");
    }
}
