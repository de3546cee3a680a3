//! Files that are removed, replaced, cut off or overwritten while they are open.

use std::fs;
use std::path::Path;

use super::*;
use crate::error::with_causes;

/// What is written to a file that nobody finds again is not kept, and what was put in its
/// place is not taken for it.
#[test]
fn a_file_that_is_removed_or_replaced_takes_no_events() {
    type Harm = fn(&Path);
    let removed: Harm = |path| fs::remove_file(path).unwrap();
    let replaced: Harm = |path| {
        let other = path.with_extension("other");
        drop(Journal::open(&other).unwrap());
        fs::rename(other, path).unwrap();
    };
    for (harm, at_first, later) in [
        (removed, "the file was removed", "No such file"),
        (
            replaced,
            "another file was put in its place",
            "is another journal",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (journal, attachment) = attached(Journal::options(), &path);
        append(&journal, &event(1), attachment.endpoints());
        harm(&path);
        let try_again = || try_append(&journal, &event(2), attachment.endpoints());
        let error = with_causes(&try_again().unwrap_err());
        assert!(error.contains(at_first), "{error}");
        assert!(!journal.is_ready());
        // It is tried again, and stays as it is.
        loop {
            let error = try_again().unwrap_err();
            if with_causes(&error).contains(later) {
                break;
            }
            std::thread::yield_now();
        }
        let error = journal.status().error.unwrap();
        assert!(error.contains(later), "{error}");
        drop((attachment, journal));
        assert_eq!(path.exists(), at_first != "the file was removed");
    }
}

/// What is written to a file that was cut off has lost what it stands on.
#[test]
fn a_file_that_is_cut_off_while_it_is_open_takes_no_events() {
    for whole in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (journal, attachment) = attached(Journal::options(), &path);
        let ids = attachment.endpoints();
        let kept: Vec<_> = (0..20)
            .map(|it| append(&journal, &event(it), ids))
            .collect();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        let length = file.metadata().unwrap().len();
        // The end of a file is free, and its beginning is not.
        file.set_len(if whole { length - 4096 } else { 12 << 10 })
            .unwrap();
        let error = try_append(&journal, &event(20), ids).unwrap_err();
        let error = with_causes(&error);
        assert!(error.contains("was cut off while it was open"), "{error}");
        if whole {
            // Nothing is missing that was in use.
            while try_append(&journal, &event(21), ids).is_err() {
                std::thread::yield_now();
            }
            assert!(positions(&read(&journal, ids[0], 0)).starts_with(&kept));
            continue;
        }
        for _ in 0..20 {
            assert!(try_append(&journal, &event(21), ids).unwrap_err().is_down());
        }
        assert!(!journal.is_ready() && journal.status().error.is_some());
    }
}

#[test]
fn a_check_that_fails_leaves_a_journal_that_answers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let (journal, attachment) = attached(Journal::options(), &path);
    let ids = attachment.endpoints();
    (0..20).for_each(|it| assert!(append(&journal, &event(it), ids) > 0));
    let length = fs::metadata(&path).unwrap().len() as usize;
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let noise = vec![0xa5; length - 4096];
    std::os::unix::fs::FileExt::write_all_at(&file, &noise, 4096).unwrap();
    assert!(journal.check().unwrap_err().is_damaged());
    assert!(try_append(&journal, &event(20), ids).unwrap_err().is_down());
    assert!(!journal.is_ready() && journal.status().error.is_some());
}
