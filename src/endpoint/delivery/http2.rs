//! Connections of HTTP/2, which requests share. Each has a task of its own.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::http1::HEAD;
use super::status_line::Watched;

/// The flow-control window of a stream: bytes of a response that may arrive before they
/// are read.
const STREAM: u32 = 64 << 10;
/// How often a connection is pinged, and how long the reply may take. A request that
/// times out closes its HTTP/1.1 connection but not an HTTP/2 one, so a dead connection
/// has to be found in another way.
pub(super) const PING: Duration = Duration::from_secs(10);
pub(super) const PONG: Duration = Duration::from_secs(5);

/// Speaks HTTP/2 on a stream. The connection is closed when the last clone of
/// the sender is dropped.
pub(super) async fn open<T>(stream: TokioIo<Watched<T>>) -> hyper::Result<SendRequest<Full<Bytes>>>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_header_list_size(HEAD as u32)
        .initial_stream_window_size(STREAM)
        .initial_connection_window_size(16 * STREAM)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .keep_alive_while_idle(true)
        .handshake(stream)
        .await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "a connection ended"
            );
        }
    });
    sender.ready().await?;
    Ok(sender)
}
