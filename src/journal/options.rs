//! The settings of a journal: [`JournalOptions`].

use std::time::Duration;

/// Events are refused when the limit is exceeded by one part in this many: then the
/// endpoints are too slow to make dead letters of the oldest events.
const GRACE: u64 = 8;

/// Settings of a [`Journal`](super::Journal), which [`open`](Self::open) opens.
///
/// ```no_run
/// use std::time::Duration;
/// use tower_registry_notifications::journal::Journal;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let journal = Journal::options()
///     .max_bytes(2 << 30)
///     .max_age(Duration::from_secs(7 * 24 * 60 * 60))
///     .retention(Duration::from_secs(24 * 60 * 60))
///     .open("/var/lib/registry/notifications")?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct JournalOptions {
    pub(super) max_bytes: u64,
    pub(super) max_letter_bytes: u64,
    pub(super) max_age: Option<Duration>,
    pub(super) retention: Duration,
    pub(super) wait_for_pulls: bool,
    pub(super) start_from_oldest: bool,
    pub(super) cache_bytes: usize,
    pub(super) settle_interval: Duration,
    pub(super) verify: bool,
    /// A mostly free file of at least this length is compacted when it is opened.
    pub(super) compact_from: u64,
    /// How many small chunks are packed at a time.
    pub(super) pack_from: usize,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            max_bytes: 8 << 30,
            max_letter_bytes: 1 << 30,
            max_age: None,
            retention: Duration::ZERO,
            wait_for_pulls: true,
            start_from_oldest: false,
            cache_bytes: 16 << 20,
            settle_interval: Duration::from_secs(1),
            verify: false,
            compact_from: 64 << 20,
            pack_from: 64,
        }
    }
}

impl JournalOptions {
    /// Sets how many bytes of events the file may hold. Beyond that, delivered
    /// events that are kept for [`retention`](Self::retention) go first, then
    /// the oldest events, which become dead letters. Defaults to 8 GiB.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets how many bytes of dead letters the file may hold. Beyond that, the
    /// oldest letters are removed, which is counted and logged. Defaults to
    /// 1 GiB.
    #[must_use]
    pub fn max_letter_bytes(mut self, bytes: u64) -> Self {
        self.max_letter_bytes = bytes;
        self
    }

    /// Sets how long an event may wait. An older one becomes a dead letter, whatever the
    /// retry policy of its endpoint, even if its endpoint is no longer configured. If it is
    /// under way then, it becomes one when its attempt fails. The age of an event that is
    /// sent again begins anew. Defaults to no limit.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Sets how long events are kept after all endpoints have settled them, for
    /// [`Journal::replay`](super::Journal::replay). Defaults to zero: they are removed.
    #[must_use]
    pub fn retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }

    /// Whether the response to a pull waits until its event is on disk. With `false` the
    /// events of the last pulls are lost in a crash. Pushes, mounts and deletions always
    /// wait. Defaults to `true`.
    #[must_use]
    pub fn wait_for_pulls(mut self, wait: bool) -> Self {
        self.wait_for_pulls = wait;
        self
    }

    /// Whether an endpoint that the journal does not know starts with the oldest event
    /// that is kept: for another endpoint, or for [`retention`](Self::retention). Its
    /// filter decides which of these events it gets. They have no
    /// [number](crate::Endpoint::sequence), and count as events of the endpoint when
    /// they are read. Defaults to `false`: it starts with the events that come.
    #[must_use]
    pub fn start_from_oldest(mut self, oldest: bool) -> Self {
        self.start_from_oldest = oldest;
        self
    }

    /// Sets how many bytes of the file are cached in memory. Defaults to 16 MiB.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Sets after what time a delivery is recorded on disk, if no new event is written
    /// before. After a crash, events that were delivered within this time are delivered
    /// again. A shorter time costs more syncs. Defaults to 1 s.
    #[must_use]
    pub fn settle_interval(mut self, interval: Duration) -> Self {
        self.settle_interval = interval;
        self
    }

    /// Whether all pages of the file are read and verified when it is opened, which
    /// takes about a second for each gigabyte. A file that was damaged while it was
    /// closed is then found at once. Defaults to `false`: events are verified when
    /// they are read.
    #[must_use]
    pub fn verify(mut self, verify: bool) -> Self {
        self.verify = verify;
        self
    }

    /// Whether new events are refused while the file holds this many bytes of events.
    pub(super) fn is_beyond(&self, bytes: u64) -> bool {
        bytes > self.max_bytes.saturating_add(self.max_bytes / GRACE)
    }
}
