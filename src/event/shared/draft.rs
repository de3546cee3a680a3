//! The borrowed parts of a new event, and how they become one: [`Draft`].

use std::sync::Arc;
use std::time::SystemTime;

use super::encoded::Encodings;
use super::header::Part;
use super::id::{self, new_bits};
use super::text::{FIELDS, Field, Measure, ORIGIN_FIELDS, TextWriter};
use super::word::Word;
use super::{Inner, Origin, ReferenceList, SharedEvent, Url, digest};
use crate::event::timestamp::since_1970;
use crate::event::url::{self, Spelling};
use crate::event::{Action, Descriptor, Event, Kind, SourceRecord};

/// A new event, borrowed: everything that its [`Origin`] does not have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) action: Action,
    pub(crate) kind: Kind,
    pub(crate) repository: &'a str,
    pub(crate) from_repository: &'a str,
    pub(crate) tag: &'a str,
    /// What was pushed, pulled or mounted. A deletion has nothing but the digest.
    pub(crate) content: Content<'a>,
    pub(crate) references: DraftReferences<'a>,
}

/// Describes a piece of content, borrowed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Content<'a> {
    pub(crate) media_type: &'a str,
    pub(crate) digest: &'a str,
    pub(crate) size: u64,
    /// The descriptor with the rest of its fields, if there are more.
    pub(crate) rest: Option<&'a Descriptor>,
}

impl<'a> From<&'a Descriptor> for Content<'a> {
    fn from(descriptor: &'a Descriptor) -> Self {
        Self {
            media_type: &descriptor.media_type,
            digest: &descriptor.digest,
            size: descriptor.size,
            rest: Some(descriptor),
        }
    }
}

/// References in one of their two forms.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DraftReferences<'a> {
    Descriptors(&'a [Descriptor]),
    List(&'a ReferenceList),
}

impl Default for DraftReferences<'_> {
    fn default() -> Self {
        Self::Descriptors(&[])
    }
}

impl<'a> From<&'a ReferenceList> for DraftReferences<'a> {
    fn from(list: &'a ReferenceList) -> Self {
        Self::List(list)
    }
}

impl<'a> Draft<'a> {
    pub(crate) fn new(action: Action, kind: Kind, repository: &'a str) -> Self {
        Self {
            action,
            kind,
            repository,
            from_repository: "",
            tag: "",
            content: Content::default(),
            references: DraftReferences::default(),
        }
    }

    /// Creates the event, with a new id and the present time.
    pub(crate) fn share(&self, origin: &Origin, source: Option<&Arc<SourceRecord>>) -> SharedEvent {
        let now = since_1970(SystemTime::now());
        let (url, kind) = match self.kind {
            Kind::Manifest => (Url::Manifest, "manifests"),
            _ => (Url::Blob, "blobs"),
        };
        let digest = digest::bits(self.content.digest);
        let spelling = match self.action {
            Action::Delete => Spelling::None,
            _ => {
                let is_plain = digest != digest::NO_BITS;
                url::spelling(self.repository, kind, self.content.digest, is_plain)
            }
        };
        let mut encoded = None;
        let url = match spelling {
            Spelling::Plain => url,
            Spelling::None => Url::None,
            // The path has characters that are escaped in URLs, so that the URL cannot be put
            // together from the texts of the event. It is stored as a whole.
            Spelling::Encoded(path) => {
                let mut origin = origin.clone();
                origin.set_verbatim_url(&[&*origin.base_url(), &*path].concat());
                encoded = Some(origin);
                Url::Verbatim
            }
        };
        let origin = encoded.as_ref().unwrap_or(origin);
        let length = match self.action {
            Action::Delete => 0,
            _ => self.content.size,
        };
        self.build(
            origin,
            Stamp {
                id: new_bits(now),
                id_text: "",
                timestamp: now,
                accepted_at: now,
                source: source.cloned(),
                digest,
                owns_source: false,
                knows_kind: true,
                url,
                length,
            },
        )
    }

    fn build(&self, origin: &Origin, stamp: Stamp<'_>) -> SharedEvent {
        let media_type = Word::of_media_type(self.content.media_type);
        // Everything is written twice: the first time only the size is measured, so that the
        // text is allocated once.
        let mut measure = Measure::default();
        self.write(&mut measure, origin, &stamp, media_type);
        let mut text = String::with_capacity(measure.0);
        let ends = self.write(&mut text, origin, &stamp, media_type);
        let (seconds, nanoseconds) = stamp.timestamp;
        SharedEvent(Arc::new(Inner {
            source: stamp.source,
            text: text.into_boxed_str(),
            encodings: Encodings::default(),
            seconds,
            nanoseconds,
            size: self.content.size,
            digest: stamp.digest,
            id: stamp.id,
            request_id: origin.request_id,
            ends,
            action: self.action,
            kind: self.kind,
            knows_kind: stamp.knows_kind,
            owns_source: stamp.owns_source,
            method: origin.method,
            media_type,
            url: stamp.url,
            host_in_url: origin.host_in_url,
        }))
    }

    fn write(
        &self,
        out: &mut impl TextWriter,
        origin: &Origin,
        stamp: &Stamp<'_>,
        media_type: Word,
    ) -> [u32; FIELDS] {
        let content = &self.content;
        out.text(&origin.text);
        let mut ends = [0; FIELDS];
        ends[..ORIGIN_FIELDS].copy_from_slice(&origin.ends);
        ends[Field::Repository as usize] = out.text(self.repository);
        ends[Field::Tag as usize] = out.text(self.tag);
        let has_bits = stamp.digest != digest::NO_BITS;
        let digest = if has_bits { "" } else { content.digest };
        ends[Field::Digest as usize] = out.text(digest);
        out.part_unless_empty(Part::Id, stamp.id_text);
        out.part_unless_empty(Part::RequestId, &origin.other_request_id);
        out.part_unless_empty(Part::Method, &origin.other_method);
        out.part_unless_empty(Part::FromRepository, self.from_repository);
        if stamp.length != content.size {
            out.number(Part::Length, stamp.length);
        }
        if stamp.accepted_at != stamp.timestamp {
            let (seconds, nanoseconds) = stamp.accepted_at;
            out.number(Part::AcceptedSeconds, seconds.cast_unsigned());
            out.number(Part::AcceptedNanoseconds, nanoseconds.into());
        }
        out.media_type(media_type, content.media_type);
        if let Some(descriptor) = content.rest {
            out.rare_fields(descriptor);
        }
        match self.references {
            DraftReferences::Descriptors(references) => {
                references.iter().for_each(|it| out.reference(it));
            }
            DraftReferences::List(list) => {
                out.text(list.text());
            }
        }
        ends
    }
}

/// The fields of an event that are in neither the draft nor the origin.
struct Stamp<'a> {
    id: id::Bits,
    id_text: &'a str,
    /// Seconds and nanoseconds since 1970.
    timestamp: (i64, u32),
    accepted_at: (i64, u32),
    digest: digest::Bits,
    source: Option<Arc<SourceRecord>>,
    owns_source: bool,
    knows_kind: bool,
    url: Url,
    length: u64,
}

impl SharedEvent {
    /// Creates the shared form of an event that was accepted at that time.
    pub(crate) fn accepted(event: &Event, source: SourceRecord, at: SystemTime) -> Self {
        let target = &event.target;
        let mut origin = Origin::from(&event.request);
        let url = match base_url(event) {
            _ if target.url.is_empty() => Url::None,
            Some((base, url)) => {
                origin.set_base_url(base);
                url
            }
            None => {
                origin.set_verbatim_url(&target.url);
                Url::Verbatim
            }
        };
        origin.set_actor(&event.actor.name);
        let draft = Draft {
            action: event.action,
            kind: event.kind(),
            repository: &target.repository,
            from_repository: &target.from_repository,
            tag: &target.tag,
            content: Content::from(&target.descriptor),
            references: DraftReferences::Descriptors(&target.references),
        };
        let id = id::bits(&event.id);
        let source = Some(source).filter(|it| *it != SourceRecord::default());
        draft.build(
            &origin,
            Stamp {
                id,
                id_text: if id == id::NO_BITS { &event.id } else { "" },
                timestamp: since_1970(event.timestamp),
                accepted_at: since_1970(at),
                digest: digest::bits(&target.descriptor.digest),
                owns_source: source.is_some(),
                source: source.map(Arc::new),
                knows_kind: event.kind.is_some(),
                url,
                length: target.length,
            },
        )
    }
}

/// Takes apart a URL that consists of a base, the repository and the digest.
/// Returns the base.
fn base_url(event: &Event) -> Option<(&str, Url)> {
    let target = &event.target;
    let digest = Some(&*target.descriptor.digest).filter(|it| !it.is_empty())?;
    let before = target.url.strip_suffix(digest)?;
    let (before, url) = match before.strip_suffix("/manifests/") {
        Some(before) => (before, Url::Manifest),
        None => (before.strip_suffix("/blobs/")?, Url::Blob),
    };
    let base = before.strip_suffix(&*target.repository)?;
    Some((base.strip_suffix("/v2/")?, url))
}

impl From<Event> for SharedEvent {
    fn from(mut event: Event) -> Self {
        let source = std::mem::take(&mut event.source);
        Self::accepted(&event, source, SystemTime::now())
    }
}

impl From<&Event> for SharedEvent {
    fn from(event: &Event) -> Self {
        Self::accepted(event, event.source.clone(), SystemTime::now())
    }
}
