//! A reverse proxy in front of a registry, as a service.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, Scheme, Uri};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower::BoxError;
use tower_registry_notifications::layer::{PeerAddr, ResponseFacts};

use crate::pace::{Pace, Paced};
use crate::serve::{HEAD_BYTES, HEADERS};
use crate::tls;

/// A response body, which is streamed frame by frame at the pace of the slower side.
pub type ProxyBody = UnsyncBoxBody<Bytes, hyper::Error>;

/// The future of a response.
pub type Forwarded = Pin<Box<dyn Future<Output = Result<Response<ProxyBody>, Infallible>> + Send>>;

/// How long the upstream may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// The settings of a proxy, for clients and for the registry.
#[derive(Clone, Debug)]
pub struct ProxySettings<'a> {
    /// The registry, `http://host:port` or `https://host:port`.
    pub upstream: &'a str,
    /// The file with the root certificates for an `https` upstream, as PEM. Without it,
    /// those of the system are used.
    pub upstream_ca: Option<&'a Path>,
    /// How long the upstream may take to respond once it has the request, and between
    /// two reads of a request body.
    pub timeout: Duration,
    /// Whether the proxy itself speaks TLS to clients.
    pub https: bool,
    /// Whether the forwarding headers of requests are trusted, because a proxy in front of
    /// this one sets them.
    pub trust_forwarded: bool,
}

/// Forwards requests to one upstream registry.
pub struct Proxy<B> {
    client: Client<HttpsConnector<HttpConnector>, Paced<B>>,
    scheme: Scheme,
    upstream: Authority,
    timeout: Duration,
    https: bool,
    trust_forwarded: bool,
}

impl<B> Proxy<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    pub fn new(settings: &ProxySettings<'_>) -> Result<Self, BoxError> {
        let upstream = settings.upstream;
        if upstream.contains('@') {
            let message = "--upstream takes no user and password: those of clients pass through";
            return Err(message.into());
        }
        // The wrong value is not shown: it may have a password in it.
        let wrong = || "--upstream needs http(s)://host:port, and no path (see --prefix)";
        let parts = upstream.parse::<Uri>().map_err(|_| wrong())?.into_parts();
        let known = |it: &Scheme| *it == Scheme::HTTP || *it == Scheme::HTTPS;
        let path = parts.path_and_query.filter(|path| *path != "/");
        let authority = parts.authority.ok_or_else(wrong)?;
        let port = authority.as_str().strip_prefix(authority.host());
        let has_valid_port = port == Some("") || authority.port_u16().is_some();
        if path.is_some() || authority.host().is_empty() || !has_valid_port {
            return Err(wrong().into());
        }
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(CONNECT));
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        Ok(Self {
            client: Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .http1_max_headers(HEADERS)
                .http1_max_buf_size(HEAD_BYTES as usize)
                .http1_preserve_header_case(true)
                .http1_title_case_headers(true)
                .http2_adaptive_window(true)
                .http2_max_header_list_size(HEAD_BYTES)
                .build(tls::connector(settings.upstream_ca, tcp)?),
            scheme: parts.scheme.filter(known).ok_or_else(wrong)?,
            upstream: authority,
            timeout: settings.timeout,
            https: settings.https,
            trust_forwarded: settings.trust_forwarded,
        })
    }

    /// Returns the upstream's response, or else 502 or 504 in the form of the
    /// distribution spec.
    pub fn forward(&self, request: Request<B>) -> Forwarded {
        let (mut parts, body) = request.into_parts();
        if let Err(error) = self.rewrite_request(&mut parts) {
            let refusal = refusal(StatusCode::BAD_REQUEST, "UNSUPPORTED", &error.to_string());
            return Box::pin(std::future::ready(Ok(refusal)));
        }
        let requested = parts.headers.get(FORWARDED_HOST).cloned();
        let requested = requested.zip(parts.headers.get(FORWARDED_PROTO).cloned());
        let (pace, timeout) = (Pace::new(), self.timeout);
        let reads = matches!(parts.method, Method::GET | Method::HEAD);
        let request = Request::from_parts(parts, Paced::new(body, pace.clone()));
        let answer = self.client.request(request);
        let upstream = self.upstream.clone();
        Box::pin(async move {
            let answer = tokio::select! {
                answer = answer => answer,
                sent = pace.exceeded(timeout) => {
                    tracing::warn!(?timeout, "the upstream does not answer in time");
                    let message = "the registry behind this proxy does not answer in time";
                    let refusal = refusal(StatusCode::GATEWAY_TIMEOUT, "UNAVAILABLE", message);
                    return Ok(lost(refusal, sent && !reads));
                }
            };
            Ok(match answer {
                Ok(mut response) => {
                    // The server sets the version that its client speaks.
                    *response.version_mut() = Version::HTTP_11;
                    let headers = response.headers_mut();
                    hop_by_hop(headers);
                    rewrite_location(headers, &upstream, requested.as_ref());
                    response.map(http_body_util::BodyExt::boxed_unsync)
                }
                Err(error) => {
                    let chain = &error as &(dyn std::error::Error + 'static);
                    if is_of_client(chain) {
                        tracing::debug!(error = chain, "a client gave up its request");
                    } else {
                        tracing::warn!(error = chain, "the upstream does not answer");
                    }
                    let message = "the registry behind this proxy does not answer";
                    let refusal = refusal(StatusCode::BAD_GATEWAY, "UNAVAILABLE", message);
                    lost(refusal, !error.is_connect() && !reads)
                }
            })
        })
    }

    /// Rewrites the URL and the headers of a request for the upstream.
    ///
    /// Over HTTP, `Host` remains that of the client, so that URLs which the upstream
    /// makes of it lead back through the proxy. Over HTTPS, it is the name in the
    /// upstream's certificate, because a server may have many.
    fn rewrite_request(&self, parts: &mut http::request::Parts) -> Result<(), BoxError> {
        let mut uri = std::mem::take(&mut parts.uri).into_parts();
        let requested = uri.authority.replace(self.upstream.clone());
        uri.scheme = Some(self.scheme.clone());
        parts.uri = Uri::from_parts(uri)?;
        let via = match std::mem::replace(&mut parts.version, Version::HTTP_11) {
            Version::HTTP_2 => "2.0 tower-registry-notifications",
            Version::HTTP_10 => "1.0 tower-registry-notifications",
            _ => "1.1 tower-registry-notifications",
        };
        let peer = parts.extensions.get::<PeerAddr>().map(|peer| peer.0);
        let headers = &mut parts.headers;
        // `end_to_end` has done this already if the proxy uses it.
        hop_by_hop(headers);
        // The server answers it; the upstream gets the body without asking.
        headers.remove(header::EXPECT);
        headers.append(header::VIA, HeaderValue::from_static(via));
        if let Some(requested) = requested {
            headers.insert(header::HOST, HeaderValue::from_str(requested.as_str())?);
        }
        self.set_forwarded_headers(headers, peer)?;
        if self.scheme == Scheme::HTTPS {
            headers.remove(header::HOST);
        }
        Ok(())
    }

    /// Sets the forwarding headers from the connection. Those of the client are kept only
    /// behind a trusted proxy.
    fn set_forwarded_headers(
        &self,
        headers: &mut HeaderMap,
        peer: Option<SocketAddr>,
    ) -> Result<(), BoxError> {
        if !self.trust_forwarded {
            for name in [
                FORWARDED_FOR,
                FORWARDED_HOST,
                FORWARDED_PROTO,
                REAL_IP,
                header::FORWARDED,
            ] {
                headers.remove(name);
            }
        }
        if let Some(peer) = peer {
            // A dual-stack socket has IPv4 addresses as IPv6.
            let address = peer.ip().to_canonical().to_string();
            let address = HeaderValue::from_str(&address)?;
            headers.append(FORWARDED_FOR, address);
        }
        if let Some(host) = headers.get(header::HOST).cloned() {
            headers.entry(FORWARDED_HOST).or_insert(host);
        }
        let scheme = if self.https { "https" } else { "http" };
        let scheme = HeaderValue::from_static(scheme);
        headers.entry(FORWARDED_PROTO).or_insert(scheme);
        Ok(())
    }
}

/// Rewrites a `Location` at the upstream's own address to lead through the proxy. One that
/// leads elsewhere, such as to a storage, stays.
fn rewrite_location(
    headers: &mut HeaderMap,
    upstream: &Authority,
    requested: Option<&(HeaderValue, HeaderValue)>,
) {
    let location = headers
        .get(header::LOCATION)
        .and_then(|it| it.to_str().ok());
    let location = location.and_then(|it| it.parse::<Uri>().ok());
    let (Some(location), Some((host, proto))) = (location, requested) else {
        return;
    };
    // Each proxy in front of this one may have appended the host that it was asked for.
    let first = |list: &HeaderValue| {
        let first = list.as_bytes().split(|byte| *byte == b',').next();
        first.unwrap_or_default().trim_ascii().to_vec()
    };
    let path = location.path_and_query().map_or("/", |path| path.as_str());
    let back = [&*first(proto), b"://", &first(host), path.as_bytes()].concat();
    if location.authority() == Some(upstream)
        && let Ok(back) = HeaderValue::from_bytes(&back)
    {
        headers.insert(header::LOCATION, back);
    }
}

/// Removes the headers that concern only the client's connection. It runs outside the
/// layer, so that the layer sees the same headers as the upstream: if a client sends
/// `Connection: Authorization`, neither gets its name.
pub fn end_to_end<B>(mut request: Request<B>) -> Request<B> {
    hop_by_hop(request.headers_mut());
    request
}

/// Tells the layer whether the registry may have acted although its response was lost.
fn lost(mut refusal: Response<ProxyBody>, may_have_acted: bool) -> Response<ProxyBody> {
    refusal.extensions_mut().insert(NoAnswer);
    let facts = ResponseFacts::new().outcome_unknown(may_have_acted);
    refusal.extensions_mut().insert(facts);
    refusal
}

/// Marks a response that is the proxy's own because the upstream gave none.
#[derive(Clone)]
pub struct NoAnswer;

/// Removes what concerns one connection only (RFC 9110, section 7.6.1).
fn hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
    ] {
        headers.remove(name);
    }
}

/// Returns an error response in the form of the distribution spec.
fn refusal(status: StatusCode, code: &str, message: &str) -> Response<ProxyBody> {
    let error =
        format!(r#"{{"errors":[{{"code":"{code}","message":"{message}","detail":null}}]}}"#);
    let body = Full::new(Bytes::from(error)).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// Whether a request failed because its own body did, as when its client hangs
/// up. Any client can cause that, so it is no warning.
fn is_of_client(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(|cause| {
        cause
            .downcast_ref::<hyper::Error>()
            .is_some_and(hyper::Error::is_user)
    })
}
