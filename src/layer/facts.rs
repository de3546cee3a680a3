//! What the layer knows about the target of a request: [`Facts`].

use std::borrow::Cow;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use sha2::{Digest as _, Sha256};

use super::headers;
use super::memory::Memory;
use super::response_facts::ResponseFacts;
use crate::event::{Content, Descriptor, DraftReferences, Manifest, ReferenceList, media_types};
use crate::metrics::missing_fact;

/// The facts known so far about a blob or manifest. One that is `None` is not known.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// The media type of a manifest. All blobs have the same one.
    pub(super) media_type: Option<Cow<'static, str>>,
    /// A generic media type, which does not show the kind of manifest. It is used
    /// if no better one is found.
    pub(super) generic_type: Option<Cow<'static, str>>,
    pub(super) digest: Option<String>,
    pub(super) size: Option<u64>,
    pub(super) references: Option<ReferenceList>,
    /// The descriptor that the registry itself stated. It replaces all facts above
    /// except the references. Boxed, because few registries state one and facts are moved
    /// often.
    pub(super) descriptor: Option<Box<Descriptor>>,
}

/// The media type of every blob, as in the reference.
const BLOB_TYPE: &str = "application/octet-stream";

impl Facts {
    /// Returns what the registry itself states.
    pub(super) fn stated(facts: Option<&ResponseFacts>) -> Self {
        Self {
            descriptor: facts.and_then(|facts| facts.descriptor.clone().map(Box::new)),
            references: facts.and_then(|facts| facts.references.clone()),
            ..Self::default()
        }
    }

    /// Returns facts with nothing but a digest.
    pub(super) fn of_digest(digest: Option<&str>) -> Self {
        Self {
            digest: digest.map(Into::into),
            ..Self::default()
        }
    }

    /// Returns what the `Content-Type` of a manifest shows.
    pub(super) fn of_type(content_type: Option<&str>) -> Self {
        let media_type = content_type.map(media_types::essence);
        let (generic_type, media_type) = match media_type.filter(|it| !it.is_empty()) {
            Some(generic) if media_types::is_generic(&generic) => (Some(generic), None),
            media_type => (None, media_type),
        };
        Self {
            // A response with several ranges states the type of the wrapper,
            // `multipart/byteranges`, and not that of the manifest.
            media_type: media_type.filter(|it| !it.starts_with("multipart/")),
            generic_type,
            ..Self::default()
        }
    }

    /// Returns what the headers of a response show of a blob.
    pub(super) fn of_blob(status: StatusCode, headers: &HeaderMap) -> Self {
        Self {
            digest: headers::content_digest(headers).map(Into::into),
            size: headers::content_size(status, headers),
            ..Self::default()
        }
    }

    /// Returns what the headers of a response show of a manifest.
    pub(super) fn of_content(status: StatusCode, headers: &HeaderMap) -> Self {
        Self {
            digest: headers::content_digest(headers).map(Into::into),
            size: headers::content_size(status, headers),
            ..Self::of_type(headers::text(headers, &CONTENT_TYPE))
        }
    }

    /// Takes from `other` the facts that are not known yet. The source that ranks
    /// higher is `self`.
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

    /// Adds the digest, if it is not known yet.
    pub(super) fn or_digest(mut self, digest: Option<&str>) -> Self {
        self.digest = self.digest.or_else(|| digest.map(Into::into));
        self
    }

    /// Whether everything is known about a blob.
    pub(super) fn describes_blob(&self) -> bool {
        self.descriptor.is_some() || (self.digest.is_some() && self.size.is_some())
    }

    /// Whether everything but the references is known about a manifest.
    pub(super) fn describes_manifest(&self) -> bool {
        self.descriptor.is_some()
            || (self.media_type.is_some() && self.digest.is_some() && self.size.is_some())
    }

    /// Adds what the bytes of a manifest show.
    ///
    /// The references are always read, because they show the sizes of blobs. With
    /// `include_references` events list them, so it is logged and counted if they
    /// cannot be read.
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
        let described = self.descriptor.as_deref();
        let media_type = described.map(|descriptor| &*descriptor.media_type);
        let media_type = media_type.or(self.media_type.as_deref());
        let read = Manifest::read(media_type, content, true);
        match read.references {
            Ok(references) => {
                self.references.get_or_insert(references);
            }
            Err(error) if include_references && self.references.is_none() => {
                if !error.is_unknown_media_type() && memory.may_log("references") {
                    tracing::warn!(media_type, %error, "an event lacks its references");
                }
                missing_fact("references");
            }
            Err(_) => {}
        }
        if self.media_type.is_none() {
            self.media_type = read.media_type;
        }
        self
    }

    /// Whether the digest is that of these bytes, whatever headers say of their
    /// encoding.
    pub(super) fn digest_is_of(&self, content: &[u8]) -> bool {
        let digest = self.digest.as_deref();
        digest.is_some_and(|digest| digest == sha256(content))
    }

    /// Returns the content of a blob's event, and counts the facts that it lacks.
    pub(super) fn blob(&self) -> Content<'_> {
        self.content(Some(BLOB_TYPE))
    }

    /// Returns the content of a manifest's event, and counts the facts that it lacks
    /// except the references.
    pub(super) fn manifest(&self) -> Content<'_> {
        let media_type = self.media_type.as_deref();
        self.content(media_type.or(self.generic_type.as_deref()))
    }

    fn content<'a>(&'a self, media_type: Option<&'a str>) -> Content<'a> {
        if let Some(descriptor) = self.descriptor.as_deref() {
            return descriptor.into();
        }
        for (fact, is_missing) in [
            ("media_type", media_type.is_none()),
            ("digest", self.digest.is_none()),
            ("size", self.size.is_none()),
        ] {
            if is_missing {
                missing_fact(fact);
            }
        }
        Content {
            media_type: media_type.unwrap_or_default(),
            digest: self.digest.as_deref().unwrap_or_default(),
            size: self.size.unwrap_or_default(),
            ..Content::default()
        }
    }

    /// Returns the references, or none if they are not known.
    pub(super) fn references(&self) -> DraftReferences<'_> {
        let references = self.references.as_ref();
        references.map(DraftReferences::List).unwrap_or_default()
    }
}

fn sha256(content: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_is_in_lower_case_and_has_no_parameters() {
        let value = "Application/VND.oci.Image.manifest.v1+JSON; charset=utf-8";
        let found = Facts::of_type(Some(value)).media_type;
        assert_eq!(found.unwrap(), media_types::OCI_MANIFEST);
        for nothing in [None, Some("; x")] {
            let found = Facts::of_type(nothing);
            assert_eq!((found.media_type, found.generic_type), (None, None));
        }
    }
}
