//! The compact form of events: [`SharedEvent`].
//!
//! All texts of an event are one text. Words that nearly every event has are kept as
//! one byte, ids that are UUIDs as 16 bytes. URLs are put together when an event is
//! encoded. Fields that few events have take space only in those. See [`text`] for the
//! layout.

mod compact_text;
mod descriptor;
mod digest;
mod draft;
mod encoded;
mod header;
mod hex;
mod id;
mod list;
mod origin;
mod owned;
mod parts;
mod text;
mod word;

use std::sync::Arc;
use std::time::SystemTime;

pub use self::compact_text::CompactText;
pub use self::descriptor::{DescriptorRef, References};
pub use self::digest::Digest;
pub(crate) use self::draft::{Content, Draft, DraftReferences};
pub(crate) use self::encoded::Encoded;
use self::encoded::Encodings;
pub(in crate::event) use self::header::Part;
pub use self::id::Id;
pub use self::list::ReferenceList;
pub(crate) use self::origin::Origin;
use self::parts::Parts;
use self::text::{FIELDS, Field};
pub(in crate::event) use self::word::PaddedWord;
use self::word::Word;
use super::{Action, Kind, SourceRecord, timestamp};

/// An [`Event`](super::Event) on its way to the sinks: compact, immutable, and shared by all
/// of them.
///
/// A clone is another handle to the same event. Texts that an event lacks are
/// empty. In JSON it is the same as [`Event`](super::Event), which is format v2.
#[derive(Clone)]
pub struct SharedEvent(Arc<Inner>);

struct Inner {
    /// `None` if nothing is known about it.
    source: Option<Arc<SourceRecord>>,
    text: Box<str>,
    encodings: Encodings,
    /// The timestamp.
    seconds: i64,
    nanoseconds: u32,
    /// Where the text of each [`Field`] ends.
    ends: [u32; FIELDS],
    size: u64,
    digest: digest::Bits,
    id: id::Bits,
    request_id: id::Bits,
    action: Action,
    kind: Kind,
    /// Whether the kind was stated. If not, it follows from the rest.
    knows_kind: bool,
    /// Whether the source belongs to this event alone.
    owns_source: bool,
    method: Word,
    media_type: Word,
    url: Url,
    host_in_url: bool,
}

/// The way in which the URL is put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Url {
    /// There is no URL.
    None,
    /// It consists of [`Field::Url`], the host if `host_in_url`, repository and digest.
    Manifest,
    /// It consists of the same parts as [`Url::Manifest`].
    Blob,
    /// [`Field::Url`] is the whole URL.
    Verbatim,
}

/// A URL in pieces.
#[derive(Clone, Copy)]
pub(super) enum UrlParts<'a> {
    None,
    /// All of it.
    Verbatim(&'a str),
    /// What it begins with, the host, and between repository and digest the kind.
    Of {
        base: &'a str,
        host: &'a str,
        kind: &'static str,
    },
}

impl Inner {
    fn field(&self, field: Field) -> &str {
        let field = field as usize;
        let start = field.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.text
            .get(start as usize..self.ends[field] as usize)
            .unwrap_or_default()
    }

    /// Returns the parts of the target, and the references with theirs.
    fn parts(&self) -> (Parts<'_>, Parts<'_>) {
        let start = self.ends[Field::Digest as usize] as usize;
        let mut rest = Parts(self.text.get(start..).unwrap_or_default());
        let own = rest.split_own();
        (own, rest)
    }

    /// Returns the id of these bits, or of a part if there are none.
    fn id_of(&self, bits: id::Bits, part: Part) -> Id<'_> {
        let text = match bits {
            id::NO_BITS => self.parts().0.first(part),
            _ => None,
        };
        id::of(bits, text.unwrap_or_default())
    }
}

impl SharedEvent {
    /// Returns the unique id of the event, the same for every endpoint and
    /// every retry.
    pub fn id(&self) -> Id<'_> {
        self.0.id_of(self.0.id, Part::Id)
    }

    /// Returns when it happened.
    pub fn timestamp(&self) -> SystemTime {
        time(self.since_1970())
    }

    /// Returns the timestamp in seconds since 1970 and nanoseconds.
    pub(super) fn since_1970(&self) -> (i64, u32) {
        (self.0.seconds, self.0.nanoseconds)
    }

    /// Returns when the event was first written to the sinks. An event keeps this
    /// time when it is stored and read again.
    pub fn accepted_at(&self) -> SystemTime {
        let (parts, _) = self.0.parts();
        match parts.number(Part::AcceptedSeconds) {
            None => self.timestamp(),
            Some(seconds) => {
                let nanoseconds = parts.number(Part::AcceptedNanoseconds);
                time((
                    seconds.cast_signed(),
                    nanoseconds.unwrap_or_default() as u32,
                ))
            }
        }
    }

    /// Returns what was done.
    pub fn action(&self) -> Action {
        self.0.action
    }

    /// Returns what the event is about; see [`Event::kind`](super::Event::kind).
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Returns the kind if it was stated, not if it follows from the rest.
    pub(crate) fn known_kind(&self) -> Option<Kind> {
        self.0.knows_kind.then_some(self.0.kind)
    }

    /// Returns the name of the repository, without host and tag.
    pub fn repository(&self) -> &str {
        self.0.field(Field::Repository)
    }

    /// Returns the name of the repository that a blob was mounted from.
    pub fn from_repository(&self) -> &str {
        let text = self.0.parts().0.first(Part::FromRepository);
        text.unwrap_or_default()
    }

    /// Returns the tag that was pushed, pulled or deleted.
    pub fn tag(&self) -> &str {
        self.0.field(Field::Tag)
    }

    /// Returns the digest of the target, `algorithm:encoded`.
    pub fn digest(&self) -> Digest<'_> {
        digest::of(&self.0.digest, self.0.field(Field::Digest))
    }

    /// Returns the media type of the target.
    pub fn media_type(&self) -> &str {
        match self.0.media_type {
            Word::OTHER => self.0.parts().0.media_type(Word::OTHER),
            known => known.media_type(),
        }
    }

    /// Returns the size of the target in bytes. 0 if it is not known.
    pub fn size(&self) -> u64 {
        self.0.size
    }

    /// Returns `length` of the target, which repeats the size in bytes; of a
    /// deletion it is 0.
    pub fn length(&self) -> u64 {
        let (parts, _) = self.0.parts();
        parts.number(Part::Length).unwrap_or(self.0.size)
    }

    /// Returns the descriptor of the target.
    pub fn descriptor(&self) -> DescriptorRef<'_> {
        self.descriptor_with(self.0.parts().0)
    }

    /// The same where its parts are known.
    pub(super) fn descriptor_with<'a>(&'a self, parts: Parts<'a>) -> DescriptorRef<'a> {
        DescriptorRef {
            word: self.0.media_type,
            digest_bits: &self.0.digest,
            digest: self.0.field(Field::Digest),
            is_plain: false,
            size: self.0.size,
            parts,
        }
    }

    /// Returns the parts of the target, and the references with theirs.
    #[inline]
    pub(super) fn parts(&self) -> (Parts<'_>, References<'_>) {
        let (own, references) = self.0.parts();
        (own, References(references))
    }

    /// Returns what a manifest refers to, if the notifier includes references.
    pub fn references(&self) -> References<'_> {
        References(self.0.parts().1)
    }

    /// Returns the URL of the target, by its digest.
    pub fn url(&self) -> String {
        match self.url_parts() {
            UrlParts::None => String::new(),
            UrlParts::Verbatim(url) => url.into(),
            UrlParts::Of { base, host, kind } => {
                let (repository, digest) = (self.repository(), self.digest());
                [base, host, "/v2/", repository, kind, &*digest].concat()
            }
        }
    }

    pub(super) fn url_parts(&self) -> UrlParts<'_> {
        let base = self.0.field(Field::Url);
        let kind = match self.0.url {
            Url::None => return UrlParts::None,
            Url::Verbatim => return UrlParts::Verbatim(base),
            Url::Manifest => "/manifests/",
            Url::Blob => "/blobs/",
        };
        let host = match self.0.host_in_url {
            true => self.0.field(Field::Host),
            false => "",
        };
        UrlParts::Of { base, host, kind }
    }

    /// Returns the one text that nearly all others are parts of, and the bytes of
    /// references that follow it. The others are known words and the source.
    pub(super) fn text(&self) -> (&str, usize) {
        let (_, references) = self.0.parts();
        let length = self.0.text.len() - references.0.len();
        (&self.0.text[..length], references.0.len())
    }

    /// Returns the id of the request.
    pub fn request_id(&self) -> Id<'_> {
        self.0.id_of(self.0.request_id, Part::RequestId)
    }

    /// Returns the address of the client: `ip:port`, or the bare address that
    /// a trusted proxy forwarded.
    pub fn request_addr(&self) -> &str {
        self.0.field(Field::Addr)
    }

    /// Returns the host that the client asked for.
    pub fn request_host(&self) -> &str {
        self.0.field(Field::Host)
    }

    /// Returns the host, with its port if it has one, that stands before the repository
    /// in names of images: the [public host](SourceRecord::public_host) of the source,
    /// else the host of the request, else the address of the source.
    pub fn registry_host(&self) -> &str {
        let source = self.source();
        let hosts = [&*source.public_host, self.request_host(), &source.addr];
        hosts
            .into_iter()
            .find(|host| !host.is_empty())
            .unwrap_or_default()
    }

    /// Returns the method of the request.
    pub fn request_method(&self) -> &str {
        match self.known_method() {
            Some(known) => known,
            None => self.0.parts().0.first(Part::Method).unwrap_or_default(),
        }
    }

    /// Returns the method if it is a known one, which needs no escaping.
    pub(super) fn known_method(&self) -> Option<&'static str> {
        (self.0.method != Word::OTHER).then(|| self.0.method.method())
    }

    /// Returns the client's `User-Agent`.
    pub fn user_agent(&self) -> &str {
        self.0.field(Field::UserAgent)
    }

    /// Returns the trace that the request belongs to; see
    /// [`RequestRecord::trace_parent`](super::RequestRecord::trace_parent).
    pub fn trace_parent(&self) -> &str {
        self.0.field(Field::TraceParent)
    }

    /// Returns the name of the user or service that did it.
    pub fn actor(&self) -> &str {
        self.0.field(Field::Actor)
    }

    /// Returns the registry node that saw it.
    pub fn source(&self) -> &SourceRecord {
        static UNKNOWN: SourceRecord = SourceRecord {
            addr: String::new(),
            instance_id: String::new(),
            public_host: String::new(),
        };
        self.0.source.as_deref().unwrap_or(&UNKNOWN)
    }

    /// Returns the bytes that the event takes in memory, exactly as an
    /// allocator counts them: what the bounds of a queue count.
    ///
    /// A source that the events of a notifier share is not included, and
    /// neither are encodings, which are gone when no delivery uses them.
    pub fn memory(&self) -> usize {
        // An `Arc` allocates its two counters with its content.
        const COUNTERS: usize = 2 * size_of::<usize>();
        let own = COUNTERS + size_of::<Inner>() + self.0.text.len();
        let source = match &self.0.source {
            Some(source) if self.0.owns_source => {
                let texts = source.addr.capacity()
                    + source.instance_id.capacity()
                    + source.public_host.capacity();
                COUNTERS + size_of::<SourceRecord>() + texts
            }
            _ => 0,
        };
        own + source
    }
}

/// Returns the time that was taken apart.
fn time(since_1970: (i64, u32)) -> SystemTime {
    timestamp::of(since_1970).unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
pub(in crate::event) mod tests;
