//! The future of a response: [`ResponseFuture`].
//!
//! A request that cannot change the registry may be dropped at any time, until its
//! response waits for a stat or a sink. Any other runs as [`Detachable`] work.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::body::ResponseBody;
use super::detachable::Detachable;
use super::exchange::Watch;
use super::respond::{Finish, finish};

pin_project! {
    /// The response future of [`Notification`](super::Notification), over the
    /// inner service's future `F` and with the output `T`.
    pub struct ResponseFuture<F, T> {
        #[pin]
        state: State<F, T>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, T> {
        // The request can make no event.
        Pass { #[pin] future: F },
        // The inner service is answering a request that cannot change the registry,
        // so that nothing is lost if the client hangs up.
        Watch { #[pin] future: F, watch: Option<Watch> },
        // Work that runs to completion even if the client hangs up, because the
        // registry may have acted or an event is being written.
        Work { work: Detachable<T> },
    }
}

impl<F, T> ResponseFuture<F, T> {
    pub(super) fn pass(future: F) -> Self {
        Self {
            state: State::Pass { future },
        }
    }

    pub(super) fn watch(future: F, watch: Watch) -> Self {
        let watch = Some(watch);
        Self {
            state: State::Watch { future, watch },
        }
    }

    pub(super) fn work(work: Detachable<T>) -> Self {
        Self {
            state: State::Work { work },
        }
    }
}

impl<F, R, E> Future for ResponseFuture<F, Result<Response<ResponseBody<R>>, E>>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body<Data = Bytes> + Send + 'static,
    E: Send + 'static,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProj::Pass { future } => {
                    return future
                        .poll(cx)
                        .map_ok(|response| response.map(ResponseBody::plain));
                }
                StateProj::Watch { future, watch } => {
                    let response = ready!(future.poll(cx))?;
                    match watch.take() {
                        None => return Poll::Ready(Ok(response.map(ResponseBody::plain))),
                        Some(Watch::Patch(settings, patch)) => {
                            let (uploads, prefix) = (&settings.memory.uploads, &settings.prefix);
                            patch.answered(uploads, prefix, response.status(), response.headers());
                            return Poll::Ready(Ok(response.map(ResponseBody::plain)));
                        }
                        Some(Watch::Stray(settings, uri)) => {
                            if response.status().is_success() && settings.memory.may_log("prefix") {
                                let (path, prefix) = (uri.path(), &*settings.prefix);
                                tracing::warn!(
                                    path,
                                    prefix,
                                    "a request looks like one of the registry API under another \
                                     path and makes no event: set the layer's prefix"
                                );
                            }
                            return Poll::Ready(Ok(response.map(ResponseBody::plain)));
                        }
                        Some(Watch::Exchange(exchange)) => {
                            let settings = exchange.settings.clone();
                            match finish(exchange, response, Vec::new()) {
                                Finish::Now(response) => return Poll::Ready(Ok(response)),
                                Finish::Later(later) => {
                                    // The request has succeeded, so its event must be
                                    // written even if the client hangs up from here on.
                                    let work = async move { Ok(later.await) };
                                    let work = Detachable::new(work, settings);
                                    state.set(State::Work { work });
                                }
                            }
                        }
                    }
                }
                StateProj::Work { work } => return Pin::new(work).poll(cx),
            }
        }
    }
}

impl<F, T> fmt::Debug for ResponseFuture<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
