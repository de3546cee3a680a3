//! A message that a worker holds: [`Received`].

use async_nats::{Message, Subject};

use crate::event::{Action, Event, SharedEvent, stored};
use crate::jetstream::message::{CONTENT_TYPE_HEADER, MESSAGE_ID, REPOSITORY};
use crate::jetstream::subject::from_header;

/// A message that a worker holds.
#[derive(Clone, Debug)]
pub(super) struct Received {
    /// The subject to which the message is acknowledged.
    pub(super) reply: Subject,
    pub(super) content: Content,
    /// Whether the event ended as a dead letter.
    pub(super) is_dead: bool,
    /// Whether the queue had it before.
    pub(super) was_admitted: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    Event(SharedEvent),
    /// The message cannot be read: an event with what is known of it, and the error.
    Unreadable(SharedEvent, String),
}

impl Received {
    pub(super) fn new(reply: Subject, message: &Message) -> Self {
        let content = match stored::from_bytes(&message.payload) {
            Ok(event) => Content::Event(event),
            Err(error) => Content::Unreadable(unreadable(message), error.to_string()),
        };
        Self {
            reply,
            content,
            is_dead: false,
            was_admitted: false,
        }
    }
}

/// Makes an event of a message that cannot be read as one, so that its dead letter keeps
/// everything: the body becomes the `data` of the target.
fn unreadable(message: &Message) -> SharedEvent {
    let header = |name: &str| {
        let value = message.headers.as_ref()?.get(name)?;
        Some(from_header(value.as_str()).into_owned())
    };
    let mut event = Event::new(Action::Push);
    if let Some(id) = header(MESSAGE_ID) {
        event.id = id;
    }
    let target = &mut event.target;
    target.repository = header(REPOSITORY).unwrap_or_default();
    target.descriptor.media_type = header(CONTENT_TYPE_HEADER).unwrap_or_default().into();
    target.descriptor.data = message.payload.to_vec();
    (&event).into()
}

#[cfg(test)]
mod tests {
    use async_nats::HeaderMap;

    use super::*;

    #[test]
    fn a_message_that_cannot_be_read_is_an_event_that_has_all_of_it() {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", "7");
        headers.insert("Repository", "a%0Ab");
        let message = Message {
            subject: "p.1.blob.push".into(),
            reply: None,
            payload: "no event".into(),
            headers: Some(headers),
            status: None,
            description: None,
            length: 0,
        };
        let held = Received::new("reply".into(), &message);
        let Content::Unreadable(event, error) = held.content else {
            panic!("it was read");
        };
        assert_eq!(event.id().as_str(), "7");
        assert_eq!(event.repository(), "a\nb");
        assert_eq!(event.to_event().target.descriptor.data, b"no event");
        assert!(error.contains("not a stored event"), "{error}");
    }
}
