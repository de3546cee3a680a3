//! The layout of an event's one buffer of text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::word::Word;
use crate::event::Descriptor;

/// Texts that every event has a place for, in their order in the buffer. Those of
/// the [`Origin`](super::Origin) come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) enum Field {
    /// Id of the request, if it is not a UUID.
    RequestId,
    Addr,
    Host,
    UserAgent,
    TraceParent,
    /// Method, if it is not a known one.
    Method,
    /// What the URL begins with, or all of it. See [`Url`](super::Url).
    Url,
    Actor,
    Repository,
    Tag,
    Digest,
}

/// How many fields there are, and how many of them belong to the origin.
pub(super) const FIELDS: usize = 11;
pub(super) const ORIGIN_FIELDS: usize = 8;

/// The number of bytes of text that an event may have, so that offsets fit. A
/// text that would exceed it is left out. It is lower in tests, which exceed it.
pub(super) const LIMIT: usize = if cfg!(test) {
    1 << 20
} else {
    u32::MAX as usize
};

/// What an [`Entry`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::event) enum Part {
    /// Something that a manifest refers to. The entry has its size and media
    /// type, the text is its digest, and the parts that follow up to the next
    /// reference are its own.
    Reference,
    /// Id of the event, if it is not a UUID.
    Id,
    FromRepository,
    /// `length` of the target, if it is not its size.
    Length,
    /// Media type, if it is not a known one.
    MediaType,
    Url,
    AnnotationName,
    /// Follows its name.
    AnnotationValue,
    /// In base64.
    Data,
    /// Of the platform. Present whenever there is a platform, even if empty.
    Architecture,
    Os,
    OsVersion,
    OsFeature,
    Variant,
    ArtifactType,
}

/// A reference, or a part that few events have. Its text is between the end of
/// the entry before it and its own end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) end: u32,
    pub(super) part: Part,
    pub(super) media_type: Word,
}

/// Receives texts and entries. Everything is written twice: first to a
/// [`Measure`], then to [`Buffers`] of exactly that size.
pub(super) trait Out {
    /// Returns the number of bytes of text so far.
    fn length(&self) -> usize;
    fn append(&mut self, text: &str);
    fn append_base64(&mut self, data: &[u8]);
    fn append_entry(&mut self, entry: Entry);

    /// Appends `text` if it fits, and returns the end of the text.
    fn text(&mut self, text: &str) -> u32 {
        if text.len() <= LIMIT - self.length() {
            self.append(text);
        }
        self.end()
    }

    fn end(&self) -> u32 {
        u32::try_from(self.length()).unwrap_or(u32::MAX)
    }

    /// Appends an entry whose text was written just before.
    fn entry(&mut self, part: Part, number: u64, media_type: Word) {
        let end = self.end();
        self.append_entry(Entry {
            number,
            end,
            part,
            media_type,
        });
    }

    fn part(&mut self, part: Part, text: &str) {
        self.text(text);
        self.entry(part, 0, Word::EMPTY);
    }

    fn part_unless_empty(&mut self, part: Part, text: &str) {
        if !text.is_empty() {
            self.part(part, text);
        }
    }

    /// Appends the media type of a descriptor, if it is not a known one.
    fn media_type(&mut self, word: Word, text: &str) {
        if word == Word::OTHER {
            self.part(Part::MediaType, text);
        }
    }

    /// Appends the fields that few descriptors have, in the order of the wire.
    fn rare(&mut self, descriptor: &Descriptor) {
        for url in &descriptor.urls {
            self.part(Part::Url, url);
        }
        for (name, value) in &descriptor.annotations {
            self.part(Part::AnnotationName, name);
            self.part(Part::AnnotationValue, value);
        }
        if !descriptor.data.is_empty() {
            self.append_base64(&descriptor.data);
            self.entry(Part::Data, 0, Word::EMPTY);
        }
        if let Some(platform) = &descriptor.platform {
            self.part(Part::Architecture, &platform.architecture);
            self.part_unless_empty(Part::Os, &platform.os);
            self.part_unless_empty(Part::OsVersion, &platform.os_version);
            for feature in &platform.os_features {
                self.part(Part::OsFeature, feature);
            }
            self.part_unless_empty(Part::Variant, &platform.variant);
        }
        self.part_unless_empty(Part::ArtifactType, &descriptor.artifact_type);
    }

    fn reference(&mut self, descriptor: &Descriptor) {
        let media_type = Word::of_media_type(&descriptor.media_type);
        self.text(&descriptor.digest);
        self.entry(Part::Reference, descriptor.size, media_type);
        self.media_type(media_type, &descriptor.media_type);
        self.rare(descriptor);
    }

    /// Appends references that are in this form already.
    fn list(&mut self, list: &Buffers) {
        if list.text.len() > LIMIT - self.length() {
            return;
        }
        let start = self.end();
        self.append(&list.text);
        for entry in &list.entries {
            let end = start + entry.end;
            self.append_entry(Entry { end, ..*entry });
        }
    }
}

/// Counts what would be written.
#[derive(Debug, Default)]
pub(super) struct Measure {
    length: usize,
    pub(super) entries: usize,
}

impl Out for Measure {
    fn length(&self) -> usize {
        self.length
    }

    fn append(&mut self, text: &str) {
        self.length += text.len();
    }

    fn append_base64(&mut self, data: &[u8]) {
        self.length += base64_length(data, self.length).unwrap_or(0);
    }

    fn append_entry(&mut self, _: Entry) {
        self.entries += 1;
    }
}

/// Text and entries that are being written.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffers {
    pub(super) text: String,
    pub(super) entries: Vec<Entry>,
}

impl Buffers {
    /// Creates buffers of exactly this size.
    pub(super) fn of(measure: &Measure) -> Self {
        Self {
            text: String::with_capacity(measure.length),
            entries: Vec::with_capacity(measure.entries),
        }
    }
}

impl Out for Buffers {
    fn length(&self) -> usize {
        self.text.len()
    }

    fn append(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn append_base64(&mut self, data: &[u8]) {
        if base64_length(data, self.text.len()).is_some() {
            STANDARD.encode_string(data, &mut self.text);
        }
    }

    fn append_entry(&mut self, entry: Entry) {
        self.entries.push(entry);
    }
}

/// Returns the bytes that `data` takes in base64, if they fit after `length`
/// others.
fn base64_length(data: &[u8], length: usize) -> Option<usize> {
    base64::encoded_len(data.len(), true).filter(|more| *more <= LIMIT - length)
}
