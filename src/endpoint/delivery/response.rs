//! The response to a delivery, of which the status decides and little is read.
//!
//! A receiver that hangs or floods must not cost an attempt its status: body bytes and
//! the time to read them are bounded, and a body that breaks is ignored.

use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::time::Instant;
use tower::util::BoxCloneService;
use tower::{BoxError, Service, ServiceExt as _, service_fn};

/// Delivers a request: the service that [`Endpoint::layer`](crate::Endpoint::layer)
/// wraps.
///
/// The response has the receiver's status and headers, and at most the first
/// 1 KiB of its body. An error means that there was no response.
pub type Delivery = BoxCloneService<Request<Bytes>, Response<Bytes>, BoxError>;

/// When an attempt ends, as an extension of its request. Reading the body of the
/// response must not take so long that the status is lost with the attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(pub(super) Instant);

/// Bytes of a response's body that are kept.
const KEPT: usize = 1 << 10;
/// Bytes of a response's body that are read, so that the connection can be used
/// again.
const READ: usize = 64 << 10;
/// The longest time for which a response's body is read.
const PATIENCE: Duration = Duration::from_millis(100);

/// Makes a delivery of any client.
pub(crate) fn of_client<S, R>(client: S) -> Delivery
where
    S: Service<Request<Bytes>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    BoxCloneService::new(service_fn(move |request: Request<Bytes>| {
        let client = client.clone();
        async move {
            let deadline = request.extensions().get().map(|Deadline(end)| *end);
            let response = client.oneshot(request).await.map_err(Into::into)?;
            Ok(with_first_bytes(response, deadline).await)
        }
    }))
}

/// Returns the response with the first bytes of its body. A body that breaks or is slow
/// does not change the status.
pub(super) async fn with_first_bytes<R>(
    response: Response<R>,
    deadline: Option<Instant>,
) -> Response<Bytes>
where
    R: Body<Data = Bytes>,
{
    let (head, body) = response.into_parts();
    if body.is_end_stream() {
        return Response::from_parts(head, Bytes::new());
    }
    let mut first = BytesMut::new();
    let patience = deadline.map_or(PATIENCE, |end| {
        // Half of the time that is left, because the attempt must not end first.
        PATIENCE.min(end.saturating_duration_since(Instant::now()) / 2)
    });
    let _unread = tokio::time::timeout(patience, read(body, &mut first)).await;
    Response::from_parts(head, first.freeze())
}

async fn read<R: Body<Data = Bytes>>(body: R, first: &mut BytesMut) {
    let mut body = pin!(body);
    let mut length = 0;
    while let Some(Ok(frame)) = body.as_mut().frame().await {
        let Some(data) = frame.data_ref() else {
            continue;
        };
        first.extend_from_slice(&data[..data.len().min(KEPT - first.len())]);
        length += data.len();
        if length > READ {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::future::{pending, ready};
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use futures_util::future::BoxFuture;
    use http::StatusCode;
    use http_body::Frame;
    use tokio::time::sleep;

    use super::*;

    type Step = BoxFuture<'static, Option<Result<Frame<Bytes>, BoxError>>>;

    /// A body of futures.
    struct Steps(VecDeque<Step>);

    impl Body for Steps {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            let Some(step) = self.0.front_mut() else {
                return Poll::Ready(None);
            };
            let frame = std::task::ready!(step.as_mut().poll(context));
            self.0.pop_front();
            Poll::Ready(frame)
        }
    }

    fn data(length: usize) -> Step {
        let bytes = Bytes::from(vec![b'x'; length]);
        Box::pin(ready(Some(Ok(Frame::data(bytes)))))
    }

    /// Delivers to a receiver that answers 400 with this body; the first bytes,
    /// and how long it took.
    async fn deliver(
        steps: impl IntoIterator<Item = Step>,
        deadline: Option<Duration>,
    ) -> (usize, Duration) {
        let start = Instant::now();
        let steps = std::sync::Mutex::new(Some(Steps(steps.into_iter().collect())));
        let steps = std::sync::Arc::new(steps);
        let client = service_fn(move |_: Request<Bytes>| {
            let body = steps.lock().unwrap().take().unwrap();
            let response = Response::builder().status(400).header("x", "y");
            ready(Ok::<_, Infallible>(response.body(body).unwrap()))
        });
        let mut request = Request::new(Bytes::new());
        if let Some(deadline) = deadline {
            request.extensions_mut().insert(Deadline(start + deadline));
        }
        let answer = of_client(client).oneshot(request);
        let answer = match deadline {
            Some(deadline) => tokio::time::timeout(deadline, answer).await.unwrap(),
            None => answer.await,
        };
        let answer = answer.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        assert_eq!(answer.headers()["x"], "y");
        (answer.body().len(), start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_bytes_of_a_response_are_kept() {
        assert_eq!(deliver([], None).await, (0, Duration::ZERO));
        assert_eq!(
            deliver([data(9), data(9)], None).await,
            (18, Duration::ZERO)
        );
        let (kept, _) = deliver([data(1000), data(1000), data(1000)], None).await;
        assert_eq!(kept, KEPT);
        let trailers = || Some(Ok(Frame::trailers(http::HeaderMap::new())));
        let steps = [data(1), Box::pin(async move { trailers() }), data(1)];
        assert_eq!(deliver(steps, None).await, (2, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_breaks_hangs_or_never_ends_does_not_change_the_status() {
        let broken: Step = Box::pin(ready(Some(Err("reset".into()))));
        assert_eq!(deliver([data(5), broken], None).await, (5, Duration::ZERO));
        let hangs: Step = Box::pin(pending());
        assert_eq!(deliver([data(5), hangs], None).await, (5, PATIENCE));
        let drip = |_| -> Step {
            Box::pin(async {
                sleep(Duration::from_millis(30)).await;
                Some(Ok(Frame::data(Bytes::from_static(b"x"))))
            })
        };
        assert_eq!(deliver((0..99).map(drip), None).await, (3, PATIENCE));
        // More than is read at once would hang.
        let endless = (0..80)
            .map(|_| data(1 << 10))
            .chain([Box::pin(pending()) as Step]);
        assert_eq!(deliver(endless, None).await, (KEPT, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_status_shortly_before_the_end_of_the_attempt_is_not_lost() {
        for left in [1, 2, 3, 50, 150, 1000] {
            let left = Duration::from_millis(left);
            let (_, took) = deliver([Box::pin(pending()) as Step], Some(left)).await;
            assert!(took <= left, "{left:?} {took:?}");
        }
    }
}
