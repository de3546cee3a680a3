use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{Encoding, Event, encode};

/// An [`Event`] on its way to the sinks: immutable, and shared by all of them.
///
/// All deliveries that are under way at a time share one encoding in each
/// format. An encoding lives as long as a delivery uses it, so that an event
/// that waits in a queue costs what the event costs and no more.
#[derive(Clone)]
pub struct SharedEvent(Arc<Inner>);

struct Inner {
    event: Event,
    encodings: Mutex<Vec<(Encoding, Weak<[u8]>)>>,
}

impl SharedEvent {
    /// The event's own encoding, as it stands in an envelope.
    pub(crate) fn encoded(&self, encoding: Encoding) -> Arc<[u8]> {
        let slots = self.0.encodings.lock();
        let mut slots = slots.unwrap_or_else(PoisonError::into_inner);
        let known = slots.iter_mut().find(|(known, _)| *known == encoding);
        if let Some(encoded) = known.as_ref().and_then(|(_, encoded)| encoded.upgrade()) {
            return encoded;
        }
        let encoded: Arc<[u8]> = encode::event(&self.0.event, encoding).into();
        match known {
            Some((_, slot)) => *slot = Arc::downgrade(&encoded),
            None => slots.push((encoding, Arc::downgrade(&encoded))),
        }
        encoded
    }

    /// The bytes that the event takes in memory, its texts included: what the
    /// bounds of a queue count.
    pub fn memory(&self) -> usize {
        let event = &self.0.event;
        let descriptor = |descriptor: &super::Descriptor| {
            descriptor.media_type.len()
                + descriptor.digest.len()
                + descriptor.data.len()
                + descriptor.artifact_type.len()
                + descriptor
                    .urls
                    .iter()
                    .map(|url| 24 + url.len())
                    .sum::<usize>()
                + descriptor
                    .annotations
                    .iter()
                    .map(|(name, value)| 64 + name.len() + value.len())
                    .sum::<usize>()
                + descriptor.platform.as_ref().map_or(0, |platform| {
                    size_of::<super::Platform>()
                        + platform.architecture.len()
                        + platform.os.len()
                        + platform.os_version.len()
                        + platform.variant.len()
                        + platform
                            .os_features
                            .iter()
                            .map(|feature| 24 + feature.len())
                            .sum::<usize>()
                })
        };
        let target = &event.target;
        let request = &event.request;
        size_of::<Inner>()
            + 2 * size_of::<usize>()
            + event.id.len()
            + descriptor(&target.descriptor)
            + target.repository.len()
            + target.from_repository.len()
            + target.url.len()
            + target.tag.len()
            + target
                .references
                .iter()
                .map(|reference| size_of_val(reference) + descriptor(reference))
                .sum::<usize>()
            + request.id.len()
            + request.addr.len()
            + request.host.len()
            + request.method.len()
            + request.user_agent.len()
            + request.trace_parent.len()
            + event.actor.name.len()
    }
}

impl From<Event> for SharedEvent {
    fn from(event: Event) -> Self {
        Self(Arc::new(Inner {
            event,
            encodings: Mutex::default(),
        }))
    }
}

impl Deref for SharedEvent {
    type Target = Event;

    fn deref(&self) -> &Event {
        &self.0.event
    }
}

impl fmt::Debug for SharedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.event.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Action, Format};

    #[test]
    fn deliveries_share_an_encoding_and_free_it_with_the_last() {
        let event = SharedEvent::from(Event::new(Action::Pull));
        let encoding = |format, compact| Encoding { format, compact };
        let first = event.encoded(encoding(Format::V2, false));
        let second = event.clone().encoded(encoding(Format::V2, false));
        assert!(Arc::ptr_eq(&first, &second));
        assert_ne!(first, event.encoded(encoding(Format::V1, false)));
        assert_ne!(first, event.encoded(encoding(Format::V2, true)));
        let gone = Arc::downgrade(&first);
        drop((first, second));
        assert!(gone.upgrade().is_none());
    }
}
