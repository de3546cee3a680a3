//! Observes a body that passes through the layer: [`BodyTap`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts the bytes of a body and keeps a copy of them within a limit.
///
/// The bytes are copied, so that the memory is proportional to the content: a
/// frame may be a single byte, or a small part of a large buffer that would
/// stay allocated with it.
#[derive(Debug, Default)]
pub(super) struct BodyTap {
    length: u64,
    complete: bool,
    content: Vec<u8>,
    limit: usize,
}

impl BodyTap {
    /// Creates a tap that keeps the content of a body of at most `limit` bytes.
    /// Only the length of a larger one is known.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// Creates the tap of an empty body that has ended.
    pub(super) fn ended() -> Self {
        Self {
            complete: true,
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, data: &[u8]) {
        self.length = self.length.saturating_add(data.len() as u64);
        if self.length <= self.limit as u64 {
            self.content.extend_from_slice(data);
        } else {
            // Past the limit the content is of no use, so its memory is freed.
            self.content = Vec::new();
        }
    }

    /// Records whether the body has ended.
    pub(super) fn set_complete(&mut self, complete: bool) {
        self.complete = complete;
    }

    /// Returns the number of bytes that have passed so far.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Whether the whole body has passed.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Returns the number of bytes of the whole body, if it has ended.
    pub(super) fn whole_length(&self) -> Option<u64> {
        self.complete.then_some(self.length)
    }

    /// Returns the whole body, if it has ended and was within the limit.
    pub(super) fn content(&self) -> Option<&[u8]> {
        (self.complete && self.length <= self.limit as u64).then_some(&*self.content)
    }
}

/// The tap of a request body. The inner service owns the body, and may read or
/// drop it in another task while the layer waits for the response.
#[derive(Clone, Debug)]
pub(super) struct SharedTap(Arc<Mutex<BodyTap>>);

impl SharedTap {
    pub(super) fn new(limit: usize) -> Self {
        Self(Arc::new(Mutex::new(BodyTap::new(limit))))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, BodyTap> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_proportional_to_the_content_however_small_its_frames_are() {
        let mut tap = None;
        let info = allocation_counter::measure(|| {
            let mut bytes = BodyTap::new(1 << 20);
            (0..1 << 20).for_each(|_| bytes.add(b"x"));
            bytes.set_complete(true);
            tap = Some(bytes);
        });
        assert!(info.bytes_max <= 4 << 20, "{} bytes", info.bytes_max);
        assert_eq!(tap.unwrap().content().map(<[u8]>::len), Some(1 << 20));
    }

    #[test]
    fn only_the_length_of_a_body_past_the_limit_is_kept() {
        let mut tap = BodyTap::new(3);
        tap.add(b"ab");
        assert_eq!((tap.content(), tap.whole_length()), (None, None));
        tap.add(b"cd");
        tap.set_complete(true);
        assert_eq!((tap.content(), tap.whole_length()), (None, Some(4)));
    }
}
