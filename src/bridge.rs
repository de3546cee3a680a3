//! From happenings to events: [`Bridge`].

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::event::{
    Action, ActorRecord, Descriptor, Event, Kind, Manifest, RequestRecord, SharedEvent,
    SourceRecord,
};
use crate::listener::{BlobListener, ManifestListener, RepositoryListener};
use crate::sink::{Sink, Write};

/// The listener that makes an event of each happening and writes it to a sink.
///
/// A bridge belongs to one request: every event that it makes carries the same
/// source, actor and request. [`NotificationLayer`] makes one for each request
/// that may become an event; a registry that needs no layer makes its own.
///
/// ```
/// use std::sync::Arc;
/// use tower_registry_notifications::{
///     ActorRecord, BlobListener, Bridge, ChannelSink, Descriptor, RequestRecord, SourceRecord,
///     UrlBuilder,
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_registry_notifications::SinkError> {
/// let (sink, mut events) = ChannelSink::new(100);
/// let bridge = Bridge::new(
///     UrlBuilder::new("https://registry.example.com"),
///     Arc::new(SourceRecord::new("registry.example.com:5000")),
///     ActorRecord::new("alice"),
///     RequestRecord::new("6df24a34-0959-4923-81ca-14f09767db19", "PUT"),
///     Arc::new(sink),
/// );
/// bridge
///     .blob_pushed("library/debian", Descriptor::new("application/octet-stream", "sha256:c0ff", 4))
///     .await?;
/// let event = events.recv().await.unwrap();
/// assert_eq!(
///     event.target.url,
///     "https://registry.example.com/v2/library/debian/blobs/sha256:c0ff"
/// );
/// # Ok(()) }
/// ```
///
/// [`NotificationLayer`]: crate::Bridge
#[derive(Clone)]
pub struct Bridge {
    urls: UrlBuilder,
    source: Arc<SourceRecord>,
    actor: ActorRecord,
    request: Arc<RequestRecord>,
    sink: Arc<dyn Sink>,
    include_references: bool,
}

impl Bridge {
    /// A bridge that leaves references out.
    pub fn new(
        urls: UrlBuilder,
        source: Arc<SourceRecord>,
        actor: ActorRecord,
        request: impl Into<Arc<RequestRecord>>,
        sink: Arc<dyn Sink>,
    ) -> Self {
        Self {
            urls,
            source,
            actor,
            request: request.into(),
            sink,
            include_references: false,
        }
    }

    /// Should events of manifests carry what the manifest refers to? Default: no.
    #[must_use]
    pub fn include_references(mut self, include: bool) -> Self {
        self.include_references = include;
        self
    }

    fn event(&self, action: Action, kind: Kind, repository: &str) -> Event {
        let mut event = Event::new(action);
        event.kind = Some(kind);
        event.target.repository = repository.into();
        event.request = self.request.clone();
        event.actor = self.actor.clone();
        event.source = self.source.clone();
        event
    }

    fn write(&self, event: Event) -> Write {
        self.sink.write(&SharedEvent::from(event))
    }

    fn manifest(
        &self,
        action: Action,
        repository: &str,
        manifest: Manifest,
        tag: Option<&str>,
    ) -> Write {
        let mut event = self.event(action, Kind::Manifest, repository);
        let target = &mut event.target;
        target.url = self
            .urls
            .manifest_url(repository, &manifest.descriptor.digest);
        target.length = manifest.descriptor.size;
        target.descriptor = manifest.descriptor;
        target.tag = tag.unwrap_or_default().into();
        if self.include_references {
            target.references = manifest.references;
        }
        self.write(event)
    }

    fn blob(&self, action: Action, repository: &str, blob: Descriptor, from: &str) -> Write {
        let mut event = self.event(action, Kind::Blob, repository);
        let target = &mut event.target;
        target.url = self.urls.blob_url(repository, &blob.digest);
        target.length = blob.size;
        target.descriptor = blob;
        target.from_repository = from.into();
        self.write(event)
    }

    /// A deletion says no more of its target than repository and digest.
    fn deleted(&self, kind: Kind, repository: &str, digest: &str) -> Write {
        let mut event = self.event(Action::Delete, kind, repository);
        event.target.descriptor.digest = digest.into();
        self.write(event)
    }
}

impl ManifestListener for Bridge {
    fn manifest_pushed(&self, repository: &str, manifest: Manifest, tag: Option<&str>) -> Write {
        self.manifest(Action::Push, repository, manifest, tag)
    }

    fn manifest_pulled(&self, repository: &str, manifest: Manifest, tag: Option<&str>) -> Write {
        self.manifest(Action::Pull, repository, manifest, tag)
    }

    fn manifest_deleted(&self, repository: &str, digest: &str) -> Write {
        self.deleted(Kind::Manifest, repository, digest)
    }
}

impl BlobListener for Bridge {
    fn blob_pushed(&self, repository: &str, blob: Descriptor) -> Write {
        self.blob(Action::Push, repository, blob, "")
    }

    fn blob_pulled(&self, repository: &str, blob: Descriptor) -> Write {
        self.blob(Action::Pull, repository, blob, "")
    }

    fn blob_mounted(&self, repository: &str, blob: Descriptor, from: Option<&str>) -> Write {
        self.blob(Action::Mount, repository, blob, from.unwrap_or_default())
    }

    fn blob_deleted(&self, repository: &str, digest: &str) -> Write {
        self.deleted(Kind::Blob, repository, digest)
    }
}

impl RepositoryListener for Bridge {
    fn tag_deleted(&self, repository: &str, tag: &str) -> Write {
        let mut event = self.event(Action::Delete, Kind::Tag, repository);
        event.target.tag = tag.into();
        self.write(event)
    }

    fn repo_deleted(&self, repository: &str) -> Write {
        let event = self.event(Action::Delete, Kind::Repository, repository);
        self.write(event)
    }
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge")
            .field("urls", &self.urls)
            .field("source", &self.source)
            .field("actor", &self.actor)
            .field("request", &self.request)
            .field("include_references", &self.include_references)
            .finish_non_exhaustive()
    }
}

/// Builds the URLs in events: `<base>/v2/<name>/manifests|blobs/<digest>`.
///
/// Names are percent-encoded as Go does it, so that every URL is valid. A target
/// whose digest is unknown has no URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UrlBuilder {
    /// Without a slash at the end; empty for relative URLs.
    base: Arc<str>,
}

/// What Go leaves as it is in a path, but for the slash.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b',')
    .remove(b':')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');
const PATH: &AsciiSet = &SEGMENT.remove(b'/');

impl UrlBuilder {
    /// URLs below `base`, for example `https://registry.example.com/mirror`.
    pub fn new(base: impl AsRef<str>) -> Self {
        Self {
            base: base.as_ref().trim_end_matches('/').into(),
        }
    }

    /// URLs without scheme and host: `/v2/<name>/…`.
    pub fn relative() -> Self {
        Self::default()
    }

    /// Returns the URL of a manifest, or an empty string.
    pub fn manifest_url(&self, repository: &str, digest: &str) -> String {
        self.url(repository, "/manifests/", digest)
    }

    /// Returns the URL of a blob, or an empty string.
    pub fn blob_url(&self, repository: &str, digest: &str) -> String {
        self.url(repository, "/blobs/", digest)
    }

    fn url(&self, repository: &str, kind: &str, digest: &str) -> String {
        // Nothing keeps a reader of URLs from resolving these.
        let resolves = |segment: &str| matches!(segment, "." | "..");
        if digest.is_empty() || resolves(digest) || resolves(repository) {
            return String::new();
        }
        // A registry that takes names literally has `a/../b` beside `b`, and
        // was asked for it with encoded slashes. Plain ones would lead to `b`.
        let literal = repository.contains('.') && repository.split('/').any(resolves);
        let name = if literal || !is_plain(repository, b'/') {
            let set = if literal { SEGMENT } else { PATH };
            utf8_percent_encode(repository, set).into()
        } else {
            Cow::Borrowed(repository)
        };
        let digest = if is_plain(digest, b':') {
            Cow::Borrowed(digest)
        } else {
            utf8_percent_encode(digest, SEGMENT).into()
        };
        [&*self.base, "/v2/", &*name, kind, &*digest].concat()
    }
}

/// Whether a URL takes the text as it is, with `more` beside what nearly all
/// names and digests consist of. Looks at every byte, which is faster for them
/// than to stop at the first.
fn is_plain(text: &str, more: u8) -> bool {
    let known = |byte: u8| {
        byte.is_ascii_lowercase()
            || byte.is_ascii_uppercase()
            || matches!(byte, b'0'..=b'9' | b'-' | b'.' | b'_')
            || byte == more
    };
    text.bytes().fold(true, |plain, byte| plain & known(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = "sha256:01";

    #[test]
    fn names_are_percent_encoded_in_urls() {
        let urls = UrlBuilder::new("http://r/");
        for (repository, shown) in [
            ("library/debian", "library/debian"),
            ("Reg.Example.COM:5000/_x~", "Reg.Example.COM:5000/_x~"),
            ("a b/é", "a%20b/%C3%A9"),
            ("a%20b", "a%2520b"),
            ("a?b#c\"<'>", "a%3Fb%23c%22%3C%27%3E"),
            ("a//b", "a//b"),
            ("evil/../victim", "evil%2F..%2Fvictim"),
            ("./a", ".%2Fa"),
            ("a..b/...", "a..b/..."),
        ] {
            let url = format!("http://r/v2/{shown}/manifests/{D}");
            assert_eq!(urls.manifest_url(repository, D), url);
            url.parse::<http::Uri>().unwrap();
        }
        let url = urls.blob_url("a", "sha256:a/../b c");
        assert_eq!(url, "http://r/v2/a/blobs/sha256:a%2F..%2Fb%20c");
    }

    #[test]
    fn there_is_no_url_that_would_lead_elsewhere() {
        let urls = UrlBuilder::relative();
        assert_eq!(urls.blob_url("a", D), format!("/v2/a/blobs/{D}"));
        for (repository, digest) in [("..", D), (".", D), ("a", ".."), ("a", "."), ("a", "")] {
            assert_eq!(urls.blob_url(repository, digest), "");
        }
    }
}
