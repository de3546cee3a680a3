//! Something that happened, on its way to the bridge.

use std::sync::Arc;

use super::Settings;
use super::body::{Seen, SharedSeen, look};
use super::facts::Facts;
use crate::bridge::Bridge;
use crate::event::{MANIFEST_LIMIT, Manifest};
use crate::sink::Acceptance;

pub(super) enum What {
    ManifestPulled {
        tag: Option<String>,
    },
    ManifestPushed {
        tags: Vec<String>,
    },
    ManifestDeleted {
        digest: String,
        untagged: Vec<String>,
    },
    TagDeleted(String),
    BlobPulled,
    BlobPushed,
    BlobMounted {
        from: Option<String>,
    },
    BlobDeleted(String),
    RepositoryDeleted,
}

/// Something that happened, and all that is known of it so far.
pub(super) struct Happening {
    pub(super) settings: Arc<Settings>,
    pub(super) bridge: Bridge,
    pub(super) repository: String,
    pub(super) what: What,
    pub(super) facts: Facts,
    pub(super) head: bool,
    /// The response body is the target itself, all of it, as it is.
    pub(super) body_is_content: bool,
    pub(super) seen: Option<SharedSeen>,
}

/// What the layer asks the inner service when nothing else has the facts.
pub(super) struct Question {
    /// `<name>/manifests/<reference>` or `<name>/blobs/<digest>`.
    pub(super) path: String,
    /// The content itself is needed, not only its description.
    pub(super) content: bool,
}

impl Happening {
    /// Happens when the last byte of the response was handed over?
    pub(super) fn with_last_byte(&self) -> bool {
        !self.head && matches!(self.what, What::ManifestPulled { .. } | What::BlobPulled)
    }

    /// How many bytes of the response body tell more of the target.
    pub(super) fn keeps(&self) -> usize {
        let wanted = self.wants_references() || self.facts.digest.is_none();
        match self.what {
            What::ManifestPulled { .. } if self.body_is_content && wanted => MANIFEST_LIMIT,
            _ => 0,
        }
    }

    pub(super) fn tells_aborted(&self) -> bool {
        self.settings.aborted_pulls
    }

    fn wants_references(&self) -> bool {
        self.settings.notifier.includes_references() && self.facts.references.is_none()
    }

    /// What a stat could still find out.
    pub(super) fn question(&self) -> Option<Question> {
        let described = self.facts.described();
        let manifest = |tag: Option<&String>, content| {
            let reference = self.facts.digest.as_ref().or(tag)?;
            let path = [&*self.repository, "/manifests/", reference].concat();
            Some(Question { path, content })
        };
        match &self.what {
            What::ManifestPulled { tag } => {
                let unknown = self.wants_references() || !described;
                let asks = !self.body_is_content && unknown;
                // A HEAD that was answered incompletely would be so again.
                let content = self.wants_references() || self.head;
                asks.then(|| manifest(tag.as_ref(), content))?
            }
            What::ManifestPushed { tags } => {
                let unread = |seen: &Seen| !seen.complete;
                let unread = self.seen.as_ref().is_none_or(|seen| look(seen, unread));
                let content = self.wants_references() && unread;
                (content || !described).then(|| manifest(tags.first(), content))?
            }
            // Nothing but its bytes would tell more, and they may be many.
            What::BlobPulled if self.head => None,
            // They pass by here.
            What::BlobPulled if self.body_is_content && self.facts.media_type.is_some() => None,
            What::BlobPulled | What::BlobPushed | What::BlobMounted { .. } if !described => {
                let digest = self.facts.digest.as_ref()?;
                let path = [&*self.repository, "/blobs/", digest].concat();
                Some(Question {
                    path,
                    content: false,
                })
            }
            _ => None,
        }
    }

    /// Adds what a stat has found out.
    pub(super) fn learn(&mut self, facts: Facts) {
        self.facts = std::mem::take(&mut self.facts).or(facts);
    }

    /// Tells the bridge; `seen` is the response body, if it was awaited.
    ///
    /// The write fails only where an event that no sink takes must not be
    /// acknowledged to the client.
    pub(super) fn tell(mut self, seen: Option<&Seen>) -> Acceptance {
        if let Some(seen) = seen.filter(|_| self.body_is_content && self.with_last_byte()) {
            let manifest = matches!(self.what, What::ManifestPulled { .. });
            let references = manifest && self.settings.notifier.includes_references();
            if manifest {
                self.facts = self.facts.read_manifest(seen, references);
            } else if seen.complete {
                self.facts.size = Some(seen.length);
            }
        }
        let settings = self.settings.clone();
        settings.accept(self.write())
    }

    fn write(self) -> Acceptance {
        let Self { bridge, facts, .. } = self;
        let repository = &*self.repository;
        match self.what {
            What::ManifestPulled { tag } => {
                bridge.manifest_pulled(repository, manifest(facts), tag.as_deref())
            }
            What::ManifestPushed { tags } => {
                let manifest = manifest(facts);
                let untagged = tags.is_empty().then_some(None);
                let tags = tags.iter().map(|tag| Some(&**tag)).chain(untagged);
                Acceptance::all(tags.map(|tag| bridge.manifest_pushed(repository, &manifest, tag)))
            }
            What::ManifestDeleted { digest, untagged } => {
                let deleted = bridge.manifest_deleted(repository, &digest);
                let tags = untagged.iter();
                let tags = tags.map(|tag| bridge.tag_deleted(repository, tag));
                Acceptance::all(std::iter::once(deleted).chain(tags))
            }
            What::TagDeleted(tag) => bridge.tag_deleted(repository, &tag),
            What::BlobPulled => bridge.blob_pulled(repository, facts.into_descriptor()),
            What::BlobPushed => bridge.blob_pushed(repository, facts.into_descriptor()),
            What::BlobMounted { from } => {
                bridge.blob_mounted(repository, facts.into_descriptor(), from.as_deref())
            }
            What::BlobDeleted(digest) => bridge.blob_deleted(repository, &digest),
            What::RepositoryDeleted => bridge.repo_deleted(repository),
        }
    }
}

fn manifest(mut facts: Facts) -> Manifest {
    let references = facts.references.take().unwrap_or_default();
    Manifest::new(facts.into_descriptor()).references(references)
}
