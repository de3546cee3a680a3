//! One attempt at a delivery: the request, and what comes of it.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use tokio::time::Instant;
use tower::{BoxError, ServiceExt as _};

use super::response::{Deadline, Delivery};
use super::secrets::Secrets;
use super::signature::Signer;
use crate::endpoint::batch::after;
use crate::event::{Encoded, Encoding, content_type};

/// So much of an answer is kept with a dead letter.
const ANSWER: usize = 1 << 10;
/// And so much of an error's text.
const ERROR: usize = 1 << 10;
/// Longest wait that a receiver may ask for.
const RETRY_AFTER_LIMIT: Duration = Duration::from_secs(60 * 60);

/// Posts events.
pub(crate) struct Poster {
    pub(crate) timeout: Duration,
    pub(crate) encoding: Encoding,
    /// Do requests carry batches, be they of one event?
    pub(crate) batch: bool,
    pub(crate) url: Uri,
    pub(crate) headers: HeaderMap,
    /// A receiver that repeats what it got must not give these away.
    pub(crate) secrets: Secrets,
    pub(crate) signer: Option<Signer>,
    pub(crate) accept_redirects: bool,
}

/// What came of an attempt.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Accepted(StatusCode),
    /// The receiver answered something else.
    Refused {
        status: StatusCode,
        retry_after: Option<Duration>,
        answer: String,
    },
    /// The receiver did not answer.
    Failed(String),
}

impl Poster {
    /// The request that posts `events`, encoded as they are in an envelope.
    pub(crate) fn request(
        &self,
        events: &[Encoded],
        id: &str,
        trace_parent: Option<&str>,
    ) -> Request<Bytes> {
        let events = events.iter().map(|event| &***event);
        let body = crate::event::envelope(self.encoding, self.batch, events);
        let mut request = Request::new(Bytes::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        let signature = self
            .signer
            .as_ref()
            .map(|signer| signer.sign(id, SystemTime::now(), request.body()));
        let headers = request.headers_mut();
        let content_type = content_type(self.encoding.format, self.batch);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.extend(signature.into_iter().flatten());
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
        headers
            .entry(USER_AGENT)
            .or_insert(HeaderValue::from_static(AGENT));
        if let Some(Ok(trace)) = trace_parent.map(HeaderValue::from_str) {
            headers.entry(TRACE_PARENT).or_insert(trace);
        }
        request
    }

    /// Posts `request`, within the timeout. What a user's client does, the
    /// worker outlives.
    pub(crate) async fn post(&self, delivery: Delivery, mut request: Request<Bytes>) -> Outcome {
        let end = after(Instant::now(), self.timeout);
        Deadline::set(&mut request, self.timeout);
        let answer = tokio::time::timeout_at(end, delivery.oneshot(request));
        let Ok(answer) = AssertUnwindSafe(answer).catch_unwind().await else {
            return Outcome::Failed("the client panicked".into());
        };
        match answer {
            Ok(Ok(response)) if self.accepts(response.status()) => {
                Outcome::Accepted(response.status())
            }
            Ok(Ok(response)) => self.refused(&response),
            Ok(Err(error)) => Outcome::Failed(self.secrets.hide(chain(error), ERROR)),
            Err(_) => Outcome::Failed("no answer in time".into()),
        }
    }

    /// 2xx; and, as in the reference, a redirect if the endpoint is told so.
    fn accepts(&self, status: StatusCode) -> bool {
        status.is_success() || (self.accept_redirects && status.is_redirection())
    }

    fn refused(&self, response: &Response<Bytes>) -> Outcome {
        let body = response.body();
        let answer = String::from_utf8_lossy(&body[..body.len().min(ANSWER)]);
        Outcome::Refused {
            status: response.status(),
            retry_after: retry_after(response.headers()),
            answer: self.secrets.hide(answer.into_owned(), ANSWER),
        }
    }
}

const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
const AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// `Retry-After` (RFC 9110, section 10.2.3), in seconds or as a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(value)
            .ok()?
            .duration_since(SystemTime::now())
            .unwrap_or_default(),
    };
    Some(wait.min(RETRY_AFTER_LIMIT))
}

/// An error with its causes, which say more than it does.
fn chain(error: BoxError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// A status as the reference counts it: `200 OK`. Some are named otherwise in
/// Go than they are here, after older standards.
pub(crate) fn status_text(status: StatusCode) -> String {
    let reason = match status {
        StatusCode::NON_AUTHORITATIVE_INFORMATION => "Non-Authoritative Information",
        StatusCode::PAYLOAD_TOO_LARGE => "Request Entity Too Large",
        StatusCode::URI_TOO_LONG => "Request URI Too Long",
        StatusCode::RANGE_NOT_SATISFIABLE => "Requested Range Not Satisfiable",
        _ => status.canonical_reason().unwrap_or_default(),
    };
    format!("{} {reason}", status.as_u16()).trim_end().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_within_bounds() {
        let wait = |value: &str| {
            let value = HeaderValue::from_str(value).unwrap();
            retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value)]))
        };
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("999999999"), Some(RETRY_AFTER_LIMIT));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(90));
        let soon = wait(&soon).unwrap().as_secs();
        assert!((80..=90).contains(&soon), "{soon}");
        for bad in ["", "-1", "soon", "1.5"] {
            assert_eq!(wait(bad), None, "{bad}");
        }
    }

    #[test]
    fn statuses_are_counted_under_the_names_of_the_reference() {
        for (status, text) in [
            (200, "200 OK"),
            (203, "203 Non-Authoritative Information"),
            (413, "413 Request Entity Too Large"),
            (414, "414 Request URI Too Long"),
            (416, "416 Requested Range Not Satisfiable"),
            (418, "418 I'm a teapot"),
            (425, "425 Too Early"),
            (599, "599"),
        ] {
            assert_eq!(status_text(status.try_into().unwrap()), text);
        }
    }
}
