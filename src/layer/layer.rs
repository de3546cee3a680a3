//! The layer and how it is configured: [`NotificationLayer`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use tower::{BoxError, Service};

use super::origin::{BaseUrl, TrustedProxies};
use super::settings::Settings;
use super::stat_service::{self, StatBody};
use crate::event::ActorRecord;
use crate::notifier::Notifier;

/// Adds notifications to a registry's service.
///
/// Each method sets one thing and returns the layer.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use tower::{Layer, Service, ServiceExt, service_fn};
/// use tower_registry_notifications::event::Action;
/// use tower_registry_notifications::sink::ChannelSink;
/// use tower_registry_notifications::{NotificationLayer, Notifier, RequestBody};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (sink, mut events) = ChannelSink::new(100);
/// let notifier = Notifier::builder().sink(sink).build()?;
///
/// let registry = service_fn(async |_: Request<RequestBody<Full<Bytes>>>| {
///     Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::default()))
/// });
/// let registry = NotificationLayer::new(notifier).layer(registry);
///
/// let request = Request::head("/v2/library/debian/manifests/12").body(Full::default())?;
/// registry.oneshot(request).await?;
/// let event = events.recv().await.unwrap();
/// assert_eq!((event.action(), event.tag()), (Action::Pull, "12"));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct NotificationLayer(Arc<Settings>);

impl NotificationLayer {
    /// Creates a layer that writes to the endpoints and sinks of `notifier`.
    pub fn new(notifier: Notifier) -> Self {
        Self(Arc::new(Settings::new(notifier)))
    }

    pub(super) fn from_settings(settings: Arc<Settings>) -> Self {
        Self(settings)
    }

    pub(super) fn settings(&self) -> &Arc<Settings> {
        &self.0
    }

    fn set(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        set(Arc::make_mut(&mut self.0));
        self
    }

    /// Sets the service that the layer asks for facts that requests and
    /// responses do not show: the size of a blob, the references of a manifest
    /// that was pulled by HEAD, the tags for
    /// [`untag_lookup`](Self::untag_lookup).
    ///
    /// The service must be the registry itself, without this layer around it. It
    /// receives HEAD and GET requests with an empty body, and with the host, the
    /// authorization and the extensions of the client's request. The paths are
    /// those that the layer sees: a layer outside a nest needs the nested router
    /// here. The service must not wait for a permit that the client's request
    /// holds, such as that of a concurrency limit, or every stat takes the whole
    /// [`stat_timeout`](Self::stat_timeout).
    ///
    /// Defaults to none: the layer sends no requests of its own, and facts that are
    /// not known are omitted and counted.
    ///
    /// An axum `Router` fits as it is:
    ///
    /// ```
    /// # use tower::Layer;
    /// # use tower_registry_notifications::{NotificationLayer, Notifier};
    /// # fn with(notifier: Notifier, registry: axum::Router) -> axum::Router {
    /// let layer = NotificationLayer::new(notifier).stat_with(registry.clone());
    /// axum::Router::new().fallback_service(layer.layer(registry))
    /// # }
    /// ```
    ///
    /// A service that takes hyper's `Incoming` gets an empty body instead:
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// # use bytes::Bytes;
    /// use http::{Request, Response};
    /// # use http_body_util::Full;
    /// use hyper::body::Incoming;
    /// # use tower::{Layer, Service};
    /// use tower::{ServiceExt as _, service_fn};
    /// use tower_registry_notifications::{RequestBody, StatBody};
    /// # use tower_registry_notifications::{NotificationLayer, Notifier};
    ///
    /// # fn with(notifier: Notifier) {
    /// let registry = service_fn(async |request: Request<RequestBody<Incoming>>| {
    ///     // …
    /// #   drop(request);
    /// #   Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    /// });
    /// let stat = registry.clone().map_request(|request: Request<StatBody>| {
    ///     request.map(|_| RequestBody::<Incoming>::empty())
    /// });
    /// let service = NotificationLayer::new(notifier).stat_with(stat).layer(registry);
    /// # fn check(_: impl Service<Request<Incoming>>) {}
    /// # check(service);
    /// # }
    /// ```
    ///
    /// A proxy passes a client of its upstream:
    ///
    /// ```
    /// # use http::{Request, Uri};
    /// # use tower::ServiceExt as _;
    /// # use tower_registry_notifications::{NotificationLayer, Notifier};
    /// use hyper_util::client::legacy::Client;
    /// use hyper_util::rt::TokioExecutor;
    /// use tower_registry_notifications::StatBody;
    ///
    /// # fn with(notifier: Notifier) {
    /// let client = Client::builder(TokioExecutor::new()).build_http::<StatBody>();
    /// let stat = client.map_request(|mut request: Request<StatBody>| {
    ///     let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    ///     let upstream = format!("http://127.0.0.1:5001{path}").parse();
    ///     *request.uri_mut() = upstream.unwrap_or_default();
    ///     request
    /// });
    /// let layer = NotificationLayer::new(notifier).stat_with(stat);
    /// # }
    /// ```
    #[must_use]
    pub fn stat_with<S, R>(self, service: S) -> Self
    where
        S: Service<Request<StatBody>, Response = Response<R>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        self.set(|it| it.stat = Some(stat_service::erase(service)))
    }

    /// Sets the path that the distribution API begins with, as the layer sees it, for
    /// example `/registry/v2/`. The slashes at both ends may be omitted. URLs in events
    /// have `/v2/` whatever the prefix is. If requests under another path succeed that look
    /// like those of the API, a warning is logged, at most once in 5 minutes. Defaults to
    /// `/v2/`.
    #[must_use]
    pub fn prefix(self, prefix: &str) -> Self {
        let inside = prefix.trim_matches('/');
        self.set(|it| {
            it.prefix = match inside {
                "" => "/".into(),
                inside => ["/", inside, "/"].concat(),
            }
        })
    }

    /// Sets the proxies whose forwarding headers are trusted. Defaults to none.
    #[must_use]
    pub fn trusted_proxies(self, proxies: TrustedProxies) -> Self {
        self.set(|it| it.trusted_proxies = proxies)
    }

    /// Sets what the URLs in events begin with: everything before their `/v2/`.
    /// The path of [`prefix`](Self::prefix) is not added to it. Defaults to the
    /// scheme and host of the request, and what the prefix has before `/v2/`.
    #[must_use]
    pub fn base_url(self, base: BaseUrl) -> Self {
        self.set(|it| it.base_url = base)
    }

    /// Whether this server itself speaks TLS, so that URLs in events begin with
    /// `https`. An HTTP/1.1 request does not show it. Defaults to `false`.
    #[must_use]
    pub fn https(self, https: bool) -> Self {
        self.set(|it| it.https = https)
    }

    /// Sets a closure that returns the actor of a request that no extension
    /// names. It must not return a secret. Defaults to none.
    #[must_use]
    pub fn actor(
        self,
        actor: impl Fn(&Parts) -> Option<ActorRecord> + Send + Sync + 'static,
    ) -> Self {
        self.set(|it| it.actor = Some(Arc::new(actor)))
    }

    /// Whether the user name of Basic authentication is the actor of a request
    /// that succeeded, if nothing else names one. Turn it off if the registry
    /// does not check credentials. Defaults to `true`.
    #[must_use]
    pub fn basic_auth_actor(self, is_actor: bool) -> Self {
        self.set(|it| it.basic_auth_actor = is_actor)
    }

    /// Whether the subject of a bearer token is the actor of a request that
    /// succeeded, if nothing else names one. Turn it on only if the registry
    /// refuses every token that it has not verified: the layer reads the `sub`
    /// of a JSON Web Token and does not check its signature. Defaults to `false`.
    #[must_use]
    pub fn bearer_actor(self, is_actor: bool) -> Self {
        self.set(|it| it.bearer_actor = is_actor)
    }

    /// Sets a closure that returns the address of a request's peer. It ranks
    /// before [`PeerAddr`](crate::layer::PeerAddr) and axum's `ConnectInfo`. Defaults to
    /// none.
    #[must_use]
    pub fn peer_addr(
        self,
        peer: impl Fn(&Parts) -> Option<SocketAddr> + Send + Sync + 'static,
    ) -> Self {
        self.set(|it| it.peer_addr = Some(Arc::new(peer)))
    }

    /// Sets a closure that returns the id of a request, such as one that middleware
    /// outside the layer has set. An id that is empty or longer than 128 bytes is
    /// ignored. Defaults to tower-http's `RequestId` (feature `tower-http-0-6`),
    /// then the `X-Request-Id` of a trusted proxy, then a new UUIDv7.
    #[must_use]
    pub fn request_id(self, id: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static) -> Self {
        self.set(|it| it.request_id = Some(Arc::new(id)))
    }

    /// Whether HEAD requests count as pulls, as they do in the reference.
    /// Defaults to `true`.
    #[must_use]
    pub fn head_pulls(self, pulls: bool) -> Self {
        self.set(|it| it.head_pulls = pulls)
    }

    /// Whether a pull counts if its client hangs up before the last byte, as it
    /// does in the reference. With `false` a client can read all bytes but one
    /// without an event. Defaults to `true`.
    #[must_use]
    pub fn aborted_pulls(self, pulls: bool) -> Self {
        self.set(|it| it.aborted_pulls = pulls)
    }

    /// Whether a manifest that is deleted by its digest also makes a delete
    /// event for each tag that pointed at it, as in the reference. The layer
    /// then lists the tags and requests each of them before it passes on the
    /// delete, through the service of [`stat_with`](Self::stat_with). Defaults to
    /// `false`.
    #[must_use]
    pub fn untag_lookup(self, lookup: bool) -> Self {
        self.set(|it| it.untag_lookup = lookup)
    }

    /// Whether a request fails if the sinks do not accept its event.
    ///
    /// If so, a request that can change the registry is answered with 503 and
    /// an OCI error body while a sink is not [ready](crate::sink::Sink::is_ready), and
    /// is not passed on. If a sink was ready and then does not accept the event,
    /// the write is repeated until the
    /// [`detached_timeout`](Self::detached_timeout), and the client gets 503 after
    /// the [`accept_timeout`](Self::accept_timeout). A pull whose body is being sent
    /// ends with an error instead of its last bytes.
    ///
    /// Defaults to `false`: the loss is counted and logged, and the client notices
    /// nothing.
    #[must_use]
    pub fn fail_closed(self, fail: bool) -> Self {
        self.set(|it| it.fail_closed = fail)
    }

    /// Sets how long a response waits for the sinks. After that its event counts
    /// as not accepted. Defaults to 5 s.
    #[must_use]
    pub fn accept_timeout(self, timeout: Duration) -> Self {
        self.set(|it| it.accept_timeout = timeout)
    }

    /// Sets how long a response waits for answers of the service of
    /// [`stat_with`](Self::stat_with). After that the event lacks the facts.
    /// Defaults to 5 s.
    #[must_use]
    pub fn stat_timeout(self, timeout: Duration) -> Self {
        self.set(|it| it.stat_timeout = timeout)
    }

    /// Sets how long a request that can change the registry may go on after
    /// its client has hung up. Reaching the limit is logged and counted in
    /// `registry_notifications_detached_timeouts_total`. Defaults to 10
    /// minutes.
    #[must_use]
    pub fn detached_timeout(self, timeout: Duration) -> Self {
        self.set(|it| it.detached_timeout = timeout)
    }
}
