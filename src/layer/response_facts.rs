//! What a registry itself states about a request: [`ResponseFacts`].

use crate::event::{ActorRecord, Descriptor, ReferenceList};

/// Facts that a registry states about a request, as a response extension.
///
/// A registry knows more than HTTP shows, so these facts rank before everything
/// that the layer finds out itself.
///
/// ```
/// use tower_registry_notifications::event::ActorRecord;
/// use tower_registry_notifications::layer::ResponseFacts;
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
    pub(super) references: Option<ReferenceList>,
    pub(super) repository: Option<String>,
    pub(super) actor: Option<ActorRecord>,
    pub(super) untagged: Vec<String>,
    pub(super) repository_deleted: Option<String>,
    pub(super) outcome_unknown: Option<bool>,
}

impl ResponseFacts {
    /// Creates an empty set of facts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the blob or manifest that was pushed, pulled or mounted. Where HTTP
    /// does not show the size, this saves the layer a stat.
    #[must_use]
    pub fn descriptor(mut self, descriptor: Descriptor) -> Self {
        self.descriptor = Some(descriptor);
        self
    }

    /// Sets what the manifest refers to.
    #[must_use]
    pub fn references(mut self, references: impl Into<ReferenceList>) -> Self {
        self.references = Some(references.into());
        self
    }

    /// Sets the repository of the request, for a registry that reads paths
    /// differently from the layer.
    #[must_use]
    pub fn repository(mut self, repository: impl Into<String>) -> Self {
        self.repository = Some(repository.into());
        self
    }

    /// Sets who made the request. An [`ActorRecord`] as a response extension of
    /// its own has the same effect.
    #[must_use]
    pub fn actor(mut self, actor: ActorRecord) -> Self {
        self.actor = Some(actor);
        self
    }

    /// Adds tags that were removed because their manifest was deleted by its
    /// digest. A delete event for each of them follows that of the manifest.
    #[must_use]
    pub fn untagged<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.untagged.extend(tags.into_iter().map(Into::into));
        self
    }

    /// States that this repository was deleted. The distribution API has no route
    /// for it, so this counts on the successful response to any DELETE. Its event
    /// follows that of the route, if the request has one.
    #[must_use]
    pub fn repository_deleted(mut self, repository: impl Into<String>) -> Self {
        self.repository_deleted = Some(repository.into());
        self
    }

    /// For an error response, sets whether the registry may have acted anyway, for
    /// example because a proxy lost its response. If so, the layer counts the request in
    /// `registry_notifications_unknown_outcomes_total`. Defaults to `true` for the errors
    /// of timeouts and gateways (408, 502 and 504), and to `false` for others.
    #[must_use]
    pub fn outcome_unknown(mut self, unknown: bool) -> Self {
        self.outcome_unknown = Some(unknown);
        self
    }
}
