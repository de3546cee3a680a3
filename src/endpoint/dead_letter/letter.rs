//! The dead letter: [`DeadLetter`].

use std::num::NonZeroU64;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::event::SharedEvent;

/// An event that will not be tried again, kept with the reason.
///
/// [`Notifier::send_again`](crate::Notifier::send_again) gives it back to its
/// endpoint. In JSON it is an object with these fields. The event is an object
/// with `version`, `acceptedAt`, `kind` and `traceParent`, which format v2 does
/// not show, and `event`, the event in format v2, so that it comes back as it
/// was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DeadLetter {
    /// Name of the endpoint that did not get the event.
    pub endpoint: String,
    /// Why it will not be tried again.
    pub reason: Reason,
    /// The number of the event at its endpoint, which receivers learn with
    /// [`Endpoint::sequence`](crate::Endpoint::sequence). It is kept when the event is
    /// sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<NonZeroU64>,
    /// The outcome of the last attempt: the receiver's status, or the error if there
    /// was no response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The first bytes of the receiver's answer, at most 1 KiB. Bytes that are
    /// not UTF-8 are replaced, and so are the endpoint's secrets, by `…`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub answer: String,
    /// How often the event was tried.
    pub attempts: u32,
    /// When it was tried first.
    #[serde(default, with = "crate::event::optional_timestamp")]
    pub first_attempt: Option<SystemTime>,
    /// When it was tried last.
    #[serde(default, with = "crate::event::optional_timestamp")]
    pub last_attempt: Option<SystemTime>,
    /// The event itself.
    #[serde(with = "crate::event::stored::serde")]
    pub event: SharedEvent,
}

/// Why an event will not be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// The receiver rejected the event for good.
    Rejected,
    /// The event was tried as often, or for as long, as the retry policy allows.
    GaveUp,
    /// The queue or the journal was full, the event made room for a newer one, or it
    /// is larger than the queue's byte limit.
    Overflow,
    /// The event was not delivered when the notifier was shut down, or was written
    /// after that.
    Shutdown,
    /// The event waited longer than the limits of the journal allow.
    Expired,
    /// Damage of the journal's file took it. Such events are counted as lost; there
    /// are no letters of them.
    Damaged,
}

impl Reason {
    pub(crate) const ALL: [Self; 6] = [
        Self::Rejected,
        Self::GaveUp,
        Self::Overflow,
        Self::Shutdown,
        Self::Expired,
        Self::Damaged,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::GaveUp => "gave_up",
            Self::Overflow => "overflow",
            Self::Shutdown => "shutdown",
            Self::Expired => "expired",
            Self::Damaged => "damaged",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Action, Event, Kind, RequestRecord};

    #[test]
    fn the_letter_of_a_deleted_blob_comes_back_as_that_of_a_blob() {
        let mut event = Event::new(Action::Delete);
        event.kind = Some(Kind::Blob);
        event.target.repository = "a/b".into();
        event.target.descriptor.digest = "sha256:0".into();
        let mut request = RequestRecord::new("1", "DELETE");
        request.trace_parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into();
        event.request = request;
        // The wire has nanoseconds, and so does the clock.
        let letter = DeadLetter {
            endpoint: "ci".into(),
            reason: Reason::GaveUp,
            number: NonZeroU64::new(17),
            error: None,
            answer: String::new(),
            attempts: 3,
            first_attempt: None,
            last_attempt: None,
            event: event.into(),
        };
        let text = serde_json::to_string(&letter).unwrap();
        let back: DeadLetter = serde_json::from_str(&text).unwrap();
        assert_eq!(back, letter, "{text}");
        assert_eq!(back.event.kind(), Kind::Blob);

        // As it was before there were numbers.
        let text = text.replace("\"number\":17,", "");
        let back: DeadLetter = serde_json::from_str(&text).unwrap();
        assert_eq!(back.number, None, "{text}");
    }
}
