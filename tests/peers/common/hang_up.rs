//! Clients that hang up before they are answered.

// No test uses all of it.
#![allow(dead_code)]

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::common::raw::RawRequest;
use crate::front::MINUTE;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// HTTP/1.1, and TCP's RST or FIN.
    Tcp(HangUp),
    /// HTTP/2's RST_STREAM. The connection stays open.
    ResetStream,
}

pub(crate) const MANNERS: [Manner; 3] = [
    Manner::Tcp(HangUp::Rst),
    Manner::Tcp(HangUp::Fin),
    Manner::ResetStream,
];

impl Manner {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp(HangUp::Rst) => "HTTP/1.1 RST",
            Self::Tcp(HangUp::Fin) => "HTTP/1.1 FIN",
            Self::ResetStream => "HTTP/2 RST_STREAM",
        }
    }
}

/// A client that sends one request after another.
pub(crate) struct Sender {
    port: u16,
    http2: Option<SendRequest<Full<Bytes>>>,
}

impl Sender {
    pub(crate) fn new(port: u16) -> Self {
        Self { port, http2: None }
    }

    /// Sends a request. Returns whether the response came before the client hung up.
    pub(crate) async fn send(
        &mut self,
        request: &RawRequest,
        manner: Manner,
        delay: Duration,
    ) -> bool {
        match manner {
            Manner::Tcp(tcp) => hang_up(self.port, request, wait(delay), tcp).await,
            Manner::ResetStream => {
                let uri = format!("http://127.0.0.1:{}{}", self.port, request.target);
                let mut http2 = Request::builder().method(&*request.method).uri(uri);
                for (name, value) in &request.headers {
                    http2 = http2.header(name, value);
                }
                let http2 = http2.body(Full::new(request.body.clone())).unwrap();
                let answer = self.http2().await.send_request(http2);
                // Dropping the future resets the stream.
                tokio::select! {
                    answer = answer => answer.is_ok(),
                    () = wait(delay) => false,
                }
            }
        }
    }

    /// Returns the connection, or a new one if the server has closed it.
    async fn http2(&mut self) -> &mut SendRequest<Full<Bytes>> {
        let is_open = match &mut self.http2 {
            Some(http2) => http2.ready().await.is_ok(),
            None => false,
        };
        if !is_open {
            let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let io = TokioIo::new(stream);
            let (http2, connection) = handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            self.http2 = Some(http2);
        }
        self.http2.as_mut().unwrap()
    }
}

/// Waits more exactly than tokio's timer, whose steps are milliseconds.
async fn wait(delay: Duration) {
    let sleep = move || std::thread::sleep(delay);
    tokio::task::spawn_blocking(sleep).await.unwrap();
}

/// How a client ends its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HangUp {
    Rst,
    Fin,
}

/// Sends a request over a connection of its own and hangs up after `wait`. Returns whether a
/// response had come by then.
async fn hang_up(
    port: u16,
    request: &RawRequest,
    wait: impl Future<Output = ()>,
    manner: HangUp,
) -> bool {
    let host = format!("127.0.0.1:{port}");
    let mut stream = TcpStream::connect(&host).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(&request.to_bytes(&host)).await.unwrap();
    wait.await;
    let answered = matches!(stream.try_read(&mut [0]), Ok(1));
    match manner {
        // Closing it then sends RST, whether or not there is anything to read.
        HangUp::Rst => stream.set_zero_linger().unwrap(),
        HangUp::Fin => {
            // Closing it with an unread response would send RST.
            let _ = stream.shutdown().await;
            let mut rest = Vec::new();
            let _ = timeout(MINUTE, stream.read_to_end(&mut rest)).await;
        }
    }
    answered
}
