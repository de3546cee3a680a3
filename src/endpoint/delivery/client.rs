//! How an endpoint connects to its receiver.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::Scheme;
use http::{Request, Uri};
use http_body_util::Full;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tower::{BoxError, Service, ServiceExt as _, service_fn};

use super::address::{AddressPolicy, Denied};
use super::response::{Delivery, of_client};
use super::tls;

/// How long a connection stays open without use.
const IDLE: Duration = Duration::from_secs(90);
/// How long to connect at most, unless said otherwise.
const CONNECT: Duration = Duration::from_secs(5);
/// About how much of an answer's headers is read before it is an error: the limit
/// of most servers, times eight.
const HEADERS: usize = 64 << 10;
/// How much of an answer may come over HTTP/2 before it is asked for.
const STREAM: u32 = 64 << 10;
/// How often an HTTP/2 connection is asked whether it is alive, and how long it
/// may think: a request that times out does not close it, as it would one of
/// HTTP/1.1, so that all attempts would go the way of a dead connection.
const PING: Duration = Duration::from_secs(10);
const PONG: Duration = Duration::from_secs(5);

/// What an endpoint's connections are made of.
pub(crate) struct Transport {
    /// Trusts the system's roots too.
    pub(crate) system_roots: bool,
    /// PEM files.
    pub(crate) root_certificates: Vec<Vec<u8>>,
    /// PEM files: the chain and the key.
    pub(crate) client_certificate: Option<(Vec<u8>, Vec<u8>)>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) addresses: AddressPolicy,
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            system_roots: true,
            root_certificates: Vec::new(),
            client_certificate: None,
            connect_timeout: None,
            addresses: AddressPolicy::allow_all(),
        }
    }
}

/// A setting that makes no sense: no secret is in it.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) field: &'static str,
    pub(crate) value: String,
    pub(crate) remedy: String,
}

impl Wrong {
    pub(super) fn new(field: &'static str, value: &str, remedy: impl Into<String>) -> Self {
        Self {
            field,
            value: value.into(),
            remedy: remedy.into(),
        }
    }
}

impl Transport {
    /// The client for `url`: keep-alive, no redirects, no proxy, HTTP/2 where
    /// a receiver over TLS speaks it. `timeout` is that of a whole attempt.
    pub(crate) fn client(&self, url: &Uri, timeout: Duration) -> Result<Delivery, Wrong> {
        self.client_resolving(url, timeout, GaiResolver::new())
    }

    /// Another client is used instead of this one, which must not have been
    /// configured: a policy that nobody asks is worse than none.
    pub(crate) fn unused(&self) -> Result<(), Wrong> {
        let timeout = self.connect_timeout.map(|_| "connect timeout");
        let addresses = self.addresses != AddressPolicy::allow_all();
        let addresses = addresses.then_some("address policy");
        let Some(field) = self.tls_setting().or(timeout).or(addresses) else {
            return Ok(());
        };
        let remedy = "the endpoint has a client of its own, which is to be configured instead";
        Err(Wrong::new(field, "set", remedy))
    }

    fn client_resolving<R>(
        &self,
        url: &Uri,
        timeout: Duration,
        resolver: R,
    ) -> Result<Delivery, Wrong>
    where
        R: Service<Name, Response: Iterator<Item = SocketAddr> + Send, Error: Into<BoxError>>,
        R: Clone + Send + Sync + 'static,
        R::Future: Send,
    {
        let limit = self.connect_timeout.unwrap_or(CONNECT);
        if limit.is_zero() {
            let remedy = "must be longer than nothing";
            return Err(Wrong::new("connect timeout", "0", remedy));
        }
        let limit = limit.min(timeout);
        let addresses = Arc::new(self.addresses.clone());
        addresses.check(url).map_err(|Denied(host)| {
            let remedy = "it denies this address of the URL: allow its network, or post elsewhere";
            Wrong::new("address policy", &host, remedy)
        })?;
        let mut tcp = HttpConnector::new_with_resolver(allowed(resolver, addresses.clone()));
        tcp.set_nodelay(true);
        // Each address of a name gets its share.
        tcp.set_connect_timeout(Some(limit));
        if url.scheme() == Some(&Scheme::HTTPS) {
            server_name(url)?;
            tcp.enforce_http(false);
            let tls = HttpsConnectorBuilder::new()
                .with_tls_config(tls::config(self)?)
                .https_only()
                .enable_http1()
                .enable_http2()
                .wrap_connector(checked(tcp, addresses));
            return Ok(pooled(within(limit, tls)));
        }
        if let Some(field) = self.tls_setting() {
            let remedy = "nothing is encrypted or authenticated over http: use a URL with https";
            return Err(Wrong::new(field, "set", remedy));
        }
        Ok(pooled(within(limit, checked(tcp, addresses))))
    }

    /// The first setting that only TLS has a use for.
    fn tls_setting(&self) -> Option<&'static str> {
        if !self.root_certificates.is_empty() {
            Some("root certificates")
        } else if self.client_certificate.is_some() {
            Some("client certificate")
        } else {
            (!self.system_roots).then_some("system roots")
        }
    }
}

/// A host that no certificate can name is better known before the first event.
fn server_name(url: &Uri) -> Result<(), Wrong> {
    let host = url.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let wrong = |_| Wrong::new("url", host, "the host must be a DNS name or an address");
    ServerName::try_from(bare).map(drop).map_err(wrong)
}

/// Resolves names to addresses that are allowed. These and no others are
/// connected to: a name is not resolved a second time.
///
/// The system's resolver takes a thread of the runtime until it is done, also
/// when nobody waits for it any more. So there is one lookup at a time, or all
/// threads would be taken while a name server is down.
fn allowed<R>(
    resolver: R,
    addresses: Arc<AddressPolicy>,
) -> impl Service<Name, Response = std::vec::IntoIter<SocketAddr>, Error = BoxError, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static
where
    R: Service<Name, Response: Iterator<Item = SocketAddr> + Send, Error: Into<BoxError>>,
    R: Clone + Send + Sync + 'static,
    R::Future: Send,
{
    let one = Arc::new(Semaphore::new(1));
    service_fn(move |name: Name| {
        let (resolver, addresses, one) = (resolver.clone(), addresses.clone(), one.clone());
        async move {
            let host = name.to_string();
            let permit = one.acquire_owned().await?;
            let lookup = tokio::spawn(async move {
                let found = resolver.oneshot(name).await;
                drop(permit);
                found.map(|it| it.collect::<Vec<_>>()).map_err(Into::into)
            });
            let found = lookup.await??.into_iter();
            let (allowed, denied): (Vec<_>, Vec<_>) =
                found.partition(|address| addresses.allows(address.ip()));
            if allowed.is_empty() && !denied.is_empty() {
                return Err(Denied(host).into());
            }
            Ok(allowed.into_iter())
        }
    })
}

/// The resolver is not asked about addresses: they are checked before. The
/// URL's was when the client was built, but a layer may have replaced the URL.
fn checked<R>(
    tcp: HttpConnector<R>,
    addresses: Arc<AddressPolicy>,
) -> impl Service<Uri, Response = TokioIo<TcpStream>, Error = BoxError, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static
where
    HttpConnector<R>: Service<Uri, Response = TokioIo<TcpStream>, Error: Into<BoxError>>,
    <HttpConnector<R> as Service<Uri>>::Future: Send,
    R: Clone + Send + Sync + 'static,
{
    service_fn(move |url: Uri| {
        let tcp = tcp.clone();
        let checked = addresses.check(&url);
        async move {
            checked?;
            tcp.oneshot(url).await.map_err(Into::into)
        }
    })
}

/// Bounds the time of a connection: name, TCP and TLS together.
fn within<C>(
    limit: Duration,
    connector: C,
) -> impl Service<Uri, Response = C::Response, Error = BoxError, Future: Send + Unpin>
+ Clone
+ Send
+ Sync
+ 'static
where
    C: Service<Uri, Error = BoxError> + Clone + Send + Sync + 'static,
    C::Future: Send + 'static,
    C::Response: Send + 'static,
{
    connector.map_future(move |connecting| {
        Box::pin(async move {
            let connected = tokio::time::timeout(limit, connecting).await;
            connected.unwrap_or_else(|_| Err(format!("no connection within {limit:?}").into()))
        })
    })
}

/// Keeps connections and uses them again. A connection that the receiver closed
/// is replaced; a request that was already being sent on it is not sent again.
fn pooled<C: Connect + Clone + Send + Sync + 'static>(connector: C) -> Delivery {
    let client = Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .http1_max_buf_size(HEADERS)
        .http2_max_header_list_size(HEADERS as u32)
        .http2_initial_stream_window_size(STREAM)
        .http2_initial_connection_window_size(16 * STREAM)
        .http2_keep_alive_interval(PING)
        .http2_keep_alive_timeout(PONG)
        .http2_keep_alive_while_idle(true)
        .build::<_, Full<Bytes>>(connector);
    of_client(client.map_request(|request: Request<Bytes>| request.map(Full::new)))
}

/// Shows no certificate and no key.
impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("system_roots", &self.system_roots)
            .field("root_certificates", &self.root_certificates.len())
            .field("client_certificate", &self.client_certificate.is_some())
            .field("connect_timeout", &self.connect_timeout)
            .field("addresses", &self.addresses)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{pending, ready};
    use std::net::IpAddr;
    use std::pin::Pin;
    use std::sync::Mutex;
    use std::task::{Context, Poll};

    use http::Response;
    use hyper::rt::{Read, ReadBufCursor, Write};
    use hyper_util::client::legacy::connect::{Connected, Connection};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::net::TcpListener;
    use tokio::sync::Notify;
    use tokio::time::{Instant, timeout};

    use super::*;

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
        let transport = Transport {
            addresses: policy,
            ..Transport::default()
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
        transport.client_resolving(&url, MINUTE, resolver).unwrap()
    }

    async fn post(client: &Delivery, url: String) -> Result<(), String> {
        let request = Request::post(url).body(Bytes::new()).unwrap();
        let answer = client.clone().oneshot(request).await.map_err(|error| {
            let mut text = error.to_string();
            let mut cause = error.source();
            while let Some(error) = cause {
                text = format!("{text}: {error}");
                cause = error.source();
            }
            text
        })?;
        assert_eq!(answer.status(), 200);
        Ok(())
    }

    #[tokio::test]
    async fn a_name_that_is_bound_to_a_denied_address_later_does_not_pass() {
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
        assert!(error.unwrap_err().contains("scheme is not http"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_takes_too_long_is_an_error() {
        for (set, attempt, limit) in [(None, 60, 5), (Some(3), 60, 3), (Some(9), 2, 2)] {
            let transport = Transport {
                connect_timeout: set.map(Duration::from_secs),
                ..Transport::default()
            };
            let resolver =
                service_fn(|_: Name| pending::<Result<std::vec::IntoIter<_>, BoxError>>());
            let url = "http://receiver".parse().unwrap();
            let attempt = Duration::from_secs(attempt);
            let client = transport.client_resolving(&url, attempt, resolver).unwrap();
            let start = Instant::now();
            let error = post(&client, url.to_string()).await.unwrap_err();
            assert!(
                error.ends_with(&format!("no connection within {limit}s")),
                "{error}"
            );
            assert_eq!(start.elapsed().as_secs(), limit);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn lookups_that_hang_do_not_pile_up() {
        let (lookups, answer) = (Arc::new(Mutex::new(0)), Arc::new(Notify::new()));
        let (count, wait) = (lookups.clone(), answer.clone());
        let resolver = service_fn(move |_: Name| {
            *count.lock().unwrap() += 1;
            let wait = wait.clone();
            async move {
                wait.notified().await;
                let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
                Ok::<_, Infallible>(std::iter::once(nowhere))
            }
        });
        let allowed = allowed(resolver, Arc::default());
        let second = Duration::from_secs(1);
        let lookup = || {
            let name = "receiver".parse().unwrap();
            timeout(second, allowed.clone().oneshot(name))
        };
        for _ in 0..9 {
            let (one, two) = tokio::join!(lookup(), lookup());
            assert!(one.is_err() && two.is_err());
        }
        assert_eq!(*lookups.lock().unwrap(), 1);
        // The name server is back: that one ends, and the next is answered.
        answer.notify_one();
        let next = async {
            tokio::task::yield_now().await;
            answer.notify_one();
        };
        let (found, ()) = tokio::join!(lookup(), next);
        assert_eq!(found.unwrap().unwrap().len(), 1);
        assert_eq!(*lookups.lock().unwrap(), 2);
    }

    /// A connection in memory that speaks HTTP/2.
    struct Pipe(TokioIo<DuplexStream>);

    impl Connection for Pipe {
        fn connected(&self) -> Connected {
            Connected::new().negotiated_h2()
        }
    }

    impl Read for Pipe {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: ReadBufCursor<'_>,
        ) -> Poll<std::io::Result<()>> {
            Pin::new(&mut self.0).poll_read(context, buffer)
        }
    }

    impl Write for Pipe {
        fn poll_write(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &[u8],
        ) -> Poll<std::io::Result<usize>> {
            Pin::new(&mut self.0).poll_write(context, buffer)
        }

        fn poll_flush(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<std::io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(context)
        }

        fn poll_shutdown(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<std::io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(context)
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
            ready(Ok::<_, BoxError>(Pipe(TokioIo::new(ours))))
        });
        let client = pooled(connector);
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
