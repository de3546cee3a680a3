//! Receivers that do what gives secrets away.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tower::{BoxError, service_fn};
use tower_registry_notifications::endpoint::EndpointState;
use tower_registry_notifications::{Endpoint, NotifierStatus};

use crate::AllSecrets;

/// What a receiver makes of a request's headers.
type Answer = fn(&HeaderMap) -> (u16, Vec<u8>);

/// All headers, as they are.
fn echo(headers: &HeaderMap) -> (u16, Vec<u8>) {
    let lines = headers.iter().flat_map(|(name, value)| {
        [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\n"].concat()
    });
    (400, lines.collect())
}

/// All headers, as JSON.
fn json(headers: &HeaderMap) -> (u16, Vec<u8>) {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_str(), text(value)));
    let headers: BTreeMap<_, _> = headers.collect();
    (422, serde_json::to_vec(&headers).unwrap())
}

/// The credentials, decoded.
fn decoded(headers: &HeaderMap) -> (u16, Vec<u8>) {
    let value = headers.get("authorization").map(|value| value.as_bytes());
    let pair = value.and_then(|value| value.strip_prefix(b"Basic "));
    let pair = STANDARD.decode(pair.unwrap_or_default()).unwrap();
    let password = pair.split(|byte| *byte == b':').nth(1).unwrap_or_default();
    (
        403,
        [b"not the password: ", password, b" of ", &pair].concat(),
    )
}

/// A header that is cut before its end.
fn cut(headers: &HeaderMap) -> (u16, Vec<u8>) {
    let value = headers["authorization"].as_bytes();
    let padding = vec![b'-'; (1 << 10) - value.len() * 3 / 4];
    (400, [&padding, value].concat())
}

fn gone(headers: &HeaderMap) -> (u16, Vec<u8>) {
    (410, echo(headers).1)
}

fn unavailable(headers: &HeaderMap) -> (u16, Vec<u8>) {
    (503, echo(headers).1)
}

/// Addresses by name, and all that the receivers have answered.
pub(crate) struct Receivers {
    addresses: BTreeMap<&'static str, String>,
    said: Arc<Mutex<String>>,
    /// Connections to it are never accepted.
    _hangs: TcpListener,
}

impl Receivers {
    pub(crate) async fn start() -> Self {
        let said = Arc::default();
        let mut addresses = BTreeMap::new();
        let answers: [(_, Answer); 6] = [
            ("echo", echo),
            ("json", json),
            ("decoded", decoded),
            ("cut", cut),
            ("gone", gone),
            ("unavailable", unavailable),
        ];
        for (name, answer) in answers {
            let address = serve(None, answer, &said).await;
            addresses.insert(name, format!("http://{address}/"));
        }
        let made = rcgen::generate_simple_self_signed(["receiver".to_owned()]).unwrap();
        let stranger = acceptor(&made.cert.pem(), &made.signing_key.serialize_pem());
        let address = serve(Some(stranger), echo, &said).await;
        addresses.insert("stranger", format!("https://{address}/"));
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let known = acceptor(&made.cert.pem(), &made.signing_key.serialize_pem());
        let address = serve(Some(known), echo, &said).await;
        addresses.insert("known", format!("https://{address}/"));
        let address = serve(None, echo, &said).await;
        addresses.insert("without-tls", format!("https://{address}/"));
        let hangs = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = hangs.local_addr().unwrap();
        addresses.insert("hangs", format!("http://{address}/"));
        // Nobody listens there.
        addresses.insert("refuses", "http://127.0.0.1:1/".into());
        addresses.insert("no-name", "http://receiver.invalid/".into());
        Self {
            addresses,
            said,
            _hangs: hangs,
        }
    }

    /// Endpoints with each of them, with and without Basic credentials.
    pub(crate) fn endpoints(&self, vault: &AllSecrets) -> Vec<Endpoint> {
        let mut endpoints = Vec::new();
        for basic in [true, false] {
            for (name, address) in &self.addresses {
                let name = format!("{name}-{}", u8::from(basic));
                endpoints.push(vault.endpoint(&name, address, basic));
            }
            let client = service_fn(async |request: Request<Bytes>| {
                let said = echo(request.headers()).1;
                let said = String::from_utf8(said).unwrap();
                let error = format!("cannot post {request:?} {said}");
                Err::<Response<Full<Bytes>>, BoxError>(error.into())
            });
            let name = format!("talkative-{}", u8::from(basic));
            let endpoint = vault.endpoint(&name, "http://receiver/", basic);
            endpoints.push(endpoint.client(client));
        }
        endpoints
    }

    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Each has failed in its own way.
    pub(crate) fn have_done_their_worst(&self, status: &NotifierStatus) {
        for endpoint in &status.endpoints {
            let (name, _) = endpoint.name.rsplit_once('-').unwrap();
            let error = endpoint.last_error.as_deref().unwrap();
            let wanted = match name {
                "echo" | "cut" => "400 Bad Request",
                "json" => "422 Unprocessable Entity",
                "decoded" => "403 Forbidden",
                "gone" => "410 Gone",
                "unavailable" => "503 Service Unavailable",
                "known" | "stranger" => "certificate",
                "without-tls" => "InvalidContentType",
                "hangs" => "no response within",
                "refuses" => "refused",
                "no-name" => "dns error",
                "talkative" => "cannot post",
                _ => panic!("{name}"),
            };
            assert!(error.contains(wanted), "{name}: {error}");
            let disabled = endpoint.state == EndpointState::Disabled;
            assert_eq!(disabled, name == "gone", "{endpoint:#?}");
            // One that was tried, and one that came after the end.
            assert_eq!(endpoint.dead_letters, 2, "{endpoint:#?}");
        }
        assert_eq!(status.endpoints.len(), 2 * self.addresses.len() + 2);
    }
}

fn acceptor(certificate: &str, key: &str) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    TlsAcceptor::from(Arc::new(config.unwrap()))
}

/// Serves on a port of its own, and keeps what it says.
async fn serve(
    tls: Option<TlsAcceptor>,
    answer: Answer,
    said: &Arc<Mutex<String>>,
) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let said = said.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, said) = (tls.clone(), said.clone());
            tokio::spawn(async move {
                let Some(tls) = tls else {
                    return requests(stream, answer, said).await;
                };
                // A client that does not trust it hangs up.
                if let Ok(stream) = tls.accept(stream).await {
                    requests(stream, answer, said).await;
                }
            });
        }
    });
    address
}

async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    answer: Answer,
    said: Arc<Mutex<String>>,
) {
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (status, body) = answer(request.headers());
        said.lock()
            .unwrap()
            .push_str(&String::from_utf8_lossy(&body));
        let mut response = Response::new(Full::<Bytes>::from(body));
        *response.status_mut() = status.try_into().unwrap();
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    // A client that has seen enough hangs up.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}
