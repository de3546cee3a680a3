//! The body that endpoints receive: [`Envelope`].

use serde::{Deserialize, Serialize};

use super::encoding::{Encoding, Format};
use super::format::{encode, envelope};
use super::{Event, SharedEvent};

/// The body that endpoints receive: events, in order.
///
/// ```
/// use tower_registry_notifications::event::{Action, Envelope};
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
    /// Creates an envelope of these events.
    pub fn new(events: impl Into<Vec<Event>>) -> Self {
        Self {
            events: events.into(),
        }
    }

    /// Encodes the envelope in the given format, indented: the same bytes that
    /// an endpoint receives. In [CloudEvents](Format::CloudEvents) the result
    /// is a batch. In formats that carry one event in a request, the result has
    /// the body of each request on a line of its own.
    pub fn encode(&self, format: Format) -> Vec<u8> {
        self.encode_as(&Encoding::of(format))
    }

    /// Encodes the envelope in the given format, without white space.
    pub fn encode_compact(&self, format: Format) -> Vec<u8> {
        self.encode_as(&Encoding {
            compact: true,
            ..Encoding::of(format)
        })
    }

    fn encode_as(&self, encoding: &Encoding) -> Vec<u8> {
        let encode = |event| encode(&SharedEvent::from(event), encoding);
        let events: Vec<_> = self.events.iter().map(encode).collect();
        envelope(encoding, events.iter())
    }
}
