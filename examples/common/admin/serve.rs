//! Serves the page within limits on connections, time and memory.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::idle::Idle;

/// The most connections that are open at a time, so that the page never uses up the
/// process's file descriptors. Further connections wait to be accepted.
const CONNECTIONS: usize = 256;
/// How long a client may take to send the head of a request, and between two requests.
const HEAD: Duration = Duration::from_secs(30);
/// How long a connection may be open without a byte in either direction. A stream of
/// events sends a comment every 15 s, so this closes it only if the client does not read.
const IDLE: Duration = Duration::from_secs(60);
/// The most bytes of a request's head, and of a response that waits to be sent.
const BUFFER: usize = 64 << 10;
/// How long to wait before accepting again if that has failed, for example because the
/// process has no file descriptors left.
const NO_ROOM: Duration = Duration::from_millis(100);

/// Serves until the future is dropped. Connections that are open then continue.
pub(super) async fn serve(listener: TcpListener, router: Router) -> io::Result<()> {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let permit = permits.clone().acquire_owned().await;
        let permit = permit.map_err(io::Error::other)?;
        let Ok((stream, _)) = listener.accept().await else {
            sleep(NO_ROOM).await;
            continue;
        };
        let stream = TokioIo::new(Idle::new(stream, HEAD, IDLE));
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            // How a connection ends is of no interest: clients come and go.
            let _ended = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .max_buf_size(BUFFER)
                .serve_connection(stream, service)
                .await;
            drop(permit);
        });
    }
}
