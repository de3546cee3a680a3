//! One attempt to deliver: the request and its outcome.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{CONTENT_TYPE, HeaderMap, LOCATION, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use tokio::time::Instant;

use super::body_signature::BodySigner;
use super::secrets::Secrets;
use super::sequence::Sequence;
use super::signature::Signer;
use super::transport::Transport;
use crate::endpoint::retry::{Retry, retry_after};
use crate::error::with_causes;
use crate::event::{Encoded, Encoding, Format, content_type, envelope};
use crate::queue::Entry;
use crate::redact::without_user_info;

/// Bytes of the response body that are kept for the dead letter.
const ANSWER: usize = 1 << 10;
/// Bytes of an error's text that are kept for log and dead letter.
const ERROR: usize = 1 << 10;

/// Number of headers that are added to the configured ones, at most.
const OURS: usize = 8;

/// Posts the events of one endpoint.
pub(crate) struct Poster {
    pub(crate) timeout: Duration,
    pub(crate) encoding: Encoding,
    pub(crate) url: Uri,
    /// The URL as logs show it.
    pub(crate) shown_url: String,
    /// The headers that all requests have: with one event, and with several.
    pub(crate) headers: [HeaderMap; 2],
    /// Secrets that are hidden in what a receiver answers.
    pub(crate) secrets: Secrets,
    pub(crate) signer: Option<Signer>,
    pub(crate) body_signers: Vec<BodySigner>,
    /// Whether requests show the numbers of events.
    pub(crate) sequence: Option<Sequence>,
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
        /// The URL that a redirect leads to.
        location: Option<String>,
        answer: String,
    },
    /// There was no response.
    Failed(String),
}

impl Poster {
    /// Returns the request that posts `events`, the encodings of `entries`.
    pub(crate) fn request(
        &self,
        events: &[Encoded],
        entries: &[Entry],
        id: impl FnOnce() -> String,
        trace_parent: Option<&str>,
    ) -> Request<Bytes> {
        let mut request = Request::new(self.body(events, entries));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        let (body, format) = (request.body(), self.encoding.format);
        let mut headers = self.headers[usize::from(events.len() > 1)].clone();
        // Configured headers replace ours. Of two with the same name, receivers look at
        // the first and proxies at either.
        let mut ours = |(name, value)| {
            headers.entry(name).or_insert(value);
        };
        if let Some(Ok(trace)) = trace_parent.map(HeaderValue::from_str) {
            ours((TRACE_PARENT, trace));
        }
        if let Some(sequence) = &self.sequence
            && !format.is_cloud_events()
        {
            let numbers = sequence.headers(entries);
            numbers.into_iter().flatten().for_each(&mut ours);
        }
        if let Some(signer) = &self.signer {
            let signature = signer.sign(&id(), SystemTime::now(), body);
            signature.into_iter().for_each(&mut ours);
        }
        let signers = self.body_signers.iter();
        signers.map(|signer| signer.sign(body)).for_each(ours);
        *request.headers_mut() = headers;
        request
    }

    /// Returns the headers of requests with one event, and with several, that have these
    /// headers.
    pub(crate) fn headers(configured: &HeaderMap, format: Format) -> [HeaderMap; 2] {
        let agent = format.user_agent().unwrap_or(AGENT);
        [false, true].map(|batch| {
            // With room for more, so that a copy need not be arranged anew.
            let mut headers = HeaderMap::with_capacity(configured.len() + 2 + OURS);
            headers.extend(configured.clone());
            let content_type = HeaderValue::from_static(content_type(format, batch));
            headers.entry(CONTENT_TYPE).or_insert(content_type);
            let agent = HeaderValue::from_static(agent);
            headers.entry(USER_AGENT).or_insert(agent);
            headers
        })
    }

    /// Returns the body of a request. A single event is not written as a batch even if
    /// batches are allowed: many receivers of CloudEvents accept no batches.
    fn body(&self, events: &[Encoded], entries: &[Entry]) -> Bytes {
        let encoding = &self.encoding;
        let sequence = self.sequence.as_ref();
        match (
            events,
            sequence.filter(|_| encoding.format.is_cloud_events()),
        ) {
            // The same bytes for every endpoint, without a copy.
            ([one], None) => one.clone().into_bytes(),
            (many, None) => envelope(encoding, many.iter().map(Encoded::event)).into(),
            ([one], Some(sequence)) => {
                let entry = entries.first();
                let numbered = entry.map(|entry| sequence.attributes(one.event(), entry));
                numbered.unwrap_or_default().into()
            }
            (many, Some(sequence)) => {
                let events = many.iter().zip(entries);
                let number =
                    |(event, entry): (&Encoded, _)| sequence.attributes(event.event(), entry);
                let events: Vec<_> = events.map(number).collect();
                envelope(encoding, events.iter()).into()
            }
        }
    }

    /// Returns when an attempt that began at `start` times out. `None` if that is too
    /// far away to be represented.
    pub(crate) fn deadline(&self, start: Instant) -> Option<Instant> {
        start.checked_add(self.timeout)
    }

    /// Posts `request` until `deadline`. A panic of a user's client is an outcome too,
    /// so that the worker survives it.
    pub(crate) async fn post(
        &self,
        transport: Transport,
        request: Request<Bytes>,
        deadline: Option<Instant>,
    ) -> Outcome {
        let response = async move { transport.send(request, deadline).await };
        let response = AssertUnwindSafe(response).catch_unwind();
        let response = match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline, response).await,
            None => Ok(response.await),
        };
        let response = match response {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(_)) => return Outcome::Failed("the client panicked".into()),
            Err(elapsed) => Err(elapsed),
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
    /// Returns the `Location` of a redirect as the log shows it, without secrets. Its
    /// query may be signed, or have a token in it.
    fn location(&self, response: &Response<Bytes>) -> Option<String> {
        let location = response.headers().get(LOCATION)?;
        if !response.status().is_redirection() {
            return None;
        }
        let bytes = location.as_bytes();
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(ANSWER)]);
        let mut text = without_user_info(&text);
        if let Some(query) = text.find(['?', '#']) {
            text.replace_range(query + 1.., "…");
        }
        Some(self.secrets.hide(text, ANSWER))
    }
}

const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
const AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// Returns a status as the reference counts it, such as `200 OK`. Go has older names
/// for some statuses.
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
