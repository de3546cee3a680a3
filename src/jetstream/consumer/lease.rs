//! The right to deliver events for a time: [`Lease`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

/// The right to deliver the events that one opening of a partition's gate has
/// admitted. Clones share it.
///
/// It ends at a time that confirmed progress postpones, or for good when it is revoked.
/// It is checked right before an event is delivered: this process may have been stopped
/// for longer than the server waits, and another worker may have the event by now.
#[derive(Clone, Debug)]
pub(crate) struct Lease(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    base: Instant,
    /// Nanoseconds after `base`; [`REVOKED`] for good.
    until: AtomicU64,
}

const REVOKED: u64 = 0;

impl Lease {
    pub(super) fn new(now: Instant) -> Self {
        Self(Arc::new(Inner {
            base: now,
            until: AtomicU64::new(u64::MAX),
        }))
    }

    /// Sets the end. A revoked lease stays revoked: the queue may still hold it when the
    /// partition already has a new one.
    pub(super) fn set(&self, until: Option<Instant>) {
        let Inner { base, until: own } = &*self.0;
        let nanos = until.map_or(u64::MAX, |until| {
            let after = until.saturating_duration_since(*base).as_nanos();
            u64::try_from(after).unwrap_or(u64::MAX).max(REVOKED + 1)
        });
        let _revoked = own.fetch_update(Ordering::AcqRel, Ordering::Acquire, |until| {
            (until != REVOKED).then_some(nanos)
        });
    }

    pub(super) fn revoke(&self) {
        self.0.until.store(REVOKED, Ordering::Release);
    }

    /// Whether an event may be delivered now.
    pub(crate) fn is_valid(&self, now: Instant) -> bool {
        let after = now.saturating_duration_since(self.0.base).as_nanos();
        let until = self.0.until.load(Ordering::Acquire);
        until != REVOKED && after < u128::from(until)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_lease_ends_at_its_time_and_never_comes_back_once_it_is_revoked() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let lease = Lease::new(now);
        assert!(lease.is_valid(now + second * 1000));
        lease.set(Some(now + second));
        assert!(lease.is_valid(now));
        assert!(!lease.is_valid(now + second));
        lease.set(Some(now + second * 3));
        let clone = lease.clone();
        assert!(clone.is_valid(now + second));
        lease.revoke();
        lease.set(Some(now + second * 9));
        assert!(!clone.is_valid(now));
    }
}
