//! References in the compact form of events: [`ReferenceList`].

use std::fmt;

use super::parts::Parts;
use super::text::TextWriter;
use super::word::Word;
use super::{DescriptorRef, References};
use crate::event::Descriptor;
use crate::event::reference::Reference;

/// References in the compact form in which events keep them: one text for all of
/// them.
///
/// ```
/// use tower_registry_notifications::event::ReferenceList;
///
/// let mut references = ReferenceList::with_capacity(1, 71);
/// references.push("application/vnd.oci.image.layer.v1.tar+gzip", "sha256:c0ff", 4);
/// assert_eq!(references.iter().next().unwrap().size(), 4);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ReferenceList(String);

/// The number of bytes that most references take in addition to their digest.
const HEADER: usize = 16;

impl ReferenceList {
    /// Creates an empty list with room for this many references, and for this many
    /// bytes of text in all: digests, and media types that are not well known.
    pub fn with_capacity(references: usize, bytes: usize) -> Self {
        Self(String::with_capacity(bytes + HEADER * references))
    }

    /// Appends a reference with nothing but media type, digest and size in
    /// bytes.
    pub fn push(&mut self, media_type: &str, digest: &str, size: u64) {
        self.0.plain_reference(media_type, digest, size);
    }

    /// Creates a list of references of a manifest that was read.
    pub(in crate::event) fn of<'a, 'b: 'a>(
        references: impl Iterator<Item = &'a Reference<'b>> + Clone,
    ) -> Self {
        let (count, bytes) = { references.clone() }.fold((0, 0), |(count, bytes), it| {
            (count + 1, bytes + it.text_length())
        });
        let mut list = Self::with_capacity(count, bytes);
        let (mut media_type, mut word) = ("", Word::EMPTY);
        for reference in references {
            // Most have the media type of the one before, which is the same text then.
            if !std::ptr::eq(&*reference.media_type, media_type) {
                media_type = &reference.media_type;
                word = Word::of_media_type(media_type);
            }
            let (digest, size) = (&reference.digest, reference.size());
            list.0
                .reference_of(word, media_type, digest, size, reference.is_plain);
            if let Some(details) = &reference.details {
                list.0.rare_fields(&**details);
            }
        }
        list
    }

    /// Appends a reference with all fields of its descriptor.
    pub fn push_descriptor(&mut self, descriptor: &Descriptor) {
        self.0.reference(descriptor);
    }

    /// Returns the references, in order.
    pub fn iter(&self) -> References<'_> {
        References(Parts(&self.0))
    }

    /// Returns the references as owned descriptors.
    pub fn to_descriptors(&self) -> Vec<Descriptor> {
        self.iter().map(|it| it.to_descriptor()).collect()
    }

    /// Whether there are no references.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns how many references there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Returns the bytes that these references add to an event.
    pub fn bytes(&self) -> usize {
        self.0.len()
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

impl<'a> IntoIterator for &'a ReferenceList {
    type Item = DescriptorRef<'a>;
    type IntoIter = References<'a>;

    fn into_iter(self) -> References<'a> {
        self.iter()
    }
}

impl<'a> FromIterator<&'a Descriptor> for ReferenceList {
    fn from_iter<I: IntoIterator<Item = &'a Descriptor>>(descriptors: I) -> Self {
        let mut list = Self::default();
        for descriptor in descriptors {
            list.push_descriptor(descriptor);
        }
        list
    }
}

impl FromIterator<Descriptor> for ReferenceList {
    fn from_iter<I: IntoIterator<Item = Descriptor>>(descriptors: I) -> Self {
        let mut list = Self::default();
        for descriptor in descriptors {
            list.push_descriptor(&descriptor);
        }
        list
    }
}

impl From<&[Descriptor]> for ReferenceList {
    fn from(descriptors: &[Descriptor]) -> Self {
        descriptors.iter().collect()
    }
}

impl From<Vec<Descriptor>> for ReferenceList {
    fn from(descriptors: Vec<Descriptor>) -> Self {
        descriptors.iter().collect()
    }
}

impl<const N: usize> From<[Descriptor; N]> for ReferenceList {
    fn from(descriptors: [Descriptor; N]) -> Self {
        descriptors.iter().collect()
    }
}

impl fmt::Debug for ReferenceList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}
