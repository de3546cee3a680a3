//! One attempt to deliver: the request and its outcome.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{CONTENT_TYPE, HeaderMap, LOCATION, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use tower::ServiceExt as _;

use super::response::{Deadline, Delivery};
use super::secrets::Secrets;
use super::signature::Signer;
use crate::endpoint::retry::{Retry, retry_after};
use crate::error::with_causes;
use crate::event::{Encoded, Encoding, content_type};
use crate::redact::without_user_info;

/// Bytes of the response body that are kept for the dead letter.
const ANSWER: usize = 1 << 10;
/// Bytes of an error's text that are kept.
const ERROR: usize = 1 << 10;

/// Posts the events of one endpoint.
pub(crate) struct Poster {
    pub(crate) timeout: Duration,
    pub(crate) encoding: Encoding,
    /// Whether requests carry batches, also those of one event.
    pub(crate) batch: bool,
    pub(crate) url: Uri,
    /// The URL as logs show it.
    pub(crate) shown_url: String,
    pub(crate) headers: HeaderMap,
    /// What is hidden where a receiver repeats it.
    pub(crate) secrets: Secrets,
    pub(crate) signer: Option<Signer>,
    pub(crate) retry: Retry,
}

/// The outcome of an attempt.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Accepted(StatusCode),
    /// The receiver responded with another status.
    Refused {
        status: StatusCode,
        retry_after: Option<Duration>,
        /// Where a redirect leads to.
        location: Option<String>,
        answer: String,
    },
    /// There was no response.
    Failed(String),
}

impl Poster {
    /// Returns the request that posts `events`, which are encoded already.
    pub(crate) fn request(
        &self,
        events: &[Encoded],
        id: &str,
        trace_parent: Option<&str>,
    ) -> Request<Bytes> {
        let body = match events {
            // The same bytes for every endpoint, without a copy.
            [one] if !self.batch => one.clone().into_bytes(),
            many => {
                let events = many.iter().map(Encoded::event);
                crate::event::envelope(self.encoding, self.batch, events).into()
            }
        };
        let mut request = Request::new(body);
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

    /// Posts `request` within the timeout. A panic of a user's client is an
    /// outcome too, so that the worker goes on.
    pub(crate) async fn post(&self, delivery: Delivery, mut request: Request<Bytes>) -> Outcome {
        Deadline::set(&mut request, self.timeout);
        let response = tokio::time::timeout(self.timeout, delivery.oneshot(request));
        let Ok(response) = AssertUnwindSafe(response).catch_unwind().await else {
            return Outcome::Failed("the client panicked".into());
        };
        match response {
            Ok(Ok(response)) if self.retry.accepts(response.status()) => {
                Outcome::Accepted(response.status())
            }
            Ok(Ok(response)) => self.refused(&response),
            Ok(Err(error)) => Outcome::Failed(self.secrets.hide(with_causes(&*error), ERROR)),
            Err(_) => Outcome::Failed(format!("no response within {:?}", self.timeout)),
        }
    }

    fn refused(&self, response: &Response<Bytes>) -> Outcome {
        let body = response.body();
        let answer = String::from_utf8_lossy(&body[..body.len().min(ANSWER)]);
        Outcome::Refused {
            status: response.status(),
            retry_after: retry_after(response.headers()),
            location: self.location(response),
            answer: self.secrets.hide(answer.into_owned(), ANSWER),
        }
    }
}

impl Poster {
    /// The `Location` of a redirect, as the log shows it.
    fn location(&self, response: &Response<Bytes>) -> Option<String> {
        let location = response.headers().get(LOCATION)?;
        if !response.status().is_redirection() {
            return None;
        }
        let bytes = location.as_bytes();
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(ANSWER)]);
        let text = without_user_info(&text);
        Some(self.secrets.hide(text, ANSWER))
    }
}

const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
const AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// A status as the reference counts it: `200 OK`. Go has older names for some.
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
