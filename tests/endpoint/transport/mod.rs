//! How events reach receivers over real sockets: TLS, connections, addresses.

mod connections;
mod responses;
mod tls;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Version};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tower_registry_notifications::endpoint::{Breaker, EndpointStatus};
use tower_registry_notifications::event::{Action, Envelope, Event, SharedEvent};
use tower_registry_notifications::sink::Sink as _;
use tower_registry_notifications::{Endpoint, Notifier};

const MINUTE: Duration = Duration::from_secs(60);

/// A private authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for a name, valid until the end of a year.
    fn issue(&self, name: &str, year: i32) -> Issued {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 12, 31);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Issued { certificate, key }
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots.into()
    }
}

struct Issued {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Issued {
    /// A server with this certificate; it asks for those of `clients`.
    fn server(&self, clients: Option<&Authority>, protocol: &str) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = match clients {
            Some(authority) => {
                let roots = authority.roots();
                WebPkiClientVerifier::builder_with_provider(roots, provider.clone())
                    .build()
                    .unwrap()
            }
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![self.certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![protocol.into()];
        config.into()
    }
}

/// How many bytes an answer has in a header, and how many in its body.
#[derive(Clone, Copy, Default)]
struct Answer(usize, usize);

/// What a receiver does with a connection.
#[derive(Clone)]
enum Behaviour {
    Http(Answer),
    Tls(Arc<ServerConfig>, Answer),
    /// Answers a request with these bytes, and over and over with those.
    Raw(Bytes, Bytes),
    /// Closes the connection after each answer, without a word.
    Close,
}

/// What a receiver saw of a request.
#[derive(Debug)]
struct SeenRequest {
    id: String,
    peer: SocketAddr,
    version: Version,
    /// The client showed a certificate.
    identified: bool,
}

struct Receiver {
    port: u16,
    conduct: watch::Sender<Behaviour>,
    seen: mpsc::UnboundedReceiver<SeenRequest>,
    /// Peers whose connections came to their end.
    ended: mpsc::UnboundedReceiver<SocketAddr>,
}

impl Receiver {
    async fn new(conduct: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, seen) = mpsc::unbounded_channel();
        let (ends, ended) = mpsc::unbounded_channel();
        let (conduct, now) = watch::channel(conduct);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let conduct = now.borrow().clone();
                tokio::spawn(connection(stream, conduct, sender.clone(), ends.clone()));
            }
        });
        Self {
            port,
            conduct,
            seen,
            ended,
        }
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://localhost:{}/events", self.port)
    }

    /// The next requests.
    async fn next(&mut self, n: usize) -> Vec<SeenRequest> {
        let mut seen = Vec::new();
        while seen.len() < n {
            let next = tokio::time::timeout(MINUTE, self.seen.recv());
            seen.push(next.await.expect("nothing came").unwrap());
        }
        seen
    }
}

async fn connection(
    mut stream: TcpStream,
    conduct: Behaviour,
    sender: mpsc::UnboundedSender<SeenRequest>,
    ends: mpsc::UnboundedSender<SocketAddr>,
) {
    let peer = stream.peer_addr().unwrap();
    match conduct {
        Behaviour::Http(answer) => serve(stream, peer, false, answer, sender).await,
        Behaviour::Tls(config, answer) => {
            let acceptor = tokio_rustls::TlsAcceptor::from(config);
            if let Ok(stream) = acceptor.accept(stream).await {
                let identified = stream.get_ref().1.peer_certificates().is_some();
                serve(stream, peer, identified, answer, sender).await;
            }
        }
        Behaviour::Raw(once, ever) => {
            let mut some = [0; 1024];
            let _ = stream.read(&mut some).await;
            let _ = stream.write_all(&once).await;
            while !ever.is_empty() && stream.write_all(&ever).await.is_ok() {}
        }
        Behaviour::Close => {
            let (body, version) = (read(&mut stream).await, Version::HTTP_11);
            let _ = sender.send(seen(&body, peer, version, false));
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            stream.shutdown().await.unwrap();
            // Until the client has closed its side too.
            while stream.read_u8().await.is_ok() {}
        }
    }
    let _ = ends.send(peer);
}

fn seen(body: &[u8], peer: SocketAddr, version: Version, identified: bool) -> SeenRequest {
    let envelope: Envelope = serde_json::from_slice(body).unwrap();
    SeenRequest {
        id: envelope.events[0].id.clone(),
        peer,
        version,
        identified,
    }
}

/// Reads a request by hand; its body.
async fn read(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let (_, length) = head.split_once("Content-Length: ").unwrap();
    let (length, _) = length.split_once('\r').unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    body
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    peer: SocketAddr,
    identified: bool,
    Answer(header, body): Answer,
    sender: mpsc::UnboundedSender<SeenRequest>,
) {
    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        let sender = sender.clone();
        async move {
            let version = request.version();
            let event = request.into_body().collect().await.unwrap().to_bytes();
            // A test that has seen enough hangs up.
            let _ = sender.send(seen(&event, peer, version, identified));
            let mut answer = Response::new(Full::<Bytes>::from(vec![b'x'; body]));
            if header > 0 {
                let value = HeaderValue::try_from("y".repeat(header)).unwrap();
                answer.headers_mut().insert("x-long", value);
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

fn endpoint(url: String) -> Endpoint {
    let endpoint = Endpoint::new("e", url).timeout(MINUTE);
    endpoint.retry(
        Breaker::new()
            .threshold(1)
            .backoff(Duration::from_millis(10)),
    )
}

fn notifier(endpoint: Endpoint) -> Notifier {
    Notifier::builder().endpoint(endpoint).build().unwrap()
}

fn status(notifier: &Notifier) -> EndpointStatus {
    notifier.status().endpoints.remove(0)
}

async fn write(notifier: &Notifier, n: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..n {
        let event = SharedEvent::from(Event::new(Action::Push));
        notifier.sink().write(&event).await.unwrap();
        ids.push(event.id().to_string());
    }
    ids
}

/// Waits until the status is as wanted.
async fn until(notifier: &Notifier, wanted: impl Fn(&EndpointStatus) -> bool) -> EndpointStatus {
    let wait = async {
        loop {
            let status = status(notifier);
            if wanted(&status) {
                break status;
            }
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(MINUTE, wait).await;
    waited.unwrap_or_else(|_| panic!("{:?}", status(notifier)))
}
