//! What a manifest refers to, as Go's structs hold it while it is decoded.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::{Descriptor, Platform, media_types};

/// What a manifest refers to: a descriptor that borrows from the manifest.
#[derive(Debug, Default)]
pub(crate) struct Reference<'a> {
    /// Media type of the content.
    pub(crate) media_type: Cow<'a, str>,
    /// Digest of the content.
    pub(crate) digest: Cow<'a, str>,
    pub(super) size: i64,
    pub(super) details: Option<Box<Details<'a>>>,
}

impl Reference<'_> {
    /// Returns the size of the content in bytes. A negative one counts as 0, which
    /// means that it is not known.
    pub(crate) fn size(&self) -> u64 {
        self.size.try_into().unwrap_or_default()
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

impl From<Reference<'_>> for Descriptor {
    fn from(reference: Reference<'_>) -> Self {
        let size = reference.size();
        let media_type = media_types::interned(reference.media_type);
        let descriptor = Self::new(media_type, reference.digest, size);
        let Some(details) = reference.details else {
            return descriptor;
        };
        let annotations = details.annotations.into_iter();
        Self {
            urls: details.urls.into_strings(),
            annotations: annotations
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            data: details.data.into_vec(),
            platform: details.platform.map(|it| Box::new(it.into())),
            artifact_type: details.artifact_type.into(),
            ..descriptor
        }
    }
}

impl From<GoPlatform<'_>> for Platform {
    fn from(platform: GoPlatform<'_>) -> Self {
        Self {
            architecture: platform.architecture.into(),
            os: platform.os.into(),
            os_version: platform.os_version.into(),
            os_features: platform.os_features.into_strings(),
            variant: platform.variant.into(),
        }
    }
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
}

impl Slice<Cow<'_, str>> {
    fn into_strings(self) -> Vec<String> {
        self.into_vec().into_iter().map(String::from).collect()
    }
}
