//! Events as messages of NATS.
//!
//! | header | content |
//! | --- | --- |
//! | `Nats-Msg-Id` | id of the event: the server stores an id once |
//! | `Content-Type` | [`CONTENT_TYPE`] |
//! | `Repository` | name of the repository, percent-encoded |
//! | `traceparent` | W3C trace of the request, if it has one |
//!
//! The body is the lossless form of [`stored`].

use async_nats::HeaderMap;
use bytes::Bytes;

use super::subject;
use crate::event::{SharedEvent, stored};

/// The media type of a message's body.
pub(super) const CONTENT_TYPE: &str = "application/vnd.tower-registry-notifications.event+json";

pub(super) const MESSAGE_ID: &str = "Nats-Msg-Id";
pub(super) const CONTENT_TYPE_HEADER: &str = "Content-Type";
pub(super) const REPOSITORY: &str = "Repository";
const TRACE_PARENT: &str = "traceparent";

/// An event on its way to the stream.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) subject: String,
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
}

impl Message {
    pub(super) fn new(prefix: &str, partition: u16, event: &SharedEvent) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(MESSAGE_ID, &*subject::to_header(event.id().as_str()));
        headers.insert(CONTENT_TYPE_HEADER, CONTENT_TYPE);
        headers.insert(REPOSITORY, &*subject::to_header(event.repository()));
        if !event.trace_parent().is_empty() {
            headers.insert(TRACE_PARENT, &*subject::to_header(event.trace_parent()));
        }
        Self {
            subject: subject::of_event(prefix, partition, event),
            headers,
            payload: stored::to_bytes(event).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Action, Event};

    #[test]
    fn an_event_travels_with_its_headers_and_without_loss() {
        let mut event = Event::new(Action::Push);
        event.target.repository = "a\r\nb".into();
        event.request.trace_parent = "00-1-2-01".into();
        let event = SharedEvent::from(&event);
        let message = Message::new("p", 3, &event);
        assert_eq!(message.subject, "p.3.blob.push");
        let header = |name: &str| message.headers.get(name).unwrap().as_str();
        assert_eq!(header("Nats-Msg-Id"), event.id().as_str());
        assert_eq!(header("Content-Type"), CONTENT_TYPE);
        assert_eq!(header("Repository"), "a%0D%0Ab");
        assert_eq!(header("traceparent"), "00-1-2-01");
        assert_eq!(stored::from_bytes(&message.payload).unwrap(), event);
    }
}
