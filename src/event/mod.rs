//! What happened: [`Event`] and its parts, [`Envelope`], and their encodings.
//!
//! The fields, their names and their order are those of the reference
//! (distribution's `notifications/event.go`); [`Format`] says how they are
//! written.

mod descriptor;
mod encode;
mod manifest;
mod shared;
mod stub;
mod timestamp;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

pub use self::descriptor::{Descriptor, Platform};
pub use self::encode::Format;
pub use self::manifest::{MANIFEST_LIMIT, Manifest, ParseManifestError, media_types};
pub use self::shared::SharedEvent;
pub(crate) use self::stub::{Encoding, content_type, envelope};
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
        }
    }
}

/// A new UUIDv7 in its usual spelling.
pub(crate) fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
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
    /// The W3C trace context of the request.
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

    /// The envelope in the given format, to the byte as an endpoint gets it.
    pub fn encode(&self, format: Format) -> Vec<u8> {
        encode::envelope(self.events.iter().map(|event| encode::event(event, format)))
    }
}
