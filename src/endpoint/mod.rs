//! A named webhook target: [`Endpoint`].
//!
//! This is the place that assembles: filter → queue → worker → retry → timeout
//! → HTTP POST. Each part can be read without knowing the others.

mod delivery;
mod retry;
#[allow(dead_code)] // until endpoints sign
mod signature;
mod status;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use http_body::Body;
use tower::{BoxError, Service};

use self::delivery::Delivery;
use self::retry::Breaker;
use self::status::Counts;
pub use self::status::EndpointStatus;
use self::worker::Worker;
use crate::event::{Format, SharedEvent};
use crate::notifier::{BuildError, without_user_info};
use crate::queue::{Limits, MemoryQueue};
use crate::sink::{Filter, Sink, Write};

/// A named webhook target with its own filter, queue, retry policy and delivery.
///
/// Events are posted one at a time and one in each request, in the order of
/// their acceptance, and tried until the receiver accepts: the defaults, which
/// are those of the reference. 2xx and 3xx accept; redirects are not followed.
#[derive(Debug)]
pub enum Endpoint {}

impl Endpoint {
    /// Begins to configure an endpoint. Its name stands in status and metrics;
    /// the URL is `http` or `https`, and its user info is sent as Basic
    /// authorization.
    pub fn builder(name: impl Into<String>, url: impl Into<String>) -> EndpointBuilder {
        EndpointBuilder {
            name: name.into(),
            url: url.into(),
            headers: Vec::new(),
            format: Format::V2,
            timeout: Duration::from_secs(1),
            threshold: 10,
            backoff: Duration::from_secs(1),
            filter: Filter::new(),
            limits: Limits {
                events: 100_000,
                bytes: 128 << 20,
            },
            disabled: false,
            delivery: None,
        }
    }
}

/// Configures an [`Endpoint`]. What is wrong comes out when the
/// [`Notifier`](crate::Notifier) is built.
pub struct EndpointBuilder {
    name: String,
    url: String,
    headers: Vec<(String, String)>,
    format: Format,
    timeout: Duration,
    threshold: u32,
    backoff: Duration,
    filter: Filter,
    limits: Limits,
    disabled: bool,
    delivery: Option<Delivery>,
}

impl EndpointBuilder {
    /// Adds a header to every request. Its value is a secret: it is sent, and
    /// shown nowhere.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// How events are written. Default: [`Format::V2`].
    #[must_use]
    pub fn format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    /// How long an attempt may take, until the answer was read. Default: 1 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// After how many failures in a row the endpoint is only tried once in
    /// every [`backoff`](Self::backoff); before, it is tried again at once.
    /// Default: 10.
    #[must_use]
    pub fn threshold(mut self, threshold: u32) -> Self {
        self.threshold = threshold;
        self
    }

    /// How long to wait between attempts at an endpoint that keeps failing.
    /// Default: 1 s.
    #[must_use]
    pub fn backoff(mut self, backoff: Duration) -> Self {
        self.backoff = backoff;
        self
    }

    /// Which events the endpoint wants. Default: all.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// How many events may wait, and how many bytes of memory they may take.
    /// When either is reached, the newest event is lost: counted, logged, and
    /// the write fails. Default: 100,000 events and 128 MiB.
    #[must_use]
    pub fn queue_limits(mut self, events: usize, bytes: usize) -> Self {
        self.limits = Limits { events, bytes };
        self
    }

    /// Leaves the endpoint out. Default: no.
    #[must_use]
    pub fn disabled(mut self, disabled: bool) -> Self {
        self.disabled = disabled;
        self
    }

    /// Replaces the HTTP client. Timeout, retries and the judgement of the
    /// status stay with the endpoint; redirects must not be followed.
    #[must_use]
    pub fn client<S, R>(mut self, client: S) -> Self
    where
        S: Service<Request<Bytes>, Response = Response<R>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        self.delivery = Some(delivery::of_client(client));
        self
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn is_disabled(&self) -> bool {
        self.disabled
    }

    /// The endpoint's own part of a notifier, and its worker to be spawned.
    pub(crate) fn build(
        self,
    ) -> Result<(Arc<Running>, impl Future<Output = ()> + Send + 'static), BuildError> {
        let field = |field: &str| format!("endpoint {:?}: {field}", self.name);
        let error = |name: &str, value: &dyn fmt::Display, remedy: &str| {
            BuildError::new(&field(name), value, remedy)
        };
        if self.name.is_empty() {
            return Err(error("name", &"", "give each endpoint a name of its own"));
        }
        for (name, duration) in [("timeout", self.timeout), ("backoff", self.backoff)] {
            if duration.is_zero() {
                return Err(error(name, &"0", "must be longer than nothing"));
            }
        }
        for (name, number) in [
            ("most events", self.limits.events),
            ("most bytes", self.limits.bytes),
        ] {
            if number == 0 {
                return Err(error(name, &number, "must be at least 1"));
            }
        }
        self.filter.check(&format!("endpoint {:?}", self.name))?;
        let shown = without_user_info(&self.url);
        let remedy = "write a URL like https://receiver.example.com/events";
        let (url, user_info) = target(&self.url).ok_or_else(|| error("url", &shown, remedy))?;
        let headers = headers(&self.headers, user_info)
            .map_err(|number| error("header", &number, "name or value is no valid HTTP header"))?;
        let delivery = match self.delivery {
            Some(delivery) => delivery,
            None => delivery::client(&url)
                .map_err(|cause| error("url", &shown, &format!("no trusted roots: {cause}")))?,
        };
        let queue = Arc::new(MemoryQueue::new(self.limits));
        let counts = Arc::new(Counts::new(&self.name, shown));
        let worker = Worker {
            name: self.name.clone(),
            queue: queue.clone(),
            counts: counts.clone(),
            retry: Breaker::new(self.threshold, self.backoff),
            delivery,
            timeout: self.timeout,
            format: self.format,
            url,
            headers,
        };
        let running = Running {
            name: self.name,
            filter: self.filter,
            queue,
            counts,
        };
        Ok((Arc::new(running), worker.run()))
    }
}

/// The URL without user info, and that as an `Authorization` header.
fn target(url: &str) -> Option<(Uri, Option<HeaderValue>)> {
    let mut parts = url.parse::<Uri>().ok()?.into_parts();
    matches!(parts.scheme.as_ref()?.as_str(), "http" | "https").then_some(())?;
    let authority = parts.authority.clone()?;
    let (user_info, host) = match authority.as_str().rsplit_once('@') {
        Some((user_info, host)) => (Some(user_info), host),
        None => (None, authority.as_str()),
    };
    let host: Authority = host.parse().ok()?;
    let port = host.as_str().strip_prefix(host.host())?;
    (!host.host().is_empty() && (port.is_empty() || host.port_u16().is_some())).then_some(())?;
    parts.authority = Some(host);
    let authorization = user_info.map(|user_info| {
        let (name, password) = user_info.split_once(':').unwrap_or((user_info, ""));
        let decode = |text| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
        let pair = [decode(name), vec![b':'], decode(password)].concat();
        let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).ok()?;
        value.set_sensitive(true);
        Some(value)
    });
    let authorization = match authorization {
        Some(None) => return None,
        Some(value) => value,
        None => None,
    };
    Some((Uri::from_parts(parts).ok()?, authorization))
}

/// The headers of every request, or the number of the one that is not valid.
fn headers(
    given: &[(String, String)],
    authorization: Option<HeaderValue>,
) -> Result<HeaderMap, usize> {
    let mut headers = HeaderMap::new();
    for (number, (name, value)) in given.iter().enumerate() {
        let valid = name.parse::<HeaderName>().ok();
        let valid = valid.zip(HeaderValue::try_from(value).ok());
        // A secret may have been given in place of the name.
        let (header, mut value) = valid.ok_or(number + 1)?;
        value.set_sensitive(true);
        headers.append(header, value);
    }
    if let Some(value) = authorization {
        headers.entry(AUTHORIZATION).or_insert(value);
    }
    Ok(headers)
}

impl fmt::Debug for EndpointBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointBuilder")
            .field("name", &self.name)
            .field("url", &without_user_info(&self.url))
            .field("format", &self.format)
            .field("timeout", &self.timeout)
            .field("threshold", &self.threshold)
            .field("backoff", &self.backoff)
            .field("filter", &self.filter)
            .field("limits", &self.limits)
            .field("disabled", &self.disabled)
            .finish_non_exhaustive()
    }
}

/// The side of an endpoint that events are written to.
pub(crate) struct Running {
    name: String,
    filter: Filter,
    queue: Arc<MemoryQueue>,
    counts: Arc<Counts>,
}

impl Running {
    pub(crate) fn status(&self) -> EndpointStatus {
        self.counts.snapshot()
    }

    pub(crate) fn close(&self) {
        self.queue.close();
    }

    pub(crate) fn left(&self) -> usize {
        self.queue.len()
    }
}

impl Sink for Running {
    fn write(&self, event: &SharedEvent) -> Write {
        if !self.filter.wants(event) {
            return Write::accepted();
        }
        // Counted before the worker can have delivered it.
        self.counts.offered();
        let answer = match self.queue.write(event).answer() {
            Ok(answer) => answer,
            Err(pending) => return pending,
        };
        if answer.is_ok() {
            self.counts.taken();
        } else if self.counts.refused() {
            tracing::error!(
                endpoint = self.name,
                "the queue takes no events; they are lost until it does"
            );
        }
        Write::ready(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let builder = Endpoint::builder("e", "http://me:hush@h/p?q").header("x", "hush");
        assert!(!format!("{builder:?}").contains("hush"));
        let (url, authorization) = target("http://me:hu%73h@h/p?q").unwrap();
        assert_eq!(url, "http://h/p?q");
        assert_eq!(authorization.unwrap(), "Basic bWU6aHVzaA==");
        for wrong in [
            "",
            "h/p",
            "ftp://me:hush@h",
            "http://",
            "http://me:hush@",
            "http://me:a/hush@h",
            "me:hush@h",
            "http://a b",
        ] {
            let Err(error) = Endpoint::builder("e", wrong).build() else {
                panic!("{wrong:?} was taken");
            };
            assert!(!format!("{error} {error:?}").contains("hush"), "{error}");
        }
    }
}
