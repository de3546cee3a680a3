//! Who caused an event, and where: [`RequestRecord`], [`ActorRecord`], [`SourceRecord`].

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The HTTP request that caused an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RequestRecord {
    /// Id of the request, the same in every event that it caused.
    pub id: String,
    /// Address of the client: `ip:port`, or the bare address that a trusted
    /// proxy forwarded.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub addr: String,
    /// Host that the client requested.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// Method of the request.
    pub method: Cow<'static, str>,
    /// The client's `User-Agent`.
    #[serde(rename = "useragent")]
    pub user_agent: String,
    /// The trace that the request belongs to, as the client sent it:
    /// `traceparent` of
    /// [W3C Trace Context](https://www.w3.org/TR/trace-context/#traceparent-header),
    /// or empty. Formats v2 and v1 do not include it.
    #[serde(skip)]
    pub trace_parent: String,
}

impl RequestRecord {
    /// Creates a record with this id and method.
    pub fn new(id: impl Into<String>, method: impl Into<Cow<'static, str>>) -> Self {
        Self {
            id: id.into(),
            method: method.into(),
            ..Self::default()
        }
    }
}

/// Who caused an event.
///
/// The layer takes the actor from a response extension of this type (set
/// inside the layer), or from a request extension (set by an auth middleware
/// outside the layer).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ActorRecord {
    /// Name of the user or service. Never a password or a token.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
}

impl ActorRecord {
    /// Creates an actor of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }
}

impl From<String> for ActorRecord {
    fn from(name: String) -> Self {
        Self { name }
    }
}

impl From<&str> for ActorRecord {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl AsRef<str> for ActorRecord {
    fn as_ref(&self) -> &str {
        &self.name
    }
}

/// The registry node that an event comes from.
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
    /// The host, with its port if it has one, under which clients reach the registry, if
    /// it is not that of their requests; see
    /// [`NotifierBuilder::public_host`](crate::NotifierBuilder::public_host). Formats v2
    /// and v1 do not include it.
    #[serde(skip)]
    pub public_host: String,
}

impl SourceRecord {
    /// Creates a record of this node under the given `host:port`, with a new
    /// instance id.
    pub fn new(addr: impl Into<String>) -> Self {
        Self {
            addr: addr.into(),
            instance_id: super::new_id(),
            public_host: String::new(),
        }
    }
}
