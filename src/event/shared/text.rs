//! The layout of an event's one text.
//!
//! First come the [`Field`]s that every event has a place for, one after the other. The
//! event has a table of their ends. They are followed by the [`Part`]s that few events
//! have, and by the references with their own parts. Each part begins with a header,
//! which is also text: the kind of the part, a word, a number and the length of the text
//! that follows. In this form a reference takes about a dozen bytes in addition to its
//! digest, and a whole event takes one allocation.
//!
//! No character of a header needs escaping in JSON, so that the text as a whole can be
//! searched for those that do.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::header::{Header, Part};
use super::word::Word;
use crate::event::Descriptor;
use crate::event::escape::is_plain_text;
use crate::event::reference::Details;

/// Texts that every event has a place for, in their order. Those of the
/// [`Origin`](super::Origin) come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) enum Field {
    Addr,
    Host,
    UserAgent,
    TraceParent,
    /// The beginning of the URL, or all of it. See [`Url`](super::Url).
    Url,
    Actor,
    Repository,
    Tag,
    /// Digest, if it is not one of SHA-256.
    Digest,
}

/// How many fields there are, and how many of them belong to the origin.
pub(super) const FIELDS: usize = 9;
pub(super) const ORIGIN_FIELDS: usize = 6;

/// The number of bytes of text that an event may have, so that offsets fit. A
/// text that would exceed it is left out. It is lower in tests, which exceed it.
pub(super) const LIMIT: usize = if cfg!(test) {
    1 << 20
} else {
    u32::MAX as usize
};

/// Receives texts. Everything is written twice: first to a [`Measure`], then to a
/// [`String`] of exactly that size.
pub(super) trait TextWriter {
    /// Returns the number of bytes of text so far.
    fn length(&self) -> usize;
    fn append(&mut self, text: &str);
    fn append_header(&mut self, header: Header);
    fn append_base64(&mut self, data: &[u8], length: usize);

    /// Appends `text` if it fits, and returns the end of the text.
    fn text(&mut self, text: &str) -> u32 {
        if text.len() <= LIMIT - self.length() {
            self.append(text);
        }
        u32::try_from(self.length()).unwrap_or(u32::MAX)
    }

    /// Appends a header, without the text if that does not fit, and returns whether the
    /// text is to follow.
    fn header(&mut self, part: Part, word: Word, number: u64, length: usize) -> bool {
        let mut header = Header::new(part, word, number, length);
        let room = LIMIT - self.length();
        let fits = length <= room && header.size() <= room - length;
        if !fits {
            header = Header::new(part, word, number, 0);
            if header.size() > room {
                return false;
            }
        }
        self.append_header(header);
        fits
    }

    fn part(&mut self, part: Part, text: &str) {
        if self.header(part, Word::EMPTY, 0, text.len()) {
            self.append(text);
        }
    }

    fn part_unless_empty(&mut self, part: Part, text: &str) {
        if !text.is_empty() {
            self.part(part, text);
        }
    }

    fn number(&mut self, part: Part, number: u64) {
        self.header(part, Word::EMPTY, number, 0);
    }

    /// Appends the media type of a descriptor, if it is not a known one.
    fn media_type(&mut self, word: Word, text: &str) {
        if word == Word::OTHER {
            self.part(Part::MediaType, text);
        }
    }

    /// Appends the fields that few descriptors have, in the order of the wire.
    fn rare_fields<'a, T: AsRef<str> + 'a>(&mut self, fields: impl Into<RareFields<'a, T>>) {
        let fields = fields.into();
        for url in fields.urls {
            self.part(Part::Url, url.as_ref());
        }
        for (name, value) in fields.annotations {
            self.part(Part::AnnotationName, name.as_ref());
            self.part(Part::AnnotationValue, value.as_ref());
        }
        self.data(fields.data);
        if let Some(platform) = fields.platform {
            self.part(Part::Architecture, platform.architecture.as_ref());
            self.part_unless_empty(Part::Os, platform.os.as_ref());
            self.part_unless_empty(Part::OsVersion, platform.os_version.as_ref());
            for feature in platform.os_features {
                self.part(Part::OsFeature, feature.as_ref());
            }
            self.part_unless_empty(Part::Variant, platform.variant.as_ref());
        }
        self.part_unless_empty(Part::ArtifactType, fields.artifact_type.as_ref());
    }

    fn data(&mut self, data: &[u8]) {
        let length = base64::encoded_len(data.len(), true).unwrap_or(usize::MAX);
        if !data.is_empty() && self.header(Part::Data, Word::EMPTY, 0, length) {
            self.append_base64(data, length);
        }
    }

    /// Appends a reference with nothing but media type, digest and size.
    fn plain_reference(&mut self, media_type: &str, digest: &str, size: u64) {
        let word = Word::of_media_type(media_type);
        self.reference_of(word, media_type, digest, size, false);
    }

    /// The same where the word of the media type is known. `is_plain` says that the digest
    /// is known to need no escaping.
    #[inline(always)]
    fn reference_of(
        &mut self,
        word: Word,
        media_type: &str,
        digest: &str,
        size: u64,
        is_plain: bool,
    ) {
        // Equal references have equal texts, whatever was known of them.
        let part = match is_plain || is_plain_text(digest) {
            true => Part::PlainReference,
            false => Part::Reference,
        };
        if self.header(part, word, size, digest.len()) {
            self.append(digest);
        }
        self.media_type(word, media_type);
    }

    fn reference(&mut self, descriptor: &Descriptor) {
        let Descriptor {
            media_type,
            digest,
            size,
            ..
        } = descriptor;
        self.plain_reference(media_type, digest, *size);
        self.rare_fields(descriptor);
    }
}

/// The fields that few descriptors have. `T` is the text of a [`Descriptor`], or that of a
/// reference in a manifest that was read.
pub(super) struct RareFields<'a, T> {
    urls: &'a [T],
    annotations: &'a BTreeMap<T, T>,
    data: &'a [u8],
    platform: Option<PlatformFields<'a, T>>,
    artifact_type: &'a T,
}

struct PlatformFields<'a, T> {
    architecture: &'a T,
    os: &'a T,
    os_version: &'a T,
    os_features: &'a [T],
    variant: &'a T,
}

impl<'a> From<&'a Descriptor> for RareFields<'a, String> {
    fn from(descriptor: &'a Descriptor) -> Self {
        Self {
            urls: &descriptor.urls,
            annotations: &descriptor.annotations,
            data: &descriptor.data,
            platform: descriptor.platform.as_ref().map(|platform| PlatformFields {
                architecture: &platform.architecture,
                os: &platform.os,
                os_version: &platform.os_version,
                os_features: &platform.os_features,
                variant: &platform.variant,
            }),
            artifact_type: &descriptor.artifact_type,
        }
    }
}

impl<'a, 'm> From<&'a Details<'m>> for RareFields<'a, Cow<'m, str>> {
    fn from(details: &'a Details<'m>) -> Self {
        Self {
            urls: details.urls.as_slice(),
            annotations: &details.annotations,
            data: details.data.as_slice(),
            platform: details.platform.as_ref().map(|platform| PlatformFields {
                architecture: &platform.architecture,
                os: &platform.os,
                os_version: &platform.os_version,
                os_features: platform.os_features.as_slice(),
                variant: &platform.variant,
            }),
            artifact_type: &details.artifact_type,
        }
    }
}

/// Counts what would be written.
#[derive(Debug, Default)]
pub(super) struct Measure(pub(super) usize);

impl TextWriter for Measure {
    fn length(&self) -> usize {
        self.0
    }

    fn append(&mut self, text: &str) {
        self.0 += text.len();
    }

    fn append_header(&mut self, header: Header) {
        self.0 += header.size();
    }

    fn append_base64(&mut self, _: &[u8], length: usize) {
        self.0 += length;
    }
}

impl TextWriter for String {
    fn length(&self) -> usize {
        self.len()
    }

    fn append(&mut self, text: &str) {
        self.push_str(text);
    }

    fn append_header(&mut self, header: Header) {
        header.write(self);
    }

    fn append_base64(&mut self, data: &[u8], _: usize) {
        STANDARD.encode_string(data, self);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::parts::Parts;
    use super::*;

    proptest! {
        #[test]
        fn parts_are_read_as_they_were_written(
            number in prop_oneof![any::<u64>(), 0..100_u64, (0..64_u32).prop_map(|it| 1 << it)],
            texts in proptest::collection::vec(".{0,40}", 0..4),
        ) {
            let (mut out, mut measure) = (String::new(), Measure::default());
            for text in &texts {
                out.plain_reference("a/b", text, number);
                measure.plain_reference("a/b", text, number);
                out.number(Part::Length, number);
                measure.number(Part::Length, number);
            }
            prop_assert_eq!(measure.0, out.len());
            let mut parts = Parts(&out);
            for text in &texts {
                let reference = parts.next().unwrap();
                let is_plain = reference.is(Part::PlainReference);
                prop_assert!(is_plain || reference.is(Part::Reference));
                prop_assert_eq!(is_plain, is_plain_text(text));
                prop_assert_eq!((reference.number, reference.text), (number, &**text));
                let own = parts.split_own();
                prop_assert_eq!(own.media_type(reference.word), "a/b");
                prop_assert_eq!(own.number(Part::Length), Some(number));
            }
            prop_assert!(parts.next().is_none());
        }

        #[test]
        fn text_that_is_no_part_ends_the_iteration(text in "[RL`a:x]{0,20}|.{0,9}") {
            let mut parts = Parts(&text);
            parts.split_own();
            prop_assert!(Parts(&text).items().count() <= text.len());
        }
    }
}
