//! What is known of a target, from the sources that the layer has: [`Facts`].

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use sha2::{Digest as _, Sha256};

use super::headers;
use super::memory::Memory;
use super::response_facts::ResponseFacts;
use crate::event::{Descriptor, Manifest, media_types};
use crate::metrics::missing_fact;

/// What is known so far of a blob or manifest. What is not known is `None`.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Of a manifest; all blobs have the same.
    pub(super) media_type: Option<String>,
    /// A media type that says nothing of the kind of manifest, for when no
    /// better one is found.
    pub(super) generic_type: Option<String>,
    pub(super) digest: Option<String>,
    pub(super) size: Option<u64>,
    pub(super) references: Option<Vec<Descriptor>>,
    /// Complete, as the registry described it: nothing else is needed.
    pub(super) descriptor: Option<Descriptor>,
}

/// The media type of every blob, as in the reference.
const BLOB_TYPE: &str = "application/octet-stream";

impl Facts {
    /// Returns what the registry itself says.
    pub(super) fn stated(facts: Option<&ResponseFacts>) -> Self {
        Self {
            descriptor: facts.and_then(|facts| facts.descriptor.clone()),
            references: facts.and_then(|facts| facts.references.clone()),
            ..Self::default()
        }
    }

    /// Returns nothing but a digest.
    pub(super) fn of_digest(digest: Option<&str>) -> Self {
        Self {
            digest: digest.map(Into::into),
            ..Self::default()
        }
    }

    /// Returns what the `Content-Type` of a manifest says.
    pub(super) fn of_type(content_type: Option<&str>) -> Self {
        let media_type = content_type.and_then(headers::media_type);
        let (generic_type, media_type) = match media_type {
            Some(generic) if media_types::is_generic(&generic) => (Some(generic), None),
            media_type => (None, media_type),
        };
        // A response of several ranges states the type of its envelope.
        Self {
            media_type: media_type.filter(|it| !it.starts_with("multipart/")),
            generic_type,
            ..Self::default()
        }
    }

    /// Returns what the headers of a response say of the content in its body.
    pub(super) fn of_content(status: StatusCode, headers: &HeaderMap) -> Self {
        Self {
            digest: headers::content_digest(headers).map(Into::into),
            size: headers::content_size(status, headers),
            ..Self::of_type(headers::text(headers, CONTENT_TYPE))
        }
    }

    /// Takes from `other` what is not known yet.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            media_type: self.media_type.or(other.media_type),
            generic_type: self.generic_type.or(other.generic_type),
            digest: self.digest.or(other.digest),
            size: self.size.or(other.size),
            references: self.references.or(other.references),
            descriptor: self.descriptor.or(other.descriptor),
        }
    }

    /// Whether everything is known of a blob.
    pub(super) fn describes_blob(&self) -> bool {
        self.descriptor.is_some() || (self.digest.is_some() && self.size.is_some())
    }

    /// Whether everything but the references is known of a manifest.
    pub(super) fn describes_manifest(&self) -> bool {
        self.descriptor.is_some()
            || (self.media_type.is_some() && self.digest.is_some() && self.size.is_some())
    }

    /// Adds what the bytes of a manifest say.
    ///
    /// The references are always read, because they tell the sizes of blobs;
    /// `include_references` is whether an event needs them.
    pub(super) fn read_manifest(
        mut self,
        content: &[u8],
        memory: &Memory,
        include_references: bool,
    ) -> Self {
        self.size = self.size.or(Some(content.len() as u64));
        if self.digest.is_none() {
            self.digest = Some(sha256(content));
        }
        let stated = self.descriptor.as_ref().map(|it| &*it.media_type);
        let stated = stated.or(self.media_type.as_deref());
        let read = Manifest::read(stated, content, true);
        match read.references {
            Ok(references) => {
                self.references.get_or_insert_with(|| {
                    let references = references.into_iter();
                    references.map(Descriptor::from).collect()
                });
            }
            Err(error) if include_references && self.references.is_none() => {
                if !error.is_unknown_media_type() && memory.may_log("references") {
                    tracing::warn!(media_type = stated, %error, "an event lacks its references");
                }
                missing_fact("references");
            }
            Err(_) => {}
        }
        if self.media_type.is_none() {
            self.media_type = read.media_type.map(Into::into);
        }
        self
    }

    /// Whether these bytes are what the digest names, whatever the headers say
    /// of their encoding.
    pub(super) fn names(&self, content: &[u8]) -> bool {
        self.digest
            .as_deref()
            .is_some_and(|digest| digest == sha256(content))
    }

    /// Returns the descriptor of a blob, with every missing fact counted.
    pub(super) fn into_blob(self) -> Descriptor {
        if let Some(descriptor) = self.descriptor {
            return descriptor;
        }
        count_missing("digest", self.digest.is_none());
        count_missing("size", self.size.is_none());
        let digest = self.digest.unwrap_or_default();
        Descriptor::new(BLOB_TYPE, digest, self.size.unwrap_or(0))
    }

    /// Returns the manifest, with every missing fact but the references
    /// counted.
    pub(super) fn into_manifest(self) -> Manifest {
        let references = self.references.unwrap_or_default();
        if let Some(descriptor) = self.descriptor {
            return Manifest::new(descriptor).references(references);
        }
        let media_type = self.media_type.or(self.generic_type);
        count_missing("media_type", media_type.is_none());
        count_missing("digest", self.digest.is_none());
        count_missing("size", self.size.is_none());
        let descriptor = Descriptor::new(
            media_type.unwrap_or_default(),
            self.digest.unwrap_or_default(),
            self.size.unwrap_or(0),
        );
        Manifest::new(descriptor).references(references)
    }
}

fn count_missing(fact: &'static str, missing: bool) {
    if missing {
        missing_fact(fact);
    }
}

fn sha256(content: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(content))
}
