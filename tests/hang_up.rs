//! Clients that hang up, and sinks that take their time.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full, StreamBody};
use tokio::sync::{mpsc, oneshot};
use tower::{BoxError, Layer as _, Service as _, ServiceExt as _, service_fn};
use tower_registry_notifications::{
    Acceptance, Action, ChannelSink, NotificationLayer, Notifier, RequestBody, SharedEvent, Sink,
    SinkError,
};

const BLOB: &str = "/v2/a/blobs/sha256:01";
type Request_ = Request<RequestBody<Full<Bytes>>>;

fn request(method: Method, uri: &str) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(uri);
    request.body(Full::default()).unwrap()
}

/// Takes an event when the test says so.
#[derive(Clone, Default)]
struct Slow(Arc<Mutex<Vec<oneshot::Sender<bool>>>>);

impl Sink for Slow {
    fn write(&self, _: &SharedEvent) -> Acceptance {
        let (sender, answer) = oneshot::channel();
        self.0.lock().unwrap().push(sender);
        Acceptance::pending(async move {
            match answer.await {
                Ok(true) => Ok(()),
                _ => Err(SinkError::full()),
            }
        })
    }
}

impl Slow {
    fn answer(&self, taken: bool) {
        let sender = self.0.lock().unwrap().remove(0);
        sender.send(taken).unwrap();
    }
}

#[tokio::test]
async fn a_push_is_told_though_the_client_hangs_up_during_the_stat() {
    let (sink, mut events) = ChannelSink::new(8);
    let notifier = Notifier::builder().sink(sink).build().unwrap();
    let (asked, mut asking) = mpsc::unbounded_channel();
    let registry = service_fn(move |request: Request_| {
        let asked = asked.clone();
        async move {
            if request.method() == Method::PUT {
                let created = Response::builder().status(StatusCode::CREATED);
                return Ok::<_, BoxError>(created.body(Full::<Bytes>::default())?);
            }
            let (go_on, wait) = oneshot::channel::<()>();
            asked.send(go_on)?;
            wait.await?;
            let stat = Response::builder().header("content-length", "7");
            Ok(stat.body(Full::default())?)
        }
    });
    let mut service = NotificationLayer::new(notifier).layer(registry);
    let push = request(Method::PUT, "/v2/a/blobs/uploads/1?digest=sha256:01");
    let mut response = Box::pin(service.call(push));
    assert!(response.as_mut().now_or_never().is_none());
    let go_on = asking.recv().await.unwrap();
    drop(response);
    go_on.send(()).unwrap();
    let event = events.recv().await.unwrap();
    assert_eq!((event.action(), event.length()), (Action::Push, 7));
}

#[tokio::test]
async fn the_last_byte_waits_for_the_sink() {
    let sink = Slow::default();
    let notifier = Notifier::builder().sink(sink.clone()).build().unwrap();
    let registry = service_fn(async |_: Request_| {
        let frames = ["ab", "cd"].map(|it| Ok::<_, BoxError>(http_body::Frame::data(it.into())));
        Ok::<_, BoxError>(
            Response::builder()
                .header("content-length", "4")
                .body(StreamBody::new(futures_util::stream::iter(frames)))?,
        )
    });
    for (fail_closed, taken) in [(false, true), (false, false), (true, true), (true, false)] {
        let layer = NotificationLayer::new(notifier.clone()).fail_closed(fail_closed);
        let get = layer.layer(registry).oneshot(request(Method::GET, BLOB));
        let mut body = get.await.unwrap().into_body();
        let first = body.frame().await.unwrap().unwrap();
        assert_eq!(first.into_data().unwrap(), "ab");
        assert!(sink.0.lock().unwrap().is_empty(), "the pull is not over");
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut pinned = std::pin::Pin::new(&mut body);
        assert!(matches!(pinned.as_mut().poll_frame(&mut cx), Poll::Pending));
        assert!(!pinned.is_end_stream());
        sink.answer(taken);
        let last = body.frame().await.unwrap();
        assert_eq!(last.is_ok(), taken || !fail_closed);
        if let Ok(last) = last {
            assert_eq!(last.into_data().unwrap(), "cd");
            assert!(body.frame().await.is_none());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_hangs_holds_a_response_for_five_seconds() {
    let sink = Slow::default();
    let notifier = Notifier::builder().sink(sink.clone()).build().unwrap();
    let registry = service_fn(async |_: Request_| {
        let deleted = Response::builder().status(StatusCode::ACCEPTED);
        Ok::<_, BoxError>(deleted.body(Full::<Bytes>::default())?)
    });
    for (fail_closed, status) in [(false, 202), (true, 503)] {
        let layer = NotificationLayer::new(notifier.clone()).fail_closed(fail_closed);
        let start = tokio::time::Instant::now();
        let delete = layer.layer(registry).oneshot(request(Method::DELETE, BLOB));
        let response = delete.await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 5);
        assert_eq!(response.status(), status);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body.is_empty(), !fail_closed);
        if fail_closed {
            let error: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(error["errors"][0]["code"], "UNAVAILABLE");
        }
    }
}
