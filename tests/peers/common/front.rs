//! The layer around a registry, served on a port of its own.

// No test uses all of it.
#![allow(dead_code)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use examples::proxy::{Proxy, ProxySettings};
use examples::serve::{self, Limits, Service};
use http::Request;
use http_body::Body;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower::util::BoxCloneService;
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};
use tower_registry_notifications::event::{ActorRecord, Event};
use tower_registry_notifications::layer::TrustedProxies;
use tower_registry_notifications::{NotificationLayer, Notifier, RequestBody, StatBody};

use crate::certificate::Certificate;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// A server that ends with the test, or when it is stopped.
pub(crate) struct TestServer {
    pub(crate) port: u16,
    stop: oneshot::Sender<()>,
    served: JoinHandle<bool>,
}

/// The settings of the proxy and its layer.
#[derive(Clone, Copy, Default)]
pub(crate) struct ProxySetup<'a> {
    /// The certificate for TLS on both sides.
    pub(crate) certificate: Option<&'a Certificate>,
    /// Whether the forwarding headers of clients are trusted.
    pub(crate) trust_forwarded: bool,
    /// Whether the layer looks for the tags of a manifest that is deleted.
    pub(crate) untag_lookup: bool,
}

impl TestServer {
    /// Serves `service`, over TLS if there is a certificate.
    pub(crate) async fn serve<R>(service: Service<R>, certificate: Option<&Certificate>) -> Self
    where
        R: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stop, stopped) = oneshot::channel();
        let tls = certificate.map(Certificate::acceptor);
        let limits = Limits {
            connections: 1_000,
            head: MINUTE,
            idle: MINUTE,
        };
        let server = async move {
            let connections = serve::serve(listener, tls, service, limits, stopped).await;
            connections.end(MINUTE).await
        };
        Self {
            port,
            stop,
            served: tokio::spawn(server),
        }
    }

    /// Serves the proxy with the layer.
    pub(crate) async fn proxy(upstream: &str, notifier: Notifier, wiring: ProxySetup<'_>) -> Self {
        let ProxySetup {
            certificate,
            trust_forwarded,
            untag_lookup,
        } = wiring;
        let settings = ProxySettings {
            upstream,
            upstream_ca: certificate.map(|it| it.certificate.as_path()),
            timeout: MINUTE,
            https: certificate.is_some(),
            trust_forwarded,
        };
        let proxy = Arc::new(Proxy::new(&settings).unwrap());
        let trusted = match trust_forwarded {
            true => TrustedProxies::all(),
            false => TrustedProxies::none(),
        };
        let layer = NotificationLayer::new(notifier)
            .https(certificate.is_some())
            .trusted_proxies(trusted)
            .untag_lookup(untag_lookup)
            // Only the registry knows whose token this is.
            .actor(|parts| {
                let given = parts.headers.get("authorization")?;
                let is_token = given.to_str().ok()?.starts_with("Bearer a.token.of-the-");
                is_token.then(|| ActorRecord::new("silly"))
            });
        let upstream = proxy.clone();
        let layer = layer.stat_with(service_fn(move |request: Request<StatBody>| {
            upstream.forward(request.map(|_| RequestBody::empty()))
        }));
        let service = layer.layer(service_fn(move |request| proxy.forward(request)));
        let service = service.map_request(examples::proxy::end_to_end);
        Self::serve(BoxCloneService::new(service), certificate).await
    }

    /// Accepts no more connections and waits for the running requests.
    pub(crate) async fn stop(self) {
        // The server may have ended by itself.
        let _ = self.stop.send(());
        assert!(self.served.await.unwrap(), "requests do not end");
    }
}

/// Whether the layer itself sends requests with this user agent.
pub(crate) fn is_layer(agent: &str) -> bool {
    agent.starts_with("tower-registry-notifications")
}

/// Whether the layer itself sent the request of this event.
pub(crate) fn is_own(event: &Event) -> bool {
    is_layer(&event.request.user_agent)
}
