//! Borrowed views of the descriptors in an event: [`DescriptorRef`] and [`References`].

use std::collections::BTreeMap;
use std::fmt;
use std::iter::FusedIterator;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::digest;
use super::digest::Digest;
use super::header::Part;
use super::parts::Parts;
use super::word::{PaddedWord, Word};
use crate::event::{Descriptor, Platform, media_types};

/// A descriptor in a [`SharedEvent`](super::SharedEvent): that of its target, or
/// of something that its manifest refers to.
#[derive(Clone, Copy)]
pub struct DescriptorRef<'a> {
    pub(super) word: Word,
    /// All zeros if the digest is a text.
    pub(super) digest_bits: &'a digest::Bits,
    pub(super) digest: &'a str,
    /// Whether the text of the digest is known to need no escaping in JSON.
    pub(super) is_plain: bool,
    pub(super) size: u64,
    pub(in crate::event) parts: Parts<'a>,
}

impl<'a> DescriptorRef<'a> {
    /// Returns the media type of the content, or an empty text.
    pub fn media_type(&self) -> &'a str {
        self.parts.media_type(self.word)
    }

    /// Returns the media type if it is a known one, which needs no escaping.
    #[inline(always)]
    pub(in crate::event) fn known_media_type(&self) -> Option<&'static PaddedWord> {
        (self.word != Word::OTHER).then(|| self.word.padded())
    }

    /// Returns the digest of the content, `algorithm:encoded`, or an empty text.
    pub fn digest(&self) -> Digest<'a> {
        digest::of(self.digest_bits, self.digest)
    }

    /// Returns the digest of a reference, and whether it needs no escaping for sure. It is
    /// kept as text.
    #[inline(always)]
    pub(in crate::event) fn reference_digest(&self) -> (&'a str, bool) {
        (self.digest, self.is_plain)
    }

    /// Returns the size of the content in bytes. 0 if it is not known.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the descriptor if it has fields that few descriptors have.
    #[inline]
    pub(in crate::event) fn rare_fields(&self) -> Option<Self> {
        let parts = self.parts.rare_fields();
        (!parts.is_empty()).then_some(Self { parts, ..*self })
    }

    /// Returns other locations of the content.
    pub fn urls(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.parts.of(Part::Url)
    }

    /// Returns the annotations of the content, name and value, ordered by name.
    pub fn annotations(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let names = self.parts.of(Part::AnnotationName);
        names.zip(self.parts.of(Part::AnnotationValue))
    }

    /// Returns the platform that the content is for, if it is stated.
    pub fn platform(&self) -> Option<Platform> {
        let architecture = self.parts.first(Part::Architecture)?.into();
        let text = |part| self.parts.first(part).unwrap_or_default().into();
        Some(Platform {
            architecture,
            os: text(Part::Os),
            os_version: text(Part::OsVersion),
            os_features: self.parts.of(Part::OsFeature).map(Into::into).collect(),
            variant: text(Part::Variant),
        })
    }

    /// Returns the type of the artifact that the content is, or an empty text.
    pub fn artifact_type(&self) -> &'a str {
        self.parts.first(Part::ArtifactType).unwrap_or_default()
    }

    /// Returns the content itself, if it is embedded.
    pub fn data(&self) -> Vec<u8> {
        let base64 = self.parts.first(Part::Data).unwrap_or_default();
        // It was encoded by the same engine.
        STANDARD.decode(base64).unwrap_or_default()
    }

    /// Returns an owned descriptor with the same fields.
    pub fn to_descriptor(&self) -> Descriptor {
        let media_type = media_types::interned(self.media_type().into());
        let mut descriptor = Descriptor::new(media_type, self.digest(), self.size);
        if !self.parts.is_empty() {
            let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
            descriptor.urls = self.urls().map(Into::into).collect();
            descriptor.annotations = self.annotations().map(owned).collect::<BTreeMap<_, _>>();
            descriptor.data = self.data();
            descriptor.platform = self.platform().map(Box::new);
            descriptor.artifact_type = self.artifact_type().into();
        }
        descriptor
    }
}

impl fmt::Debug for DescriptorRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_descriptor().fmt(f)
    }
}

/// What a manifest refers to: an iterator over the references of a
/// [`SharedEvent`](super::SharedEvent), in order.
#[derive(Clone, Debug)]
pub struct References<'a>(pub(super) Parts<'a>);

impl References<'_> {
    /// Whether none are left.
    pub(in crate::event) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> Iterator for References<'a> {
    type Item = DescriptorRef<'a>;

    #[inline(always)]
    fn next(&mut self) -> Option<DescriptorRef<'a>> {
        let reference = self.0.next()?;
        let parts = self.0.split_own();
        Some(DescriptorRef {
            word: reference.word,
            digest_bits: &digest::NO_BITS,
            digest: reference.text,
            is_plain: reference.is(Part::PlainReference),
            size: reference.number,
            parts,
        })
    }
}

impl FusedIterator for References<'_> {}
