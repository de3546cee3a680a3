//! What a manifest refers to, as Go's structs hold it while it is decoded.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// What a manifest refers to: a descriptor that borrows from the manifest.
#[derive(Debug, Default)]
pub(crate) struct Reference<'a> {
    /// Media type of the content.
    pub(crate) media_type: Cow<'a, str>,
    /// Digest of the content.
    pub(crate) digest: Cow<'a, str>,
    /// Whether the digest is known to need no escaping in JSON.
    pub(super) is_plain: bool,
    pub(super) size: i64,
    pub(super) details: Option<Box<Details<'a>>>,
}

impl Reference<'_> {
    /// Returns the size of the content in bytes. A negative one counts as 0, which
    /// means that it is not known.
    pub(crate) fn size(&self) -> u64 {
        self.size.try_into().unwrap_or_default()
    }

    /// Returns the bytes of text that most references of this digest take in an event.
    pub(super) fn text_length(&self) -> usize {
        self.digest.len()
    }
}

/// Fields that few references have.
#[derive(Debug, Default)]
pub(super) struct Details<'a> {
    pub(super) urls: Slice<Cow<'a, str>>,
    pub(super) annotations: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    pub(super) data: Slice<u8>,
    pub(super) platform: Option<GoPlatform<'a>>,
    pub(super) artifact_type: Cow<'a, str>,
}

#[derive(Debug, Default)]
pub(super) struct GoPlatform<'a> {
    pub(super) architecture: Cow<'a, str>,
    pub(super) os: Cow<'a, str>,
    pub(super) os_version: Cow<'a, str>,
    pub(super) os_features: Slice<Cow<'a, str>>,
    pub(super) variant: Cow<'a, str>,
}

/// A slice as in Go: the elements beyond its length are hidden, not gone.
#[derive(Debug)]
pub(super) struct Slice<T> {
    pub(super) items: Vec<T>,
    pub(super) length: usize,
}

impl<T> Default for Slice<T> {
    fn default() -> Self {
        Self::from(Vec::new())
    }
}

impl<T> From<Vec<T>> for Slice<T> {
    fn from(items: Vec<T>) -> Self {
        let length = items.len();
        Self { items, length }
    }
}

impl<T> Slice<T> {
    pub(super) fn into_vec(mut self) -> Vec<T> {
        self.items.truncate(self.length);
        self.items
    }

    /// Returns the elements that are not hidden.
    pub(super) fn as_slice(&self) -> &[T] {
        self.items.get(..self.length).unwrap_or_default()
    }
}
