//! A hyper server: HTTP/1.1 and HTTP/2, with or without TLS, that bounds what
//! clients can use up and ends gracefully.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
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
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tower::util::BoxCloneService;
use tower::{BoxError, ServiceExt as _};
use tower_registry_notifications::layer::PeerAddr;

use crate::idle::Idle;

/// The service that answers the requests of all connections.
pub type Service<R> = BoxCloneService<Request<Incoming>, Response<R>, Infallible>;

/// The most header fields of a response. hyper's default of 100 is too few for a
/// registry that names each of the tags that one push has set.
pub const HEADERS: usize = 1024;
/// The most header fields of a request. hyper allocates room for all of them for each
/// request.
pub const REQUEST_HEADERS: usize = 256;
/// The most bytes of the header fields and the URL.
pub const HEAD_BYTES: u32 = 256 << 10;

/// How long a client may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long to wait when the system has no room for another connection.
const NO_ROOM: Duration = Duration::from_millis(100);
/// How often the log says that there is no room.
const LOG: Duration = Duration::from_secs(60);

/// The limits of what clients can use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most open connections. Further ones wait to be accepted.
    pub connections: usize,
    /// How long a client may take for the head of a request. Over HTTP/1.1 that
    /// includes the time since the request before.
    pub head: Duration,
    /// How long a connection may be open without a byte in either direction.
    pub idle: Duration,
}

/// The connections that are open when a server has stopped.
pub struct Connections(GracefulShutdown);

impl Connections {
    /// Waits until each connection has finished its requests. Returns `false` if some have not
    /// after `drain`.
    pub async fn end(self, drain: Duration) -> bool {
        timeout(drain, self.0.shutdown()).await.is_ok()
    }
}

/// Serves until `stop` resolves.
pub async fn serve<R>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    service: Service<R>,
    limits: Limits,
    stop: impl Future,
) -> Connections
where
    R: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let connections = GracefulShutdown::new();
    let mut door = Acceptor::new(limits.connections);
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = door.accept(&listener) => accepted,
            _ = &mut stop => break,
        };
        let Some((stream, peer, place)) = accepted else {
            continue;
        };
        let (tls, service) = (tls.clone(), service.clone());
        let watcher = connections.watcher();
        tokio::spawn(async move {
            let served = connection(stream, peer, tls, service, limits, watcher);
            if let Err(error) = served.await {
                tracing::debug!(%peer, error, "connection ended");
            }
            drop(place);
        });
    }
    drop(listener);
    Connections(connections)
}

/// Accepts connections up to a limit.
struct Acceptor {
    places: Arc<Semaphore>,
    limit: usize,
    logged: Option<Instant>,
}

impl Acceptor {
    fn new(limit: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))),
            limit,
            logged: None,
        }
    }

    /// Returns the next connection once there is a place for it, or `None` if the system has no
    /// room for it. No connection is lost if the future is dropped.
    async fn accept(
        &mut self,
        listener: &TcpListener,
    ) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        if self.places.available_permits() == 0 && self.may_log() {
            let limit = self.limit;
            tracing::warn!(
                "{limit} connections are open, as many as --max-connections allows: \
                 new ones wait until one ends"
            );
        }
        let place = self.places.clone().acquire_owned().await.ok()?;
        match listener.accept().await {
            Ok((stream, peer)) => Some((stream, peer, place)),
            Err(error) => {
                if self.may_log() {
                    tracing::warn!(
                        %error,
                        "cannot accept a connection; if too many files are open, \
                         raise the limit (ulimit -n) or lower --max-connections"
                    );
                }
                tokio::time::sleep(NO_ROOM).await;
                None
            }
        }
    }

    fn may_log(&mut self) -> bool {
        let may = self.logged.is_none_or(|at| at.elapsed() >= LOG);
        if may {
            self.logged = Some(Instant::now());
        }
        may
    }
}

async fn connection<R>(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    service: Service<R>,
    limits: Limits,
    watcher: Watcher,
) -> Result<(), BoxError>
where
    R: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    stream.set_nodelay(true)?;
    let stream = Idle::new(stream, limits.head, limits.idle);
    // The layer writes the peer's address into events.
    let service = service.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(PeerAddr(peer));
        request
    });
    let service = BoxCloneService::new(service);
    match tls {
        None => requests(stream, service, limits, watcher).await,
        Some(tls) => {
            let stream = timeout(HANDSHAKE, tls.accept(stream)).await??;
            requests(stream, service, limits, watcher).await
        }
    }
}

async fn requests<R>(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    service: Service<R>,
    limits: Limits,
    watcher: Watcher,
) -> Result<(), BoxError>
where
    R: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    // HTTP/1.1 or HTTP/2, as the client's first bytes say.
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_headers(REQUEST_HEADERS)
        .max_buf_size(HEAD_BYTES as usize)
        // Names are passed on in the case in which they came, for clients that look
        // for one case only. Those that the proxy adds are written as Go does.
        .preserve_header_case(true)
        .title_case_headers(true);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEAD_BYTES);
    let service = TowerToHyperService::new(service);
    let connection = server.serve_connection(TokioIo::new(stream), service);
    watcher.watch(connection.into_owned()).await
}
