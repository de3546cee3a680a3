//! How an endpoint connects to its receiver.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::Scheme;
use http::{Request, Uri};
use http_body_util::Full;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tower::{BoxError, Service, ServiceExt as _, service_fn};

use super::address::{AddressPolicy, Denied};
use super::delivery::{Delivery, of_client};
use super::tls;

/// How long a connection stays open without use.
const IDLE: Duration = Duration::from_secs(90);
/// How long to connect at most, unless said otherwise.
const CONNECT: Duration = Duration::from_secs(5);
/// How much of an answer's headers is read before it is an error: the default
/// of most servers, times eight.
const HEADERS: usize = 64 << 10;
/// How much of an answer may come over HTTP/2 before it is asked for.
const STREAM: u32 = 64 << 10;
/// How often an HTTP/2 connection is asked whether it is alive, and how long it
/// may think: a request that times out does not close it, as it would one of
/// HTTP/1.1, so that all attempts would go the way of a dead connection.
const PING: Duration = Duration::from_secs(10);
const PONG: Duration = Duration::from_secs(5);

/// What an endpoint's connections are made of.
pub(crate) struct Transport {
    /// Trusts the system's roots too.
    pub(crate) system_roots: bool,
    /// PEM files.
    pub(crate) root_certificates: Vec<Vec<u8>>,
    /// PEM files: the chain and the key.
    pub(crate) client_certificate: Option<(Vec<u8>, Vec<u8>)>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) addresses: AddressPolicy,
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            system_roots: true,
            root_certificates: Vec::new(),
            client_certificate: None,
            connect_timeout: None,
            addresses: AddressPolicy::allow_all(),
        }
    }
}

/// A setting that makes no sense: no secret is in it.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) field: &'static str,
    pub(crate) value: String,
    pub(crate) remedy: String,
}

impl Wrong {
    pub(super) fn new(field: &'static str, value: &str, remedy: impl Into<String>) -> Self {
        Self {
            field,
            value: value.into(),
            remedy: remedy.into(),
        }
    }
}

impl Transport {
    /// The client for `url`: keep-alive, no redirects, no proxy, HTTP/2 where
    /// a receiver over TLS speaks it. `timeout` is that of a whole attempt.
    pub(crate) fn client(&self, url: &Uri, timeout: Duration) -> Result<Delivery, Wrong> {
        self.client_resolving(url, timeout, GaiResolver::new())
    }

    /// Another client is used instead of this one, which must not have been
    /// configured: a policy that nobody asks is worse than none.
    pub(crate) fn unused(&self) -> Result<(), Wrong> {
        let timeout = self.connect_timeout.map(|_| "connect timeout");
        let addresses = self.addresses != AddressPolicy::allow_all();
        let addresses = addresses.then_some("address policy");
        let Some(field) = self.tls_setting().or(timeout).or(addresses) else {
            return Ok(());
        };
        let remedy = "the endpoint has a client of its own, which is to be configured instead";
        Err(Wrong::new(field, "set", remedy))
    }

    fn client_resolving<R>(
        &self,
        url: &Uri,
        timeout: Duration,
        resolver: R,
    ) -> Result<Delivery, Wrong>
    where
        R: Service<Name, Response: Iterator<Item = SocketAddr> + Send, Error: Into<BoxError>>,
        R: Clone + Send + Sync + 'static,
        R::Future: Send,
    {
        let limit = self.connect_timeout.unwrap_or(CONNECT);
        if limit.is_zero() {
            let remedy = "must be longer than nothing";
            return Err(Wrong::new("connect timeout", "0", remedy));
        }
        let limit = limit.min(timeout);
        let addresses = Arc::new(self.addresses.clone());
        addresses.check(url).map_err(|Denied(host)| {
            let remedy = "it denies this address of the URL: allow its network, or post elsewhere";
            Wrong::new("address policy", &host, remedy)
        })?;
        let mut tcp = HttpConnector::new_with_resolver(allowed(resolver, addresses.clone()));
        tcp.set_nodelay(true);
        // Each address of a name gets its share.
        tcp.set_connect_timeout(Some(limit));
        if url.scheme() == Some(&Scheme::HTTPS) {
            server_name(url)?;
            tcp.enforce_http(false);
            let tls = HttpsConnectorBuilder::new()
                .with_tls_config(tls::config(self)?)
                .https_only()
                .enable_http1()
                .enable_http2()
                .wrap_connector(checked(tcp, addresses));
            return Ok(pooled(within(limit, tls)));
        }
        if let Some(field) = self.tls_setting() {
            let remedy = "nothing is encrypted or authenticated over http: use a URL with https";
            return Err(Wrong::new(field, "set", remedy));
        }
        Ok(pooled(within(limit, checked(tcp, addresses))))
    }

    /// The first setting that only TLS has a use for.
    fn tls_setting(&self) -> Option<&'static str> {
        if !self.root_certificates.is_empty() {
            Some("root certificates")
        } else if self.client_certificate.is_some() {
            Some("client certificate")
        } else {
            (!self.system_roots).then_some("system roots")
        }
    }
}

/// A host that no certificate can name is better known before the first event.
fn server_name(url: &Uri) -> Result<(), Wrong> {
    let host = url.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let wrong = |_| Wrong::new("url", host, "the host must be a DNS name or an address");
    ServerName::try_from(bare).map(drop).map_err(wrong)
}

/// Resolves names to addresses that are allowed. These and no others are
/// connected to: a name is not resolved a second time.
fn allowed<R>(
    resolver: R,
    addresses: Arc<AddressPolicy>,
) -> impl Service<Name, Response = std::vec::IntoIter<SocketAddr>, Error = BoxError, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static
where
    R: Service<Name, Response: Iterator<Item = SocketAddr> + Send, Error: Into<BoxError>>,
    R: Clone + Send + Sync + 'static,
    R::Future: Send,
{
    service_fn(move |name: Name| {
        let (resolver, addresses) = (resolver.clone(), addresses.clone());
        async move {
            let host = name.to_string();
            let found = resolver.oneshot(name).await.map_err(Into::into)?;
            let (allowed, denied): (Vec<_>, Vec<_>) =
                found.partition(|address| addresses.allows(address.ip()));
            if allowed.is_empty() && !denied.is_empty() {
                return Err(BoxError::from(Denied(host)));
            }
            Ok(allowed.into_iter())
        }
    })
}

/// The resolver is not asked about addresses: they are checked before. The
/// URL's was when the client was built, but a layer may have replaced the URL.
fn checked<R>(
    tcp: HttpConnector<R>,
    addresses: Arc<AddressPolicy>,
) -> impl Service<Uri, Response = TokioIo<TcpStream>, Error = BoxError, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static
where
    HttpConnector<R>: Service<Uri, Response = TokioIo<TcpStream>, Error: Into<BoxError>>,
    <HttpConnector<R> as Service<Uri>>::Future: Send,
    R: Clone + Send + Sync + 'static,
{
    service_fn(move |url: Uri| {
        let tcp = tcp.clone();
        let checked = addresses.check(&url);
        async move {
            checked?;
            tcp.oneshot(url).await.map_err(Into::into)
        }
    })
}

/// Bounds the time of a connection: name, TCP and TLS together.
fn within<C>(
    limit: Duration,
    connector: C,
) -> impl Service<Uri, Response = C::Response, Error = BoxError, Future: Send + Unpin>
+ Clone
+ Send
+ Sync
+ 'static
where
    C: Service<Uri, Error = BoxError> + Clone + Send + Sync + 'static,
    C::Future: Send + 'static,
    C::Response: Send + 'static,
{
    connector.map_future(move |connecting| {
        Box::pin(async move {
            let connected = tokio::time::timeout(limit, connecting).await;
            connected.unwrap_or_else(|_| Err(format!("no connection within {limit:?}").into()))
        })
    })
}

/// Keeps connections and uses them again. A connection that the receiver closed
/// is replaced; a request that was already being sent on it is not sent again.
fn pooled<C: Connect + Clone + Send + Sync + 'static>(connector: C) -> Delivery {
    let client = Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .http1_max_buf_size(HEADERS)
        .http2_max_header_list_size(HEADERS as u32)
        .http2_initial_stream_window_size(STREAM)
        .http2_initial_connection_window_size(16 * STREAM)
        .http2_keep_alive_interval(PING)
        .http2_keep_alive_timeout(PONG)
        .http2_keep_alive_while_idle(true)
        .build::<_, Full<Bytes>>(connector);
    of_client(client.map_request(|request: Request<Bytes>| request.map(Full::new)))
}

/// Shows no certificate and no key.
impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("system_roots", &self.system_roots)
            .field("root_certificates", &self.root_certificates.len())
            .field("client_certificate", &self.client_certificate.is_some())
            .field("connect_timeout", &self.connect_timeout)
            .field("addresses", &self.addresses)
            .finish()
    }
}
