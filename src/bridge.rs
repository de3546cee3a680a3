//! The listener that makes an event of each call: [`Bridge`].

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::event::{
    Action, Content, Descriptor, Draft, DraftReferences, Kind, Manifest, Origin, RequestRecord,
    SourceRecord,
};
use crate::listener::Listener;
use crate::sink::{Acceptance, Sink};

/// The listener that makes an event of each call and writes it to a sink.
///
/// A bridge belongs to one request: all of its events carry the same source,
/// actor and request. [`NotificationLayer`] creates one for each request that
/// causes an event. A registry that needs no layer gets its own from
/// [`Notifier::bridge`].
///
/// ```
/// use tower_registry_notifications::event::{Descriptor, RequestRecord};
/// use tower_registry_notifications::{Notifier, SourceRecord};
/// use tower_registry_notifications::sink::ChannelSink;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (sink, mut events) = ChannelSink::new(100);
/// let notifier = Notifier::builder()
///     .source(SourceRecord::new("registry.example.com:5000"))
///     .sink(sink)
///     .build()?;
///
/// let request = RequestRecord::new("6df24a34-0959-4923-81ca-14f09767db19", "PUT");
/// let blob = Descriptor::new("application/octet-stream", "sha256:c0ff", 4);
/// notifier
///     .bridge(request)
///     .actor("alice")
///     .base_url("https://registry.example.com")
///     .blob_pushed("library/debian", blob)
///     .await?;
///
/// let event = events.recv().await.unwrap();
/// assert_eq!(event.actor(), "alice");
/// assert_eq!(
///     event.url(),
///     "https://registry.example.com/v2/library/debian/blobs/sha256:c0ff"
/// );
/// # Ok(()) }
/// ```
///
/// Each of the nine methods returns the sink's [`Acceptance`]. Await it before the
/// client gets its response.
///
/// [`NotificationLayer`]: crate::NotificationLayer
/// [`Notifier::bridge`]: crate::Notifier::bridge
#[derive(Clone)]
pub struct Bridge {
    origin: Origin,
    source: Option<Arc<SourceRecord>>,
    sink: Arc<dyn Sink>,
    include_references: bool,
}

impl Bridge {
    /// Creates a bridge to `sink`, for a registry that has no notifier.
    ///
    /// Unless they are set, its events have no source, no actor, relative URLs and
    /// no references.
    pub fn new(sink: Arc<dyn Sink>, request: impl Borrow<RequestRecord>) -> Self {
        Self::from_origin(sink, Origin::from(request.borrow()))
    }

    pub(crate) fn from_origin(sink: Arc<dyn Sink>, origin: Origin) -> Self {
        Self {
            origin,
            source: None,
            sink,
            include_references: false,
        }
    }

    /// Sets the registry node that the events come from.
    #[must_use]
    pub fn source(mut self, source: impl Into<Arc<SourceRecord>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Sets the actor: an [`ActorRecord`](crate::event::ActorRecord) or a name.
    #[must_use]
    pub fn actor(mut self, actor: impl AsRef<str>) -> Self {
        self.origin.set_actor(actor.as_ref());
        self
    }

    /// Sets what URLs in events begin with, for example
    /// `https://registry.example.com/mirror`. `/v2/<name>/…` follows. Defaults to
    /// nothing, which makes URLs relative.
    #[must_use]
    pub fn base_url(mut self, base: impl AsRef<str>) -> Self {
        self.origin
            .set_base_url(base.as_ref().trim_end_matches('/'));
        self
    }

    /// Whether events of manifests list what the manifest refers to. Defaults
    /// to `false`, or to the setting of the notifier.
    #[must_use]
    pub fn include_references(mut self, include: bool) -> Self {
        self.include_references = include;
        self
    }

    /// Reports that a manifest was stored, under `tag` if it was pushed by one.
    pub fn manifest_pushed(
        &self,
        repository: &str,
        manifest: impl Borrow<Manifest>,
        tag: Option<&str>,
    ) -> Acceptance {
        self.manifest(Action::Push, repository, manifest.borrow(), tag)
    }

    /// Reports that a manifest was read, by `tag` if it was requested by one.
    pub fn manifest_pulled(
        &self,
        repository: &str,
        manifest: impl Borrow<Manifest>,
        tag: Option<&str>,
    ) -> Acceptance {
        self.manifest(Action::Pull, repository, manifest.borrow(), tag)
    }

    /// Reports that a manifest was removed.
    pub fn manifest_deleted(&self, repository: &str, digest: &str) -> Acceptance {
        self.deleted(Kind::Manifest, repository, digest)
    }

    /// Reports that a blob was stored.
    pub fn blob_pushed(&self, repository: &str, blob: impl Borrow<Descriptor>) -> Acceptance {
        self.blob(Action::Push, repository, blob.borrow(), "")
    }

    /// Reports that a blob was read, or that the client was redirected to its
    /// storage.
    pub fn blob_pulled(&self, repository: &str, blob: impl Borrow<Descriptor>) -> Acceptance {
        self.blob(Action::Pull, repository, blob.borrow(), "")
    }

    /// Reports that a blob was mounted, from the repository `from` if that is
    /// known.
    pub fn blob_mounted(
        &self,
        repository: &str,
        blob: impl Borrow<Descriptor>,
        from: Option<&str>,
    ) -> Acceptance {
        let from = from.unwrap_or_default();
        self.blob(Action::Mount, repository, blob.borrow(), from)
    }

    /// Reports that a blob was removed.
    pub fn blob_deleted(&self, repository: &str, digest: &str) -> Acceptance {
        self.deleted(Kind::Blob, repository, digest)
    }

    /// Reports that a tag was removed.
    pub fn tag_deleted(&self, repository: &str, tag: &str) -> Acceptance {
        let draft = Draft::new(Action::Delete, Kind::Tag, repository);
        self.emit(Draft { tag, ..draft })
    }

    /// Reports that a repository was removed with everything in it.
    pub fn repo_deleted(&self, repository: &str) -> Acceptance {
        self.emit(Draft::new(Action::Delete, Kind::Repository, repository))
    }

    /// Makes an event of a draft and writes it. Nothing of the draft is kept,
    /// so that all of it can be borrowed.
    pub(crate) fn emit(&self, mut draft: Draft<'_>) -> Acceptance {
        if !self.include_references {
            draft.references = DraftReferences::default();
        }
        let event = draft.share(&self.origin, self.source.as_ref());
        self.sink.write(&event)
    }

    fn manifest(
        &self,
        action: Action,
        repository: &str,
        manifest: &Manifest,
        tag: Option<&str>,
    ) -> Acceptance {
        self.emit(Draft {
            tag: tag.unwrap_or_default(),
            content: Content::from(&manifest.descriptor),
            references: DraftReferences::List(&manifest.references),
            ..Draft::new(action, Kind::Manifest, repository)
        })
    }

    fn blob(&self, action: Action, repository: &str, blob: &Descriptor, from: &str) -> Acceptance {
        self.emit(Draft {
            from_repository: from,
            content: Content::from(blob),
            ..Draft::new(action, Kind::Blob, repository)
        })
    }

    /// Writes a deletion, whose target has a repository and a digest and nothing else.
    fn deleted(&self, kind: Kind, repository: &str, digest: &str) -> Acceptance {
        let content = Content {
            digest,
            ..Content::default()
        };
        self.emit(Draft {
            content,
            ..Draft::new(Action::Delete, kind, repository)
        })
    }
}

impl Listener for Bridge {
    fn manifest_pushed(
        &self,
        repository: &str,
        manifest: &Manifest,
        tag: Option<&str>,
    ) -> Acceptance {
        self.manifest(Action::Push, repository, manifest, tag)
    }

    fn manifest_pulled(
        &self,
        repository: &str,
        manifest: &Manifest,
        tag: Option<&str>,
    ) -> Acceptance {
        self.manifest(Action::Pull, repository, manifest, tag)
    }

    fn manifest_deleted(&self, repository: &str, digest: &str) -> Acceptance {
        self.deleted(Kind::Manifest, repository, digest)
    }

    fn blob_pushed(&self, repository: &str, blob: &Descriptor) -> Acceptance {
        self.blob(Action::Push, repository, blob, "")
    }

    fn blob_pulled(&self, repository: &str, blob: &Descriptor) -> Acceptance {
        self.blob(Action::Pull, repository, blob, "")
    }

    fn blob_mounted(&self, repository: &str, blob: &Descriptor, from: Option<&str>) -> Acceptance {
        self.blob(Action::Mount, repository, blob, from.unwrap_or_default())
    }

    fn blob_deleted(&self, repository: &str, digest: &str) -> Acceptance {
        self.deleted(Kind::Blob, repository, digest)
    }

    fn tag_deleted(&self, repository: &str, tag: &str) -> Acceptance {
        Self::tag_deleted(self, repository, tag)
    }

    fn repo_deleted(&self, repository: &str) -> Acceptance {
        Self::repo_deleted(self, repository)
    }
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge")
            .field("origin", &self.origin)
            .field("source", &self.source)
            .field("include_references", &self.include_references)
            .finish_non_exhaustive()
    }
}
