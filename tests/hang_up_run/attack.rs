//! The requests, and the ways to hang up on them.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::Request;
use http_body_util::Full;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::CLIENTS;
use crate::common::raw::{HangUp, RawConnection, RawRequest, hang_up};
use crate::content::{INDEX, begin_upload, digest, index, push_blob, push_manifest, with_token};

/// Each request has a number in its user agent.
pub(crate) const AGENT: &str = "hang-up/";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    PushManifest,
    FinishUpload,
    Mount,
    DeleteManifest,
    DeleteBlob,
}

pub(crate) const KINDS: [Kind; 5] = [
    Kind::PushManifest,
    Kind::FinishUpload,
    Kind::Mount,
    Kind::DeleteManifest,
    Kind::DeleteBlob,
];

impl Kind {
    pub(crate) fn deletes(self) -> bool {
        matches!(self, Self::DeleteManifest | Self::DeleteBlob)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// HTTP/1.1, and TCP's RST or FIN.
    Tcp(HangUp),
    /// HTTP/2's RST_STREAM; the connection lives on.
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

/// A request that changes the registry, alone in what it changes.
#[derive(Clone, Debug)]
pub(crate) struct Attack {
    pub(crate) number: usize,
    pub(crate) kind: Kind,
    pub(crate) manner: Manner,
    request: RawRequest,
    /// What a HEAD finds if it was pushed or mounted, or was not deleted.
    pub(crate) trace: String,
}

/// The blob in the repository `source` that is mounted elsewhere: content and
/// digest.
pub(crate) fn source() -> (&'static str, String) {
    ("mounted everywhere", digest("mounted everywhere"))
}

/// Puts into the registry, past the proxy, what the requests need.
pub(crate) async fn prepare(direct: u16, count: usize) -> Vec<Attack> {
    let mut connection = RawConnection::open(direct).await;
    push_blob(&mut connection, "source", source().0).await;
    let attacks = futures_util::stream::iter(0..count).map(|number| async move {
        let mut connection = RawConnection::open(direct).await;
        attack(&mut connection, number).await
    });
    attacks.buffered(CLIENTS).collect().await
}

async fn attack(direct: &mut RawConnection, number: usize) -> Attack {
    let kind = KINDS[number % KINDS.len()];
    let content = format!("content {number}");
    let (request, trace) = match kind {
        Kind::PushManifest => {
            let path = format!("/v2/pushed/manifests/t{number}");
            let push = RawRequest::new("PUT", &path).header("Content-Type", INDEX);
            (push.body(index(&content)), path)
        }
        Kind::FinishUpload => {
            let (upload, digest) = (begin_upload(direct, "uploaded").await, digest(&content));
            let put = RawRequest::new("PUT", format!("{upload}&digest={digest}"));
            (put.body(content), format!("/v2/uploaded/blobs/{digest}"))
        }
        Kind::Mount => {
            let (_, digest) = source();
            let path = format!("/v2/mounted/m{number}/blobs");
            let query = format!("mount={digest}&from=source");
            let mount = RawRequest::new("POST", format!("{path}/uploads/?{query}"));
            (mount, format!("{path}/{digest}"))
        }
        Kind::DeleteManifest => {
            let content = index(&content);
            let digest = digest(&content);
            assert!(push_manifest(direct, "deleted", &digest, INDEX, content).await);
            let path = format!("/v2/deleted/manifests/{digest}");
            (RawRequest::new("DELETE", &path), path)
        }
        Kind::DeleteBlob => {
            let digest = push_blob(direct, "deleted", &content).await;
            let path = format!("/v2/deleted/blobs/{digest}");
            (RawRequest::new("DELETE", &path), path)
        }
    };
    Attack {
        number,
        kind,
        manner: MANNERS[number / KINDS.len() % MANNERS.len()],
        request: with_token(request, &format!("{AGENT}{number}")),
        trace,
    }
}

/// A client, one request after another.
pub(crate) struct Sender {
    port: u16,
    http2: Option<SendRequest<Full<Bytes>>>,
}

impl Sender {
    pub(crate) fn new(port: u16) -> Self {
        Self { port, http2: None }
    }

    /// Whether the answer came before the client hung up.
    pub(crate) async fn send(&mut self, attack: &Attack, delay: Duration) -> bool {
        let request = &attack.request;
        match attack.manner {
            Manner::Tcp(manner) => hang_up(self.port, request, wait(delay), manner).await,
            Manner::ResetStream => {
                let uri = format!("http://127.0.0.1:{}{}", self.port, request.target);
                let mut http2 = Request::builder().method(&*request.method).uri(uri);
                for (name, value) in &request.headers {
                    http2 = http2.header(name, value);
                }
                let http2 = http2.body(Full::new(request.body.clone())).unwrap();
                let answer = self.http2().await.send_request(http2);
                // To drop the future resets the stream.
                tokio::select! {
                    answer = answer => answer.is_ok(),
                    () = wait(delay) => false,
                }
            }
        }
    }

    /// The connection, or a new one if the server has closed it.
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
