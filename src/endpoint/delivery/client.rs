//! Builds the HTTP client of an endpoint and reports what is wrong with its settings.
//!
//! A connection is made by services around one another: resolver and address policy,
//! TCP, proxy, TLS, time limit. The policy stands next to TCP, so that nothing in
//! between can lead to an address that it has not checked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Scheme;
use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::{BoxError, Service};

use super::address::AddressDenied;
use super::connections::Connections;
use super::connector::{allowed, checked, encrypted, plain, within};
use super::proxies::{Proxies, routed};
pub(crate) use super::settings::ConnectionSettings;
use super::status_line::Watched;
use super::tls;
use super::transport::Transport;
use crate::error::{BuildError, Mistakes};

/// The default time limit for connecting.
const CONNECT: Duration = Duration::from_secs(5);

/// Returns the client for `url`. It keeps connections alive, follows no redirects, uses
/// the proxies that the environment names, and speaks HTTP/2 over TLS if the receiver
/// does. `timeout` is that of a whole attempt.
///
/// # Errors
///
/// Everything that is wrong with the settings, with `of` before the name of each.
pub(crate) fn client(
    settings: &ConnectionSettings,
    of: &str,
    url: &Uri,
    timeout: Duration,
) -> Result<Transport, BuildError> {
    let proxies = proxies(settings);
    resolving(settings, of, url, timeout, GaiResolver::new(), proxies)
}

/// Returns the credentials that a proxy gets with each request for `url`, and may
/// repeat.
pub(crate) fn proxy_authorization(settings: &ConnectionSettings, url: &Uri) -> Option<HeaderValue> {
    proxies(settings).authorization(url)
}

fn proxies(settings: &ConnectionSettings) -> Proxies {
    match settings.proxy_from_env {
        true => Proxies::from_env(),
        false => Proxies::default(),
    }
}

fn resolving<R>(
    settings: &ConnectionSettings,
    of: &str,
    url: &Uri,
    timeout: Duration,
    resolver: R,
    proxies: Proxies,
) -> Result<Transport, BuildError>
where
    R: Service<Name, Response: Iterator<Item = SocketAddr> + Send, Error: Into<BoxError>>,
    R: Clone + Send + Sync + 'static,
    R::Future: Send,
{
    let mut mistakes = Mistakes::default();
    let limit = settings.connect_timeout.unwrap_or(CONNECT);
    if limit.is_zero() {
        let field = format!("{of}connect timeout");
        mistakes.add(BuildError::new(&field, 0, "must be more than 0"));
    }
    let limit = limit.min(timeout);
    let addresses = Arc::new(settings.addresses.clone());
    mistakes.take(addresses.check(url).map_err(|AddressDenied(host)| {
        let remedy = "it denies this address of the URL: allow its network, or post elsewhere";
        BuildError::new(&format!("{of}address policy"), host, remedy)
    }));
    let proxy_tls = mistakes.take(check_proxy(settings, of, &proxies, url));
    let mut tcp = HttpConnector::new_with_resolver(allowed(resolver, addresses.clone()));
    tcp.set_nodelay(true);
    // Each address of a name gets its share.
    tcp.set_connect_timeout(Some(limit));
    tcp.enforce_http(false);
    let tcp = checked(tcp, addresses.clone());
    let routed = routed(tcp, proxies.clone(), addresses, proxy_tls.flatten());
    if url.scheme() != Some(&Scheme::HTTPS) {
        mistakes.take(settings.check_without_tls(of));
        return mistakes.or(kept(within(limit, plain(routed)), proxies));
    }
    mistakes.take(tls::check_server_name(of, url.host().unwrap_or_default()));
    let Some(config) = mistakes.take(tls::config(settings, of)) else {
        return mistakes.failed();
    };
    let encrypted = encrypted(routed, config.into());
    mistakes.or(kept(within(limit, encrypted), proxies))
}

/// Returns a client whose connections are made by `connector`.
fn kept<C, T>(connector: C, proxies: Proxies) -> Transport
where
    C: Service<Uri, Response = TokioIo<Watched<T>>, Error = BoxError, Future: Send>,
    C: Clone + Send + Sync + 'static,
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    Transport::Direct(Arc::new(Connections::new(connector, proxies)))
}

/// Checks the proxy for a URL, if there is one. Returns its TLS configuration if it is
/// reached over TLS.
fn check_proxy(
    settings: &ConnectionSettings,
    of: &str,
    proxies: &Proxies,
    url: &Uri,
) -> Result<Option<Arc<ClientConfig>>, BuildError> {
    if let Some(variable) = proxies.unusable(url) {
        // The value may have a password in it.
        let remedy = "write one like http://proxy.example.com:3128, with http, https or socks5";
        let message = format!("{variable} is not the URL of a proxy: {remedy}");
        return Err(BuildError::at(&format!("{of}proxy"), message));
    }
    let Some(proxy) = proxies.intercept(url) else {
        return Ok(None);
    };
    let mut mistakes = Mistakes::default();
    mistakes.take(
        settings
            .addresses
            .check(proxy.url())
            .map_err(|AddressDenied(host)| {
                let remedy = "it denies the proxy that HTTP_PROXY or HTTPS_PROXY names: \
                              allow its network, or use no proxy for this endpoint";
                BuildError::new(&format!("{of}address policy"), host, remedy)
            }),
    );
    if !proxy.is_tls() {
        return mistakes.or(None);
    }
    let config = mistakes.take(tls::of_proxy(settings, of));
    mistakes.or(config.map(Arc::new))
}

#[cfg(test)]
mod proxied;

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{pending, ready};
    use std::net::IpAddr;
    use std::sync::Mutex;

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::Full;
    use hyper_util::rt::TokioExecutor;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::net::TcpListener;
    use tokio::sync::Notify;
    use tokio::time::{Instant, timeout};

    use tower::service_fn;

    use super::super::address::AddressPolicy;
    use super::super::http2::{PING, PONG};
    use super::*;
    use crate::error::with_causes;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Accepts every request, on all of the loopback's IPv4 addresses; closes
    /// the connection. The port, and the addresses that were connected to.
    async fn receiver() -> (u16, Arc<Mutex<Vec<IpAddr>>>) {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let connected = seen.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let local = stream.local_addr().unwrap().ip();
                connected.lock().unwrap().push(local);
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.unwrap());
                }
                let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(answer).await.unwrap();
            }
        });
        (port, seen)
    }

    /// A client for `http://receiver`, which resolves to each of these in turn.
    fn resolving(port: u16, policy: AddressPolicy, answers: &[&[&str]]) -> Transport {
        let settings = ConnectionSettings {
            addresses: policy,
            ..ConnectionSettings::default()
        };
        let parse = |answer: &&[&str]| -> Vec<SocketAddr> {
            let addresses = answer.iter().map(|it| it.parse::<IpAddr>().unwrap());
            addresses.map(|it| (it, 0).into()).collect()
        };
        let answers: Vec<_> = answers.iter().map(parse).rev().collect();
        let answers = Arc::new(Mutex::new(answers));
        let resolver = service_fn(move |name: Name| {
            assert_eq!(name.as_str(), "receiver");
            let answer = answers.lock().unwrap().pop();
            ready(Ok::<_, Infallible>(
                answer.expect("resolved again").into_iter(),
            ))
        });
        let url = format!("http://receiver:{port}").parse().unwrap();
        super::resolving(&settings, "", &url, MINUTE, resolver, Proxies::default()).unwrap()
    }

    async fn post(client: &Transport, url: String) -> Result<(), String> {
        let request = Request::post(url).body(Bytes::new()).unwrap();
        let answer = client.clone().send(request, None).await;
        let answer = answer.map_err(|error| with_causes(&*error))?;
        assert_eq!(answer.status(), 200);
        Ok(())
    }

    #[tokio::test]
    async fn a_name_rebound_to_a_denied_address_is_denied() {
        let (port, seen) = receiver().await;
        // The first stands for a public address: none can be listened on here.
        let policy = AddressPolicy::deny_private().allow(["127.0.0.1"]).unwrap();
        let answers: [&[&str]; 5] = [
            &["127.0.0.1"],
            &["127.0.0.2"],
            &["::ffff:127.0.0.2", "::1", "10.0.0.1", "169.254.169.254"],
            &["127.0.0.2", "127.0.0.1", "::1"],
            &["127.0.0.2"],
        ];
        let client = resolving(port, policy, &answers);
        let url = || format!("http://receiver:{port}/");
        let denied = "the address policy denies receiver";
        post(&client, url()).await.unwrap();
        assert!(post(&client, url()).await.unwrap_err().ends_with(denied));
        assert!(post(&client, url()).await.unwrap_err().ends_with(denied));
        post(&client, url()).await.unwrap();
        assert!(post(&client, url()).await.unwrap_err().ends_with(denied));
        let one: IpAddr = "127.0.0.1".parse().unwrap();
        assert_eq!(*seen.lock().unwrap(), [one, one]);
    }

    #[tokio::test]
    async fn an_address_that_a_layer_puts_into_the_url_is_checked_too() {
        let (port, seen) = receiver().await;
        let client = resolving(port, AddressPolicy::deny_private(), &[]);
        for host in ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"] {
            let error = post(&client, format!("http://{host}:{port}/")).await;
            let words = format!("the address policy denies {host}");
            let error = error.unwrap_err();
            assert!(error.ends_with(&words), "{error}");
        }
        assert!(seen.lock().unwrap().is_empty());
        let client = resolving(port, AddressPolicy::allow_all(), &[]);
        post(&client, format!("http://127.0.0.1:{port}/"))
            .await
            .unwrap();
        // Nothing for TLS goes out without.
        let error = post(&client, format!("https://127.0.0.1:{port}/")).await;
        assert!(error.unwrap_err().contains("the URL is not http"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_takes_too_long_is_an_error() {
        for (set, attempt, limit) in [(None, 60, 5), (Some(3), 60, 3), (Some(9), 2, 2)] {
            let settings = ConnectionSettings {
                connect_timeout: set.map(Duration::from_secs),
                ..ConnectionSettings::default()
            };
            let resolver =
                service_fn(|_: Name| pending::<Result<std::vec::IntoIter<_>, BoxError>>());
            let url = "http://receiver".parse().unwrap();
            let attempt = Duration::from_secs(attempt);
            let client =
                super::resolving(&settings, "", &url, attempt, resolver, Proxies::default())
                    .unwrap();
            let start = Instant::now();
            let error = post(&client, url.to_string()).await.unwrap_err();
            assert!(
                error.ends_with(&format!("no connection within {limit}s")),
                "{error}"
            );
            assert_eq!(start.elapsed().as_secs(), limit);
        }
    }

    /// Serves until frozen: then the connection stays open and nothing moves.
    async fn serve(stream: DuplexStream, freeze: Arc<Notify>) {
        let service = hyper::service::service_fn(|_| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        });
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let mut connection = std::pin::pin!(server.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            _ = &mut connection => {}
            () = freeze.notified() => pending().await,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_connection_of_http_2_is_given_up() {
        let freeze = Arc::new(Notify::new());
        let first = freeze.clone();
        let connections = Arc::new(Mutex::new(0));
        let count = connections.clone();
        let connector = service_fn(move |_: Uri| {
            *count.lock().unwrap() += 1;
            let (ours, theirs) = tokio::io::duplex(1 << 20);
            let freeze = match *count.lock().unwrap() {
                1 => first.clone(),
                _ => Arc::default(),
            };
            tokio::spawn(serve(theirs, freeze));
            ready(Ok::<_, BoxError>(Watched::new(ours, true)))
        });
        let client = kept(connector, Proxies::default());
        let url = || "http://receiver/".to_owned();
        post(&client, url()).await.unwrap();
        post(&client, url()).await.unwrap();
        freeze.notify_one();
        let start = Instant::now();
        let second = Duration::from_secs(1);
        while !matches!(timeout(second, post(&client, url())).await, Ok(Ok(()))) {
            assert!(start.elapsed() < MINUTE, "still on the dead connection");
        }
        assert!(
            start.elapsed() <= PING + PONG + second,
            "{:?}",
            start.elapsed()
        );
        assert_eq!(*connections.lock().unwrap(), 2);
    }
}
