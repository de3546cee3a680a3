//! Deliveries through a proxy of each kind.

use std::convert::Infallible;
use std::future::ready;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::PROXY_AUTHORIZATION;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn as answer;
use hyper_util::rt::TokioExecutor;
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tower::service_fn;

use super::super::address::AddressPolicy;
use super::*;
use crate::error::with_causes;

const MINUTE: Duration = Duration::from_secs(60);
/// `me:hush`
const CREDENTIALS: &str = "Basic bWU6aHVzaA==";

type Log = Arc<Mutex<Vec<String>>>;

/// A certificate as `openssl req -x509` makes it, and its key.
struct SelfSigned(rcgen::Certificate, KeyPair);

impl SelfSigned {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(params.self_signed(&key).unwrap(), key)
    }

    fn acceptor(&self) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::try_from(self.1.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.0.der().clone()], key)
            .unwrap();
        Arc::new(config).into()
    }
}

/// Notes what is asked of a server, and answers 200. A server that is reached
/// through a tunnel is the receiver itself.
async fn serve(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, log: Log) {
    let service = answer(move |request: Request<Incoming>| {
        let headers = request.headers();
        let authorization = headers.get(PROXY_AUTHORIZATION);
        let authorization = authorization.map_or("-", |it| it.to_str().unwrap());
        let host = headers["host"].to_str().unwrap();
        let line = format!("{} host {host} {authorization}", request.uri());
        log.lock().unwrap().push(line);
        ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
    });
    let server = auto::Builder::new(TokioExecutor::new());
    // The client hangs up when the test is over.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

/// Reads the head of a request for a tunnel, and opens it.
async fn tunnel(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), log: &Log) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    log.lock().unwrap().push(head.trim().replace("\r\n", "; "));
    let answer = match head.contains("refuse") {
        true => "HTTP/1.1 407 Who are you\r\n\r\n",
        false => "HTTP/1.1 200 OK\r\n\r\n",
    };
    stream.write_all(answer.as_bytes()).await.unwrap();
}

async fn bytes(stream: &mut TcpStream, length: u8) -> Vec<u8> {
    let mut bytes = vec![0; length.into()];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

async fn text(stream: &mut TcpStream, length: u8) -> String {
    String::from_utf8(bytes(stream, length).await).unwrap()
}

/// The server's side of SOCKS 5 with a user and a password, for a name.
async fn socks(stream: &mut TcpStream, log: &Log) {
    let methods = bytes(stream, 2).await[1];
    assert!(bytes(stream, methods).await.contains(&2));
    stream.write_all(&[5, 2]).await.unwrap();
    let length = bytes(stream, 2).await[1];
    let user = text(stream, length).await;
    let length = stream.read_u8().await.unwrap();
    let password = text(stream, length).await;
    stream.write_all(&[1, 0]).await.unwrap();
    let length = bytes(stream, 5).await[4];
    let name = text(stream, length).await;
    let port = stream.read_u16().await.unwrap();
    log.lock()
        .unwrap()
        .push(format!("{user} {password} {name} {port}"));
    let granted = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    stream.write_all(&granted).await.unwrap();
}

#[derive(Clone)]
enum ProxyKind {
    Http,
    /// Over TLS.
    Https(TlsAcceptor),
    /// To a receiver that speaks TLS.
    Tunnel(TlsAcceptor),
    Socks,
}

/// A proxy that is the receiver as well.
async fn proxy(kind: ProxyKind) -> (u16, Log) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let log = Log::default();
    let noted = log.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (kind, log) = (kind.clone(), noted.clone());
            tokio::spawn(async move {
                match kind {
                    ProxyKind::Http => serve(stream, log).await,
                    ProxyKind::Https(tls) => serve(tls.accept(stream).await.unwrap(), log).await,
                    ProxyKind::Tunnel(tls) => {
                        tunnel(&mut stream, &log).await;
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(stream, log).await;
                        }
                    }
                    ProxyKind::Socks => {
                        socks(&mut stream, &log).await;
                        serve(stream, log).await;
                    }
                }
            });
        }
    });
    (port, log)
}

/// A client with these variables. Every name is this machine.
fn with_variables(
    settings: &ConnectionSettings,
    url: &str,
    variables: &[(&str, String)],
) -> Result<Transport, BuildError> {
    let proxies = Proxies::read(|name| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.clone())
    });
    let resolver = service_fn(|_: Name| {
        let here = SocketAddr::from((IpAddr::from(Ipv4Addr::LOCALHOST), 0));
        ready(Ok::<_, Infallible>(std::iter::once(here)))
    });
    let url = url.parse().unwrap();
    super::resolving(settings, "", &url, MINUTE, resolver, proxies)
}

async fn post(client: &Transport, url: &str) -> Result<StatusCode, String> {
    let request = Request::post(url).body(Bytes::new()).unwrap();
    let response = client.clone().send(request, None).await;
    let response = response.map_err(|error| with_causes(&*error))?;
    Ok(response.status())
}

fn trusting(certificates: &[&SelfSigned]) -> ConnectionSettings {
    let certificates = certificates.iter().map(|it| it.0.pem().into_bytes());
    ConnectionSettings {
        root_certificates: certificates.collect(),
        system_roots: false,
        ..ConnectionSettings::default()
    }
}

#[tokio::test]
async fn a_proxy_passes_on_what_has_the_whole_url() {
    const URL: &str = "http://receiver.example:81/events?a";
    let (port, log) = proxy(ProxyKind::Http).await;
    let variables = [("HTTP_PROXY", format!("http://me:hush@proxy:{port}"))];
    let client = with_variables(&ConnectionSettings::default(), URL, &variables).unwrap();
    assert_eq!(post(&client, URL).await.unwrap(), 200);
    assert_eq!(post(&client, URL).await.unwrap(), 200);
    let line = format!("{URL} host receiver.example:81 {CREDENTIALS}");
    assert_eq!(*log.lock().unwrap(), [line.clone(), line]);
}

#[tokio::test]
async fn a_receiver_over_tls_is_reached_through_a_tunnel() {
    const URL: &str = "https://receiver.example/events";
    let own = SelfSigned::new("receiver.example");
    let (port, log) = proxy(ProxyKind::Tunnel(own.acceptor())).await;
    let variables = [("HTTPS_PROXY", format!("http://me:hush@proxy:{port}"))];
    let client = with_variables(&trusting(&[&own]), URL, &variables).unwrap();
    assert_eq!(post(&client, URL).await.unwrap(), 200);
    let opened = "CONNECT receiver.example:443 HTTP/1.1; Host: receiver.example:443; \
                  Proxy-Authorization: Basic bWU6aHVzaA==";
    // The receiver learns nothing of the credentials.
    let received = "/events host receiver.example -";
    assert_eq!(*log.lock().unwrap(), [opened, received]);

    let refused = post(&client, "https://refuse.example/").await.unwrap_err();
    let reason =
        format!("through the proxy proxy:{port}: tunnel error: proxy authorization required");
    assert!(refused.ends_with(&reason), "{refused}");
}

#[tokio::test]
async fn a_proxy_may_be_reached_over_tls() {
    let of_proxy = SelfSigned::new("proxy");
    let (port, log) = proxy(ProxyKind::Https(of_proxy.acceptor())).await;
    let variables = [("HTTPS_PROXY", format!("https://proxy:{port}"))];
    let url = "https://receiver.example/events";
    // The tunnel is opened and serves no TLS of its own.
    let client = with_variables(&trusting(&[&of_proxy]), url, &variables).unwrap();
    assert!(post(&client, url).await.is_err());
    let opened = "receiver.example:443 host receiver.example:443 -";
    assert_eq!(*log.lock().unwrap(), [opened]);
    let stranger = trusting(&[&SelfSigned::new("proxy")]);
    let client = with_variables(&stranger, url, &variables).unwrap();
    let error = post(&client, url).await.unwrap_err();
    let reason = format!("through the proxy proxy:{port}: ");
    assert!(error.contains(&reason), "{error}");
    assert!(error.contains("invalid peer certificate"), "{error}");
}

#[tokio::test]
async fn a_receiver_is_reached_through_socks() {
    const URL: &str = "http://receiver.example:81/events";
    let (port, log) = proxy(ProxyKind::Socks).await;
    let variables = [("HTTP_PROXY", format!("socks5://me:hush@proxy:{port}"))];
    let client = with_variables(&ConnectionSettings::default(), URL, &variables).unwrap();
    assert_eq!(post(&client, URL).await.unwrap(), 200);
    let said = "me hush receiver.example 81";
    let received = "/events host receiver.example:81 -";
    assert_eq!(*log.lock().unwrap(), [said, received]);
}

#[tokio::test]
async fn the_address_policy_applies_to_the_proxy() {
    const URL: &str = "http://receiver.example/events";
    let (port, log) = proxy(ProxyKind::Http).await;
    let with = |policy: AddressPolicy, url: &str, proxy: &str| {
        let settings = ConnectionSettings {
            addresses: policy,
            ..ConnectionSettings::default()
        };
        let variables = [("HTTP_PROXY", format!("http://{proxy}:{port}"))];
        with_variables(&settings, url, &variables)
    };
    let deny = AddressPolicy::deny_private;
    let by_name = with(deny(), URL, "proxy").unwrap();
    let error = post(&by_name, URL).await.unwrap_err();
    let denied = format!("through the proxy proxy:{port}: ");
    assert!(error.contains(&denied), "{error}");
    assert!(
        error.ends_with("the address policy denies proxy"),
        "{error}"
    );
    let error = with(deny(), URL, "127.0.0.1").err().unwrap().to_string();
    assert!(
        error.contains("denies the proxy that HTTP_PROXY"),
        "{error}"
    );

    let allowed = deny().allow(["127.0.0.1"]).unwrap();
    let client = with(allowed.clone(), URL, "proxy").unwrap();
    assert_eq!(post(&client, URL).await.unwrap(), 200);
    // What stands in the URL is not left to the proxy.
    let error = post(&client, "http://10.0.0.1/").await.unwrap_err();
    assert!(
        error.ends_with("the address policy denies 10.0.0.1"),
        "{error}"
    );
    assert!(with(allowed, "http://10.0.0.1/", "proxy").is_err());
    assert_eq!(log.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_proxy_that_cannot_be_used_is_a_mistake() {
    for value in ["socks4://me:hush@proxy", "http://me:hush@proxy:port"] {
        let variables = [("HTTP_PROXY", value.to_owned())];
        let error = with_variables(&ConnectionSettings::default(), "http://r/", &variables);
        assert_eq!(
            error.err().unwrap().to_string(),
            "proxy: HTTP_PROXY is not the URL of a proxy: \
             write one like http://proxy.example.com:3128, with http, https or socks5"
        );
    }
}
