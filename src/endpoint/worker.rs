//! Takes events out of an endpoint's queue and delivers them, one at a time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use tokio::time::Instant;
use tower::ServiceExt as _;

use super::delivery::Delivery;
use super::retry::Retry;
use super::status::Counts;
use crate::event::{Encoding, Format, SharedEvent, content_type, envelope};
use crate::queue::MemoryQueue;

pub(super) struct Worker<T> {
    pub(super) name: String,
    pub(super) queue: Arc<MemoryQueue>,
    pub(super) counts: Arc<Counts>,
    pub(super) retry: T,
    pub(super) delivery: Delivery,
    pub(super) timeout: Duration,
    pub(super) format: Format,
    pub(super) url: Uri,
    pub(super) headers: HeaderMap,
}

impl<T: Retry> Worker<T> {
    /// Runs until the queue is closed and empty.
    pub(super) async fn run(mut self) {
        while let Some(event) = self.queue.front().await {
            self.deliver(&event).await;
            self.queue.pop();
        }
    }

    /// Tries until the receiver accepts.
    async fn deliver(&mut self, event: &SharedEvent) {
        let encoding = Encoding {
            format: self.format,
            compact: false,
        };
        let body = Bytes::from(envelope(encoding, false, [event.encoded(encoding)]));
        let mut attempt = 1_u64;
        loop {
            let wait = self.retry.wait(Instant::now());
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            if self.attempt(body.clone()).await {
                self.retry.succeeded();
                return;
            }
            self.retry.failed(Instant::now());
            // Once for each event, and not for each attempt.
            if attempt == 1 {
                tracing::warn!(
                    endpoint = self.name,
                    id = event.id,
                    error = self.counts.snapshot().last_error,
                    "delivery failed; trying on"
                );
            }
            attempt += 1;
        }
    }

    async fn attempt(&mut self, body: Bytes) -> bool {
        let delivery = self.delivery.clone().oneshot(self.request(body));
        let answer = tokio::time::timeout(self.timeout, delivery).await;
        match answer {
            Ok(Ok(status)) => {
                let accepted = accepts(status);
                self.counts.answered(status, accepted);
                accepted
            }
            Ok(Err(error)) => {
                self.counts.failed(&chain(&*error));
                false
            }
            Err(_) => {
                self.counts.failed("no answer in time");
                false
            }
        }
    }

    fn request(&self, body: Bytes) -> Request<Bytes> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        let headers = request.headers_mut();
        let content_type = HeaderValue::from_static(content_type(self.format, false));
        headers.insert(CONTENT_TYPE, content_type);
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
        request
    }
}

const AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// As in the reference: a redirect, which is not followed, is an answer too.
fn accepts(status: StatusCode) -> bool {
    status.is_success() || status.is_redirection()
}

/// An error with its causes, which say more than it does.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
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
