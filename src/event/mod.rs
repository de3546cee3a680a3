//! What happened: [`Event`] and its parts, [`Envelope`], and their encodings.
//!
//! The fields, their names and their order are those of the reference
//! (distribution's `notifications/event.go`); [`Format`] says how they are
//! written.

mod cloud_event;
mod descriptor;
mod encode;
mod json;
mod manifest;
mod shared;
mod timestamp;
mod uuid_v7;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

pub use self::descriptor::{Descriptor, Platform};
pub use self::encode::Format;
pub(crate) use self::encode::{Encoding, content_type, envelope};
pub use self::manifest::{MANIFEST_LIMIT, Manifest, ParseManifestError, media_types};
pub(crate) use self::shared::Encoded;
pub use self::shared::SharedEvent;
pub(crate) use self::timestamp::optional as optional_timestamp;

/// One thing that happened in the registry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// Unique id of the event, the same for every endpoint and every retry.
    /// A UUIDv7 if this crate made it.
    pub id: String,
    /// When it happened.
    #[serde(with = "timestamp")]
    pub timestamp: SystemTime,
    /// What was done.
    pub action: Action,
    /// What it was done to.
    #[serde(default)]
    pub target: Target,
    /// The request that did it.
    #[serde(default)]
    pub request: Arc<RequestRecord>,
    /// Who did it.
    #[serde(default)]
    pub actor: ActorRecord,
    /// The registry node that saw it.
    #[serde(default)]
    pub source: Arc<SourceRecord>,
    /// What the bridge was told of, which formats v2 and v1 do not show.
    #[serde(skip)]
    pub(crate) kind: Option<Kind>,
}

impl Event {
    /// An event of this moment with a new id, and nothing in it but the action.
    pub fn new(action: Action) -> Self {
        Self {
            id: new_id(),
            timestamp: SystemTime::now(),
            action,
            target: Target::default(),
            request: Arc::default(),
            actor: ActorRecord::default(),
            source: Arc::default(),
            kind: None,
        }
    }

    /// What the event is about.
    ///
    /// An event that a [`Bridge`](crate::Bridge) made knows it. For any other,
    /// one that was parsed for example, it follows from the rest:
    ///
    /// - A mount is of a blob.
    /// - A deletion is of a manifest if there is a digest (it may have been a
    ///   blob's, but that does not show), else of a tag if there is one, else
    ///   of a repository.
    /// - A push or a pull is of what the URL names. Without a URL it is of a
    ///   manifest if there is a tag or the media type is one of
    ///   [`media_types`], else of a blob.
    pub fn kind(&self) -> Kind {
        self.kind.unwrap_or_else(|| self.apparent_kind())
    }

    fn apparent_kind(&self) -> Kind {
        let target = &self.target;
        match self.action {
            Action::Mount => Kind::Blob,
            Action::Delete if !target.descriptor.digest.is_empty() => Kind::Manifest,
            Action::Delete if !target.tag.is_empty() => Kind::Tag,
            Action::Delete => Kind::Repository,
            Action::Push | Action::Pull => match target.url.rsplit('/').nth(1) {
                Some("manifests") => Kind::Manifest,
                Some("blobs") => Kind::Blob,
                _ if !target.tag.is_empty() => Kind::Manifest,
                _ if media_types::is_known(&target.descriptor.media_type) => Kind::Manifest,
                _ => Kind::Blob,
            },
        }
    }
}

/// A new UUIDv7 in its usual spelling.
pub(crate) fn new_id() -> String {
    uuid_v7::new().to_string()
}

/// What can be done to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Action {
    /// Content was written, or a tag was set.
    Push,
    /// Content was read, or its existence was asked for (HEAD).
    Pull,
    /// A blob of one repository was made known to another one.
    Mount,
    /// Content, a tag or a repository was removed.
    Delete,
}

impl Action {
    /// The word that stands in an event.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Pull => "pull",
            Self::Mount => "mount",
            Self::Delete => "delete",
        }
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Kind {
    /// A manifest, whether it has a tag or not: images, indexes, artifacts.
    Manifest,
    /// A blob: layers, configurations.
    Blob,
    /// A tag that was deleted. To set a tag is to push a manifest.
    Tag,
    /// A repository that was deleted.
    Repository,
}

impl Kind {
    /// The word that stands in the types of CloudEvents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Blob => "blob",
            Self::Tag => "tag",
            Self::Repository => "repository",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an event happened to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct Target {
    /// The content. Empty when a tag or a repository was deleted.
    #[serde(flatten)]
    pub descriptor: Descriptor,
    /// The size once more, under the name that the first receivers knew.
    #[serde(skip_serializing_if = "is_zero")]
    pub length: u64,
    /// Name of the repository.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub repository: String,
    /// Name of the repository that a blob was mounted from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub from_repository: String,
    /// Where the content is to be had, by its digest.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// The tag that was pushed, pulled or deleted.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tag: String,
    /// What a manifest refers to, if the registry was told to include it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Descriptor>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The HTTP request that made an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RequestRecord {
    /// Id of the request, the same in every event that it made.
    pub id: String,
    /// Address of the client: `ip:port`, or the bare address that a trusted
    /// proxy forwarded.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub addr: String,
    /// Host that the client asked for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// Method of the request.
    pub method: Cow<'static, str>,
    /// The client's `User-Agent`.
    #[serde(rename = "useragent")]
    pub user_agent: String,
    /// The trace that the request belongs to, as its client says: `traceparent`
    /// of [W3C Trace Context](https://www.w3.org/TR/trace-context/#traceparent-header),
    /// or nothing. Formats v2 and v1 do not have it.
    #[serde(skip)]
    pub trace_parent: String,
}

impl RequestRecord {
    /// A record with this id and method.
    pub fn new(id: impl Into<String>, method: impl Into<Cow<'static, str>>) -> Self {
        Self {
            id: id.into(),
            method: method.into(),
            ..Self::default()
        }
    }
}

/// Who made an event.
///
/// As a request extension (set by an auth middleware outside of the layer) or
/// a response extension (set inside of it) it tells the layer who acts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ActorRecord {
    /// Name of the user or service. Never a password or a token.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
}

impl ActorRecord {
    /// An actor of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }
}

/// The registry node that made an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SourceRecord {
    /// `host:port` of the node.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub addr: String,
    /// Id of the running instance, new at each start.
    #[serde(rename = "instanceID", skip_serializing_if = "String::is_empty")]
    pub instance_id: String,
}

impl SourceRecord {
    /// This node, under the given `host:port`, with a new instance id.
    pub fn new(addr: impl Into<String>) -> Self {
        Self {
            addr: addr.into(),
            instance_id: new_id(),
        }
    }
}

/// The body that endpoints receive: events, in order.
///
/// ```
/// use tower_registry_notifications::{Action, Envelope};
///
/// let envelope: Envelope = serde_json::from_str(
///     r#"{"events":[{"id":"1","timestamp":"2026-11-23T17:59:04.65Z","action":"pull"}]}"#,
/// )?;
/// assert_eq!(envelope.events[0].action, Action::Pull);
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Envelope {
    /// The events.
    pub events: Vec<Event>,
}

impl Envelope {
    /// An envelope of these events.
    pub fn new(events: impl Into<Vec<Event>>) -> Self {
        Self {
            events: events.into(),
        }
    }

    /// The envelope in the given format, indented: to the byte as an endpoint
    /// gets it. In [CloudEvents](Format::CloudEvents) it is a batch.
    pub fn encode(&self, format: Format) -> Vec<u8> {
        self.encode_as(Encoding {
            format,
            compact: false,
        })
    }

    /// The same without white space.
    pub fn encode_compact(&self, format: Format) -> Vec<u8> {
        self.encode_as(Encoding {
            format,
            compact: true,
        })
    }

    fn encode_as(&self, encoding: Encoding) -> Vec<u8> {
        let events = self.events.iter();
        envelope(
            encoding,
            true,
            events.map(|event| encode::event(event, encoding)),
        )
    }
}
