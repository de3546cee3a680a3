use super::descriptor::Parts;
use super::text::{Buffers, Out, Part};
use super::word::Word;
use super::{DescriptorRef, References};
use crate::event::Descriptor;
use crate::event::reference::Reference;

/// References in the compact form in which events keep them: one text for all of
/// them, and 16 bytes for each.
///
/// ```
/// use tower_registry_notifications::event::ReferenceList;
///
/// let mut references = ReferenceList::with_capacity(1, 71);
/// references.push("application/vnd.oci.image.layer.v1.tar+gzip", "sha256:c0ff", 4);
/// assert_eq!(references.iter().next().unwrap().size(), 4);
/// ```
#[derive(Clone, Debug, Default)]
pub struct ReferenceList(Buffers);

impl ReferenceList {
    /// Creates an empty list with room for this many references, and for this many
    /// bytes of text in all: digests, and media types that are not well known.
    pub fn with_capacity(references: usize, bytes: usize) -> Self {
        Self(Buffers {
            text: String::with_capacity(bytes),
            entries: Vec::with_capacity(references),
        })
    }

    /// Appends a reference with nothing but media type, digest and size in
    /// bytes.
    pub fn push(&mut self, media_type: &str, digest: &str, size: u64) {
        let word = Word::of_media_type(media_type);
        self.0.text(digest);
        self.0.entry(Part::Reference, size, word);
        self.0.media_type(word, media_type);
    }

    /// Appends a reference with all fields of its descriptor.
    pub fn push_descriptor(&mut self, descriptor: &Descriptor) {
        self.0.reference(descriptor);
    }

    /// Returns the references, in order.
    pub fn iter(&self) -> References<'_> {
        References(Parts {
            text: &self.0.text,
            entries: &self.0.entries,
            start: 0,
        })
    }

    /// Whether there are no references.
    pub fn is_empty(&self) -> bool {
        self.0.entries.is_empty()
    }

    /// Returns how many references there are.
    pub fn len(&self) -> usize {
        let references = self.0.entries.iter();
        references.filter(|it| it.part == Part::Reference).count()
    }

    /// Returns the bytes that these references add to an event.
    pub fn bytes(&self) -> usize {
        self.0.text.len() + size_of_val(&*self.0.entries)
    }

    pub(super) fn buffers(&self) -> &Buffers {
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

impl<'a> FromIterator<Reference<'a>> for ReferenceList {
    fn from_iter<I: IntoIterator<Item = Reference<'a>>>(references: I) -> Self {
        let mut list = Self::default();
        for reference in references {
            if reference.details.is_none() {
                list.push(&reference.media_type, &reference.digest, reference.size());
            } else {
                list.push_descriptor(&reference.into());
            }
        }
        list
    }
}

impl PartialEq for ReferenceList {
    fn eq(&self, other: &Self) -> bool {
        let owned = |list: &Self| -> Vec<_> { list.iter().map(|it| it.to_descriptor()).collect() };
        self.0.text == other.0.text && owned(self) == owned(other)
    }
}

impl Eq for ReferenceList {}
