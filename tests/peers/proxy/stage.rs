//! A client, the proxy, and a registry that answers as the test says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use examples::proxy::{Proxy, ProxyBody, ProxySettings};
use examples::{serve, tls};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tower::util::BoxCloneService;
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};
use tower_registry_notifications::layer::ResponseBody;
use tower_registry_notifications::sink::{ChannelSink, Events};
use tower_registry_notifications::{NotificationLayer, Notifier, RequestBody, StatBody};

use crate::certificate::Certificate;

pub(crate) const DIGEST: &str =
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
pub(crate) const BLOB: &str =
    "/v2/team/app/blobs/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
pub(crate) const MANIFEST: &str = "/v2/team/app/manifests/v1";
pub(crate) const UPLOAD: &str = "/v2/team/app/blobs/uploads/id";

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// For tests that time does not matter to: the paused clock jumps ahead
/// whenever all tasks wait, for the kernel too.
pub(crate) const FOREVER: Duration = Duration::from_secs(1 << 31);

/// None that a test would notice.
pub(crate) const LIMITS: serve::Limits = serve::Limits {
    connections: 1_000,
    head: FOREVER,
    idle: FOREVER,
};

pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

pub(crate) fn full(content: impl Into<Bytes>) -> Body {
    Full::new(content.into())
        .map_err(BoxError::from)
        .boxed_unsync()
}

/// A registry that answers with `answer`.
pub(crate) async fn upstream<F, A>(tls: Option<TlsAcceptor>, answer: F) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = service_fn(move |request| {
        let answer = answer(request);
        async move { Ok(answer.await) }
    });
    let service = BoxCloneService::new(service);
    let never = std::future::pending::<()>();
    tokio::spawn(serve::serve(listener, tls, service, LIMITS, never));
    address
}

/// Where a proxy before this upstream stands.
pub(crate) fn settings(upstream: &str) -> ProxySettings<'_> {
    ProxySettings {
        upstream,
        upstream_ca: None,
        timeout: PATIENCE,
        https: false,
        trust_forwarded: false,
    }
}

/// The proxy with the layer.
pub(crate) fn service(
    settings: &ProxySettings<'_>,
) -> (serve::Service<ResponseBody<ProxyBody>>, Events) {
    let (sink, events) = ChannelSink::new(1000);
    let notifier = Notifier::builder().sink(sink).build().unwrap();
    let proxy = Arc::new(Proxy::new(settings).unwrap());
    let registry = proxy.clone();
    let stat = service_fn(move |request: Request<StatBody>| {
        registry.forward(request.map(|_| RequestBody::empty()))
    });
    let layer = NotificationLayer::new(notifier).https(settings.https);
    let layer = layer.stat_with(stat);
    let service = layer.layer(service_fn(move |request| proxy.forward(request)));
    let service = service.map_request(examples::proxy::end_to_end);
    (BoxCloneService::new(service), events)
}

pub(crate) async fn proxy(
    settings: &ProxySettings<'_>,
    tls: Option<TlsAcceptor>,
) -> (SocketAddr, Events) {
    let (service, events) = service(settings);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let never = std::future::pending::<()>();
    tokio::spawn(serve::serve(listener, tls, service, LIMITS, never));
    (address, events)
}

/// Before an upstream without TLS that answers with `answer`.
pub(crate) async fn before<F, A>(timeout: Duration, answer: F) -> (SocketAddr, Events)
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = Response<Body>> + Send + 'static,
{
    let upstream = format!("http://{}", upstream(None, answer).await);
    let settings = ProxySettings {
        timeout,
        ..settings(&upstream)
    };
    proxy(&settings, None).await
}

pub(crate) type TestClient = Client<HttpsConnector<HttpConnector>, Body>;

/// A client that trusts `certificate`.
pub(crate) fn client(certificate: Option<&Certificate>, only_http2: bool) -> TestClient {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    let authorities = certificate.map(|it| it.certificate.as_path());
    Client::builder(TokioExecutor::new())
        .http2_only(only_http2)
        .http1_max_headers(serve::HEADERS)
        .http2_max_header_list_size(serve::HEAD_BYTES)
        .build(tls::connector(authorities, tcp).unwrap())
}

/// Sends a request of HTTP/1.1 and reads the answer.
pub(crate) async fn send(request: Request<Body>) -> Response<Bytes> {
    read(client(None, false).request(request).await.unwrap()).await
}

pub(crate) async fn read(response: Response<Incoming>) -> Response<Bytes> {
    let (head, body) = response.into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Request<Body> {
    let request = Request::get(format!("http://{address}{path}"));
    request.body(full("")).unwrap()
}
