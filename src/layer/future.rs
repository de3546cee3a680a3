use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;
use tower::Service;

use super::asked::Asked;
use super::body::{RequestBody, ResponseBody};
use super::facts;
use super::happening::Happening;
use super::stat::Asker;
use crate::sink::{Acceptance, DetachOnDrop};

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pin_project! {
    /// The response future of [`Notification`](super::Notification).
    pub struct ResponseFuture<S, B, R>
    where
        S: Service<Request<RequestBody<B>>>,
    {
        #[pin]
        state: State<S::Future, S, Result<Response<ResponseBody<R>>, S::Error>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, S, T> {
        // No event can come of it.
        Pass { #[pin] future: F },
        // The inner service is at work.
        Watch { #[pin] future: F, watch: Option<Box<Watch<S>>> },
        // More must be asked, or a sink waited for.
        Work { future: Boxed<T> },
    }
}

impl<S, B, R> ResponseFuture<S, B, R>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
{
    pub(super) fn pass(future: S::Future) -> Self {
        Self {
            state: State::Pass { future },
        }
    }

    pub(super) fn watch(future: S::Future, watch: Watch<S>) -> Self {
        let watch = Some(Box::new(watch));
        Self {
            state: State::Watch { future, watch },
        }
    }

    /// Looks up the tags that a deletion takes with it while they are there.
    pub(super) fn lookup(
        mut ready: S,
        request: Request<RequestBody<B>>,
        mut watch: Watch<S>,
    ) -> Self {
        let future = Box::pin(async move {
            watch.look_up().await;
            let response = ready.call(request).await?;
            Ok(watch.finish::<B, R>(response).wait().await)
        });
        Self {
            state: State::Work { future },
        }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B, R>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Send + 'static,
    S::Future: Send + 'static,
    B: Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
{
    type Output = Result<Response<ResponseBody<R>>, S::Error>;

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
                    let Some(watch) = watch.take() else {
                        return Poll::Ready(Ok(response.map(ResponseBody::plain)));
                    };
                    match watch.finish::<B, R>(response) {
                        Finish::Now(response) => return Poll::Ready(Ok(response)),
                        later => {
                            let future = Box::pin(async move { Ok(later.wait().await) });
                            state.set(State::Work { future });
                        }
                    }
                }
                StateProj::Work { future } => return future.as_mut().poll(cx),
            }
        }
    }
}

impl<S: Service<Request<RequestBody<B>>>, B, R> fmt::Debug for ResponseFuture<S, B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

/// A request under way that may become an event.
pub(super) struct Watch<S> {
    asked: Asked,
    asker: Option<Asker<S>>,
    untagged: Vec<String>,
}

/// The response, now or after more work.
enum Finish<R> {
    Now(Response<ResponseBody<R>>),
    /// A stat is needed first.
    Stat(Boxed<Response<ResponseBody<R>>>),
    /// A sink must take the event first.
    Accept(Response<ResponseBody<R>>, DetachOnDrop),
}

impl<S> Watch<S> {
    pub(super) fn new(asked: Asked, asker: Option<Asker<S>>) -> Self {
        Self {
            asked,
            asker,
            untagged: Vec::new(),
        }
    }

    pub(super) fn looks_up_first(&self) -> bool {
        self.asked.untags().is_some()
    }

    async fn look_up<B, R>(&mut self)
    where
        S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone,
        R: Body<Data = Bytes>,
    {
        let (Some(asker), Some((repository, digest))) = (&self.asker, self.asked.untags()) else {
            return;
        };
        let lookup = asker.tags_of(repository, digest);
        match tokio::time::timeout(self.asked.settings.stat_timeout, lookup).await {
            Ok(tags) => self.untagged = tags,
            Err(_) => {
                tracing::warn!(repository, "lookup of tags took too long");
                crate::metrics::missing_fact("untagged");
            }
        }
    }

    fn finish<B, R>(self, response: Response<R>) -> Finish<R>
    where
        S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Send + 'static,
        B: Send + 'static,
        R: Body<Data = Bytes> + Send + 'static,
    {
        let stat_timeout = self.asked.settings.stat_timeout;
        let Some(mut happening) = self.asked.answered(&response, self.untagged) else {
            return Finish::Now(response.map(ResponseBody::plain));
        };
        let Some((asker, question)) = self.asker.zip(happening.question()) else {
            return end(happening, response);
        };
        let with_last_byte = happening.with_last_byte();
        let stat = async move {
            match tokio::time::timeout(stat_timeout, asker.stat(&question)).await {
                Ok(facts) => happening.learn(facts),
                Err(_) => tracing::warn!(path = question.path, "stat took too long"),
            }
            happening
        };
        if with_last_byte {
            return Finish::Stat(Box::pin(
                async move { end(stat.await, response).wait().await },
            ));
        }
        // What has happened is told even if the client hangs up meanwhile.
        let told = async move { stat.await.tell(None).await };
        let write = DetachOnDrop::from(Acceptance::pending(told));
        Finish::Accept(response.map(ResponseBody::plain), write)
    }
}

/// The response, its event written or waiting for the last byte.
fn end<R: Body>(happening: Happening, response: Response<R>) -> Finish<R> {
    if happening.with_last_byte() && !response.body().is_end_stream() {
        let length = facts::content_length(response.headers());
        return Finish::Now(response.map(|body| ResponseBody::pull(body, happening, length)));
    }
    // A body that is at its end already has shown all that it will.
    let write = happening.tell(Some(&super::body::Seen::ended()));
    let response = response.map(ResponseBody::plain);
    match write.answer() {
        Ok(answer) => Finish::Now(acknowledge(response, answer.is_ok())),
        Err(write) => Finish::Accept(response, write.into()),
    }
}

impl<R> Finish<R> {
    async fn wait(self) -> Response<ResponseBody<R>> {
        match self {
            Self::Now(response) => response,
            Self::Stat(future) => future.await,
            Self::Accept(response, write) => acknowledge(response, write.await.is_ok()),
        }
    }
}

/// The response if its event was accepted; else the client is to try again.
fn acknowledge<R>(
    response: Response<ResponseBody<R>>,
    accepted: bool,
) -> Response<ResponseBody<R>> {
    if accepted {
        return response;
    }
    let error = br#"{"errors":[{"code":"UNAVAILABLE","message":"the notification of this request could not be accepted","detail":null}]}"#;
    let mut refusal = Response::new(ResponseBody::refusal(Bytes::from_static(error)));
    *refusal.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    *refusal.version_mut() = response.version();
    let json = HeaderValue::from_static("application/json");
    refusal.headers_mut().insert(CONTENT_TYPE, json);
    refusal
}
