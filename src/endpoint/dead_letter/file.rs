//! Dead letters in a file: [`DeadLetterFile`].

mod append;

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

use self::append::{append, repair};
use super::{DeadLetter, DeadLetterSink};
use crate::same_file::is_same;
use crate::sink::{Acceptance, SinkError};

/// Dead letters in a file, one a line, as JSON.
///
/// A letter is kept when it has been written and synced to disk. Letters that
/// wait for the disk are written together, with one sync. The file is opened
/// again for each group of letters, so that it may be moved away at any time. If a
/// letter would make the file larger than the limit, the file is first renamed to
/// `<path>.1`, that one to `<path>.2`, and so on; the last one is removed.
/// Endpoints and processes may share a file: each locks it while it writes.
///
/// A last line that a crash or a full disk has cut off is removed before the next
/// letter is written. Its letter was never reported as kept.
///
/// Letters are written by a separate thread, which lives as long as there are
/// letters to write. A disk that hangs therefore blocks neither the runtime nor
/// the end of the process.
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
/// // Later, after the receiver was repaired, from a file that was moved away:
/// for letter in DeadLetterFile::read("/var/lib/registry/moved.jsonl")? {
///     notifier.send_again(&letter?).await?;
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct DeadLetterFile(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    place: Place,
    jobs: Mutex<Jobs>,
}

/// The files that letters are written to.
#[derive(Clone, Debug)]
struct Place {
    path: PathBuf,
    most_bytes: u64,
    files: u32,
}

/// Letters that wait for the thread.
#[derive(Debug, Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    next_ticket: u64,
    /// Whether there is a thread.
    running: bool,
}

#[derive(Debug)]
struct Job {
    ticket: u64,
    letter: Arc<DeadLetter>,
    answer: oneshot::Sender<Answer>,
}

/// Letters that are written together share an error.
type Answer = Result<(), Arc<io::Error>>;

/// The largest number of letters that are written together.
const GROUP: usize = 2_000;

impl DeadLetterFile {
    /// Keeps letters in the file at `path`, which is created with the first one.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::at(Place {
            path: path.into(),
            most_bytes: 64 << 20,
            files: 9,
        })
    }

    fn at(place: Place) -> Self {
        Self(Arc::new(Shared {
            place,
            jobs: Mutex::default(),
        }))
    }

    /// Sets the maximum size of a file in bytes, and how many older files are kept.
    /// Defaults to 64 MiB and 9.
    #[must_use]
    pub fn rotate(self, most_bytes: u64, files: u32) -> Self {
        Self::at(Place {
            path: self.0.place.path.clone(),
            most_bytes,
            files,
        })
    }

    /// Reads the letters of a file, line by line.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened. A line that cannot be read or is not a dead
    /// letter is an error of its own: `InvalidData`, with the number of the line.
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
    fn bury(&self, letter: &Arc<DeadLetter>) -> Acceptance {
        let (sender, answer) = oneshot::channel();
        let mut jobs = self.0.jobs();
        let ticket = jobs.next_ticket;
        jobs.next_ticket += 1;
        jobs.waiting.push_back(Job {
            ticket,
            letter: letter.clone(),
            answer: sender,
        });
        if !jobs.running {
            let shared = self.0.clone();
            let thread = std::thread::Builder::new().name("dead-letters".into());
            if let Err(error) = thread.spawn(move || shared.write_all()) {
                jobs.waiting.pop_back();
                return Acceptance::failed(SinkError::other(error));
            }
            jobs.running = true;
        }
        drop(jobs);
        Acceptance::pending(Written {
            shared: self.0.clone(),
            ticket,
            answer,
        })
    }

    fn concurrency(&self) -> usize {
        GROUP
    }

    fn location(&self) -> String {
        format!("the file {}", self.0.place.path.display())
    }
}

/// Resolves when a letter is in the file. If it is dropped before its turn, the
/// letter is not written.
struct Written {
    shared: Arc<Shared>,
    ticket: u64,
    answer: oneshot::Receiver<Answer>,
}

impl Future for Written {
    type Output = Result<(), SinkError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answer).poll(cx));
        Poll::Ready(match answer {
            Ok(answer) => answer.map_err(SinkError::other),
            Err(gone) => Err(SinkError::other(gone)),
        })
    }
}

impl Drop for Written {
    /// Removes the letter if it still waits, so that letters nobody waits for do not
    /// pile up behind a disk that hangs.
    fn drop(&mut self) {
        let mut jobs = self.shared.jobs();
        let found = { &jobs.waiting }.binary_search_by_key(&self.ticket, |job| job.ticket);
        if let Ok(index) = found {
            jobs.waiting.remove(index);
        }
    }
}

impl Shared {
    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes until no letter waits.
    fn write_all(&self) {
        let mut ends = ThreadGuard {
            shared: self,
            told: false,
        };
        loop {
            let mut jobs = self.jobs();
            let most = jobs.waiting.len().min(GROUP);
            let group: Vec<Job> = jobs.waiting.drain(..most).collect();
            if group.is_empty() {
                // Still under the lock of the check above. Otherwise a letter could
                // come in between, find a thread, and never be written.
                jobs.running = false;
                ends.told = true;
                return;
            }
            drop(jobs);
            let letters: Vec<_> = group.iter().map(|job| &*job.letter).collect();
            let answers = self.place.write(&letters);
            for (job, answer) in group.into_iter().zip(answers) {
                // A caller that has stopped waiting has counted the letter as lost.
                let _gone = job.answer.send(answer);
            }
        }
    }
}

/// Lets another thread start if this one panics. The letters that wait are dropped,
/// which fails their writes.
struct ThreadGuard<'a> {
    shared: &'a Shared,
    told: bool,
}

impl Drop for ThreadGuard<'_> {
    fn drop(&mut self) {
        if !self.told {
            let mut jobs = self.shared.jobs();
            jobs.running = false;
            jobs.waiting.clear();
        }
    }
}

impl Place {
    /// Writes the letters in order. After an error the remaining ones are not tried.
    fn write(&self, letters: &[&DeadLetter]) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(letters.len());
        while answers.len() < letters.len() {
            if let Err(error) = self.write_some(letters, &mut answers) {
                let error = Arc::new(error);
                answers.resize_with(letters.len(), || Err(error.clone()));
            }
        }
        answers
    }

    /// Writes the letters that have no answer yet and fit into the file. If none
    /// fits, rotates the files instead.
    fn write_some(&self, letters: &[&DeadLetter], answers: &mut Vec<Answer>) -> io::Result<()> {
        let (mut file, regular) = self.open()?;
        let length = match regular {
            true => repair(&mut file)?,
            false => 0,
        };
        let (mut buffer, mut ends) = (Vec::new(), Vec::new());
        for letter in &letters[answers.len()..] {
            let start = buffer.len();
            serde_json::to_writer(&mut buffer, letter)?;
            buffer.push(b'\n');
            let full = length.saturating_add(buffer.len() as u64) > self.most_bytes;
            if full && regular && (length > 0 || start > 0) {
                buffer.truncate(start);
                break;
            }
            ends.push(buffer.len());
        }
        if ends.is_empty() {
            return self.rotate();
        }
        let (kept, result) = append(&mut file, regular.then_some(length), &buffer, &ends);
        answers.extend(std::iter::repeat_n(Ok(()), kept));
        result
    }

    /// Opens the file and locks it against other writers. Returns whether it is
    /// a regular one, and not a pipe or a device.
    fn open(&self) -> io::Result<(File, bool)> {
        loop {
            let regular = match std::fs::metadata(&self.path) {
                Ok(metadata) => metadata.is_file(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => true,
                Err(error) => return Err(error),
            };
            let mut options = OpenOptions::new();
            // Regular files are read to repair them. A pipe must not be opened for
            // reading: writes would then succeed although nobody reads the letters.
            options.append(true).create(regular).read(regular);
            // Events are personal data: they say who did what.
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let file = options.open(&self.path)?;
            if !regular {
                return Ok((file, false));
            }
            match file.lock() {
                Err(error) if error.kind() != io::ErrorKind::Unsupported => return Err(error),
                _ => {}
            }
            // Another process may have rotated the file between `open` and `lock`. A
            // letter written now would go to the renamed file, so the path must still
            // lead to the file that is locked.
            let now = std::fs::metadata(&self.path);
            if now.is_ok_and(|now| file.metadata().is_ok_and(|ours| is_same(&now, &ours))) {
                return Ok((file, true));
            }
        }
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
mod tests;
