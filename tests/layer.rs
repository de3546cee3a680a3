//! The layer between a client and a registry that a test scripts.

#![allow(clippy::unwrap_used)]

#[path = "layer/aborted_pulls.rs"]
mod aborted_pulls;
#[path = "layer/nested_layers.rs"]
mod nested_layers;
#[path = "layer/readiness.rs"]
mod readiness;
#[path = "layer/size_hints.rs"]
mod size_hints;
#[path = "layer/unread_requests.rs"]
mod unread_requests;
#[path = "layer/untrusted_peers.rs"]
mod untrusted_peers;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use tower::BoxError;
use tower_registry_notifications::{ChannelSink, Events, Notifier, SharedEvent};

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

type Body = http_body_util::combinators::BoxBody<Bytes, BoxError>;

/// A body of one frame and an exact length.
fn full(content: impl Into<Bytes>) -> Body {
    Full::new(content.into()).map_err(BoxError::from).boxed()
}

/// A body of several frames that does not tell its length.
fn frames<const N: usize>(content: [&'static str; N]) -> Body {
    let frames = content.map(|it| Ok(Frame::data(Bytes::from(it))));
    StreamBody::new(futures_util::stream::iter(frames)).boxed()
}

fn request(method: &str, uri: &str, headers: &[(&str, &str)], body: Body) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).unwrap()
}

fn response(status: u16, headers: &[(&str, &str)], body: Body) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body).unwrap()
}

/// A notifier that includes references, and its events.
fn notifier() -> (Notifier, Events) {
    let (sink, events) = ChannelSink::new(100);
    let notifier = Notifier::builder().sink(sink).include_references(true);
    (notifier.build().unwrap(), events)
}

/// The events so far.
fn all(events: &mut Events) -> Vec<SharedEvent> {
    std::iter::from_fn(|| events.try_recv()).collect()
}
