//! A frame that is held back is still part of what the body announces.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::Response;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_registry_notifications::event::SharedEvent;
use tower_registry_notifications::sink::{Acceptance, Sink};
use tower_registry_notifications::{NotificationLayer, Notifier, RequestBody};

use crate::stage::{Body, full, request};

/// A body that announces what is left, and `more` beyond as possible.
#[derive(Clone)]
struct SizedBody {
    frames: VecDeque<&'static str>,
    more: Option<u64>,
}

impl http_body::Body for SizedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = self.frames.pop_front();
        Poll::Ready(frame.map(|frame| Ok(Frame::data(frame.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.more == Some(0) && self.frames.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.frames.iter().map(|frame| frame.len() as u64).sum();
        let mut hint = SizeHint::new();
        if let Some(more) = self.more {
            hint.set_upper(left + more);
        }
        hint.set_lower(left);
        hint
    }
}

/// Takes an event once the test says so.
struct DecidedSink(std::sync::Mutex<Option<mpsc::Receiver<()>>>);

impl Sink for DecidedSink {
    fn write(&self, _: &SharedEvent) -> Acceptance {
        let mut go_on = self.0.lock().unwrap().take().unwrap();
        Acceptance::pending(async move {
            go_on.recv().await;
            Ok(())
        })
    }
}

fn hint(body: &impl http_body::Body) -> (u64, Option<u64>) {
    let hint = body.size_hint();
    (hint.lower(), hint.upper())
}

#[tokio::test]
async fn a_held_frame_counts_in_the_size_hint() {
    let cases = [Some(0), Some(5), None].into_iter();
    for (more, declared) in cases.flat_map(|more| [(more, false), (more, true)]) {
        let announced = SizedBody {
            frames: ["first", "second!", "the last one"].into(),
            more,
        };
        let (accept, accepted) = mpsc::channel(1);
        let sink = DecidedSink(Some(accepted).into_iter().next().into());
        let notifier = Notifier::builder().sink(sink).build().unwrap();
        let bare = announced.clone();
        let registry = service_fn(move |_: http::Request<RequestBody<Body>>| {
            let response = Response::builder()
                .header("content-type", "application/octet-stream")
                .header("docker-content-digest", "sha256:01");
            let response = match declared {
                true => response.header("content-length", "24"),
                false => response,
            };
            std::future::ready(response.body(announced.clone()))
        });
        let service = NotificationLayer::new(notifier).layer(registry);
        let request = request("GET", "/v2/a/blobs/sha256:01", &[], full(""));
        let mut body = service.oneshot(request).await.unwrap().into_body();

        // Each step of the bare body beside that of the layer's.
        let mut bare = bare;
        let mut held = 0;
        loop {
            assert_eq!(hint(&body), hint(&bare), "{more:?}");
            let next = match body.frame().now_or_never() {
                Some(next) => next,
                None => {
                    held += 1;
                    // The layer holds a frame back, and the client has no end yet.
                    let what = hint(&body);
                    assert_eq!(what, hint(&bare), "{more:?}, held back");
                    assert!(bare.frames.is_empty() || !body.is_end_stream());
                    accept.send(()).await.unwrap();
                    body.frame().await
                }
            };
            let Some(frame) = next else { break };
            let wanted = bare.frame().await.unwrap().unwrap();
            assert_eq!(frame.unwrap().data_ref(), wanted.data_ref(), "{more:?}");
        }
        assert!(bare.frames.is_empty());
        assert_eq!(held, 1, "{more:?}: the event was waited for");
    }
}
