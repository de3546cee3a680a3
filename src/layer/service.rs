use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower::Service;

use super::Settings;
use super::asked::Asked;
use super::body::{RequestBody, ResponseBody};
use super::future::{ResponseFuture, Watch};
use super::stat::{Asker, Internal};

/// A registry's service with notifications.
///
/// Made by [`NotificationLayer`](super::NotificationLayer).
#[derive(Clone)]
pub struct Notification<S> {
    inner: S,
    settings: Arc<Settings>,
    /// Does the inner service answer more than one kind of request?
    may_ask: bool,
}

impl<S> Notification<S> {
    pub(super) fn new(inner: S, settings: Arc<Settings>) -> Self {
        Self {
            inner,
            settings,
            may_ask: !is_route::<S>(),
        }
    }
}

/// Is this a route of axum, as a layer gets it from `Router::layer`, perhaps
/// with other layers between?
///
/// A route is bound to one handler: it takes any request, a stat too, for what
/// the handler is for, and so deletes where the layer wanted to look. The name
/// serves all versions of axum, whose types this crate need not know.
fn is_route<S>() -> bool {
    std::any::type_name::<S>().contains("axum::routing::route::Route")
}

impl<S, B, R> Service<Request<B>> for Notification<S>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let internal = parts.extensions.get::<Internal>().is_some();
        let asked = (!internal).then(|| Asked::new(&self.settings, &parts));
        let Some(asked) = asked.flatten() else {
            let request = Request::from_parts(parts, RequestBody::plain(body));
            return ResponseFuture::pass(self.inner.call(request));
        };
        let asker = (self.may_ask && asked.may_stat())
            .then(|| Asker::new(self.inner.clone(), &self.settings.prefix, &parts));
        let body = match &asked.seen {
            Some(seen) => RequestBody::watched(body, seen.clone()),
            None => RequestBody::plain(body),
        };
        let request = Request::from_parts(parts, body);
        let watch = Watch::new(asked, asker);
        if watch.looks_up_first() {
            // The service that is ready serves the client, after the lookup; the
            // clone, which may not be, stays behind.
            let clone = self.inner.clone();
            let ready = std::mem::replace(&mut self.inner, clone);
            return ResponseFuture::lookup(ready, request, watch);
        }
        ResponseFuture::watch(self.inner.call(request), watch)
    }
}

impl<S: fmt::Debug> fmt::Debug for Notification<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notification")
            .field("inner", &self.inner)
            .field("settings", &self.settings)
            .finish()
    }
}
