//! How an endpoint is configured.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower::{BoxError, Layer, Service};

use super::batch::Batch;
use super::dead_letter::DeadLetterSink;
use super::delivery::{AddressPolicy, Delivery, Transport, of_client};
use super::retry::{Backoff, RetryPolicy};
use crate::event::{Encoding, Format};
use crate::notifier::without_user_info;
use crate::queue::{Limits, Overflow};
use crate::sink::Filter;

/// Configures an [`Endpoint`](super::Endpoint). What is wrong comes out when
/// the [`Notifier`](crate::Notifier) is built.
#[must_use = "an endpoint does nothing outside of a notifier"]
pub struct EndpointBuilder {
    pub(super) name: String,
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) encoding: Encoding,
    pub(super) signing_secrets: Vec<String>,
    pub(super) timeout: Duration,
    pub(super) retry: RetryPolicy,
    pub(super) accept_redirects: bool,
    pub(super) concurrency: usize,
    pub(super) batch: Batch,
    pub(super) filter: Filter,
    pub(super) limits: Limits,
    pub(super) overflow: Overflow,
    pub(super) dead_letters: Option<Box<dyn DeadLetterSink>>,
    pub(super) disabled: bool,
    pub(super) client: Option<Delivery>,
    pub(super) transport: Transport,
    pub(super) layers: Vec<Wrap>,
}

/// A layer around an endpoint's delivery.
pub(super) type Wrap = Box<dyn FnOnce(Delivery) -> Delivery + Send>;

impl EndpointBuilder {
    pub(super) fn new(name: String, url: String) -> Self {
        Self {
            name,
            url,
            headers: Vec::new(),
            encoding: Encoding {
                format: Format::V2,
                compact: false,
            },
            signing_secrets: Vec::new(),
            timeout: Duration::from_secs(5),
            retry: Backoff::new().into(),
            accept_redirects: false,
            concurrency: 1,
            batch: Batch::of(1),
            filter: Filter::new(),
            limits: Limits {
                events: 100_000,
                bytes: 128 << 20,
            },
            overflow: Overflow::RejectNewest,
            dead_letters: None,
            disabled: false,
            client: None,
            transport: Transport::default(),
            layers: Vec::new(),
        }
    }

    /// Adds a header to every request, next to those of the same name. Its
    /// value is a secret: it is sent, and shown nowhere.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// How events are written. Default: [`Format::V2`].
    pub fn format(mut self, format: Format) -> Self {
        self.encoding.format = format;
        self
    }

    /// Should events be written without white space? Default: no, they are
    /// indented as those of the reference.
    pub fn compact(mut self, compact: bool) -> Self {
        self.encoding.compact = compact;
        self
    }

    /// Signs every request after [Standard Webhooks 1.0.0], once with each of
    /// these secrets, so that one can be replaced by another. A secret is
    /// `whsec_` and the base64 of 24 to 64 bytes. Default: none.
    ///
    /// The `webhook-id` is that of the event, or of its batch: the same in
    /// every attempt, so that receivers can tell what they have already.
    ///
    /// [Standard Webhooks 1.0.0]: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    pub fn sign<T: Into<String>>(mut self, secrets: impl IntoIterator<Item = T>) -> Self {
        self.signing_secrets
            .extend(secrets.into_iter().map(Into::into));
        self
    }

    /// How long an attempt may take, connection and answer included.
    /// Default: 5 s (in a distribution configuration: 1 s).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// When to try again: a [`Breaker`](crate::Breaker) or a [`Backoff`].
    /// Default: a [`Backoff`] with its defaults.
    pub fn retry(mut self, policy: impl Into<RetryPolicy>) -> Self {
        self.retry = policy.into();
        self
    }

    /// Does an answer of 3xx accept events, as in the reference? A redirect is
    /// never followed. Default: no, only 2xx does.
    pub fn accept_redirects(mut self, accept: bool) -> Self {
        self.accept_redirects = accept;
        self
    }

    /// How many requests may be under way at a time; never two with events of
    /// the same repository, whose order holds. Default: 1.
    pub fn concurrency(mut self, requests: usize) -> Self {
        self.concurrency = requests;
        self
    }

    /// How many events go into one request. Default: one, as in the reference.
    pub fn batch(mut self, batch: Batch) -> Self {
        self.batch = batch;
        self
    }

    /// Which events the endpoint wants. Default: all.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// How many events may wait or be under way, and how many bytes of memory
    /// they may take. Default: 100,000 events and 128 MiB.
    pub fn queue_limits(mut self, events: usize, bytes: usize) -> Self {
        self.limits = Limits { events, bytes };
        self
    }

    /// What happens when either limit is reached. Default:
    /// [`Overflow::RejectNewest`].
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Where events go that will not be tried again: a
    /// [`DeadLetterFile`](crate::DeadLetterFile), a
    /// [`DeadLetterChannel`](crate::DeadLetterChannel), any
    /// [`Sink`](crate::Sink). Default: they are counted and logged, and lost.
    pub fn dead_letters(mut self, sink: impl DeadLetterSink) -> Self {
        self.dead_letters = Some(Box::new(sink));
        self
    }

    /// Leaves the endpoint out. Default: no.
    pub fn disabled(mut self, disabled: bool) -> Self {
        self.disabled = disabled;
        self
    }

    /// Trusts these certificate authorities too: the content of a PEM file, with
    /// one certificate or more. May be called again. Default: only those that
    /// the system trusts. A receiver's own self-signed certificate does as well,
    /// unless it says that it is an authority (`CA:TRUE`).
    ///
    /// For `https` only.
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.transport.root_certificates.push(pem.into());
        self
    }

    /// Should the certificate authorities that the system trusts be trusted, or
    /// only [`root_certificates`](Self::root_certificates)? On Unix they are
    /// those of OpenSSL, or what `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
    /// Default: yes.
    ///
    /// For `https` only.
    pub fn system_roots(mut self, trust: bool) -> Self {
        self.transport.system_roots = trust;
        self
    }

    /// Shows a certificate to a receiver that asks for one (mutual TLS): the
    /// contents of two PEM files, the certificate followed by those that it was
    /// issued with, and its key (RSA, P-256, P-384 or Ed25519, as PKCS#8, PKCS#1
    /// or SEC1, not encrypted).
    ///
    /// The key is a secret and shown nowhere. For `https` only.
    pub fn client_certificate(
        mut self,
        chain_pem: impl Into<Vec<u8>>,
        key_pem: impl Into<Vec<u8>>,
    ) -> Self {
        self.transport.client_certificate = Some((chain_pem.into(), key_pem.into()));
        self
    }

    /// How long a connection may take: name, TCP and TLS together. It is part of
    /// the attempt's [`timeout`](Self::timeout), which bounds it too. Default: 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.transport.connect_timeout = Some(timeout);
        self
    }

    /// Which addresses may be connected to. Default: all.
    pub fn addresses(mut self, policy: AddressPolicy) -> Self {
        self.transport.addresses = policy;
        self
    }

    /// Wraps the delivery of each request in a layer. Called again, the next
    /// layer goes around those before. They all stand inside of the attempt's
    /// timeout and around the [`client`](Self::client): what they answer is
    /// judged as the receiver's answer, and their error is an error of the
    /// attempt, as is a panic.
    ///
    /// A header for every request, and not more than four requests at a time:
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::{HeaderValue, Request};
    /// use tower::ServiceBuilder;
    /// use tower_registry_notifications::Endpoint;
    ///
    /// let region = HeaderValue::from_static("eu-1");
    /// let layer = ServiceBuilder::new()
    ///     .concurrency_limit(4)
    ///     .map_request(move |mut request: Request<Bytes>| {
    ///         request.headers_mut().insert("x-region", region.clone());
    ///         request
    ///     });
    /// let endpoint = Endpoint::builder("ci", "https://ci.example.com/events").layer(layer);
    /// # let _ = endpoint;
    /// ```
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Delivery> + Send + 'static,
        L::Service: Service<Request<Bytes>, Response = Response<Bytes>, Error: Into<BoxError>>,
        L::Service: Clone + Send + 'static,
        <L::Service as Service<Request<Bytes>>>::Future: Send,
    {
        let wrap = move |delivery| {
            let wrapped = layer.layer(delivery);
            Delivery::new(tower::ServiceExt::map_err(wrapped, Into::into))
        };
        self.layers.push(Box::new(wrap));
        self
    }

    /// Replaces the HTTP client. Timeout, retries and the judgement of the
    /// status stay with the endpoint; redirects must not be followed. Whom to
    /// trust and where to connect is the client's own matter then.
    pub fn client<S, R>(mut self, client: S) -> Self
    where
        S: Service<Request<Bytes>, Response = Response<R>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        self.client = Some(of_client(client));
        self
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn is_disabled(&self) -> bool {
        self.disabled
    }
}

impl fmt::Debug for EndpointBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointBuilder")
            .field("name", &self.name)
            .field("url", &without_user_info(&self.url))
            .field("headers", &self.headers.len())
            .field("encoding", &self.encoding)
            .field("signing_secrets", &self.signing_secrets.len())
            .field("timeout", &self.timeout)
            .field("retry", &self.retry)
            .field("accept_redirects", &self.accept_redirects)
            .field("concurrency", &self.concurrency)
            .field("batch", &self.batch)
            .field("filter", &self.filter)
            .field("limits", &self.limits)
            .field("overflow", &self.overflow)
            .field("dead_letters", &self.dead_letters.is_some())
            .field("disabled", &self.disabled)
            .field("transport", &self.transport)
            .field("layers", &self.layers.len())
            .finish_non_exhaustive()
    }
}
