//! Turns the inner service's response into the client's.
//!
//! A response waits for the stat that its event needs, and then for the sinks. That
//! of a pull with a body is passed on at once, and its last frame waits instead.

use std::future::Future;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode, Version};
use http_body::Body;

use super::answer::{Answer, answer};
use super::body::ResponseBody;
use super::exchange::Exchange;
use super::headers;
use super::outcome::Outcome;
use super::pull::Pull;
use super::tap::BodyTap;

/// The client's response, now or after more work.
pub(super) enum Finish<R> {
    Now(Response<ResponseBody<R>>),
    /// After a stat or a sink has answered.
    Later(BoxFuture<'static, Response<ResponseBody<R>>>),
}

/// Waits for the inner service's response to a request that can change the
/// registry, and reports what it did.
pub(super) async fn complete<R, E>(
    exchange: Box<Exchange>,
    response: impl Future<Output = Result<Response<R>, E>>,
    untagged: Vec<String>,
) -> Result<Response<ResponseBody<R>>, E>
where
    R: Body<Data = Bytes> + Send + 'static,
{
    let response = response.await.inspect_err(|_| {
        // The registry may have acted before it failed.
        crate::metrics::unknown_outcome();
    })?;
    Ok(match finish(exchange, response, untagged) {
        Finish::Now(response) => response,
        Finish::Later(response) => response.await,
    })
}

/// Reports what a request did, or lets the response body do so.
pub(super) fn finish<R>(
    mut exchange: Box<Exchange>,
    response: Response<R>,
    untagged: Vec<String>,
) -> Finish<R>
where
    R: Body<Data = Bytes> + Send + 'static,
{
    let refusal = Refusal::of(&exchange, response.version());
    let fail_closed = exchange.settings.fail_closed;
    let stat = exchange.stat.take();
    let mut outcome = match answer(exchange, &response, untagged) {
        Answer::Nothing => return Finish::Now(response.map(ResponseBody::plain)),
        Answer::Unattributed if fail_closed => return Finish::Now(refusal.response()),
        Answer::Unattributed => return Finish::Now(response.map(ResponseBody::plain)),
        Answer::Outcome(outcome) => outcome,
    };
    let Some((stat, question)) = stat.zip(outcome.question()) else {
        return report(outcome, response, refusal);
    };
    Finish::Later(Box::pin(async move {
        outcome.add(stat.stat(&question).await);
        match report(outcome, response, refusal) {
            Finish::Now(response) => response,
            Finish::Later(response) => response.await,
        }
    }))
}

/// Writes the event, now or when the response body ends.
fn report<R>(outcome: Outcome, response: Response<R>, refusal: Refusal) -> Finish<R>
where
    R: Body<Data = Bytes> + Send + 'static,
{
    if outcome.is_pull_with_body() && !response.status().is_redirection() {
        let expected = expected_length(&response);
        if expected != Some(0) && !response.body().is_end_stream() {
            let pull = Pull::new(outcome, expected);
            return Finish::Now(response.map(|body| ResponseBody::pull(body, pull)));
        }
    }
    // There is no body to wait for. A redirected pull is reported before the client
    // sees the `Location`.
    let write = outcome.report(Some(&BodyTap::ended()));
    let response = response.map(ResponseBody::plain);
    let decide = move |accepted: bool| match accepted {
        true => response,
        false => refusal.response(),
    };
    match write.answer() {
        Ok(answer) => Finish::Now(decide(answer.is_ok())),
        Err(write) => Finish::Later(Box::pin(async move { decide(write.await.is_ok()) })),
    }
}

/// Returns the length of the body as the server sends it, in bytes.
///
/// hyper does not poll a body again after `Content-Length` bytes, so the end of the
/// body is not seen and only counting shows which frame is the last. If the length
/// that the body itself states is smaller, it ends there.
fn expected_length<R: Body>(response: &Response<R>) -> Option<u64> {
    let stated = headers::body_length(response.headers());
    let exact = response.body().size_hint().exact();
    match (stated, exact) {
        (Some(stated), Some(exact)) => Some(stated.min(exact)),
        (stated, exact) => stated.or(exact),
    }
}

/// The response to a request that must not be acknowledged: 503 with the error body
/// of the distribution spec, so that the client tries again.
pub(super) struct Refusal {
    /// A response to HEAD must not have a body.
    head: bool,
    version: Version,
}

impl Refusal {
    pub(super) fn of(exchange: &Exchange, version: Version) -> Self {
        Self {
            head: exchange.head,
            version,
        }
    }

    pub(super) fn response<R>(self) -> Response<ResponseBody<R>> {
        const ERROR: &[u8] = br#"{"errors":[{"code":"UNAVAILABLE","message":"the notification of this request could not be accepted","detail":null}]}"#;
        let content = if self.head { &[] } else { ERROR };
        let mut refusal = Response::new(ResponseBody::refusal(content));
        *refusal.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        *refusal.version_mut() = self.version;
        let json = HeaderValue::from_static("application/json");
        refusal.headers_mut().insert(CONTENT_TYPE, json);
        refusal
    }
}
