use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;

use super::SharedEvent;
use crate::event::format::{self, Encoding, Format};

/// The encodings of an event that somebody holds: the last two, so that
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

/// An encoding of one event, shared by all who ask for it at a time. It is
/// freed when nobody holds it any more.
#[derive(Clone)]
pub(crate) struct Encoded(Arc<Body>);

struct Body {
    encoding: Encoding,
    bytes: Vec<u8>,
    event: SharedEvent,
}

impl Drop for Body {
    /// Frees the place in the event, so that nothing of it stays behind.
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
    /// The event's encoding, shared with everybody who holds it now.
    pub(crate) fn encoded(&self, encoding: Encoding) -> Encoded {
        // Outlives the lock: whoever drops the last handle of a body takes it.
        let held: [Option<Arc<Body>>; 2];
        let slots = &self.0.encodings.0;
        let mut slots = slots.lock().unwrap_or_else(PoisonError::into_inner);
        held = slots.each_ref().map(Weak::upgrade);
        let known = held.iter().flatten().find(|it| it.encoding == encoding);
        if let Some(known) = known {
            return Encoded(known.clone());
        }
        // Under the lock, so that nobody encodes the same meanwhile.
        let body = Arc::new(Body {
            encoding,
            bytes: format::body(self, encoding),
            event: self.clone(),
        });
        if held[0].is_some() {
            slots.swap(0, 1);
        }
        slots[0] = Arc::downgrade(&body);
        Encoded(body)
    }
}

impl Encoded {
    /// The body of a request with this event alone and not in a batch.
    pub(crate) fn body(&self) -> &[u8] {
        &self.0.bytes
    }

    /// The event as it stands in an envelope or a batch.
    pub(crate) fn event(&self) -> &[u8] {
        self.0.encoding.event_in(&self.0.bytes)
    }

    /// The body as [`Bytes`], without a copy.
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

impl SharedEvent {
    /// Encodes the event as the body of a request that carries nothing else:
    /// in formats v2 and v1 an envelope of one event, in CloudEvents an event
    /// in structured mode. [`Format::content_type`] returns its media type.
    ///
    /// Everybody who asks for the same format shares the bytes for as long as
    /// somebody holds them. An event that only waits keeps no encoding.
    pub fn to_bytes(&self, format: Format) -> Bytes {
        let compact = false;
        self.encoded(Encoding { format, compact }).into_bytes()
    }
}
