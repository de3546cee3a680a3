//! A hyper server: HTTP/1.1 and HTTP/2, with or without TLS, that ends
//! gracefully.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::util::BoxCloneService;
use tower::{BoxError, ServiceExt as _};
use tower_registry_notifications::layer::PeerAddr;

/// What answers the requests of all connections.
pub(crate) type Service<R> = BoxCloneService<Request<Incoming>, Response<R>, Infallible>;

/// Headers of a request or response. hyper's default of 100 is too few for a
/// registry that names each of the tags that one push has set.
pub(crate) const HEADERS: usize = 1024;
/// Bytes of them, together with the URL.
pub(crate) const HEAD_BYTES: u32 = 256 << 10;

/// How long a client may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long to wait when the system has no room for another connection.
const NO_ROOM: Duration = Duration::from_millis(100);

/// Serves until `stop` resolves. Connections that are open then get `drain` to
/// finish their requests; true if all of them have.
pub(crate) async fn serve<R>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    service: Service<R>,
    stop: impl Future,
    drain: Duration,
) -> bool
where
    R: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let connections = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stop => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (tls, service) = (tls.clone(), service.clone());
                let watcher = connections.watcher();
                tokio::spawn(async move {
                    if let Err(error) = connection(stream, peer, tls, service, watcher).await {
                        tracing::debug!(%peer, error, "connection ended");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(NO_ROOM).await;
            }
        }
    }
    drop(listener);
    timeout(drain, connections.shutdown()).await.is_ok()
}

async fn connection<R>(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    service: Service<R>,
    watcher: Watcher,
) -> Result<(), BoxError>
where
    R: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    stream.set_nodelay(true)?;
    // The layer tells of it in events.
    let service = service.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(PeerAddr(peer));
        request
    });
    match tls {
        None => requests(stream, BoxCloneService::new(service), watcher).await,
        Some(tls) => {
            let stream = timeout(HANDSHAKE, tls.accept(stream)).await??;
            requests(stream, BoxCloneService::new(service), watcher).await
        }
    }
}

async fn requests<R>(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    service: Service<R>,
    watcher: Watcher,
) -> Result<(), BoxError>
where
    R: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    // HTTP/1.1 or HTTP/2, as the client's first bytes say. The timers end
    // connections whose clients never finish a head, or are gone.
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .max_headers(HEADERS)
        .max_buf_size(HEAD_BYTES as usize);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEAD_BYTES)
        .keep_alive_interval(Some(Duration::from_secs(30)));
    let service = TowerToHyperService::new(service);
    let connection = server.serve_connection(TokioIo::new(stream), service);
    watcher.watch(connection.into_owned()).await
}
