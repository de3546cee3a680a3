//! New ids: UUIDs of version 7 (RFC 9562).

use std::cell::RefCell;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use fastrand::Rng;
use uuid::Uuid;

use super::timestamp::since_1970;

/// The time in the last id, in 1/4096 of a millisecond.
static LAST: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Seeded with randomness of the operating system, which is where the keys
    /// of a `RandomState` come from: ids of several nodes must differ. They need
    /// not be unpredictable, so this is not the operating system's generator,
    /// which costs a system call an id.
    static RANDOM: RefCell<Rng> =
        RefCell::new(Rng::with_seed(RandomState::new().build_hasher().finish()));
}

/// Returns an id that is greater than all before it in this process, whatever
/// the clock does: the time in 60 bits, as section 6.2, method 3 of the RFC has
/// it, and 62 random bits.
pub(crate) fn new() -> Uuid {
    of(since_1970(SystemTime::now()))
}

/// The same of a time in seconds and nanoseconds since 1970, for those who have read the
/// clock already.
pub(super) fn of((seconds, nanoseconds): (i64, u32)) -> Uuid {
    let part = u64::from(nanoseconds % 1_000_000) * 4096 / 1_000_000;
    let milliseconds = u64::try_from(seconds).unwrap_or_default() * 1_000;
    let milliseconds = milliseconds + u64::from(nanoseconds / 1_000_000);
    let now = milliseconds << 12 | part;
    let later = |last: u64| now.max(last + 1);
    // `Relaxed` suffices: changes of one atomic have one order for all threads, and a change
    // always sees the one before it. No other memory is shared through `LAST`.
    let update = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |it| Some(later(it)));
    let time = later(update.unwrap_or_default());
    let random = RANDOM.with_borrow_mut(|random| random.u64(..));
    let mut rest = [0; 10];
    rest[..2].copy_from_slice(&(time as u16 & 0xfff).to_be_bytes());
    rest[2..].copy_from_slice(&random.to_be_bytes());
    uuid::Builder::from_unix_timestamp_millis(time >> 12, &rest).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_of_version_7_and_of_now() {
        let id = new();
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
        let (seconds, _) = id.get_timestamp().unwrap().to_unix();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        assert!(now.unwrap().as_secs().abs_diff(seconds) <= 1);
    }

    #[test]
    fn ids_increase_and_differ_on_all_threads() {
        let threads = (0..4).map(|_| {
            std::thread::spawn(|| {
                let ids: Vec<_> = (0..10_000).map(|_| new()).collect();
                assert!(ids.is_sorted_by(|a, b| a < b));
                ids
            })
        });
        let threads: Vec<_> = threads.collect();
        let ids = threads.into_iter().flat_map(|it| it.join().unwrap());
        let ids: std::collections::HashSet<_> = ids.collect();
        assert_eq!(ids.len(), 40_000);
        // The random part, too: another process may have the same times.
        let random = ids.iter().map(|id| id.as_u128() as u64);
        let random: std::collections::HashSet<_> = random.collect();
        assert_eq!(random.len(), 40_000);
    }
}
