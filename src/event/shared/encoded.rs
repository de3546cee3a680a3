//! Encodings of an event that endpoints share while they deliver it: [`Encoded`].
//!
//! The event holds them weakly, so that an event that only waits costs no encoding.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;

use super::SharedEvent;
use crate::event::encoding::Encoding;

/// The encodings of an event that are in use. There are at most two, so that
/// endpoints with different formats do not replace each other's.
#[derive(Debug, Default)]
pub(super) struct Encodings(Mutex<[Weak<Body>; 2]>);

#[cfg(test)]
impl Encodings {
    pub(super) fn is_empty(&self) -> bool {
        let slots = self.0.lock().unwrap();
        // An empty slot has no allocation, and so no count at all.
        slots.iter().all(|slot| slot.ptr_eq(&Weak::new()))
    }
}

/// An encoding of one event, shared by all that need it at the same time. It is freed
/// with its last handle.
#[derive(Clone)]
pub(crate) struct Encoded(Arc<Body>);

struct Body {
    encoding: Encoding,
    bytes: Vec<u8>,
    event: SharedEvent,
}

impl Drop for Body {
    /// Empties the slot in the event, which would keep the allocation otherwise.
    fn drop(&mut self) {
        let slots = self.event.0.encodings.0.lock();
        for slot in &mut *slots.unwrap_or_else(PoisonError::into_inner) {
            // Another thread may have put a new encoding there already.
            if slot.strong_count() == 0 {
                *slot = Weak::new();
            }
        }
    }
}

impl SharedEvent {
    /// Returns an encoding that is in use, or the one that `encode` makes.
    pub(in crate::event) fn shared_encoding(
        &self,
        encoding: &Encoding,
        encode: impl FnOnce() -> Vec<u8>,
    ) -> Encoded {
        // Declared before the lock, to be dropped after it: dropping the last handle
        // of a body takes the lock.
        let held: [Option<Arc<Body>>; 2];
        let slots = &self.0.encodings.0;
        let mut slots = slots.lock().unwrap_or_else(PoisonError::into_inner);
        held = slots.each_ref().map(Weak::upgrade);
        let known = held.iter().flatten().find(|it| it.encoding == *encoding);
        if let Some(known) = known {
            return Encoded(known.clone());
        }
        // Under the lock, so that no other thread encodes the same meanwhile.
        let body = Arc::new(Body {
            encoding: encoding.clone(),
            bytes: encode(),
            event: self.clone(),
        });
        // The new encoding takes the first slot. The one before it moves to the second slot,
        // if it is still in use.
        if held[0].is_some() {
            slots.swap(0, 1);
        }
        slots[0] = Arc::downgrade(&body);
        Encoded(body)
    }
}

impl Encoded {
    /// Returns the body of a request with this event alone, not in a batch.
    pub(crate) fn body(&self) -> &[u8] {
        &self.0.bytes
    }

    /// Returns the event as it stands in an envelope or a batch.
    pub(crate) fn event(&self) -> &[u8] {
        self.0.encoding.event_in(&self.0.bytes)
    }

    /// Returns the body without copying it.
    pub(crate) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Encoded {
    fn as_ref(&self) -> &[u8] {
        self.body()
    }
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoded({} bytes)", self.0.bytes.len())
    }
}
