//! Events, their parts and their formats.
//!
//! The fields, their names and their order are those of the reference
//! (distribution's `notifications/event.go`). [`Format`] says how they are
//! written.
//!
//! | type | what it is for |
//! | --- | --- |
//! | [`Event`] | owned, with public fields: for parsing and building events |
//! | [`SharedEvent`] | compact, immutable and cheap to clone: what sinks receive |
//! | [`Envelope`] | the body that endpoints receive |
//!
//! ```
//! use tower_registry_notifications::event::{Action, Event, Format, SharedEvent};
//!
//! let mut event = Event::new(Action::Push);
//! event.target.repository = "library/debian".into();
//! let shared = SharedEvent::from(&event);
//! assert_eq!(shared.repository(), "library/debian");
//! assert_eq!(shared.to_event(), event);
//!
//! let body = shared.to_bytes(Format::V2);
//! assert!(body.starts_with(b"{\n   \"events\": ["));
//! ```

mod action;
mod descriptor;
mod encoding;
mod envelope;
mod escape;
mod format;
mod go_json;
mod manifest;
mod manifest_decoder;
pub mod media_types;
mod records;
mod reference;
mod shared;
pub(crate) mod stored;
mod target;
pub(crate) mod timestamp;
mod url;
pub(crate) mod uuid_v7;

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

pub use self::action::{Action, Kind, ParseWordError};
pub use self::descriptor::{Descriptor, Platform};
pub(crate) use self::encoding::Encoding;
pub use self::encoding::Format;
pub use self::envelope::Envelope;
pub(crate) use self::format::{content_type, envelope, is_event_type, number_cloud_event};
pub(crate) use self::go_json::push_lossy;
pub use self::manifest::{MANIFEST_LIMIT, Manifest, ParseManifestError};
pub use self::records::{ActorRecord, RequestRecord, SourceRecord};
pub use self::shared::{
    CompactText, DescriptorRef, Digest, Id, ReferenceList, References, SharedEvent,
};
pub(crate) use self::shared::{Content, Draft, DraftReferences, Encoded, Origin};
pub use self::target::Target;
pub(crate) use self::timestamp::optional as optional_timestamp;

/// One thing that happened in the registry.
///
/// This is the form to parse events into and to build them from. Sinks receive
/// a [`SharedEvent`], which [`to_event`](SharedEvent::to_event) converts back.
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
    pub request: RequestRecord,
    /// Who did it.
    #[serde(default)]
    pub actor: ActorRecord,
    /// The registry node that saw it.
    #[serde(default)]
    pub source: SourceRecord,
    /// The kind, if it was stated. Formats v2 and v1 do not show it.
    #[serde(skip)]
    pub(crate) kind: Option<Kind>,
}

impl Event {
    /// Creates an event with this action, a new id and the current time. All other fields
    /// are empty.
    pub fn new(action: Action) -> Self {
        Self {
            id: new_id(),
            timestamp: SystemTime::now(),
            action,
            target: Target::default(),
            request: RequestRecord::default(),
            actor: ActorRecord::default(),
            source: SourceRecord::default(),
            kind: None,
        }
    }

    /// Returns what the event is about.
    ///
    /// The [`Bridge`](crate::Bridge) records the kind in the events that it
    /// makes. For any other event, such as one that was parsed, the kind is derived
    /// from the other fields:
    ///
    /// - A mount is of a blob.
    /// - A deletion is of a manifest if there is a digest (the event does not
    ///   show whether it was a blob's), else of a tag if there is one, else of
    ///   a repository.
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

/// Returns a new UUIDv7 in its usual spelling.
pub(crate) fn new_id() -> String {
    uuid_v7::new().to_string()
}
