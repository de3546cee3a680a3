//! The HTTP client of an endpoint.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::PROXY_AUTHORIZATION;
use http::uri::Scheme;
use http::{Extensions, Request, Response, StatusCode, Uri};
use http_body::Body;
use http_body_util::{Either, Empty, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::client::legacy::connect::{
    CaptureConnection, Connect, HttpConnector, capture_connection,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::{BoxError, Service, service_fn};

use super::address::Denied;
use super::connector::{allowed, checked, encrypted, plain, within};
use super::proxies::{Proxies, routed};
use super::response::{Delivery, of_client};
pub(crate) use super::settings::ConnectionSettings;
use super::status_line::{StatusLine, Watched};
use super::tls;
use crate::error::{BuildError, Mistakes};

/// How long an idle connection stays open.
const IDLE: Duration = Duration::from_secs(90);
/// The default limit of the time to connect.
const CONNECT: Duration = Duration::from_secs(5);
/// Bytes of a response's head that are read before it is an error: the limit of
/// most servers, times eight.
const HEAD: usize = 64 << 10;
/// Header fields of a response that are read before it is an error.
const HEADER_FIELDS: usize = 1_000;
/// Bytes of a response that may come over HTTP/2 before they are asked for.
const STREAM: u32 = 64 << 10;
/// How often an HTTP/2 connection is asked whether it is alive, and how long it
/// may take to reply. A request that times out closes a connection of HTTP/1.1,
/// but not one of HTTP/2.
const PING: Duration = Duration::from_secs(10);
const PONG: Duration = Duration::from_secs(5);

/// Returns the client for `url`: keep-alive, no redirects, the proxies that the
/// environment names, HTTP/2 where a receiver over TLS speaks it. `timeout` is that
/// of a whole attempt.
///
/// # Errors
///
/// Everything that is wrong with the settings; `of` is written before the name
/// of each.
pub(crate) fn client(
    settings: &ConnectionSettings,
    of: &str,
    url: &Uri,
    timeout: Duration,
) -> Result<Delivery, BuildError> {
    let proxies = match settings.proxy_from_env {
        true => Proxies::from_env(),
        false => Proxies::default(),
    };
    resolving(settings, of, url, timeout, GaiResolver::new(), proxies)
}

fn resolving<R>(
    settings: &ConnectionSettings,
    of: &str,
    url: &Uri,
    timeout: Duration,
    resolver: R,
    proxies: Proxies,
) -> Result<Delivery, BuildError>
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
    mistakes.take(addresses.check(url).map_err(|Denied(host)| {
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
        return mistakes.or(pooled(within(limit, plain(routed)), proxies));
    }
    mistakes.take(tls::check_server_name(of, url.host().unwrap_or_default()));
    let Some(config) = mistakes.take(tls::config(settings, of)) else {
        return mistakes.failed();
    };
    let encrypted = encrypted(routed, config.into());
    mistakes.or(pooled(within(limit, encrypted), proxies))
}

/// Checks the proxy for a URL, if there is one. Returns how to reach it over TLS, if
/// it must be.
fn check_proxy(
    settings: &ConnectionSettings,
    of: &str,
    proxies: &Proxies,
    url: &Uri,
) -> Result<Option<Arc<ClientConfig>>, BuildError> {
    let Some(proxy) = proxies.intercept(url) else {
        return Ok(None);
    };
    let mut mistakes = Mistakes::default();
    mistakes.take(
        settings
            .addresses
            .check(proxy.url())
            .map_err(|Denied(host)| {
                let remedy = "it denies the proxy that HTTP_PROXY or HTTPS_PROXY names: \
                              allow its network, or use no proxy for this endpoint";
                BuildError::new(&format!("{of}address policy"), host, remedy)
            }),
    );
    if !proxy.is_supported() {
        let scheme = proxy.url().scheme_str().unwrap_or_default();
        let remedy = "write the proxy in HTTP_PROXY or HTTPS_PROXY with http, https or socks5";
        mistakes.add(BuildError::new(&format!("{of}proxy"), scheme, remedy));
    }
    if !proxy.is_tls() {
        return mistakes.or(None);
    }
    let config = mistakes.take(tls::of_proxy(settings, of));
    mistakes.or(config.map(Arc::new))
}

/// Keeps connections and uses them again. A connection that the receiver closed
/// is replaced; a request that was already being sent on it is not sent again.
fn pooled<C, T>(connector: C, proxies: Proxies) -> Delivery
where
    C: Service<Uri, Response = TokioIo<Watched<T>>, Error = BoxError, Future: Send + Unpin>,
    C: Clone + Send + Sync + 'static,
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let client = Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .http1_max_buf_size(HEAD)
        .http1_max_headers(HEADER_FIELDS)
        // As Go writes them: some receivers look for a header in this case only.
        .http1_title_case_headers(true)
        // The status decides, whatever else the head says.
        .http1_ignore_invalid_headers_in_responses(true)
        .http1_allow_spaces_after_header_name_in_responses(true)
        .http1_allow_obsolete_multiline_headers_in_responses(true)
        .http2_max_header_list_size(HEAD as u32)
        .http2_initial_stream_window_size(STREAM)
        .http2_initial_connection_window_size(16 * STREAM)
        .http2_keep_alive_interval(PING)
        .http2_keep_alive_timeout(PONG)
        .http2_keep_alive_while_idle(true)
        .build::<_, Full<Bytes>>(connector);
    of_client(service_fn(move |mut request: Request<Bytes>| {
        if let Some(authorization) = proxies.authorization(request.uri()) {
            let headers = request.headers_mut();
            headers.entry(PROXY_AUTHORIZATION).or_insert(authorization);
        }
        exchange(client.clone(), request)
    }))
}

/// Sends a request. If the response cannot be parsed but its status was read,
/// the response is that status, with nothing else.
async fn exchange<C>(
    client: Client<C, Full<Bytes>>,
    request: Request<Bytes>,
) -> Result<Response<impl Body<Data = Bytes, Error = BoxError> + Send + use<C>>, BoxError>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let mut request = request.map(Full::new);
    let exchange = Exchange(Some(capture_connection(&mut request)));
    let response = client.request(request).await;
    match (response, exchange.end()) {
        (Ok(response), _) => Ok(response.map(Either::Left)),
        (Err(_), Some(status)) => {
            let mut response = Response::new(Either::Right(Empty::new()));
            *response.status_mut() = status;
            Ok(response)
        }
        (Err(error), None) => Err(error.into()),
    }
}

/// A request under way, and the connection that it was given.
///
/// If it is dropped before the response, the attempt has timed out, and the
/// connection is not used again: one of HTTP/2 may reply to pings and to no
/// request, and all attempts would go its way.
struct Exchange(Option<CaptureConnection>);

impl Exchange {
    /// Ends with a response or an error; returns the status that was read.
    fn end(mut self) -> Option<StatusCode> {
        let connection = self.0.take()?;
        let connection = connection.connection_metadata();
        let mut extras = Extensions::new();
        connection.as_ref()?.get_extras(&mut extras);
        extras.get::<StatusLine>()?.take()
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let Some(connection) = &self.0 else { return };
        if let Some(connection) = &*connection.connection_metadata() {
            connection.poison();
        }
    }
}

#[cfg(test)]
mod proxied;

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{pending, ready};
    use std::net::IpAddr;
    use std::sync::Mutex;

    use http::Response;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::net::TcpListener;
    use tokio::sync::Notify;
    use tokio::time::{Instant, timeout};

    use tower::ServiceExt as _;

    use super::super::address::AddressPolicy;
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
    fn resolving(port: u16, policy: AddressPolicy, answers: &[&[&str]]) -> Delivery {
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

    async fn post(client: &Delivery, url: String) -> Result<(), String> {
        let request = Request::post(url).body(Bytes::new()).unwrap();
        let answer = client.clone().oneshot(request).await;
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
        let client = pooled(connector, Proxies::default());
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
