//! The service that the layer sends its own requests to: [`StatService`].

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use tower::{BoxError, Service, ServiceExt as _};

/// A request extension that marks a stat, so that no layer takes it for a client's
/// request.
#[derive(Clone, Copy)]
pub(super) struct StatMarker;

/// The empty body of the requests that the layer itself sends; see
/// [`stat_with`](crate::NotificationLayer::stat_with).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct StatBody;

impl Body for StatBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(0)
    }
}

/// The response to a stat, if there was one.
pub(super) type StatResponse = Option<Response<UnsyncBoxBody<Bytes, BoxError>>>;

/// The service for stats that the author of a registry has set, type-erased.
pub(super) type StatService =
    Arc<dyn Fn(Request<StatBody>) -> BoxFuture<'static, StatResponse> + Send + Sync>;

/// Erases the type of a service.
pub(super) fn erase<S, R>(service: S) -> StatService
where
    S: Service<Request<StatBody>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    // Requests share the service although it need not be `Sync`. Each clones it under
    // the lock and calls its clone outside, so that stats run concurrently.
    let service = Mutex::new(service);
    Arc::new(move |request| {
        let locked = service.lock().unwrap_or_else(PoisonError::into_inner);
        let service = locked.clone();
        drop(locked);
        let answer = async move {
            let response = service.oneshot(request).await.ok()?;
            Some(response.map(|body| body.map_err(Into::into).boxed_unsync()))
        };
        Box::pin(answer)
    })
}
