//! Damaged content: it is an error or counted, and hides no event.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use futures_util::FutureExt as _;
use redb::{ReadableTable as _, TableDefinition};

use super::child::{child, path_of_child, succeeded};
use super::*;
use crate::dead_letter::DeadLetterSink as _;

/// A journal with a bit of everything. Events 1 to 40 for both endpoints, of
/// which some are settled, and two dead letters.
fn filled() -> Stage {
    let stage = Stage::new(JournalOptions::default(), &["a", "b"]);
    let [a, b] = stage.ids[..] else { panic!() };
    for number in 0..40 {
        stage.append(&event(number), &[a, b]).unwrap();
    }
    stage.settle(a, (1..=20).chain([25, 30]));
    stage.settle(b, [2, 3, 40]);
    for number in 0..2 {
        let letter = Arc::new(letter("a", Reason::GaveUp, &event(number)));
        let kept = stage.journal.bury(&letter);
        stage.journal.turn();
        kept.now_or_never().unwrap().unwrap();
    }
    stage
}

/// What there is to see of a journal.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    events: Vec<Vec<(u64, String)>>,
    letters: usize,
    /// Whether anything says that something is wrong.
    signs: bool,
}

/// Opens a file with these bytes and reads all of it. An error is `None`.
fn seen(bytes: Vec<u8>) -> Option<Seen> {
    let disk = Disk::default();
    disk.set_bytes(bytes);
    let journal = Journal::manual(JournalOptions::default(), disk.opener()).ok()?;
    let queues = Arc::new(Queues::default());
    let stage = Stage::of(disk, journal, attach(&["a", "b"]), queues).ok()?;
    let mut seen = Seen::default();
    for id in stage.ids.clone() {
        let page = stage.page(id, 0).ok()?;
        let events = page.events.iter();
        let events = events.map(|it| (it.position, it.event.repository().to_owned()));
        seen.events.push(events.collect());
    }
    for letter in stage.journal.dead_letters(&LetterFilter::new()) {
        letter.ok()?;
        seen.letters += 1;
    }
    let letters = stage.journal.status().dead_letters;
    // When all is settled that was found, nothing else may be missing.
    for (id, events) in stage.ids.iter().zip(&seen.events) {
        stage.settle(*id, events.iter().map(|it| it.0));
    }
    let status = stage.journal.status();
    seen.signs = status.damaged > 0 || status.error.is_some() || letters != seen.letters as u64;
    Some(seen)
}

/// Nothing is missing unless something says so. Events that were settled may be
/// there again.
fn is_honest(expected: &Seen, found: Option<&Seen>) -> bool {
    let Some(found) = found else { return true };
    let complete = expected
        .events
        .iter()
        .zip(&found.events)
        .all(|(all, found)| {
            let missing = all.iter().find(|it| !found.contains(it));
            missing.is_none()
        });
    found.signs || (complete && found.letters == expected.letters)
}

#[test]
fn a_file_that_was_cut_off_is_damaged() {
    let bytes = filled().disk.bytes();
    let expected = seen(bytes.clone()).unwrap();
    for length in (1..bytes.len()).step_by(509) {
        let found = seen(bytes[..length].to_vec());
        assert!(is_honest(&expected, found.as_ref()), "{length}: {found:?}");
    }
}

/// `JOURNAL_FLIPS` is how many bytes there are from one flipped bit to the next.
///
/// It runs in another process, because redb ends it now and then: it panics while
/// it cleans up after a panic. Nothing is lost then either, and nobody can say
/// that it was silent.
#[test]
fn a_flipped_bit_never_hides_an_event() {
    let step = std::env::var("JOURNAL_FLIPS").ok();
    let step = step.and_then(|it| it.parse().ok()).unwrap_or(311);
    if let Some(path) = path_of_child() {
        return flip(&path, step);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    fs::write(&path, filled().disk.bytes()).unwrap();
    let test = (module_path!(), "a_flipped_bit_never_hides_an_event");
    let mut ended = 0;
    let outcomes: [usize; 3] = loop {
        let run = "exec \"$@\"";
        let output = child(test, &path, run);
        // What came of each byte, until the process has ended.
        let seen = fs::read_to_string(path.with_extension("seen")).unwrap();
        let outcomes = std::array::from_fn(|it| seen.matches(OUTCOMES[it]).count());
        if output.status.code().is_some() {
            succeeded(&output);
            break outcomes;
        }
        ended += 1;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            errors.contains("panic in a destructor during cleanup"),
            "{errors}"
        );
    };
    // An error, a sign of damage, or a byte that nothing uses.
    println!("{outcomes:?}, {ended} times the process has ended");
    assert!(outcomes.iter().all(|it| *it > 0), "{outcomes:?}");
    let all: usize = outcomes.iter().sum();
    assert!(ended * 100 <= all, "{ended} of {all}");
}

const OUTCOMES: [&str; 3] = ["e", "s", "u"];

/// Goes on where the process before this one has ended.
fn flip(path: &Path, step: usize) {
    let bytes = fs::read(path).unwrap();
    let expected = seen(bytes.clone()).unwrap();
    let counts = expected.events.iter().map(Vec::len);
    assert_eq!(counts.collect::<Vec<_>>(), [18, 37]);
    assert!(!expected.signs && expected.letters == 2);
    let log = path.with_extension("seen");
    let mut options = fs::OpenOptions::new();
    let mut log = options.create(true).append(true).open(log).unwrap();
    let done = log.metadata().unwrap().len() as usize;
    for offset in (0..bytes.len()).step_by(step).skip(done) {
        let mut flipped = bytes.clone();
        // Any bit, and the same one each time.
        let bit = fastrand::Rng::with_seed(offset as u64).u32(0..8);
        flipped[offset] ^= 1 << bit;
        // If the process ends now, the next one does not try again.
        log.write_all(b"-").unwrap();
        let found = seen(flipped);
        assert!(
            is_honest(&expected, found.as_ref()),
            "{offset}, {bit}: {found:?}"
        );
        let outcome = match &found {
            None => OUTCOMES[0],
            Some(found) if found.signs || *found != expected => OUTCOMES[1],
            Some(_) => OUTCOMES[2],
        };
        let end = log.metadata().unwrap().len();
        log.set_len(end - 1).unwrap();
        log.write_all(outcome.as_bytes()).unwrap();
    }
}

#[test]
fn damage_is_found_when_the_file_is_opened_if_it_is_to_be_verified() {
    let stage = filled();
    let (a, disk) = (stage.ids[0], stage.disk.clone());
    drop(stage);
    let bytes = disk.bytes();
    let open = |bytes: Vec<u8>, verify| {
        let disk = Disk::default();
        disk.set_bytes(bytes);
        Journal::manual(Journal::options().verify(verify), disk.opener())
    };
    // Within a chunk of an event that waits.
    let repository = b"library/31";
    let found = bytes
        .windows(repository.len())
        .position(|it| it == repository);
    let mut damaged = bytes.clone();
    damaged[found.unwrap()] ^= 1;
    assert!(open(bytes, true).is_ok());
    let journal = open(damaged.clone(), false).unwrap();
    assert_eq!(journal.status().endpoints[a.0 as usize].waiting, 18);
    assert!(open(damaged, true).unwrap_err().is_damaged());
}

/// Flips a bit in these entries of a table, behind the back of redb's own checksums.
fn flip_entries(disk: &disk::Disk, table: &str, keys: &[u64]) {
    let table: TableDefinition<'_, u64, &[u8]> = TableDefinition::new(table);
    let database = redb::Builder::new().create_with_backend(disk.clone());
    let txn = database.unwrap().begin_write().unwrap();
    let mut entries = txn.open_table(table).unwrap();
    for key in keys {
        let mut value = entries.get(key).unwrap().unwrap().value().to_vec();
        *value.last_mut().unwrap() ^= 1;
        entries.insert(key, &*value).unwrap();
    }
    drop(entries);
    txn.commit().unwrap();
}

#[test]
fn a_damaged_entry_of_the_index_is_made_anew_and_a_damaged_chunk_is_counted() {
    // The entry of the oldest event is looked at, and made anew, with each commit.
    for (name, lost, damaged) in [("index", 0, 2), ("chunks", 5, 3)] {
        let stage = filled();
        let [a, b] = stage.ids[..] else { panic!() };
        let disk = stage.disk.clone();
        drop(stage);
        flip_entries(&disk, name, &[1, 21, 35]);
        let stage = Stage::on(disk, JournalOptions::default(), &["a", "b"]);
        let found = stage.journal.check().unwrap();
        assert_eq!((found.damaged, found.set_aside), (damaged, 0), "{found:?}");
        let positions = stage.positions(a);
        assert_eq!(positions.contains(&21), lost == 0);
        let positions = stage.positions(b);
        assert_eq!(positions.contains(&1), lost == 0);
        // One, of which only b has not settled its event, and two of both.
        assert_eq!(stage.journal.status().damaged, lost);
        let found = stage.journal.check().unwrap();
        assert_eq!((found.damaged, found.missing), (0, 0));
        assert_eq!(found.set_aside, if lost == 0 { 0 } else { 3 });
        // All others go on.
        stage.append(&event(50), &[a]).unwrap();
        assert!(stage.positions(a).contains(&41));
        stage.settle(a, 1..=41);
        stage.settle(b, 1..=41);
        let status = stage.journal.status();
        assert_eq!((status.events, status.damaged), (0, lost));
    }
}

/// Both the entry of the index and the chunk: nobody knows which events it had.
#[test]
fn a_chunk_that_is_damaged_with_its_entry_takes_no_space_for_ever() {
    let stage = filled();
    let ids = stage.ids.clone();
    let disk = stage.disk.clone();
    drop(stage);
    for name in ["index", "chunks"] {
        flip_entries(&disk, name, &[35]);
    }
    let stage = Stage::on(disk, JournalOptions::default(), &["a", "b"]);
    for id in ids {
        let positions = stage.positions(id);
        assert!(!positions.contains(&35) && positions.contains(&36));
        stage.settle(id, positions);
    }
    let status = stage.journal.status();
    assert_eq!((status.events, status.bytes, status.damaged), (0, 0, 2));
    assert!(status.endpoints.iter().all(|it| it.waiting == 0));
}
