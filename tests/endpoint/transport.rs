//! How events reach receivers over real sockets: TLS, connections, addresses.

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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
use tower::{BoxError, ServiceBuilder, service_fn};
use tower_registry_notifications::endpoint::{AddressPolicy, Backoff, Breaker, EndpointStatus};
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
enum Conduct {
    Http(Answer),
    Tls(Arc<ServerConfig>, Answer),
    /// Answers a request with these bytes, and over and over with those.
    Raw(Bytes, Bytes),
    /// Closes the connection after each answer, without a word.
    Close,
}

/// What a receiver saw of a request.
#[derive(Debug)]
struct Seen {
    id: String,
    peer: SocketAddr,
    version: Version,
    /// The client showed a certificate.
    identified: bool,
}

struct Receiver {
    port: u16,
    conduct: watch::Sender<Conduct>,
    seen: mpsc::UnboundedReceiver<Seen>,
    /// Peers whose connections came to their end.
    ended: mpsc::UnboundedReceiver<SocketAddr>,
}

impl Receiver {
    async fn new(conduct: Conduct) -> Self {
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
    async fn next(&mut self, n: usize) -> Vec<Seen> {
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
    conduct: Conduct,
    sender: mpsc::UnboundedSender<Seen>,
    ends: mpsc::UnboundedSender<SocketAddr>,
) {
    let peer = stream.peer_addr().unwrap();
    match conduct {
        Conduct::Http(answer) => serve(stream, peer, false, answer, sender).await,
        Conduct::Tls(config, answer) => {
            let acceptor = tokio_rustls::TlsAcceptor::from(config);
            if let Ok(stream) = acceptor.accept(stream).await {
                let identified = stream.get_ref().1.peer_certificates().is_some();
                serve(stream, peer, identified, answer, sender).await;
            }
        }
        Conduct::Raw(once, ever) => {
            let mut some = [0; 1024];
            let _ = stream.read(&mut some).await;
            let _ = stream.write_all(&once).await;
            while !ever.is_empty() && stream.write_all(&ever).await.is_ok() {}
        }
        Conduct::Close => {
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

fn seen(body: &[u8], peer: SocketAddr, version: Version, identified: bool) -> Seen {
    let envelope: Envelope = serde_json::from_slice(body).unwrap();
    Seen {
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
    sender: mpsc::UnboundedSender<Seen>,
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

#[tokio::test]
async fn private_authority_and_mutual_tls_on_one_connection_of_either_version() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let server = servers.issue("localhost", 4000);
    let client = clients.issue("registry", 4000);
    let other = Authority::new("other").pem();
    for (protocol, version) in [("http/1.1", Version::HTTP_11), ("h2", Version::HTTP_2)] {
        for identified in [true, false] {
            let config = server.server(identified.then_some(&clients), protocol);
            let mut receiver = Receiver::new(Conduct::Tls(config, Answer::default())).await;
            let mut endpoint = endpoint(receiver.url("https"))
                .root_certificates(other.clone())
                .root_certificates(servers.pem())
                // The system's may be there or not.
                .system_roots(identified);
            if identified {
                let chain = client.certificate.pem() + &clients.pem();
                endpoint = endpoint.client_certificate(chain, client.key.serialize_pem());
            }
            let notifier = notifier(endpoint);
            let written = write(&notifier, 100).await;
            let seen = receiver.next(100).await;
            for (id, seen) in written.iter().zip(&seen) {
                assert_eq!(&seen.id, id);
                assert_eq!((seen.version, seen.identified), (version, identified));
            }
            let peer = seen[0].peer;
            assert!(
                seen.iter().all(|it| it.peer == peer),
                "{protocol}: connections"
            );
            assert!(notifier.shutdown(MINUTE).await.is_drained());
            assert_eq!(
                (status(&notifier).successes, status(&notifier).errors),
                (100, 0)
            );
        }
    }
}

/// Also one that says that it is an authority, as `openssl req -x509` makes it.
#[tokio::test]
async fn a_self_signed_certificate_is_trusted_when_it_is_given() {
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.is_ca = is_ca;
        let certificate = params.self_signed(&key).unwrap();
        let pem = certificate.pem();
        let config = Issued { certificate, key }.server(None, "h2");
        let mut receiver = Receiver::new(Conduct::Tls(config, Answer::default())).await;
        let notifier = notifier(endpoint(receiver.url("https")).root_certificates(pem));
        write(&notifier, 1).await;
        receiver.next(1).await;
        assert!(notifier.shutdown(MINUTE).await.is_drained());
        assert_eq!(status(&notifier).errors, 0);
    }
}

/// As Go writes them: some receivers look for a header in this case only.
#[tokio::test]
async fn headers_over_http_1_are_in_title_case() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let head = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        String::from_utf8(head).unwrap()
    });
    let endpoint = endpoint(format!("http://127.0.0.1:{port}/events"))
        .header("authorization", "Bearer token")
        .header("x-team-id", "7")
        .sign(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]);
    let notifier = notifier(endpoint);
    write(&notifier, 1).await;
    assert!(notifier.shutdown(MINUTE).await.is_drained());
    let head = head.await.unwrap();
    let names = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "));
    let names: HashSet<_> = names.map(|(name, _)| name).collect();
    for name in [
        "Host",
        "Authorization",
        "Content-Length",
        "Content-Type",
        "User-Agent",
        "Webhook-Id",
        "Webhook-Signature",
        "X-Team-Id",
    ] {
        assert!(names.contains(name), "{name}: {head}");
    }
    assert!(
        names
            .iter()
            .all(|name| name.starts_with(char::is_uppercase)),
        "{head}"
    );
}

/// A receiver that is broken, what the status says, and what it is once it is
/// repaired.
#[tokio::test]
async fn a_broken_receiver_is_an_error_of_the_attempt_and_loses_nothing() {
    let (right, wrong) = (Authority::new("right"), Authority::new("wrong"));
    let good = right.issue("localhost", 4000);
    let tls = |issued: &Issued| Conduct::Tls(issued.server(None, "h2"), Answer::default());
    let raw = |once: &str, ever: &str| Conduct::Raw(once.to_owned().into(), ever.to_owned().into());
    for (scheme, broken, words) in [
        (
            "https",
            tls(&wrong.issue("localhost", 4000)),
            &["UnknownIssuer"][..],
        ),
        (
            "https",
            tls(&right.issue("localhost", 2020)),
            &["certificate expired"],
        ),
        (
            "https",
            tls(&right.issue("elsewhere", 4000)),
            &["not valid for name \"localhost\""],
        ),
        (
            "https",
            Conduct::Tls(good.server(Some(&wrong), "h2"), Answer::default()),
            &["CertificateRequired", "reset", "closed"],
        ),
        (
            "https",
            raw("HTTP/1.1 200 OK\r\n\r\n", ""),
            &["corrupt message"],
        ),
        ("https", raw("", ""), &["eof"]),
        (
            "http",
            raw("SSH-2.0-OpenSSH_9.6\r\n", ""),
            &["invalid HTTP version"],
        ),
        (
            "http",
            raw("\0\u{1}\u{2}garbage\r\n\r\n", ""),
            &["invalid HTTP"],
        ),
        ("http", raw("", ""), &["connection closed", "reset"]),
        (
            "http",
            raw("HTTP/1.1 99 No\r\n\r\n", ""),
            &["invalid HTTP status"],
        ),
        (
            "http",
            raw("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 20", ""),
            &["connection closed", "reset"],
        ),
    ] {
        let mut receiver = Receiver::new(broken).await;
        let mut endpoint = endpoint(receiver.url(scheme));
        let mut repaired = Conduct::Http(Answer::default());
        if scheme == "https" {
            endpoint = endpoint.root_certificates(right.pem()).system_roots(false);
            repaired = tls(&good);
        }
        let notifier = notifier(endpoint);
        let written = write(&notifier, 3).await;
        let failing = until(&notifier, |it| it.errors >= 3).await;
        let error = failing.last_error.unwrap();
        assert!(
            words.iter().any(|it| error.contains(it)),
            "{words:?}: {error}"
        );
        assert_eq!((failing.successes, failing.pending), (0, 3));
        receiver.conduct.send_replace(repaired);
        let seen: Vec<_> = receiver.next(3).await.into_iter().map(|it| it.id).collect();
        assert_eq!(seen, written, "{words:?}");
        assert!(notifier.shutdown(MINUTE).await.is_drained());
        let status = status(&notifier);
        assert_eq!((status.successes, status.failures), (3, 0), "{words:?}");
        assert!(receiver.seen.try_recv().is_err(), "posted again");
    }
}

/// What may stand after a status line, and what repeats after that.
fn malformed() -> Vec<(String, String)> {
    let fields = |n: usize| (0..n).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    let once = |text: &str| (text.to_owned(), String::new());
    let filler = format!("x-filler: {}\r\n", "y".repeat(1000));
    vec![
        once("no field\r\ncontent-length: 0\r\n\r\n"),
        once("bad\u{1}name: x\r\ncontent-length: 0\r\n\r\n"),
        once("x: bad\u{0}value\r\ncontent-length: 0\r\n\r\n"),
        once(": x\r\ncontent-length: 0\r\n\r\n"),
        once("x : y\r\n folded\r\ncontent-length: 0\r\n\r\n"),
        once("retry-after: \u{e9}\r\ncontent-length: 0\r\n\r\n"),
        once("content-length: soon\r\n\r\n"),
        once("content-length: -1\r\n\r\n"),
        once("content-length: 99999999999999999999999\r\n\r\n"),
        once("content-length: 1\r\ncontent-length: 2\r\n\r\nxx"),
        once("content-length: 100\r\n\r\nless"),
        once("transfer-encoding: chunked\r\n\r\nno size\r\n"),
        once("transfer-encoding: chunked\r\n\r\nffffffffffffffffffff\r\n"),
        once("transfer-encoding: chunked\r\n\r\n5\r\nab"),
        once("transfer-encoding: x\r\ncontent-length: 3\r\n\r\nabc"),
        once(""),
        once("content-le"),
        once(&format!("{}content-length: 0\r\n\r\n", fields(200))),
        once(&format!("{}content-length: 0\r\n\r\n", fields(2000))),
        once(&format!("x-long: {}\r\n\r\n", "y".repeat(200 << 10))),
        (String::new(), filler),
        (String::new(), "y".into()),
    ]
}

/// A receiver that has said 200 has the event: it is not posted again, whatever
/// else is wrong with the response.
#[tokio::test]
async fn the_status_of_a_malformed_response_decides() {
    for (once, ever) in malformed() {
        for (line, counts) in [
            ("HTTP/1.1 200 OK\r\n", (3, 0, 0)),
            (
                "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.0 204 None\r\n",
                (3, 0, 0),
            ),
            ("HTTP/1.1 400 Bad Request\r\n", (0, 3, 3)),
        ] {
            let raw = Conduct::Raw(format!("{line}{once}").into(), ever.clone().into());
            let receiver = Receiver::new(raw).await;
            let notifier = notifier(endpoint(receiver.url("http")).retry(Backoff::new()));
            write(&notifier, 3).await;
            assert!(notifier.shutdown(MINUTE).await.is_drained());
            let status = status(&notifier);
            let counted = (status.successes, status.failures, status.dead_letters);
            let told = once.chars().take(60).collect::<String>();
            assert_eq!(
                counted, counts,
                "{line:?} {told:?}: {:?}",
                status.last_error
            );
            assert_eq!(
                status.errors, 0,
                "{line:?} {told:?}: {:?}",
                status.last_error
            );
        }
    }
}

/// A line that is no header field costs nothing but itself. (A NUL in a value ends
/// the parsing: then there is only the status.)
#[tokio::test]
async fn the_fields_beside_a_malformed_one_are_read() {
    for line in ["no field", "bad\u{1}name: x", ": x", "x : y\r\n folded"] {
        let head = format!("HTTP/1.1 503 No\r\n{line}\r\nretry-after: 60\r\n");
        let raw = Conduct::Raw(
            format!("{head}content-length: 0\r\n\r\n").into(),
            Bytes::new(),
        );
        let receiver = Receiver::new(raw).await;
        let notifier = notifier(endpoint(receiver.url("http")).retry(Backoff::new()));
        write(&notifier, 1).await;
        let failing = until(&notifier, |it| it.failures > 0).await;
        let pause = failing.next_attempt.unwrap_or_default();
        assert!(pause > Duration::from_secs(50), "{line:?}: {pause:?}");
        assert_eq!((failing.failures, failing.errors), (1, 0), "{line:?}");
    }
}

/// Accepts TLS connections that reply to pings and, until `repaired`, to no
/// request. The peers of the requests.
async fn half_dead(
    config: Arc<ServerConfig>,
    repaired: watch::Receiver<bool>,
) -> (u16, mpsc::UnboundedReceiver<SocketAddr>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, peers) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let works = *repaired.borrow();
            let (sender, config) = (sender.clone(), config.clone());
            tokio::spawn(async move {
                let acceptor = tokio_rustls::TlsAcceptor::from(config);
                let stream = acceptor.accept(stream).await.unwrap();
                let service = hyper::service::service_fn(move |request: Request<_>| {
                    assert_eq!(request.version(), Version::HTTP_2);
                    let _ = sender.send(peer);
                    drop::<Request<hyper::body::Incoming>>(request);
                    async move {
                        if !works {
                            std::future::pending::<()>().await;
                        }
                        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
                    }
                });
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (port, peers)
}

#[tokio::test]
async fn a_half_dead_connection_of_http_2_is_replaced_after_a_timeout() {
    let authority = Authority::new("private");
    let config = authority.issue("localhost", 4000).server(None, "h2");
    let (repair, repaired) = watch::channel(false);
    let (port, mut peers) = half_dead(config, repaired).await;
    let endpoint = endpoint(format!("https://localhost:{port}/"))
        .root_certificates(authority.pem())
        .timeout(Duration::from_millis(500));
    let notifier = notifier(endpoint);
    write(&notifier, 3).await;
    let first = peers.recv().await.unwrap();
    // What connects from now on works.
    repair.send_replace(true);
    assert!(notifier.shutdown(MINUTE).await.is_drained());
    let rest: Vec<_> = std::iter::from_fn(|| peers.try_recv().ok()).collect();
    assert_eq!(rest.len(), 3, "{rest:?}");
    assert!(rest.iter().all(|peer| *peer == rest[0] && *peer != first));
    let status = status(&notifier);
    assert_eq!((status.successes, status.errors), (3, 1));
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_costs_no_failure() {
    let mut receiver = Receiver::new(Conduct::Close).await;
    let notifier = notifier(endpoint(receiver.url("http")));
    let mut peers = Vec::new();
    for _ in 0..20 {
        write(&notifier, 1).await;
        peers.push(receiver.next(1).await.remove(0).peer);
        assert!(receiver.ended.recv().await.is_some());
    }
    assert!(notifier.shutdown(MINUTE).await.is_drained());
    let status = status(&notifier);
    assert_eq!(
        (status.successes, status.failures, status.errors),
        (20, 0, 0)
    );
    peers.dedup();
    assert_eq!(peers.len(), 20, "the connections were not closed");
}

#[tokio::test]
async fn a_connection_that_is_closed_while_it_is_used_loses_nothing() {
    let mut receiver = Receiver::new(Conduct::Close).await;
    let notifier = notifier(endpoint(receiver.url("http")));
    let written = write(&notifier, 50).await;
    assert!(notifier.shutdown(MINUTE).await.is_drained());
    assert_eq!(status(&notifier).successes, 50);
    // The receiver does not read what comes after its answer.
    let seen = receiver.next(50).await.into_iter().map(|it| it.id);
    assert_eq!(seen.collect::<Vec<_>>(), written);
    assert!(receiver.seen.try_recv().is_err(), "posted again");
}

#[tokio::test]
async fn only_a_long_response_body_costs_the_connection() {
    for (length, connections) in [(0, 1), (1, 1), (60 << 10, 1), (4 << 20, 5)] {
        let mut receiver = Receiver::new(Conduct::Http(Answer(0, length))).await;
        let notifier = notifier(endpoint(receiver.url("http")));
        write(&notifier, 5).await;
        assert!(notifier.shutdown(MINUTE).await.is_drained());
        let seen = receiver.next(5).await;
        let peers: HashSet<_> = seen.iter().map(|it| it.peer).collect();
        assert_eq!(peers.len(), connections, "{length}");
        assert_eq!(status(&notifier).errors, 0);
    }
}

#[tokio::test]
async fn headers_over_http_2_are_bounded_too() {
    let authority = Authority::new("private");
    let config = authority.issue("localhost", 4000).server(None, "h2");
    for (length, taken) in [(60_000, true), (200 << 10, false)] {
        let conduct = Conduct::Tls(config.clone(), Answer(length, 0));
        let mut receiver = Receiver::new(conduct).await;
        let endpoint = endpoint(receiver.url("https")).root_certificates(authority.pem());
        let notifier = notifier(endpoint);
        write(&notifier, 1).await;
        receiver.next(1).await;
        let status = until(&notifier, |it| it.successes + it.errors > 0).await;
        assert_eq!(status.successes > 0, taken, "{status:?}");
    }
}

#[tokio::test]
async fn endless_informational_responses_time_out() {
    let raw = Conduct::Raw(Bytes::new(), Bytes::from("HTTP/1.1 100 Continue\r\n\r\n"));
    let mut receiver = Receiver::new(raw).await;
    let endpoint = endpoint(receiver.url("http")).timeout(Duration::from_millis(200));
    let notifier = notifier(endpoint);
    let written = write(&notifier, 1).await;
    let failing = until(&notifier, |it| it.errors > 0).await;
    assert_eq!(failing.last_error.unwrap(), "no response within 200ms");
    receiver
        .conduct
        .send_replace(Conduct::Http(Answer::default()));
    assert_eq!(receiver.next(1).await[0].id, written[0]);
}

#[tokio::test]
async fn a_response_with_a_broken_body_is_not_retried() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n";
    // Broken off, and never ending.
    for (body, ever) in [("some", ""), ("", "more")] {
        let raw = Conduct::Raw(format!("{head}{body}").into(), ever.to_owned().into());
        let receiver = Receiver::new(raw).await;
        let notifier = notifier(endpoint(receiver.url("http")));
        write(&notifier, 3).await;
        assert!(notifier.shutdown(MINUTE).await.is_drained());
        let status = status(&notifier);
        assert_eq!((status.successes, status.errors), (3, 0), "{body:?}");
    }
}

#[tokio::test]
async fn names_are_denied_by_what_they_resolve_to() {
    let deny = AddressPolicy::deny_private;
    let mut receiver = Receiver::new(Conduct::Http(Answer::default())).await;
    let port = receiver.port;
    for host in ["localhost", "127.1", "0x7f.1", "2130706433"] {
        let url = format!("http://{host}:{port}/");
        let notifier = notifier(endpoint(url).addresses(deny()));
        write(&notifier, 1).await;
        let failing = until(&notifier, |it| it.errors > 2).await;
        let error = failing.last_error.unwrap();
        let words = format!("the address policy denies {host}");
        assert!(error.ends_with(&words), "{error}");
        assert_eq!(notifier.shutdown(Duration::ZERO).await.left[0].events(), 1);
    }
    assert!(receiver.seen.try_recv().is_err());
    for host in ["localhost", "127.0.0.1", "127.1", "[::ffff:127.0.0.1]"] {
        let policy = deny().allow(["127.0.0.0/8", "::1"]).unwrap();
        let url = format!("http://{host}:{port}/");
        let notifier = notifier(endpoint(url).addresses(policy));
        write(&notifier, 1).await;
        assert_eq!(receiver.next(1).await.len(), 1);
        assert!(notifier.shutdown(MINUTE).await.is_drained());
        assert_eq!(status(&notifier).errors, 0);
    }
}

/// As PEM, under another heading.
fn pem(heading: &str, der: &[u8]) -> String {
    let content = STANDARD.encode(der);
    format!("-----BEGIN {heading}-----\n{content}\n-----END {heading}-----\n")
}

#[tokio::test]
async fn mistakes_of_the_transport_surface_when_the_notifier_is_built() {
    let authority = Authority::new("private");
    let (one, two) = (authority.issue("a", 4000), authority.issue("b", 4000));
    let (chain, key) = (one.certificate.pem(), one.key.serialize_pem());
    let https = || Endpoint::new("e", "https://h").system_roots(false);
    let trusting = || https().root_certificates(authority.pem());
    let identified = |chain: &str, key: &str| trusting().client_certificate(chain, key);
    let http = || Endpoint::new("e", "http://h");
    let denying = |url: &str| Endpoint::new("e", url).addresses(AddressPolicy::deny_private());
    let own = |it: Endpoint| {
        it.client(service_fn(async |_: Request<Bytes>| {
            Ok::<_, BoxError>(Response::new(Full::<Bytes>::default()))
        }))
    };
    let cut = &key[..key.len() / 2];
    let no_key = "PKCS#8, PKCS#1 or SEC1";
    let garbage = pem("CERTIFICATE", b"hush");
    for (endpoint, field, words) in [
        (https(), "root certificates", "ca-certificates"),
        (trusting().root_certificates(""), "root certificates", "PEM"),
        (
            trusting().root_certificates("/etc/hush.pem"),
            "root certificates",
            "PEM",
        ),
        (
            trusting().root_certificates(&*key),
            "root certificates",
            "PEM",
        ),
        (
            trusting().root_certificates(&*garbage),
            "root certificates",
            "certificate",
        ),
        (
            trusting().root_certificates(&chain[..200]),
            "root certificates",
            "PEM",
        ),
        (identified("", &key), "client certificate", "PEM"),
        (identified(&key, &key), "client certificate", "PEM"),
        (identified(&garbage, &key), "client certificate", "X.509"),
        (
            identified(&(chain.clone() + &garbage), &key),
            "client certificate",
            "certificate 2",
        ),
        (identified(&chain, ""), "client certificate's key", no_key),
        (identified(&chain, cut), "client certificate's key", no_key),
        (
            identified(&chain, &pem("PRIVATE KEY", b"hush")),
            "client certificate's key",
            no_key,
        ),
        (
            identified(&chain, &pem("ENCRYPTED PRIVATE KEY", b"hush")),
            "client certificate's key",
            no_key,
        ),
        (
            identified(&chain, &two.key.serialize_pem()),
            "client certificate's key",
            "first certificate of the chain",
        ),
        (
            http().root_certificates(authority.pem()),
            "root certificates",
            "https",
        ),
        (
            http().client_certificate(&*chain, &*key),
            "client certificate",
            "https",
        ),
        (http().system_roots(false), "system roots", "https"),
        (
            http().connect_timeout(Duration::ZERO),
            "connect timeout",
            "more than 0",
        ),
        (denying("http://127.0.0.1/"), "address policy", "127.0.0.1"),
        (
            denying("http://[::ffff:10.0.0.1]/"),
            "address policy",
            "::ffff:10.0.0.1",
        ),
        (denying("https://[fd00::1]/"), "address policy", "fd00::1"),
        (Endpoint::new("e", "https://a..b/"), "url", "DNS name"),
        (
            own(denying("http://h")),
            "address policy",
            "client of its own",
        ),
        (own(trusting()), "root certificates", "client of its own"),
        (
            own(http().connect_timeout(MINUTE)),
            "connect timeout",
            "client of its own",
        ),
    ] {
        let shown = format!("{endpoint:?}");
        let error = Notifier::builder()
            .endpoint(endpoint)
            .build()
            .expect_err(words);
        let message = error.to_string();
        assert!(
            message.starts_with(&format!("endpoint \"e\": {field}: ")),
            "{message}"
        );
        assert!(message.contains(words), "{words}: {message}");
        // No line of a file is shown.
        for file in [&chain, &key] {
            for line in file.lines().filter(|line| !line.starts_with("---")) {
                assert!(
                    !shown.contains(line) && !message.contains(line),
                    "{message}"
                );
            }
        }
        assert!(
            !message.contains("hush") && !shown.contains("hush"),
            "{message}"
        );
    }
    // The key inside of PKCS#8, an ECDSA one, in its own format.
    let der = one.key.serialize_der();
    let sec1 = pem("EC PRIVATE KEY", &der[der.len() - 109..]);
    for key in [&key, &sec1] {
        let notifier = Notifier::builder()
            .endpoint(identified(&chain, key))
            .build();
        notifier.unwrap();
    }
    // Whoever wants no TLS needs no roots.
    Notifier::builder().endpoint(http()).build().unwrap();
}

#[tokio::test(start_paused = true)]
async fn layers_stand_around_the_client_and_inside_of_the_timeout() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let requests = seen.clone();
    let client = service_fn(move |request: Request<Bytes>| {
        let order = request.headers()["x-order"].to_str().unwrap().to_owned();
        requests.lock().unwrap().push(order);
        async { Ok::<_, BoxError>(Response::new(Full::from("answer"))) }
    });
    let mark = |name: &'static str| {
        let answers = seen.clone();
        ServiceBuilder::new()
            .map_request(move |mut request: Request<Bytes>| {
                let before = request.headers().get("x-order");
                let before = before.map_or("", |it| it.to_str().unwrap());
                let order = HeaderValue::try_from(format!("{before}{name}")).unwrap();
                request.headers_mut().insert("x-order", order);
                request
            })
            .map_response(move |answer: Response<Bytes>| {
                assert_eq!(answer.body(), "answer");
                answers.lock().unwrap().push(format!("answer {name}"));
                answer
            })
    };
    let hang = Arc::new(Mutex::new(true));
    let hangs_once = ServiceBuilder::new().map_future(move |answer| {
        let hang = std::mem::replace(&mut *hang.lock().unwrap(), false);
        async move {
            if hang {
                std::future::pending::<()>().await;
            }
            answer.await
        }
    });
    let endpoint = Endpoint::new("e", "http://receiver")
        .layer(mark("a"))
        .layer(mark("b"))
        .layer(hangs_once)
        .layer(ServiceBuilder::new().concurrency_limit(1))
        .client(client);
    let notifier = notifier(endpoint);
    write(&notifier, 1).await;
    assert!(notifier.shutdown(MINUTE).await.is_drained());
    assert_eq!(*seen.lock().unwrap(), ["ba", "answer a", "answer b"]);
    assert_eq!(
        (status(&notifier).successes, status(&notifier).errors),
        (1, 1)
    );
}
