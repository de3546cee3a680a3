//! What is known of a target, from the sources that the layer has.

use std::borrow::Cow;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use sha2::{Digest as _, Sha256};

use super::body::Seen;
use super::route::is_digest;
use crate::event::{ActorRecord, Descriptor, Manifest};

/// What a registry tells the layer of a request that it served, as a response
/// extension. It knows more than HTTP shows, and wins over everything that the
/// layer finds by itself.
///
/// ```
/// use tower_registry_notifications::{ActorRecord, ResponseFacts};
///
/// let mut response = http::Response::new(());
/// response.extensions_mut().insert(
///     ResponseFacts::new()
///         .actor(ActorRecord::new("alice"))
///         .untagged(["latest", "v1"]),
/// );
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseFacts {
    pub(super) descriptor: Option<Descriptor>,
    pub(super) references: Option<Vec<Descriptor>>,
    pub(super) actor: Option<ActorRecord>,
    pub(super) untagged: Vec<String>,
    pub(super) repository_deleted: Option<String>,
    pub(super) outcome_unknown: bool,
}

impl ResponseFacts {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The blob or manifest that was pushed, pulled or mounted. Saves the
    /// layer a stat where HTTP does not tell the size.
    #[must_use]
    pub fn descriptor(mut self, descriptor: Descriptor) -> Self {
        self.descriptor = Some(descriptor);
        self
    }

    /// What the manifest refers to.
    #[must_use]
    pub fn references(mut self, references: impl Into<Vec<Descriptor>>) -> Self {
        self.references = Some(references.into());
        self
    }

    /// Who did it. An [`ActorRecord`] as a response extension of its own says
    /// the same.
    #[must_use]
    pub fn actor(mut self, actor: ActorRecord) -> Self {
        self.actor = Some(actor);
        self
    }

    /// The tags that went with a manifest that was deleted by its digest: a
    /// delete event for each of them follows that of the manifest.
    #[must_use]
    pub fn untagged<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.untagged.extend(tags.into_iter().map(Into::into));
        self
    }

    /// The repository of this name was deleted. The distribution API has no
    /// such route, so this counts on the successful response to any DELETE.
    #[must_use]
    pub fn repository_deleted(mut self, repository: impl Into<String>) -> Self {
        self.repository_deleted = Some(repository.into());
        self
    }

    /// Says that the registry may or may not have acted. For proxies whose
    /// upstream got a request that can change the registry, at least in part,
    /// and whose response was lost: put it on the 502 or 504 in its place.
    #[must_use]
    pub fn outcome_unknown(mut self) -> Self {
        self.outcome_unknown = true;
        self
    }
}

/// What is known so far of a blob or manifest. What is not stays empty.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) media_type: Option<String>,
    pub(super) digest: Option<String>,
    pub(super) size: Option<u64>,
    pub(super) references: Option<Vec<Descriptor>>,
    /// Whole, as the registry described it: nothing else is asked.
    pub(super) descriptor: Option<Descriptor>,
}

impl Facts {
    /// The registry's own word.
    pub(super) fn told(facts: Option<&ResponseFacts>) -> Self {
        Self {
            descriptor: facts.and_then(|facts| facts.descriptor.clone()),
            references: facts.and_then(|facts| facts.references.clone()),
            ..Self::default()
        }
    }

    /// Takes from `other` what is not known yet.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            media_type: self.media_type.or(other.media_type),
            digest: self.digest.or(other.digest),
            size: self.size.or(other.size),
            references: self.references.or(other.references),
            descriptor: self.descriptor.or(other.descriptor),
        }
    }

    /// Are media type, digest and size known?
    pub(super) fn described(&self) -> bool {
        self.descriptor.is_some()
            || (self.media_type.is_some() && self.digest.is_some() && self.size.is_some())
    }

    /// What the headers of a response say of the content in its body.
    pub(super) fn of_content(status: StatusCode, headers: &HeaderMap) -> Self {
        let size = match status {
            StatusCode::PARTIAL_CONTENT => whole_size(headers),
            _ => content_length(headers),
        };
        Self {
            media_type: content_type(headers),
            digest: content_digest(headers),
            size,
            ..Self::default()
        }
    }

    /// What a manifest's own bytes say of it.
    pub(super) fn read_manifest(mut self, seen: &Seen, want_references: bool) -> Self {
        if !seen.complete {
            return self;
        }
        self.size = self.size.or(Some(seen.length));
        let want_digest = self.digest.is_none();
        let want_references = want_references && self.references.is_none();
        let Some(content) = seen.content().filter(|_| want_digest || want_references) else {
            return self;
        };
        if want_digest {
            self.digest = Some(format!("sha256:{:x}", Sha256::digest(&content)));
        }
        if want_references {
            let media_type = self.descriptor.as_ref().map(|it| &*it.media_type);
            let media_type = media_type
                .or(self.media_type.as_deref())
                .unwrap_or_default();
            self.references = match Manifest::parse_references(media_type, &content) {
                Ok(references) => Some(references),
                Err(error) => {
                    if !error.is_unknown_media_type() {
                        tracing::warn!(media_type, %error, "an event lacks its references");
                    }
                    crate::metrics::missing_fact("references");
                    None
                }
            };
        }
        self
    }

    /// The target, with every missing fact counted.
    pub(super) fn into_descriptor(self) -> Descriptor {
        if let Some(descriptor) = self.descriptor {
            return descriptor;
        }
        for (fact, missing) in [
            ("media_type", self.media_type.is_none()),
            ("digest", self.digest.is_none()),
            ("size", self.size.is_none()),
        ] {
            if missing {
                crate::metrics::missing_fact(fact);
            }
        }
        Descriptor::new(
            match self.media_type {
                // The one of nearly every blob; it needs no memory of its own.
                Some(octets) if octets == OCTETS => Cow::Borrowed(OCTETS),
                other => Cow::Owned(other.unwrap_or_default()),
            },
            self.digest.unwrap_or_default(),
            self.size.unwrap_or(0),
        )
    }
}

const OCTETS: &str = "application/octet-stream";

/// The media type in `Content-Type`, without its parameters.
pub(super) fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let media_type = value.split(';').next()?.trim();
    (!media_type.is_empty()).then(|| media_type.into())
}

/// The size of a body's content, if the body is the content itself.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(CONTENT_LENGTH)?.to_str().ok()?;
    not_encoded(headers).then(|| value.parse().ok()).flatten()
}

/// Is the content sent as it is, and not compressed?
pub(super) fn not_encoded(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_ENCODING)
        .is_none_or(|coding| coding == "identity")
}

/// The size of the whole content that a range was taken from.
fn whole_size(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (_, size) = range.strip_prefix("bytes ")?.split_once('/')?;
    not_encoded(headers).then(|| size.parse().ok()).flatten()
}

/// The canonical digest that the registry names.
pub(super) fn content_digest(headers: &HeaderMap) -> Option<String> {
    let digest = headers.get("docker-content-digest")?.to_str().ok()?;
    is_digest(digest).then(|| digest.into())
}
