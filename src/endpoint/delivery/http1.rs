//! A connection of HTTP/1.1 without a task of its own: [`OwnedConnection`].
//!
//! The task that sends a request polls the connection until the response is there, so
//! that a delivery costs no switch between tasks or threads.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::task::AtomicWaker;
use http::header::HOST;
use http::{Request, Response, Uri, Version};
use http_body_util::Full;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::origin::Origin;
use super::response::with_first_bytes;
use super::status_line::{StatusLine, Watched};

/// The largest head of a response, in bytes. A larger one is an error. Most servers
/// allow an eighth of this.
pub(super) const HEAD: usize = 64 << 10;

/// A connection that no other task polls. Dropping it closes it.
pub(super) struct OwnedConnection<T>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    pub(super) origin: Origin,
    sender: SendRequest<Full<Bytes>>,
    connection: Connection<TokioIo<Watched<T>>, Full<Bytes>>,
    /// Whether requests name the whole URL.
    is_proxied: bool,
    status: StatusLine,
    woken: Arc<IdleWaker>,
}

/// A request without a response.
pub(super) enum Unanswered {
    /// The connection was closed before any of the request was written.
    Unsent(Box<Request<Full<Bytes>>>, hyper::Error),
    Failed(hyper::Error),
}

impl<T> OwnedConnection<T>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    /// Speaks HTTP/1.1 on a stream. `watcher` is woken when the connection has
    /// to be polled while it is idle.
    pub(super) async fn open(
        stream: TokioIo<Watched<T>>,
        origin: Origin,
        watcher: Arc<AtomicWaker>,
    ) -> hyper::Result<Box<Self>> {
        let status = stream.inner().status();
        let is_proxied = stream.inner().is_proxied();
        let (sender, connection) = Builder::new()
            .max_buf_size(HEAD)
            // No `max_headers`: for any limit but its default of 100 fields, hyper
            // allocates room for all of them for each response. Of a head with more
            // fields the status is read nevertheless.
            // As Go writes them: some receivers look for a header in this case only.
            .title_case_headers(true)
            // The status decides, whatever else the head says.
            .ignore_invalid_headers_in_responses(true)
            .allow_spaces_after_header_name_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .handshake(stream)
            .await?;
        let woken = IdleWaker {
            woken: AtomicBool::new(true),
            watcher,
        };
        Ok(Box::new(Self {
            origin,
            sender,
            connection,
            is_proxied,
            status,
            woken: woken.into(),
        }))
    }

    /// Sends a request and reads the response. If the response cannot be parsed
    /// but its status was read, the response is that status, with nothing else.
    /// Returns the connection too if it can be used again.
    pub(super) async fn exchange(
        mut self: Box<Self>,
        request: Request<Full<Bytes>>,
        deadline: Option<Instant>,
    ) -> Result<(Response<Bytes>, Option<Box<Self>>), Unanswered> {
        let request = self.addressed(request);
        let sent = self.sender.try_send_request(request);
        let response = async {
            let response = sent.await?;
            Ok(with_first_bytes(response, deadline).await)
        };
        let (response, ended) = drive(&mut self.connection, response).await;
        let status = self.status.take();
        let mut error: TrySendError<_> = match response {
            Ok(response) if ended => return Ok((response, None)),
            Ok(response) => return Ok((response, self.reusable().await)),
            Err(error) => error,
        };
        match (error.take_message(), status) {
            (Some(request), _) => Err(Unanswered::Unsent(request.into(), error.into_error())),
            (None, Some(status)) => {
                let mut response = Response::default();
                *response.status_mut() = status;
                Ok((response, None))
            }
            (None, None) => Err(Unanswered::Failed(error.into_error())),
        }
    }

    /// Returns the request in the form of HTTP/1.1: with the host as a header, and with
    /// only path and query in the request line unless a proxy reads it.
    fn addressed(&self, mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
        let headers = request.headers_mut().entry(HOST);
        headers.or_insert_with(|| self.origin.host());
        if !self.is_proxied {
            let path = request.uri().path_and_query().cloned();
            *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
        }
        if request.version() > Version::HTTP_11 {
            *request.version_mut() = Version::HTTP_11;
        }
        request
    }

    /// Returns the connection if the last response was read to its end, so that it can
    /// carry another request.
    async fn reusable(mut self: Box<Self>) -> Option<Box<Self>> {
        if !self.sender.is_ready() {
            let ended = std::future::poll_fn(|cx| {
                let ended = self.connection.poll_unpin(cx).is_ready();
                Poll::Ready(ended)
            });
            if ended.await || !self.sender.is_ready() {
                return None;
            }
        }
        self.woken.woken.store(true, Ordering::Relaxed);
        Some(self)
    }

    /// Whether the receiver has closed the connection while it was idle.
    pub(super) fn is_closed(&mut self) -> bool {
        // Only a connection that was woken is polled: there may be many idle ones. The
        // load comes first because a swap is more expensive.
        let woken = &self.woken.woken;
        if !woken.load(Ordering::Relaxed) || !woken.swap(false, Ordering::AcqRel) {
            return false;
        }
        let waker = Waker::from(self.woken.clone());
        let connection = &mut self.connection;
        connection
            .poll_unpin(&mut Context::from_waker(&waker))
            .is_ready()
    }

    /// Closes the connection as TLS demands, with `close_notify`, if that can be written
    /// without waiting.
    pub(super) fn close(self) {
        let Self {
            sender,
            mut connection,
            ..
        } = self;
        drop(sender);
        let _closing = connection.poll_unpin(&mut Context::from_waker(Waker::noop()));
    }
}

/// Polls a connection until the exchange on it has ended. Returns whether the
/// connection has ended as well.
async fn drive<R>(
    connection: &mut (impl Future + Unpin),
    exchange: impl Future<Output = R>,
) -> (R, bool) {
    let (mut exchange, mut ended) = (pin!(exchange), false);
    std::future::poll_fn(|cx| {
        // The connection is polled first because it reads what the exchange waits for.
        // When the connection ends, the exchange resolves too, at least with an error.
        ended = ended || connection.poll_unpin(cx).is_ready();
        exchange.as_mut().poll(cx).map(|response| (response, ended))
    })
    .await
}

/// The waker of an idle connection: notes that the connection must be polled, and wakes
/// the task that polls idle connections.
struct IdleWaker {
    woken: AtomicBool,
    watcher: Arc<AtomicWaker>,
}

impl Wake for IdleWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.watcher.wake();
    }
}
