//! The steps that make a client's connections, each a service around the one before:
//! name, address policy, TCP, proxy (in `proxies.rs`), TLS, time limit.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::{BoxError, Service, ServiceExt as _, service_fn};

use super::address::{AddressDenied, AddressPolicy};
use super::proxies::{Route, Stream};
use super::status_line::Watched;
use super::tls;

/// Resolves names to addresses that are allowed. The connection is made to one of
/// these. The name is not resolved a second time, because its addresses may have
/// changed by then (DNS rebinding).
///
/// The system's resolver occupies a thread of the runtime until it is done, even
/// if the attempt has timed out. There is one lookup at a time, so that a name
/// server that is down does not occupy all threads.
pub(super) fn allowed<R>(
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
            // The permit moves into the task: a lookup whose attempt has timed out still
            // occupies its thread, and the next one must wait for it.
            let lookup = tokio::spawn(async move {
                let found = resolver.oneshot(name).await;
                drop(permit);
                found.map(|it| it.collect::<Vec<_>>()).map_err(Into::into)
            });
            let found = lookup.await??.into_iter();
            let (allowed, denied): (Vec<_>, Vec<_>) =
                found.partition(|address| addresses.allows(address.ip()));
            if allowed.is_empty() && !denied.is_empty() {
                return Err(AddressDenied(host).into());
            }
            Ok(allowed.into_iter())
        }
    })
}

/// Checks hosts that are addresses, for which the resolver is not asked. The host of
/// the URL was checked when the client was built, but a layer may have replaced the
/// URL.
pub(super) fn checked<R>(
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

/// Makes connections for `http` URLs only: a layer may have replaced the URL, and
/// nothing that is meant for TLS is sent without it.
pub(super) fn plain<C>(
    routed: C,
) -> impl Service<Uri, Response = TokioIo<Watched<Stream>>, Error = BoxError, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static
where
    C: Service<Uri, Response = Route, Error = BoxError, Future: Send>,
    C: Clone + Send + Sync + 'static,
{
    service_fn(move |url: Uri| {
        let routed = routed.clone();
        async move {
            if url.scheme() != Some(&Scheme::HTTP) {
                return Err("the URL is not http".into());
            }
            let Route { stream, is_proxied } = routed.oneshot(url).await?;
            Ok(match is_proxied {
                true => Watched::proxied(stream),
                false => Watched::new(stream, false),
            })
        }
    })
}

/// Makes connections for `https` URLs only.
pub(super) fn encrypted<C>(
    routed: C,
    config: Arc<ClientConfig>,
) -> impl Service<Uri, Response = TokioIo<Watched<TlsStream<Stream>>>, Error = BoxError, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static
where
    C: Service<Uri, Response = Route, Error = BoxError, Future: Send>,
    C: Clone + Send + Sync + 'static,
{
    let tls = TlsConnector::from(config);
    service_fn(move |url: Uri| {
        let (routed, tls) = (routed.clone(), tls.clone());
        async move {
            if url.scheme() != Some(&Scheme::HTTPS) {
                return Err("the URL is not https".into());
            }
            let name = tls::server_name(url.host().unwrap_or_default())?.to_owned();
            let stream = routed.oneshot(url).await?.stream;
            let stream = tls.connect(name, stream).await?;
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(tls::HTTP2);
            Ok(Watched::new(stream, is_http2))
        }
    })
}

/// Bounds the time to connect: resolving the name, TCP, proxy and TLS together.
pub(super) fn within<C>(
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Mutex;

    use tokio::sync::Notify;
    use tokio::time::timeout;

    use super::*;

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
}
