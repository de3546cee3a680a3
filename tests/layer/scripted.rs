//! Parts of registries that a test scripts.

use bytes::Bytes;
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tower_registry_notifications::{ChannelSink, Event, Events, Notifier};

pub(crate) use crate::stage::{Body, OCI as MANIFEST_TYPE, full, response};

/// A body of several frames that does not tell its length.
pub(crate) fn frames<const N: usize>(content: [&'static str; N]) -> Body {
    let frames = content.map(|it| Ok(Frame::data(Bytes::from(it))));
    StreamBody::new(futures_util::stream::iter(frames)).boxed()
}

pub(crate) fn request(
    method: &str,
    uri: &str,
    headers: &[(&str, &str)],
    body: Body,
) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).unwrap()
}

/// A notifier that includes references, and its events.
pub(crate) fn notifier() -> (Notifier, Events) {
    let (sink, events) = ChannelSink::new(100);
    let notifier = Notifier::builder().sink(sink).include_references(true);
    (notifier.build().unwrap(), events)
}

/// The events so far.
pub(crate) fn all(events: &mut Events) -> Vec<Event> {
    std::iter::from_fn(|| events.try_recv())
        .map(|event| event.to_event())
        .collect()
}
