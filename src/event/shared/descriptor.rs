use std::collections::BTreeMap;
use std::fmt;
use std::iter::FusedIterator;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::text::{Entry, Part};
use crate::event::{Descriptor, Platform};

/// A descriptor in a [`SharedEvent`](super::SharedEvent): that of its target, or
/// of something that its manifest refers to.
#[derive(Clone, Copy)]
pub struct DescriptorRef<'a> {
    pub(super) media_type: &'a str,
    pub(super) digest: &'a str,
    pub(super) size: u64,
    pub(in crate::event) parts: Parts<'a>,
}

impl<'a> DescriptorRef<'a> {
    /// Returns the media type of the content, or an empty text.
    pub fn media_type(&self) -> &'a str {
        self.media_type
    }

    /// Returns the digest of the content, `algorithm:encoded`, or an empty text.
    pub fn digest(&self) -> &'a str {
        self.digest
    }

    /// Returns the size of the content in bytes. 0 if it is not known.
    pub fn size(&self) -> u64 {
        self.size
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
        let mut descriptor = Descriptor::new(self.media_type.to_owned(), self.digest, self.size);
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

impl<'a> Iterator for References<'a> {
    type Item = DescriptorRef<'a>;

    fn next(&mut self) -> Option<DescriptorRef<'a>> {
        let (reference, rest) = self.0.entries.split_first()?;
        let more = rest.iter().take_while(|it| it.part != Part::Reference);
        let (own, others) = rest.split_at(more.count());
        let parts = Parts {
            entries: own,
            start: reference.end,
            ..self.0
        };
        let digest = self.0.text(self.0.start, reference.end);
        self.0.start = own.last().unwrap_or(reference).end;
        self.0.entries = others;
        Some(DescriptorRef {
            media_type: parts.media_type(reference.media_type),
            digest,
            size: reference.number,
            parts,
        })
    }
}

impl FusedIterator for References<'_> {}

/// Consecutive entries, and where the text of the first one begins.
#[derive(Clone, Copy, Debug)]
pub(in crate::event) struct Parts<'a> {
    pub(super) text: &'a str,
    pub(super) entries: &'a [Entry],
    pub(super) start: u32,
}

impl<'a> Parts<'a> {
    pub(in crate::event) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn text(&self, start: u32, end: u32) -> &'a str {
        self.text
            .get(start as usize..end as usize)
            .unwrap_or_default()
    }

    /// Returns the texts of one part, in order.
    pub(in crate::event) fn of(self, part: Part) -> impl Iterator<Item = &'a str> + use<'a> {
        let mut start = self.start;
        self.entries.iter().filter_map(move |entry| {
            let text = self.text(start, entry.end);
            start = entry.end;
            (entry.part == part).then_some(text)
        })
    }

    pub(in crate::event) fn first(self, part: Part) -> Option<&'a str> {
        self.of(part).next()
    }

    pub(super) fn media_type(self, word: super::word::Word) -> &'a str {
        match word {
            super::word::Word::OTHER => self.first(Part::MediaType).unwrap_or_default(),
            known => known.media_type(),
        }
    }
}
