use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{DeadLetter, DeadLetterSink};
use crate::sink::{SinkError, Write};

/// Dead letters in a file, one a line, as JSON.
///
/// The file is opened for each letter, so that it may be moved away at any
/// time. When a letter would make it larger than the limit, it is first renamed
/// to `<path>.1`, that to `<path>.2`, and so on; the last one is removed. A
/// letter is taken when the operating system has it: it outlives the process,
/// but perhaps not a power failure. Endpoints that share a file must share a
/// `DeadLetterFile`, by its clones: of two, each would rotate the other's. It
/// writes inside of a Tokio runtime only.
///
/// ```no_run
/// use tower_registry_notifications::dead_letter::DeadLetterFile;
/// use tower_registry_notifications::{Endpoint, Notifier};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let letters = DeadLetterFile::new("/var/lib/registry/dead-letters.jsonl");
/// let endpoint = Endpoint::new("ci", "https://ci.example.com/events").dead_letters(letters);
/// let notifier = Notifier::builder().endpoint(endpoint).build()?;
///
/// // Later, when the receiver was mended, from a file that was moved away:
/// for letter in DeadLetterFile::read("/var/lib/registry/moved.jsonl")? {
///     notifier.send_again(&letter?).await?;
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct DeadLetterFile(Arc<Rotated>);

#[derive(Debug)]
struct Rotated {
    path: PathBuf,
    most_bytes: u64,
    files: u32,
    /// One letter at a time, and one thread, however slow the disk is.
    turn: Arc<Semaphore>,
}

impl DeadLetterFile {
    /// Letters in the file at `path`, which is made when the first one comes.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(Arc::new(Rotated {
            path: path.into(),
            most_bytes: 64 << 20,
            files: 9,
            turn: Arc::new(Semaphore::new(1)),
        }))
    }

    /// How large the file may become in bytes, and how many older files are
    /// kept. Default: 64 MiB and 9.
    #[must_use]
    pub fn rotate(self, most_bytes: u64, files: u32) -> Self {
        Self(Arc::new(Rotated {
            path: self.0.path.clone(),
            most_bytes,
            files,
            turn: Arc::new(Semaphore::new(1)),
        }))
    }

    /// Reads the letters of a file, line by line.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened; and for each line, when it cannot be
    /// read or is no dead letter (`InvalidData`, with the number of the line).
    pub fn read(
        path: impl AsRef<Path>,
    ) -> io::Result<impl Iterator<Item = io::Result<DeadLetter>>> {
        let lines = BufReader::new(File::open(path)?).lines();
        Ok(lines.enumerate().map(|(number, line)| {
            serde_json::from_str(&line?).map_err(|error| {
                let message = format!("line {}: {error}", number + 1);
                io::Error::new(io::ErrorKind::InvalidData, message)
            })
        }))
    }
}

impl DeadLetterSink for DeadLetterFile {
    fn bury(&self, letter: &Arc<DeadLetter>) -> Write {
        let (file, letter) = (self.0.clone(), letter.clone());
        Write::pending(async move {
            let turn = { file.turn.clone() }.acquire_owned();
            let turn = turn.await.map_err(SinkError::other)?;
            // Disks may be slow. The turn ends with the write, not with the wait.
            let written = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                file.write(&letter)
            });
            let answer = written.await.map_err(SinkError::other)?;
            answer.map_err(SinkError::other)
        })
    }
}

impl Rotated {
    fn write(&self, letter: &DeadLetter) -> io::Result<()> {
        let mut line = serde_json::to_vec(letter)?;
        line.push(b'\n');
        let length = match std::fs::metadata(&self.path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        if length > 0 && length.saturating_add(line.len() as u64) > self.most_bytes {
            self.rotate()?;
        }
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        // Events say who did what.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&self.path)?.write_all(&line)
    }

    fn rotate(&self) -> io::Result<()> {
        let numbered = |number: u32| {
            let mut path = self.path.clone().into_os_string();
            path.push(format!(".{number}"));
            PathBuf::from(path)
        };
        if self.files == 0 {
            return std::fs::remove_file(&self.path);
        }
        for number in (1..self.files).rev() {
            match std::fs::rename(numbered(number), numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        std::fs::rename(&self.path, numbered(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    use crate::dead_letter::Reason;
    use crate::event::{Action, Event};

    fn letter(answer: &str) -> Arc<DeadLetter> {
        let first = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_500);
        let mut event = Event::new(Action::Push);
        // Of one length in each letter.
        event.timestamp = first;
        Arc::new(DeadLetter {
            endpoint: "e".into(),
            reason: Reason::Rejected,
            error: Some("400 Bad Request".into()),
            answer: answer.into(),
            attempts: 2,
            first_attempt: Some(first),
            last_attempt: None,
            event,
        })
    }

    #[tokio::test]
    async fn letters_are_read_as_they_were_written_and_files_rotate() {
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

    #[tokio::test]
    async fn a_disk_that_hangs_holds_one_thread_and_no_letters_that_nobody_waits_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letters");
        let file = DeadLetterFile::new(&path);
        let hangs = file.0.turn.clone().acquire_owned().await.unwrap();
        let given_up = letter("0");
        for _ in 0..100 {
            let write = file.bury(&given_up);
            let wait = std::time::Duration::ZERO;
            assert!(tokio::time::timeout(wait, write).await.is_err());
        }
        assert_eq!(Arc::strong_count(&given_up), 1);
        drop(hangs);
        file.bury(&letter("1")).await.unwrap();
        assert_eq!(DeadLetterFile::read(&path).unwrap().count(), 1);
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
}
