//! Makes connections and reuses them: [`Connections`].
//!
//! The invariant: a request is sent a second time only if none of it was written, so
//! that a receiver never gets events twice because of a stale connection.

use std::sync::Arc;
use std::task::Context;

use bytes::Bytes;
use http::header::{HOST, PROXY_AUTHORIZATION};
use http::uri::Authority;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tower::{BoxError, Service, ServiceExt as _};

use super::http1::{OwnedConnection, Unanswered};
use super::http2;
use super::idle::{Idle, Next, Shared};
use super::origin::Origin;
use super::proxies::Proxies;
use super::response::with_first_bytes;
use super::status_line::Watched;
use super::transport::{Client, Sent};

/// A client that keeps its connections and reuses them. A connection that the
/// receiver closed is replaced. A request of which a part was already written is not
/// repeated here; that is up to the retry policy.
///
/// A connection of HTTP/1.1 belongs to the request that uses it, and is closed if
/// the request is dropped.
pub(super) struct Connections<C, T>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    connector: C,
    proxies: Proxies,
    idle: Idle<T>,
}

impl<C, T> Connections<C, T>
where
    C: Service<Uri, Response = TokioIo<Watched<T>>, Error = BoxError, Future: Send>,
    C: Clone + Send + Sync + 'static,
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    pub(super) fn new(connector: C, proxies: Proxies) -> Self {
        Self {
            connector,
            proxies,
            idle: Idle::new(),
        }
    }

    async fn exchange(
        &self,
        request: Request<Bytes>,
        deadline: Option<Instant>,
    ) -> Result<Response<Bytes>, BoxError> {
        let url = request.uri().clone();
        let mut request = request.map(Full::new);
        if let Some(authorization) = self.proxies.authorization(&url) {
            let headers = request.headers_mut();
            headers.entry(PROXY_AUTHORIZATION).or_insert(authorization);
        }
        loop {
            let idle = self.idle.take(&url);
            let is_new = idle.is_none();
            let connection = match idle {
                Some(connection) => connection,
                None => self.connect(&url).await?,
            };
            let response = match connection {
                Next::Http1(held) => self.exchange_1(held, request, deadline).await,
                Next::Http2(shared) => self.exchange_2(shared, request, deadline).await,
            };
            request = match response {
                Ok(response) => return Ok(response),
                // The receiver has closed the idle connection and none of the request
                // was written, so another connection is tried. Each round takes an
                // idle connection or makes a new one, which ends the loop.
                Err(Unanswered::Unsent(mut unsent, _)) if !is_new => {
                    *unsent.uri_mut() = url.clone();
                    *unsent
                }
                Err(Unanswered::Unsent(_, error) | Unanswered::Failed(error)) => {
                    return Err(error.into());
                }
            };
        }
    }

    async fn exchange_1(
        &self,
        held: Box<OwnedConnection<T>>,
        request: Request<Full<Bytes>>,
        deadline: Option<Instant>,
    ) -> Result<Response<Bytes>, Unanswered> {
        let (response, reusable) = held.exchange(request, deadline).await?;
        if let Some(held) = reusable {
            self.idle.put(held);
        }
        Ok(response)
    }

    async fn exchange_2(
        &self,
        mut shared: Shared,
        mut request: Request<Full<Bytes>>,
        deadline: Option<Instant>,
    ) -> Result<Response<Bytes>, Unanswered> {
        with_configured_host(&mut request);
        // Dropped with the future when the attempt times out.
        let mut unanswered = UnansweredGuard(Some((&self.idle, shared.number)));
        let response = shared.sender.try_send_request(request).await;
        unanswered.0 = None;
        match response {
            Ok(response) => Ok(with_first_bytes(response, deadline).await),
            Err(mut error) => Err(match error.take_message() {
                Some(request) => Unanswered::Unsent(request.into(), error.into_error()),
                None => Unanswered::Failed(error.into_error()),
            }),
        }
    }

    async fn connect(&self, url: &Uri) -> Result<Next<T>, BoxError> {
        let origin = Origin::of(url)?;
        let stream = self.connector.clone().oneshot(origin.url()).await?;
        if stream.inner().is_http2() {
            let sender = http2::open(stream).await?;
            return Ok(Next::Http2(self.idle.share(origin, sender)));
        }
        let held = OwnedConnection::open(stream, origin, self.idle.watcher()).await?;
        Ok(Next::Http1(held))
    }
}

/// Lets a configured `Host` replace the host of the URL. HTTP/2 has the host in the URL,
/// and receivers refuse requests in which the two differ.
fn with_configured_host(request: &mut Request<Full<Bytes>>) {
    let host = request.headers().get(HOST).map(HeaderValue::as_bytes);
    let Some(host) = host.and_then(|it| Authority::try_from(it).ok()) else {
        return;
    };
    let mut parts = request.uri().clone().into_parts();
    parts.authority = Some(host);
    if let Ok(url) = Uri::from_parts(parts) {
        *request.uri_mut() = url;
    }
}

/// Stops sharing a connection of HTTP/2 if it is dropped before the response, which
/// means that the attempt has timed out. Such a connection may still reply to pings
/// but to no request, and every later attempt would be sent on it.
struct UnansweredGuard<'a, T>(Option<(&'a Idle<T>, u64)>)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static;

impl<T> Drop for UnansweredGuard<'_, T>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    fn drop(&mut self) {
        if let Some((idle, number)) = self.0 {
            idle.stop_sharing(number);
        }
    }
}

impl<C, T> Client for Connections<C, T>
where
    C: Service<Uri, Response = TokioIo<Watched<T>>, Error = BoxError, Future: Send>,
    C: Clone + Send + Sync + 'static,
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    fn send(self: Arc<Self>, request: Request<Bytes>, deadline: Option<Instant>) -> Sent {
        Box::pin(async move { self.exchange(request, deadline).await })
    }

    fn poll_idle(&self, cx: &mut Context<'_>) {
        self.idle.poll(cx);
    }
}

#[cfg(test)]
mod tests;
