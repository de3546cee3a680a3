use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::time::Instant;

use super::{Event, Format, encode};

/// An [`Event`] on its way to the sinks: immutable, and shared by all of them.
///
/// All deliveries that are under way at a time share one encoding in each
/// format. An encoding lives as long as a delivery uses it, so that an event
/// that waits in a queue costs what the event costs and no more.
#[derive(Clone)]
pub struct SharedEvent(Arc<Inner>);

struct Inner {
    event: Event,
    /// When it became one that is on its way.
    since: Instant,
    encodings: Mutex<Vec<(Format, Weak<[u8]>)>>,
}

impl SharedEvent {
    /// The event's own encoding, as it stands in an envelope.
    pub(crate) fn encoded_in(&self, format: Format) -> Arc<[u8]> {
        let mut encodings = self
            .0
            .encodings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let known = encodings.iter_mut().find(|(known, _)| *known == format);
        if let Some(encoding) = known.as_ref().and_then(|(_, encoding)| encoding.upgrade()) {
            return encoding;
        }
        let encoding: Arc<[u8]> = encode::event(&self.0.event, format).into();
        match known {
            Some((_, slot)) => *slot = Arc::downgrade(&encoding),
            None => encodings.push((format, Arc::downgrade(&encoding))),
        }
        encoding
    }

    /// Since when the event is on its way.
    pub(crate) fn since(&self) -> Instant {
        self.0.since
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
            + event.actor.name.len()
    }
}

impl From<Event> for SharedEvent {
    fn from(event: Event) -> Self {
        Self(Arc::new(Inner {
            event,
            since: Instant::now(),
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
    use crate::event::Action;

    #[test]
    fn deliveries_share_an_encoding_and_free_it_with_the_last() {
        let event = SharedEvent::from(Event::new(Action::Pull));
        let first = event.encoded_in(Format::V2);
        let second = event.clone().encoded_in(Format::V2);
        assert!(Arc::ptr_eq(&first, &second));
        assert_ne!(first, event.encoded_in(Format::V1));
        let gone = Arc::downgrade(&first);
        drop((first, second));
        assert!(gone.upgrade().is_none());
    }
}
