//! The key `journal`.

use std::path::Path;
use std::time::Duration;

use tower_registry_notifications::Notifier;
use tower_registry_notifications::journal::Journal;

use crate::expected::told;
use crate::read;

const HOUR: Duration = Duration::from_secs(3600);

/// A section with this journal.
fn with(journal: &str) -> String {
    format!("notifications: {{journal: {journal}}}")
}

#[test]
fn every_key_of_the_journal_reaches_its_options() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let told_by_file = |text: &str| told(&read(&with(text)).unwrap());
    let by_hand = |journal: Journal| told(&Notifier::builder().journal(journal));
    let shown = path.display();
    let keys = "maxbytes: 2GiB, maxage: 168h, retention: 24h, waitforpulls: false";
    let keys = format!("{{path: '{shown}', {keys}, startfromoldest: true}}");
    let options = Journal::options()
        .max_bytes(2 << 30)
        .max_age(168 * HOUR)
        .retention(24 * HOUR)
        .wait_for_pulls(false)
        .start_from_oldest(true);
    assert_eq!(told_by_file(&keys), by_hand(options.open(&path).unwrap()));
    for defaults in [format!("'{shown}'"), format!("{{path: '{shown}'}}")] {
        assert_eq!(
            told_by_file(&defaults),
            by_hand(Journal::open(&path).unwrap())
        );
    }
}

#[test]
fn mistakes_of_the_journal_are_named_and_make_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let shown = path.display();
    for (keys, parts) in [
        ("maxbytes: many", ["maxbytes", "many"]),
        ("maxbytes: -1", ["maxbytes", "-1"]),
        ("maxage: soon", ["maxage", "soon"]),
        ("maxage: 0", ["maxage", "0"]),
        ("retention: -1h", ["retention", "-1h"]),
        ("waitforpulls: perhaps", ["waitforpulls", "perhaps"]),
        ("startfromoldest: 7", ["startfromoldest", "7"]),
        ("size: 1GiB", ["size", "the keys here are path, maxbytes"]),
    ] {
        let text = with(&format!("{{path: '{shown}', {keys}}}"));
        let error = read(&text).map(drop).unwrap_err().to_string();
        assert!(error.contains("notifications.journal"), "{keys}: {error}");
        assert!(parts.iter().all(|it| error.contains(it)), "{keys}: {error}");
        assert!(!path.exists(), "{keys}");
    }
    for (journal, part) in [
        ("{maxbytes: 1GiB}", "has no path"),
        ("\"\"", "has no path"),
        ("[]", "journal"),
    ] {
        let error = read(&with(journal)).map(drop).unwrap_err().to_string();
        assert!(error.contains(part), "{journal}: {error}");
    }
}

#[test]
fn a_journal_that_cannot_be_opened_is_named_with_the_cause() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let refused = |path: &Path, cause: &str| {
        let shown = path.display().to_string();
        let error = read(&with(&format!("'{shown}'")))
            .map(drop)
            .unwrap_err()
            .to_string();
        assert!(error.contains(&shown) && error.contains(cause), "{error}");
        assert!(error.contains("line 1"), "{error}");
    };
    refused(
        &folder.path().join("none/journal"),
        "No such file or directory",
    );
    refused(folder.path(), "directory");
    std::fs::write(&path, "not a journal").unwrap();
    refused(&path, "is not a journal");
    std::fs::remove_file(&path).unwrap();
    let open = Journal::open(&path).unwrap();
    refused(&path, "is open already, in this process or another");
    drop(open);
    read(&with(&format!("'{}'", path.display()))).unwrap();
}
