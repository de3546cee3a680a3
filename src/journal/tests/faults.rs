//! Files and disks that are not as they should be.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use futures_util::FutureExt as _;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use super::*;
use crate::dead_letter::DeadLetterSink as _;
use crate::journal::codec::{self, Table};
use crate::journal::state::{FORMAT, KEY};

const STATE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("state");

/// Runs a test of this file again, in another process, which a line of a shell
/// starts: `"$@"` is its command.
fn child(test: &str, path: &Path, script: &str) -> Output {
    let exe = std::env::current_exe().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(exe);
    command
        .arg("--exact")
        .arg(format!("journal::tests::faults::{test}"));
    command.arg("--nocapture").env("JOURNAL_CHILD", path);
    command.output().unwrap()
}

/// The path, in the process that [`child`] has started.
fn is_child() -> Option<PathBuf> {
    std::env::var_os("JOURNAL_CHILD").map(PathBuf::from)
}

fn succeeded(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    assert!(text.contains("1 passed"), "{text}{errors}");
}

fn opened(path: &Path) -> JournalError {
    let error = Journal::open(path).unwrap_err();
    // It says which file it is.
    assert!(error.to_string().contains(&path.display().to_string()));
    error
}

#[test]
fn a_second_process_finds_the_journal_locked() {
    if let Some(path) = is_child() {
        assert!(opened(&path).is_locked());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let journal = Journal::open(&path).unwrap();
    assert!(opened(&path).is_locked());
    succeeded(&child(
        "a_second_process_finds_the_journal_locked",
        &path,
        "exec \"$@\"",
    ));
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
    if let Some(path) = is_child() {
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
    let test = "a_folder_that_cannot_be_written_is_named_as_such";
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
    if let Some(path) = is_child() {
        return flip(&path, step);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    fs::write(&path, filled().disk.bytes()).unwrap();
    let mut ended = 0;
    let outcomes: [usize; 3] = loop {
        let run = "exec \"$@\"";
        let output = child("a_flipped_bit_never_hides_an_event", &path, run);
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
    if let Some(path) = is_child() {
        let journal = Journal::open(&path).unwrap();
        let queues = Arc::new(Queues::default());
        let attachment = journal.attach(attach(&["a"]), "1", queues).unwrap();
        let ids = attachment.endpoints();
        let mut kept = 0;
        let error = loop {
            let (sender, answer) = mpsc::channel();
            let wanted = ids.iter().copied().collect();
            let done = move |result| sender.send(result).unwrap();
            journal
                .append(event(kept), wanted, Number::Next, done)
                .unwrap();
            match answer.recv().unwrap() {
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
    let output = child("a_file_that_may_not_grow_keeps_what_it_has", &path, limit);
    succeeded(&output);
    let text = String::from_utf8(output.stdout).unwrap();
    let kept = text
        .split_once("kept ")
        .unwrap()
        .1
        .split_once('.')
        .unwrap()
        .0;
    let kept: u64 = kept.parse().unwrap();
    assert!(kept > 10, "{kept}");
    let journal = Journal::open(&path).unwrap();
    assert!(journal.status().events >= kept);
    assert!(journal.check().unwrap().is_intact());
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
