//! HTTP and SOCKS proxies between endpoints and receivers: [`Proxies`].

use std::fmt;
use std::sync::Arc;

use http::uri::Scheme;
use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use tower::{BoxError, Service, ServiceExt as _, service_fn};

use super::address::AddressPolicy;
use super::no_proxy::NoProxy;
use super::proxy_url::canonical;
use super::tls;

/// A connection to a receiver or to a proxy. The connection to a proxy may be over TLS.
pub(super) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// An open connection to a receiver, directly or through a proxy.
pub(super) struct Route {
    pub(super) stream: Stream,
    /// Whether a proxy forwards each request, so that the request line must contain the
    /// whole URL. `false` for a tunnel and for SOCKS.
    pub(super) is_proxied: bool,
}

/// The proxies from `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`. The upper-case name takes
/// precedence over the lower-case one.
///
/// The variables are interpreted like in Go's `net/http`, which the reference uses for its
/// deliveries. Without proxies, all requests go directly to the receiver.
#[derive(Clone, Default)]
pub(super) struct Proxies(Option<Arc<Variables>>);

struct Variables {
    proxies: Matcher,
    /// The schemes of receivers whose proxy has an invalid URL.
    unusable: Vec<Scheme>,
    /// Receivers that are reached without a proxy.
    direct: NoProxy,
}

impl Proxies {
    /// Reads the proxies from the environment of the process.
    pub(super) fn from_env() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    /// Reads the proxies from `variable`, which returns the value of a variable by its name.
    pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let either = |upper: &str| {
            let value = variable(upper).or_else(|| variable(&upper.to_lowercase()));
            value.unwrap_or_default()
        };
        // In a CGI process, HTTP_PROXY is the `Proxy` header of the client ("httpoxy"), so
        // it must not decide where deliveries go.
        let http = match variable("REQUEST_METHOD") {
            Some(_) => String::new(),
            None => either("HTTP_PROXY"),
        };
        let https = either("HTTPS_PROXY");
        if http.is_empty() && https.is_empty() {
            return Self::default();
        }
        let mut unusable = Vec::new();
        let mut usable = |value: String, scheme: Scheme| {
            let url = canonical(&value);
            if url.is_none() && !value.is_empty() {
                unusable.push(scheme);
            }
            url.unwrap_or_default()
        };
        let (http, https) = (usable(http, Scheme::HTTP), usable(https, Scheme::HTTPS));
        Self(Some(Arc::new(Variables {
            proxies: Matcher::builder().http(http).https(https).build(),
            unusable,
            direct: NoProxy::parse(&either("NO_PROXY")),
        })))
    }

    /// Returns the proxy for `url`, or `None` if it is reached directly. Loopback addresses
    /// and `localhost` are always reached directly.
    pub(super) fn intercept(&self, url: &Uri) -> Option<Proxy> {
        self.of(url)?.proxies.intercept(url).map(Proxy)
    }

    /// Returns the name of the variable for `url` if its value is not a valid proxy. Go
    /// ignores such a value and delivers directly, which the operator would not notice.
    pub(super) fn unusable(&self, url: &Uri) -> Option<&'static str> {
        let scheme = url.scheme()?;
        let is_unusable = self.of(url)?.unusable.contains(scheme);
        let is_tls = *scheme == Scheme::HTTPS;
        is_unusable.then_some(if is_tls { "HTTPS_PROXY" } else { "HTTP_PROXY" })
    }

    /// Returns the variables, or `None` if `url` is reached without a proxy.
    fn of(&self, url: &Uri) -> Option<&Variables> {
        let variables = self.0.as_deref()?;
        let is_tls = url.scheme() == Some(&Scheme::HTTPS);
        let port = url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let is_direct = variables.direct.matches(url.host()?, port);
        (!is_direct).then_some(variables)
    }

    /// Returns the `Proxy-Authorization` of each request for `url`, if the proxy forwards
    /// requests and has credentials.
    pub(super) fn authorization(&self, url: &Uri) -> Option<HeaderValue> {
        // For a tunnel, the CONNECT request has it already.
        let proxy = self.intercept(url).filter(|it| it.passes_on(url))?;
        proxy.0.basic_auth().cloned()
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Proxies").field(&self.0.is_some()).finish()
    }
}

/// A proxy for one URL.
#[derive(Clone)]
pub(super) struct Proxy(Intercept);

impl Proxy {
    pub(super) fn url(&self) -> &Uri {
        self.0.uri()
    }

    pub(super) fn is_tls(&self) -> bool {
        self.url().scheme() == Some(&Scheme::HTTPS)
    }

    fn is_socks(&self) -> bool {
        matches!(self.url().scheme_str(), Some("socks5" | "socks5h"))
    }

    /// Whether the proxy reads and forwards the requests for `url`, instead of opening a
    /// tunnel.
    fn passes_on(&self, url: &Uri) -> bool {
        !self.is_socks() && url.scheme() != Some(&Scheme::HTTPS)
    }

    /// Returns host and port, without credentials.
    fn shown(&self) -> String {
        let authority = self.url().authority();
        authority.map(ToString::to_string).unwrap_or_default()
    }
}

/// Returns a service that connects to receivers, through a proxy where `proxies` has one.
///
/// `tcp` checks the address that it connects to, which is the proxy's if there is a proxy.
/// A URL whose host is an IP address is checked in both cases. `tls` is used for the
/// connection to `https` proxies.
pub(super) fn routed<C>(
    tcp: C,
    proxies: Proxies,
    addresses: Arc<AddressPolicy>,
    tls: Option<Arc<ClientConfig>>,
) -> impl Service<Uri, Response = Route, Error = BoxError, Future: Send> + Clone + Send + Sync + 'static
where
    C: Service<Uri, Response = TokioIo<TcpStream>, Error = BoxError, Future: Send>,
    C: Clone + Send + Sync + 'static,
{
    let tls = tls.map(TlsConnector::from);
    service_fn(move |url: Uri| {
        let (tcp, tls, addresses) = (tcp.clone(), tls.clone(), addresses.clone());
        let proxy = proxies.intercept(&url);
        async move {
            let Some(proxy) = proxy else {
                let stream = Either::Left(tcp.oneshot(url).await?.into_inner());
                let is_proxied = false;
                return Ok(Route { stream, is_proxied });
            };
            addresses.check(&url)?;
            let is_proxied = proxy.passes_on(&url);
            let stream = through(tcp, tls, &proxy, url).await.map_err(|cause| {
                let proxy = proxy.shown();
                BoxError::from(ProxyFailure { proxy, cause })
            })?;
            Ok(Route { stream, is_proxied })
        }
    })
}

/// Opens a connection to the host of `url` through `proxy`.
async fn through<C>(
    tcp: C,
    tls: Option<TlsConnector>,
    proxy: &Proxy,
    url: Uri,
) -> Result<Stream, BoxError>
where
    C: Service<Uri, Response = TokioIo<TcpStream>, Error = BoxError, Future: Send>,
    C: Clone + Send + Sync + 'static,
{
    let hop = service_fn(move |proxy: Uri| hop(tcp.clone(), tls.clone(), proxy));
    let stream = if proxy.is_socks() {
        let mut socks = SocksV5::new(with_port(proxy.url(), 1080)?, hop);
        if let Some((user, password)) = proxy.0.raw_auth() {
            socks = socks.with_auth(user.into(), password.into());
        }
        socks.oneshot(url).await?
    } else if proxy.passes_on(&url) {
        hop.oneshot(proxy.url().clone()).await?
    } else {
        let mut tunnel = Tunnel::new(proxy.url().clone(), hop);
        if let Some(authorization) = proxy.0.basic_auth() {
            tunnel = tunnel.with_auth(authorization.clone());
        }
        tunnel.oneshot(url).await?
    };
    Ok(stream.into_inner())
}

/// Connects to the proxy itself.
async fn hop<C>(tcp: C, tls: Option<TlsConnector>, proxy: Uri) -> Result<TokioIo<Stream>, BoxError>
where
    C: Service<Uri, Response = TokioIo<TcpStream>, Error = BoxError>,
{
    if proxy.scheme() != Some(&Scheme::HTTPS) {
        let stream = tcp.oneshot(proxy).await?.into_inner();
        return Ok(TokioIo::new(Either::Left(stream)));
    }
    let tls = tls.ok_or("the proxy needs TLS")?;
    let name = tls::server_name(proxy.host().unwrap_or_default())?.to_owned();
    let stream = tcp.oneshot(proxy).await?.into_inner();
    let stream = tls.connect(name, stream).await?;
    Ok(TokioIo::new(Either::Right(Box::new(stream))))
}

fn with_port(url: &Uri, port: u16) -> Result<Uri, BoxError> {
    match (url.port(), url.host()) {
        (None, Some(host)) => {
            let mut parts = url.clone().into_parts();
            parts.authority = Some(format!("{host}:{port}").parse()?);
            Ok(Uri::from_parts(parts)?)
        }
        _ => Ok(url.clone()),
    }
}

/// An error of a connection through a proxy. It names the proxy, because the operator may
/// not know that the variable is set.
#[derive(Debug)]
struct ProxyFailure {
    proxy: String,
    cause: BoxError,
}

impl fmt::Display for ProxyFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "through the proxy {}", self.proxy)
    }
}

impl std::error::Error for ProxyFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        let value = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Proxies::read(value)
    }

    /// Returns the proxy for a URL, and the `Proxy-Authorization` of each request.
    fn found(variables: &[(&str, &str)], url: &str) -> Option<(String, Option<String>)> {
        let (proxies, url) = (proxies(variables), url.parse().unwrap());
        let authorization = proxies.authorization(&url);
        let authorization = authorization.map(|it| it.to_str().unwrap().to_owned());
        let proxy = proxies.intercept(&url)?;
        Some((proxy.url().to_string(), authorization))
    }

    #[test]
    fn the_variables_of_proxies_are_read_as_go_reads_them() {
        const RECEIVER: &str = "http://receiver.example.com/events";
        let proxy = |url: &str| Some((url.to_owned(), None));
        for (variables, url, wanted) in [
            (&[][..], RECEIVER, None),
            (
                &[("HTTP_PROXY", "http://p:3128")],
                RECEIVER,
                proxy("http://p:3128/"),
            ),
            (
                &[("http_proxy", "p:3128")],
                RECEIVER,
                proxy("http://p:3128/"),
            ),
            (
                &[("HTTP_PROXY", ""), ("http_proxy", "p")],
                RECEIVER,
                proxy("http://p/"),
            ),
            (
                &[("HTTP_PROXY", "a"), ("http_proxy", "b")],
                RECEIVER,
                proxy("http://a/"),
            ),
            (&[("HTTPS_PROXY", "p")], RECEIVER, None),
            (
                &[("HTTPS_PROXY", "p")],
                "https://receiver.example.com",
                proxy("http://p/"),
            ),
            (&[("HTTP_PROXY", "p")], "https://receiver.example.com", None),
            // curl reads it, Go does not.
            (&[("ALL_PROXY", "p")], RECEIVER, None),
            (
                &[("HTTP_PROXY", "p"), ("REQUEST_METHOD", "GET")],
                RECEIVER,
                None,
            ),
            (
                &[("HTTP_PROXY", "socks5://p")],
                RECEIVER,
                proxy("socks5://p/"),
            ),
            (
                &[("HTTP_PROXY", "p"), ("NO_PROXY", "example.com")],
                RECEIVER,
                None,
            ),
            (
                &[("HTTP_PROXY", "p"), ("no_proxy", "example.com:80")],
                RECEIVER,
                None,
            ),
            (
                &[("HTTP_PROXY", "p"), ("NO_PROXY", ".receiver.example.com")],
                RECEIVER,
                proxy("http://p/"),
            ),
            (&[("HTTP_PROXY", "p")], "http://localhost:8080/", None),
            (&[("HTTP_PROXY", "p")], "http://127.0.0.1:8080/", None),
            (&[("HTTP_PROXY", "p")], "http://[::1]:8080/", None),
            (
                &[("HTTP_PROXY", "http://me:hu%73h@p")],
                RECEIVER,
                Some(("http://p/".into(), Some("Basic bWU6aHVzaA==".into()))),
            ),
            // A password may have an `@` in it.
            (
                &[("HTTP_PROXY", "me:hu@sh@p:1/")],
                RECEIVER,
                Some(("http://p:1/".into(), Some("Basic bWU6aHVAc2g=".into()))),
            ),
            // A tunnel gets them with CONNECT, and SOCKS in its handshake.
            (
                &[("HTTPS_PROXY", "http://me:hush@p")],
                "https://r",
                proxy("http://p/"),
            ),
            (
                &[("HTTP_PROXY", "socks5://me:hush@p")],
                RECEIVER,
                proxy("socks5://p/"),
            ),
        ] {
            assert_eq!(found(variables, url), wanted, "{variables:?} {url}");
        }
    }

    #[test]
    fn credentials_of_proxies_are_not_shown() {
        for url in ["http://me:hush@p:1", "me:a@hush@p:1", "me:hush%40@p:1"] {
            let proxies = proxies(&[("HTTP_PROXY", url)]);
            assert!(!format!("{proxies:?}").contains("hush"));
            let proxy = proxies.intercept(&"http://r".parse().unwrap()).unwrap();
            assert_eq!(proxy.shown(), "p:1", "{url}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_noticed_where_it_would_be_used() {
        for (name, value, url, unusable) in [
            ("HTTP_PROXY", "socks4://p", "http://r", Some("HTTP_PROXY")),
            ("https_proxy", "p:port", "https://r", Some("HTTPS_PROXY")),
            ("HTTP_PROXY", "socks4://p", "https://r", None),
            ("HTTP_PROXY", "socks4://p", "http://localhost", None),
            ("HTTP_PROXY", "p", "http://r", None),
            ("HTTP_PROXY", "", "http://r", None),
        ] {
            let proxies = proxies(&[(name, value)]);
            let url = url.parse().unwrap();
            assert_eq!(proxies.unusable(&url), unusable, "{name}={value} {url}");
        }
    }
}
