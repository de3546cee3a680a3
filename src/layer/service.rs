//! The service that the layer creates: [`Notification`].

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower::{Layer, Service};

use super::body::{RequestBody, ResponseBody};
use super::detachable::Detachable;
use super::exchange::{Exchange, Interest, Watch};
use super::future::ResponseFuture;
use super::layer::NotificationLayer;
use super::respond::{Refusal, complete};
use super::settings::Settings;

/// A registry's service with notifications.
///
/// Made by [`NotificationLayer`].
#[derive(Clone)]
pub struct Notification<S> {
    inner: S,
    settings: Arc<Settings>,
}

// Implemented here rather than next to the layer, so that the files import one another
// in one direction only.
impl<S> Layer<S> for NotificationLayer {
    type Service = Notification<S>;

    fn layer(&self, inner: S) -> Notification<S> {
        Notification {
            inner,
            settings: self.settings().clone(),
        }
    }
}

impl<S> Notification<S> {
    /// Returns a layer that creates services with these settings.
    pub fn layer(&self) -> NotificationLayer {
        NotificationLayer::from_settings(self.settings.clone())
    }

    /// Returns a reference to the inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns a mutable reference to the inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
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
    type Future = ResponseFuture<S::Future, Result<Response<ResponseBody<R>>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match Interest::of(&self.settings, &request) {
            Some(interest) => self.watch(interest, request),
            None => {
                let request = request.map(|body| RequestBody::new(body, None));
                ResponseFuture::pass(self.inner.call(request))
            }
        }
    }
}

/// What the service answers, with the inner service's body `R` and error `E`.
type Answer<R, E> = Result<Response<ResponseBody<R>>, E>;

impl<S> Notification<S> {
    /// Passes on a request whose response matters. Not inlined, so that the common
    /// requests that make no event have a short path of their own.
    #[inline(never)]
    fn watch<B, R>(
        &mut self,
        interest: Interest,
        request: Request<B>,
    ) -> ResponseFuture<S::Future, Answer<R, S::Error>>
    where
        S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        R: Body<Data = Bytes> + Send + 'static,
    {
        let (parts, body) = request.into_parts();
        let watch = Watch::new(interest, &self.settings, &parts);
        let body = RequestBody::new(body, watch.tap().cloned());
        let request = Request::from_parts(parts, body);
        match watch {
            Watch::Exchange(exchange) if exchange.mutates() => {
                ResponseFuture::work(self.mutate(exchange, request))
            }
            watch => ResponseFuture::watch(self.inner.call(request), watch),
        }
    }

    /// Passes on a request that can change the registry, as work that runs to
    /// completion.
    fn mutate<B, R>(
        &mut self,
        exchange: Box<Exchange>,
        request: Request<RequestBody<B>>,
    ) -> Detachable<Answer<R, S::Error>>
    where
        S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Send + 'static,
        B: Send + 'static,
        R: Body<Data = Bytes> + Send + 'static,
    {
        let settings = self.settings.clone();
        // The readiness check comes before the registry acts. If the layer refused
        // later, a client that repeats a DELETE would find nothing left to delete.
        if settings.fail_closed && !settings.notifier.is_ready() {
            if let Some(chunk) = &exchange.chunk {
                settings.memory.uploads.give_back(chunk);
            }
            let refusal = Refusal::of(&exchange, request.version());
            return Detachable::new(async { Ok(refusal.response()) }, settings);
        }
        if exchange.untag_lookup().is_none() {
            let response = self.inner.call(request);
            return Detachable::new(complete(exchange, response, Vec::new()), settings);
        }
        // The service that was polled ready must serve the client, after the lookup.
        // A clone, which may not be ready, is left behind for the next `poll_ready`.
        let clone = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, clone);
        let work = async move {
            let untagged = exchange.look_up_tags().await;
            complete(exchange, ready.call(request), untagged).await
        };
        Detachable::new(work, settings)
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
