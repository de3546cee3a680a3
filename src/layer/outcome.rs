//! What a successful request did, from its response until its events are written:
//! [`Outcome`].
//!
//! Facts are added in the order of their rank: those of the exchange, sizes known
//! from earlier ones, a stat, the body of a pull, and last what manifests claim.

use std::sync::Arc;

use super::facts::Facts;
use super::settings::Settings;
use super::stat::Question;
use super::tap::BodyTap;
use crate::bridge::Bridge;
use crate::event::{Action, Draft, Kind, MANIFEST_LIMIT, ReferenceList};
use crate::sink::Acceptance;

/// A method of the listener to call, with its arguments except the target.
#[derive(Debug)]
pub(super) enum ListenerCall {
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
}

/// What a successful request did, and what is known of it so far.
pub(super) struct Outcome {
    pub(super) settings: Arc<Settings>,
    pub(super) bridge: Bridge,
    /// Empty if it is not known.
    pub(super) repository: String,
    /// `None` if the request deleted a repository and nothing else.
    pub(super) call: Option<ListenerCall>,
    pub(super) repository_deleted: Option<String>,
    pub(super) facts: Facts,
    pub(super) head: bool,
    /// Whether the response body is the whole target, without a content coding.
    pub(super) body_is_content: bool,
}

impl Outcome {
    /// Whether the request is a pull whose response can have the target in its body.
    pub(super) fn is_pull_with_body(&self) -> bool {
        !self.head
            && matches!(
                self.call,
                Some(ListenerCall::ManifestPulled { .. } | ListenerCall::BlobPulled)
            )
    }

    /// Whether a pull counts if its body did not reach its end.
    pub(super) fn counts_aborted(&self) -> bool {
        self.settings.aborted_pulls
    }

    fn is_manifest_pull(&self) -> bool {
        matches!(self.call, Some(ListenerCall::ManifestPulled { .. }))
    }

    /// Returns how many bytes of the response body to keep, because they show facts
    /// about the target.
    pub(super) fn tap_limit(&self) -> usize {
        let reads = self.body_is_content && self.is_manifest_pull() && self.has_to_read();
        if reads { MANIFEST_LIMIT } else { 0 }
    }

    /// Whether the bytes of a manifest may show more than is known. A manifest that is
    /// pulled again and again is read once.
    fn has_to_read(&self) -> bool {
        let sizes = &self.settings.memory.sizes;
        let typed = self.facts.media_type.is_some() || self.facts.descriptor.is_some();
        let read = |digest| sizes.has_read(&self.repository, digest);
        !typed || self.wants_references() || !self.facts.digest.as_deref().is_some_and(read)
    }

    fn wants_references(&self) -> bool {
        self.settings.notifier.includes_references() && self.facts.references.is_none()
    }

    /// Remembers the sizes that the exchange has shown. If it has not shown that of
    /// the target, recalls it.
    pub(super) fn learn_and_recall(&mut self) {
        let sizes = &self.settings.memory.sizes;
        if self.call.is_none() {
            return;
        }
        if let Some(references) = &self.facts.references {
            sizes.claim(&self.repository, self.facts.digest.as_deref(), references);
        }
        let Some(digest) = self.facts.digest.as_deref() else {
            return;
        };
        match self.facts.size {
            Some(size) => sizes.learn(digest, size),
            None => self.facts.size = sizes.get(&self.repository, digest),
        }
    }

    /// Returns the question to which a stat could find the answer, if facts are
    /// missing.
    pub(super) fn question(&self) -> Option<Question> {
        match self.call.as_ref()? {
            ListenerCall::ManifestPulled { tag } => {
                // The bytes of the manifest pass through the layer.
                if self.body_is_content && !self.head {
                    return None;
                }
                let described = self.facts.describes_manifest();
                // Repeating a HEAD would give the same incomplete answer.
                let content = self.wants_references() || self.head;
                self.manifest_question(described, content, tag.as_ref())
            }
            ListenerCall::ManifestPushed { tags } => {
                let described = self.facts.describes_manifest();
                let content = self.wants_references() || self.facts.media_type.is_none();
                self.manifest_question(described, content, tags.first())
            }
            // Repeating a HEAD would give the same incomplete answer.
            ListenerCall::BlobPulled if self.head => None,
            // The bytes of the blob pass through the layer.
            ListenerCall::BlobPulled if self.body_is_content => None,
            ListenerCall::BlobPulled | ListenerCall::BlobPushed => self.blob_question(None),
            ListenerCall::BlobMounted { from } => self.blob_question(from.clone()),
            _ => None,
        }
    }

    fn manifest_question(
        &self,
        described: bool,
        content: bool,
        tag: Option<&String>,
    ) -> Option<Question> {
        if described && !self.wants_references() {
            return None;
        }
        Some(Question::Manifest {
            repository: self.repository.clone(),
            reference: self.facts.digest.as_ref().or(tag)?.clone(),
            content,
        })
    }

    fn blob_question(&self, from: Option<String>) -> Option<Question> {
        if self.facts.describes_blob() {
            return None;
        }
        Some(Question::Blob {
            repository: self.repository.clone(),
            from,
            digest: self.facts.digest.clone()?,
        })
    }

    /// Adds the facts that a stat has found.
    pub(super) fn add(&mut self, facts: Facts) {
        self.facts = std::mem::take(&mut self.facts).or(facts);
        self.learn_and_recall();
    }

    /// Writes the events. `body` is what was observed of the response body of a
    /// pull.
    ///
    /// The write fails only if the client must not get the response.
    pub(super) fn report(mut self, body: Option<&BodyTap>) -> Acceptance {
        if let Some(body) = body.filter(|_| self.body_is_content && self.is_pull_with_body()) {
            self.add_body(body);
        }
        // Clients can claim any size in a manifest, so a claim counts only now, when
        // the response, the stat and the body have stated no size.
        if let (None, Some(digest)) = (self.facts.size, &self.facts.digest) {
            let sizes = &self.settings.memory.sizes;
            self.facts.size = sizes.settle(&self.repository, digest);
        }
        self.settings.accept(self.write())
    }

    fn add_body(&mut self, body: &BodyTap) {
        let references = self.settings.notifier.includes_references();
        let known = |facts: &Facts| {
            let Facts {
                digest,
                size,
                references,
                ..
            } = facts;
            (digest.is_some(), size.is_some(), references.is_some())
        };
        let before = known(&self.facts);
        let mut facts = std::mem::take(&mut self.facts);
        if let Some(content) = body.content().filter(|_| self.is_manifest_pull()) {
            facts = facts.read_manifest(content, &self.settings.memory, references);
            if facts.references.is_none() {
                // It is not read again, because that would show as little.
                let sizes = &self.settings.memory.sizes;
                sizes.claim(
                    &self.repository,
                    facts.digest.as_deref(),
                    &ReferenceList::default(),
                );
            }
        }
        // If the body was cut off, its length says nothing about the content.
        facts.size = facts.size.or(body.whole_length());
        self.facts = facts;
        if known(&self.facts) != before {
            self.learn_and_recall();
        }
    }

    /// Writes an event for each thing that happened.
    fn write(&self) -> Acceptance {
        let write = self.call.as_ref().map(|call| self.write_call(call));
        let deleted = self.repository_deleted.as_deref();
        let deleted = deleted.map(|repository| self.bridge.repo_deleted(repository));
        match (write, deleted) {
            (Some(write), None) => write,
            (write, deleted) => Acceptance::all(write.into_iter().chain(deleted)),
        }
    }

    fn write_call(&self, call: &ListenerCall) -> Acceptance {
        let (bridge, repository) = (&self.bridge, &*self.repository);
        match call {
            ListenerCall::ManifestPulled { tag } => bridge.emit(Draft {
                tag: tag.as_deref().unwrap_or_default(),
                ..self.manifest(Action::Pull)
            }),
            ListenerCall::ManifestPushed { tags } => {
                let draft = self.manifest(Action::Push);
                if tags.is_empty() {
                    return bridge.emit(draft);
                }
                Acceptance::all(tags.iter().map(|tag| bridge.emit(Draft { tag, ..draft })))
            }
            ListenerCall::ManifestDeleted { digest, untagged } => {
                let deleted = bridge.manifest_deleted(repository, digest);
                let tags = untagged.iter();
                let tags = tags.map(|tag| bridge.tag_deleted(repository, tag));
                Acceptance::all(std::iter::once(deleted).chain(tags))
            }
            ListenerCall::TagDeleted(tag) => bridge.tag_deleted(repository, tag),
            ListenerCall::BlobPulled => bridge.emit(self.blob(Action::Pull)),
            ListenerCall::BlobPushed => bridge.emit(self.blob(Action::Push)),
            ListenerCall::BlobMounted { from } => bridge.emit(Draft {
                from_repository: from.as_deref().unwrap_or_default(),
                ..self.blob(Action::Mount)
            }),
            ListenerCall::BlobDeleted(digest) => bridge.blob_deleted(repository, digest),
        }
    }

    fn manifest(&self, action: Action) -> Draft<'_> {
        Draft {
            content: self.facts.manifest(),
            references: self.facts.references(),
            ..Draft::new(action, Kind::Manifest, &self.repository)
        }
    }

    fn blob(&self, action: Action) -> Draft<'_> {
        Draft {
            content: self.facts.blob(),
            ..Draft::new(action, Kind::Blob, &self.repository)
        }
    }
}
