//! Serves the page, and bounds what clients can use up of it.

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

/// Connections that are open at a time, so that those of this page never use up the
/// files that the process may open. Others wait.
const CONNECTIONS: usize = 256;
/// How long a client may take for the head of a request, or between two of them.
const HEAD: Duration = Duration::from_secs(30);
/// How long a connection may be open without a byte in either direction. The stream
/// of events sends one every 15 s, unless the page does not read it.
const IDLE: Duration = Duration::from_secs(60);
/// Bytes of a request's head, and of a response that waits to be sent.
const BUFFER: usize = 64 << 10;
/// How long to wait when the system has no room for another connection.
const NO_ROOM: Duration = Duration::from_millis(100);

/// Serves until it is dropped. Connections that are open then go on.
pub(super) async fn serve(listener: TcpListener, router: Router) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = places.clone().acquire_owned().await;
        let place = place.map_err(io::Error::other)?;
        let Ok((stream, _)) = listener.accept().await else {
            sleep(NO_ROOM).await;
            continue;
        };
        let stream = TokioIo::new(Idle::new(stream, HEAD, IDLE));
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            // How a client ends its connection is no news.
            let _ended = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .max_buf_size(BUFFER)
                .serve_connection(stream, service)
                .await;
            drop(place);
        });
    }
}
