//! The HTTP client's side of a delivery.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower::util::BoxCloneService;
use tower::{BoxError, Service, ServiceExt as _};

/// Delivers a request; answers with its status when the answer was read.
pub(crate) type Delivery = BoxCloneService<Request<Bytes>, StatusCode, BoxError>;

/// So much of an answer is read, so that the connection can be used again.
const ANSWER_LIMIT: usize = 64 << 10;
/// And for so long.
const DRAIN: Duration = Duration::from_millis(100);
/// How long a connection stays open without use.
const IDLE: Duration = Duration::from_secs(90);

/// Makes a delivery of any client.
pub(crate) fn of_client<S, R>(client: S) -> Delivery
where
    S: Service<Request<Bytes>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let delivery = client
        .map_err(Into::into)
        .and_then(async |response: Response<R>| {
            let (head, body) = response.into_parts();
            // The status is the answer; the rest is read for the connection's sake.
            let _unread = tokio::time::timeout(DRAIN, drain(body)).await;
            Ok(head.status)
        });
    BoxCloneService::new(delivery)
}

async fn drain<R: Body<Data = Bytes>>(body: R) {
    let mut body = pin!(body);
    let mut length = 0;
    while let Some(Ok(frame)) = body.as_mut().frame().await {
        length += frame.data_ref().map_or(0, Bytes::len);
        if length > ANSWER_LIMIT {
            break;
        }
    }
}

/// The client for `url`: keep-alive, no redirects, no proxy; over TLS with the
/// system's trusted roots.
pub(crate) fn client(url: &Uri) -> std::io::Result<Delivery> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .pool_idle_timeout(IDLE)
        .pool_timer(TokioTimer::new());
    let whole = |request: Request<Bytes>| request.map(Full::new);
    if url.scheme_str() != Some("https") {
        let client = builder.build::<_, Full<Bytes>>(http);
        return Ok(of_client(client.map_request(whole)));
    }
    let https = HttpsConnectorBuilder::new()
        .with_native_roots()?
        .https_only()
        .enable_http1()
        .enable_http2()
        .wrap_connector(http);
    let client = builder.build::<_, Full<Bytes>>(https);
    Ok(of_client(client.map_request(whole)))
}
