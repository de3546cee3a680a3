//! Events as messages of NATS.
//!
//! | header | content |
//! | --- | --- |
//! | `Nats-Msg-Id` | id of the event: the server stores an id once |
//! | `Content-Type` | [`CONTENT_TYPE`] |
//! | `Repository` | name of the repository, percent-encoded |
//! | `traceparent` | W3C trace of the request, if it has one |
//!
//! The body is the lossless form of [`stored`](crate::event::stored).

use async_nats::header::{HeaderMap, HeaderName, HeaderValue, NATS_MESSAGE_ID};

use super::subject;
use crate::event::SharedEvent;

/// The media type of a message's body.
pub(super) const CONTENT_TYPE: &str = "application/vnd.tower-registry-notifications.event+json";

pub(super) const MESSAGE_ID: &str = "Nats-Msg-Id";
pub(super) const CONTENT_TYPE_HEADER: &str = "Content-Type";
pub(super) const REPOSITORY: &str = "Repository";
const TRACE_PARENT: &str = "traceparent";

// Names and values that are made once are not checked for each event.
const CONTENT_TYPE_NAME: HeaderName = HeaderName::from_static(CONTENT_TYPE_HEADER);
const REPOSITORY_NAME: HeaderName = HeaderName::from_static(REPOSITORY);
const TRACE_PARENT_NAME: HeaderName = HeaderName::from_static(TRACE_PARENT);

/// Makes the headers of events.
pub(super) struct Headers {
    content_type: HeaderValue,
}

impl Headers {
    pub(super) fn new() -> Self {
        let content_type = HeaderValue::from(CONTENT_TYPE);
        Self { content_type }
    }

    pub(super) fn of(&self, event: &SharedEvent) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, &*subject::to_header(event.id().as_str()));
        headers.insert(CONTENT_TYPE_NAME, self.content_type.clone());
        headers.insert(REPOSITORY_NAME, &*subject::to_header(event.repository()));
        if !event.trace_parent().is_empty() {
            headers.insert(
                TRACE_PARENT_NAME,
                &*subject::to_header(event.trace_parent()),
            );
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Action, Event};

    #[test]
    fn an_event_travels_with_its_headers() {
        let mut event = Event::new(Action::Push);
        event.target.repository = "a\r\nb".into();
        event.request.trace_parent = "00-1-2-01".into();
        let event = SharedEvent::from(&event);
        let headers = Headers::new().of(&event);
        let header = |name: &str| headers.get(name).unwrap().as_str();
        assert_eq!(header("Nats-Msg-Id"), event.id().as_str());
        assert_eq!(header("Content-Type"), CONTENT_TYPE);
        assert_eq!(header("Repository"), "a%0D%0Ab");
        assert_eq!(header("traceparent"), "00-1-2-01");
    }
}
