use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{Descriptor, Encoding, Event, Platform, RequestRecord, Target, encode};

/// An [`Event`] on its way to the sinks: immutable, and shared by all of them.
///
/// All deliveries that are under way at a time share one encoding in each
/// format. An encoding lives as long as a delivery uses it, so that an event
/// that waits in a queue costs what the event costs and no more.
#[derive(Clone)]
pub struct SharedEvent(Arc<Inner>);

struct Inner {
    event: Event,
    /// Asked for by each queue, more than once.
    memory: usize,
    /// The last two, for as long as somebody uses them.
    encodings: Mutex<[Slot; 2]>,
}

/// An encoding that was made, and perhaps is still there.
type Slot = Option<(Encoding, Weak<Box<[u8]>>)>;

/// An encoding that is shared. In a box of its own, so that it is gone when
/// nobody uses it, although the event remembers where it was.
pub(crate) type Encoded = Arc<Box<[u8]>>;

impl SharedEvent {
    /// The event's own encoding, as it stands in an envelope.
    pub(crate) fn encoded(&self, encoding: Encoding) -> Encoded {
        let slots = self.0.encodings.lock();
        let mut slots = slots.unwrap_or_else(PoisonError::into_inner);
        let mut known = slots
            .iter()
            .flatten()
            .filter(|(known, _)| *known == encoding);
        if let Some(encoded) = known.find_map(|(_, encoded)| encoded.upgrade()) {
            return encoded;
        }
        let encoded = Arc::new(encode::event(&self.0.event, encoding).into_boxed_slice());
        slots.rotate_right(1);
        slots[0] = Some((encoding, Arc::downgrade(&encoded)));
        encoded
    }

    /// The bytes that the event takes in memory, its texts and its request
    /// included: what the bounds of a queue count. The source is not, for all
    /// events of a node share one, and encodings are not, for they are gone when
    /// no delivery uses them.
    pub fn memory(&self) -> usize {
        self.0.memory
    }
}

/// What an event takes with all that is around it.
fn memory(event: &Event) -> usize {
    // Each is behind an `Arc`, which has two counters.
    let counters = 4 * size_of::<usize>();
    // What is left of encodings.
    let boxes = 2 * (size_of::<Box<[u8]>>() + 2 * size_of::<usize>());
    let own = size_of::<Inner>() + event.id.len() + event.actor.name.len();
    own + counters + boxes + target(&event.target) + request(&event.request)
}

/// What a target takes besides its place in the event.
fn target(target: &Target) -> usize {
    let texts = [
        &target.repository,
        &target.from_repository,
        &target.url,
        &target.tag,
    ];
    let reference = |it| size_of::<Descriptor>() + descriptor(it);
    let references: usize = target.references.iter().map(reference).sum();
    lengths(texts) + descriptor(&target.descriptor) + references
}

fn descriptor(descriptor: &Descriptor) -> usize {
    let texts = [&descriptor.digest, &descriptor.artifact_type];
    let annotations = &descriptor.annotations;
    lengths(texts)
        + owned(&descriptor.media_type)
        + descriptor.data.len()
        + list(&descriptor.urls)
        + annotations.len() * 2 * size_of::<String>()
        + lengths(annotations.keys().chain(annotations.values()))
        + descriptor.platform.as_deref().map_or(0, platform)
}

fn platform(platform: &Platform) -> usize {
    let texts = [
        &platform.architecture,
        &platform.os,
        &platform.os_version,
        &platform.variant,
    ];
    size_of::<Platform>() + lengths(texts) + list(&platform.os_features)
}

fn request(request: &RequestRecord) -> usize {
    let texts = [
        &request.id,
        &request.addr,
        &request.host,
        &request.user_agent,
        &request.trace_parent,
    ];
    size_of::<RequestRecord>() + lengths(texts) + owned(&request.method)
}

fn list(texts: &[String]) -> usize {
    size_of_val(texts) + lengths(texts)
}

fn lengths<'a>(texts: impl IntoIterator<Item = &'a String>) -> usize {
    texts.into_iter().map(String::len).sum()
}

/// A text that is part of the program takes nothing.
#[allow(clippy::ptr_arg)] // whether it is borrowed is the question
fn owned(text: &Cow<'static, str>) -> usize {
    match text {
        Cow::Borrowed(_) => 0,
        Cow::Owned(text) => text.len(),
    }
}

impl From<Event> for SharedEvent {
    fn from(event: Event) -> Self {
        Self(Arc::new(Inner {
            memory: memory(&event),
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

    const V2: Encoding = Encoding {
        format: Format::V2,
        compact: false,
    };

    /// As the allocator counts it, and with nothing left out.
    #[test]
    fn memory_is_what_the_event_takes() {
        let event = || {
            let text = |length| "x".repeat(length);
            let mut event = Event::new(Action::Push);
            let mut descriptor = Descriptor::new(text(30), text(71), 1);
            descriptor.urls = vec![text(20), text(21)];
            descriptor.data = vec![1; 9];
            descriptor.artifact_type = text(22);
            descriptor.platform = Some(Box::new(Platform {
                os_features: vec![text(7)],
                variant: text(2),
                ..Platform::default()
            }));
            event.target.references = vec![descriptor.clone(), Descriptor::new("static", "", 0)];
            event.target.descriptor = descriptor;
            event.target.url = text(150);
            event.target.repository = text(31);
            let mut request = RequestRecord::new(text(36), "GET");
            request.user_agent = text(140);
            request.trace_parent = text(55);
            event.request = request.into();
            event.actor.name = text(5);
            SharedEvent::from(event)
        };
        // The empty source, which is shared otherwise.
        let source = size_of::<crate::event::SourceRecord>() + 2 * size_of::<usize>();
        // The first has the generator of ids set up.
        drop(event().encoded(V2));
        let mut kept = None;
        let taken = allocation_counter::measure(|| {
            let event = event();
            // Endpoints that have delivered it leave nothing more behind.
            for compact in [false, true, false, true, false] {
                drop(event.encoded(Encoding { compact, ..V2 }));
            }
            kept = Some(event);
        })
        .bytes_current;
        let counted = kept.unwrap().memory() + source;
        assert_eq!(i64::try_from(counted).unwrap(), taken);
    }
}
