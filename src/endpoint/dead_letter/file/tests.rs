use super::*;
use std::time::SystemTime;

use crate::dead_letter::Reason;
use crate::event::{Action, Event, SharedEvent, SourceRecord};

fn letter(answer: &str) -> Arc<DeadLetter> {
    let first = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_500);
    let mut event = Event::new(Action::Push);
    // Of one length in each letter.
    event.timestamp = first;
    Arc::new(DeadLetter {
        endpoint: "e".into(),
        reason: Reason::Rejected,
        number: None,
        error: Some("400 Bad Request".into()),
        answer: answer.into(),
        attempts: 2,
        first_attempt: Some(first),
        last_attempt: None,
        event: SharedEvent::accepted(&event, SourceRecord::default(), first),
    })
}

#[tokio::test]
async fn letters_round_trip_and_files_rotate() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letters");
    let line = serde_json::to_vec(&*letter("0")).unwrap().len() as u64 + 1;
    let file = DeadLetterFile::new(&path).rotate(2 * line, 2);
    let letters: Vec<_> = (0..9).map(|n| letter(&n.to_string())).collect();
    for letter in &letters {
        file.bury(letter).await.unwrap();
    }
    let read = |path: &Path| -> Vec<_> {
        let letters = DeadLetterFile::read(path).unwrap();
        letters.map(|letter| Arc::new(letter.unwrap())).collect()
    };
    assert_eq!(read(&path), letters[8..]);
    assert_eq!(read(&path.with_extension("1")), letters[6..8]);
    assert_eq!(read(&path.with_extension("2")), letters[4..6]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
}

/// A pipe that nobody reads: to open it for writing hangs.
#[cfg(target_os = "linux")]
fn pipe(folder: &Path) -> PathBuf {
    let path = folder.join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    path
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_hanging_disk_blocks_one_thread_and_keeps_no_abandoned_letters() {
    let folder = tempfile::tempdir().unwrap();
    let path = pipe(folder.path());
    let file = DeadLetterFile::new(&path);
    let hangs = file.bury(&letter("0"));
    while !file.0.jobs().waiting.is_empty() {
        std::thread::yield_now();
    }
    let given_up = letter("1");
    for _ in 0..100 {
        let write = file.bury(&given_up);
        let wait = std::time::Duration::ZERO;
        assert!(tokio::time::timeout(wait, write).await.is_err());
    }
    assert_eq!(Arc::strong_count(&given_up), 1);
    let kept = file.bury(&letter("2"));
    // Somebody reads, and it goes on. A reader that could write too is not told
    // of an end between two groups.
    let reader = OpenOptions::new().read(true).write(true).open(&path);
    hangs.await.unwrap();
    kept.await.unwrap();
    let lines = BufReader::new(reader.unwrap()).lines().take(2);
    let letters = lines.map(|line| serde_json::from_str::<DeadLetter>(&line.unwrap()).unwrap());
    let answers: Vec<_> = letters.map(|letter| letter.answer).collect();
    assert_eq!(answers, ["0", "2"]);
}

/// A runtime waits for the threads of its own, but not for this one.
#[cfg(target_os = "linux")]
#[test]
fn a_hanging_disk_does_not_delay_the_end_of_the_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let file = DeadLetterFile::new(pipe(folder.path()));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let wait = std::time::Duration::from_millis(1);
        let write = file.bury(&letter("0"));
        assert!(tokio::time::timeout(wait, write).await.is_err());
    });
    drop(runtime);
}

fn answers(path: &Path) -> Vec<String> {
    let letters = DeadLetterFile::read(path).unwrap();
    letters.map(|letter| letter.unwrap().answer).collect()
}

#[tokio::test]
async fn letters_that_wait_for_the_disk_are_written_together_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letters");
    let file = DeadLetterFile::new(&path);
    let writes: Vec<_> = (0..2_000)
        .map(|n| file.bury(&letter(&n.to_string())))
        .collect();
    for write in writes {
        write.await.unwrap();
    }
    let expected = (0..2_000).map(|n| n.to_string());
    assert!(answers(&path).into_iter().eq(expected));
}

#[tokio::test]
async fn a_partial_last_line_swallows_no_letter() {
    let whole = serde_json::to_string(&*letter("whole")).unwrap();
    let half = &whole[..whole.len() / 2];
    // Longer than what is read at a time.
    let long = format!("{{\"endpoint\":\"{}", "x".repeat(20_000));
    for (before, kept) in [
        (half.to_owned(), &[][..]),
        (format!("{whole}\n{half}"), &["whole"]),
        (format!("{whole}\n{long}"), &["whole"]),
        // As an editor leaves it.
        (whole.clone(), &["whole"]),
        (format!("{whole}\n{whole}"), &["whole", "whole"]),
        (format!("{whole}\n"), &["whole"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letters");
        std::fs::write(&path, &before).unwrap();
        DeadLetterFile::new(&path)
            .bury(&letter("next"))
            .await
            .unwrap();
        assert_eq!(answers(&path), [kept, &["next"]].concat(), "{before}");
    }
}

#[tokio::test]
async fn endpoints_that_share_a_file_lose_no_letter() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letters");
    let line = serde_json::to_vec(&*letter("000")).unwrap().len() as u64 + 1;
    // As two endpoints have them that do not know of each other.
    let files = [0, 1].map(|_| DeadLetterFile::new(&path).rotate(7 * line, 1_000));
    let mut writes = Vec::new();
    for n in 0..1_000 {
        let file = &files[n % 2];
        writes.push(file.bury(&letter(&format!("{n:03}"))));
        if n % 10 == 0 {
            tokio::task::yield_now().await;
        }
    }
    for write in writes {
        write.await.unwrap();
    }
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        assert!(path.metadata().unwrap().len() <= 7 * line);
        all.extend(answers(&path));
    }
    all.sort();
    assert!(all.into_iter().eq((0..1_000).map(|n| format!("{n:03}"))));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_fails_each_letter() {
    let file = DeadLetterFile::new("/dev/full");
    let writes: Vec<_> = (0..10)
        .map(|n| file.bury(&letter(&n.to_string())))
        .collect();
    for write in writes {
        let error = write.await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("No space left"), "{cause}");
    }
}

#[tokio::test]
async fn a_line_that_is_no_letter_and_a_folder_that_is_not_there_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letters");
    std::fs::write(&path, "{}\n").unwrap();
    let error = DeadLetterFile::read(&path).unwrap().next().unwrap();
    assert!(error.unwrap_err().to_string().contains("line 1"));
    let nowhere = DeadLetterFile::new(folder.path().join("none/letters"));
    assert!(nowhere.bury(&letter("")).await.is_err());
}
