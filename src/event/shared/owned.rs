//! Shared events as owned ones: to change them, to compare them, and for other formats.

use std::fmt;

use serde::{Serialize, Serializer};

use super::SharedEvent;
use crate::event::{Event, RequestRecord, Target};

impl SharedEvent {
    /// Returns an owned event with public fields.
    pub fn to_event(&self) -> Event {
        Event {
            id: self.id().into(),
            timestamp: self.timestamp(),
            action: self.action(),
            target: Target {
                descriptor: self.descriptor().to_descriptor(),
                length: self.length(),
                repository: self.repository().into(),
                from_repository: self.from_repository().into(),
                url: self.url(),
                tag: self.tag().into(),
                references: self.references().map(|it| it.to_descriptor()).collect(),
            },
            request: RequestRecord {
                id: self.request_id().into(),
                addr: self.request_addr().into(),
                host: self.request_host().into(),
                method: match self.known_method() {
                    None => self.request_method().to_owned().into(),
                    Some(known) => known.into(),
                },
                user_agent: self.user_agent().into(),
                trace_parent: self.trace_parent().into(),
            },
            actor: self.actor().into(),
            source: self.source().clone(),
            kind: self.known_kind(),
        }
    }
}

/// Two events are equal if all that they say is, the time of acceptance
/// included.
impl PartialEq for SharedEvent {
    fn eq(&self, other: &Self) -> bool {
        self.accepted_at() == other.accepted_at() && self.to_event() == other.to_event()
    }
}

impl Serialize for SharedEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_event().serialize(serializer)
    }
}

impl fmt::Debug for SharedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_event().fmt(f)
    }
}
