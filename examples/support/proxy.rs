//! A reverse proxy before a registry, as a service.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, Scheme, Uri};
use http::{Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower::BoxError;
use tower_registry_notifications::{PeerAddr, RequestBody};

/// Bodies stream through, frame by frame, at the pace of the slower side.
pub(crate) type ProxyBody = http_body_util::combinators::UnsyncBoxBody<Bytes, hyper::Error>;

/// A response under way.
pub(crate) type Forwarded =
    Pin<Box<dyn Future<Output = Result<Response<ProxyBody>, Infallible>> + Send>>;

/// How long the upstream may take to accept a connection. Its answer may take
/// as long as the client waits: uploads are long.
const CONNECT: Duration = Duration::from_secs(10);

/// Forwards requests to one upstream registry.
pub(crate) struct Proxy<B> {
    client: Client<HttpConnector, RequestBody<B>>,
    scheme: Scheme,
    upstream: Authority,
    /// Does a proxy before this one say who the client is?
    trust_forwarded: bool,
}

impl<B> Proxy<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// `upstream` is `http://host:port`.
    pub(crate) fn new(upstream: &str, trust_forwarded: bool) -> Result<Self, BoxError> {
        let parts = upstream.parse::<Uri>()?.into_parts();
        let wrong = || format!("--upstream needs http://host:port, not {upstream}");
        let scheme = parts.scheme.filter(|it| *it == Scheme::HTTP);
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        Ok(Self {
            client: Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .build(connector),
            scheme: scheme.ok_or_else(wrong)?,
            upstream: parts.authority.ok_or_else(wrong)?,
            trust_forwarded,
        })
    }

    /// The upstream's answer, or 502 in the registry's own words.
    pub(crate) fn forward(&self, mut request: Request<RequestBody<B>>) -> Forwarded {
        if let Err(error) = self.readdress(&mut request) {
            let refusal = refusal(StatusCode::BAD_REQUEST, "UNSUPPORTED", &error.to_string());
            return Box::pin(std::future::ready(Ok(refusal)));
        }
        let answer = self.client.request(request);
        Box::pin(async move {
            Ok(match answer.await {
                Ok(mut response) => {
                    hop_by_hop(response.headers_mut());
                    response.map(http_body_util::BodyExt::boxed_unsync)
                }
                Err(error) => {
                    tracing::warn!(%error, "the upstream does not answer");
                    let message = "the registry behind this proxy does not answer";
                    refusal(StatusCode::BAD_GATEWAY, "UNAVAILABLE", message)
                }
            })
        })
    }

    /// Towards the upstream; but the Host stays what the client asked for, so
    /// that the upstream's Location headers lead back through the proxy.
    fn readdress(&self, request: &mut Request<RequestBody<B>>) -> Result<(), BoxError> {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        let asked = parts.authority.take();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.upstream.clone());
        *request.uri_mut() = Uri::from_parts(parts)?;
        *request.version_mut() = Version::HTTP_11;
        let peer = request.extensions().get::<PeerAddr>().map(|peer| peer.0);
        let headers = request.headers_mut();
        hop_by_hop(headers);
        // The server has answered it; the upstream gets the body without asking.
        headers.remove(header::EXPECT);
        if let Some(asked) = asked {
            headers.insert(header::HOST, HeaderValue::from_str(asked.as_str())?);
        }
        forwarded(headers, peer, self.trust_forwarded)
    }
}

/// Says who the client is. What it says of itself counts only behind a proxy
/// that is trusted.
fn forwarded(
    headers: &mut HeaderMap,
    peer: Option<SocketAddr>,
    trusted: bool,
) -> Result<(), BoxError> {
    const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
    const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
    const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
    const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
    if !trusted {
        for name in [FOR, HOST, PROTO, REAL_IP, header::FORWARDED] {
            headers.remove(name);
        }
    }
    if let Some(peer) = peer {
        headers.append(FOR, HeaderValue::from_str(&peer.ip().to_string())?);
    }
    if let Some(host) = headers.get(header::HOST).cloned() {
        headers.entry(HOST).or_insert(host);
    }
    headers
        .entry(PROTO)
        .or_insert(HeaderValue::from_static("http"));
    Ok(())
}

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

/// An error as the distribution spec words it.
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
