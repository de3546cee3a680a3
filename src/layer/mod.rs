//! The request path: [`NotificationLayer`].
//!
//! # When an event fires
//!
//! Only on a successful response, and exactly once for each:
//!
//! | request | response | event |
//! | --- | --- | --- |
//! | GET, HEAD `<name>/manifests/<ref>` | 200 | pull |
//! | PUT `<name>/manifests/<ref>` | any 2xx | push |
//! | PUT `<name>/manifests/<digest>?tag=a&tag=b` | any 2xx | push for each tag in the response's `OCI-Tag` |
//! | DELETE `<name>/manifests/<ref>` | any 2xx | delete of the tag, or of the digest |
//! | GET, HEAD `<name>/blobs/<digest>` | 200, 206, 302, 303, 307 | pull |
//! | DELETE `<name>/blobs/<digest>` | any 2xx | delete |
//! | PUT `<name>/blobs/uploads/<id>`, or another URL with a `digest` | 201 | push |
//! | POST `<name>/blobs/uploads/` | 201 | push, or mount if the request has `mount` |
//!
//! The spec lets a registry choose the URLs of its uploads. Where one is not of
//! the form above, the response's Location names the repository, or the URL
//! itself does, as `<name>/uploads/<id>` and `<name>/blobs/upload/<id>` do.
//!
//! The event is written before the client gets the response; that of a GET
//! with a body when its last byte is about to be handed over. A client that
//! hangs up before has pulled nothing, unless
//! [`aborted_pulls`](NotificationLayer::aborted_pulls) says otherwise.
//!
//! # Where the layer stands
//!
//! Around the whole registry, so that nothing passes beside it, and so that
//! what the layer asks the registry itself (the size of a blob that was pushed
//! in chunks) finds its handler. Auth middleware may stand outside (it puts an
//! [`ActorRecord`] into the request's extensions) or inside (into the
//! response's). A layer inside of axum's `Router::nest` sees paths without the
//! nest's prefix: set [`prefix`](NotificationLayer::prefix) to what it sees.
//!
//! In axum write `Router::new().fallback_service(layer.layer(router))`.
//! `Router::layer` works too, but puts one layer around each handler, which
//! cannot answer what the layer asks the registry itself. There it asks
//! nothing, and what only the registry knows is left out of events: the size of
//! a blob that was mounted or pushed in chunks, references of a HEAD pull, and
//! the tags of [`untag_lookup`](NotificationLayer::untag_lookup).

mod asked;
mod body;
mod facts;
mod future;
mod happening;
mod record;
mod route;
mod service;
mod stat;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use tower::Layer;

pub use self::body::{RequestBody, ResponseBody};
pub use self::facts::ResponseFacts;
pub use self::future::ResponseFuture;
pub use self::record::{BaseUrl, PeerAddr, TrustedProxies};
pub use self::service::Notification;
use crate::event::ActorRecord;
use crate::notifier::Notifier;
use crate::sink::{SinkError, Write};

/// Gives a registry's service notifications.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use tower::{Layer, Service, ServiceExt, service_fn};
/// use tower_registry_notifications::{
///     Action, ChannelSink, Notifier, NotificationLayer, RequestBody,
/// };
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
/// assert_eq!((event.action, &*event.target.tag), (Action::Pull, "12"));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct NotificationLayer(Arc<Settings>);

type FromParts<T> = Arc<dyn Fn(&Parts) -> Option<T> + Send + Sync>;

#[derive(Clone)]
struct Settings {
    notifier: Notifier,
    prefix: String,
    trusted_proxies: TrustedProxies,
    base_url: BaseUrl,
    https: bool,
    actor: Option<FromParts<ActorRecord>>,
    basic_auth_actor: bool,
    peer_addr: Option<FromParts<SocketAddr>>,
    head_pulls: bool,
    aborted_pulls: bool,
    untag_lookup: bool,
    fail_closed: bool,
    accept_timeout: Duration,
    stat_timeout: Duration,
}

impl NotificationLayer {
    /// A layer that writes to the endpoints and sinks of `notifier`.
    pub fn new(notifier: Notifier) -> Self {
        Self(Arc::new(Settings {
            notifier,
            prefix: "/v2/".into(),
            trusted_proxies: TrustedProxies::none(),
            base_url: BaseUrl::from_request(),
            https: false,
            actor: None,
            basic_auth_actor: true,
            peer_addr: None,
            head_pulls: true,
            aborted_pulls: false,
            untag_lookup: false,
            fail_closed: false,
            accept_timeout: Duration::from_secs(5),
            stat_timeout: Duration::from_secs(5),
        }))
    }

    fn set(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        set(Arc::make_mut(&mut self.0));
        self
    }

    /// The path that the distribution API begins with, as the layer sees it.
    /// Default: `/v2/`.
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

    /// Whose forwarding headers are believed. Default: nobody's.
    #[must_use]
    pub fn trusted_proxies(self, proxies: TrustedProxies) -> Self {
        self.set(|it| it.trusted_proxies = proxies)
    }

    /// Where the URLs in events begin. Default: as the request says.
    #[must_use]
    pub fn base_url(self, base: BaseUrl) -> Self {
        self.set(|it| it.base_url = base)
    }

    /// Does this server speak TLS itself? An HTTP/1.1 request does not show
    /// it. Default: no.
    #[must_use]
    pub fn https(self, https: bool) -> Self {
        self.set(|it| it.https = https)
    }

    /// Tells from a request who acts, where no extension says it. Must not
    /// answer with a secret.
    #[must_use]
    pub fn actor(
        self,
        actor: impl Fn(&Parts) -> Option<ActorRecord> + Send + Sync + 'static,
    ) -> Self {
        self.set(|it| it.actor = Some(Arc::new(actor)))
    }

    /// Is the user name of Basic authentication the actor of a request that
    /// succeeded, where nothing else says who acts? Default: yes. Turn it off
    /// where the registry does not check credentials.
    #[must_use]
    pub fn basic_auth_actor(self, is_actor: bool) -> Self {
        self.set(|it| it.basic_auth_actor = is_actor)
    }

    /// Tells the peer's address of a request, before [`PeerAddr`] and axum's
    /// `ConnectInfo` are looked for.
    #[must_use]
    pub fn peer_addr(
        self,
        peer: impl Fn(&Parts) -> Option<SocketAddr> + Send + Sync + 'static,
    ) -> Self {
        self.set(|it| it.peer_addr = Some(Arc::new(peer)))
    }

    /// Is a HEAD a pull, as in the reference? Default: yes.
    #[must_use]
    pub fn head_pulls(self, pulls: bool) -> Self {
        self.set(|it| it.head_pulls = pulls)
    }

    /// Is it a pull when the client hangs up before the last byte, as in the
    /// reference? Default: no.
    #[must_use]
    pub fn aborted_pulls(self, pulls: bool) -> Self {
        self.set(|it| it.aborted_pulls = pulls)
    }

    /// Should a manifest that is deleted by its digest also make a delete
    /// event for each tag that pointed at it, as in the reference? The layer
    /// then lists the tags and looks at each of them, through the inner
    /// service and before the delete. Default: no.
    #[must_use]
    pub fn untag_lookup(self, look: bool) -> Self {
        self.set(|it| it.untag_lookup = look)
    }

    /// Must a request fail whose event a sink does not take? The client then
    /// gets 503 with an OCI error body instead of the response (or, in the
    /// middle of a pull, a broken body), and will try again. Default: no; the
    /// loss is counted, and the client notices nothing.
    #[must_use]
    pub fn fail_closed(self, fail: bool) -> Self {
        self.set(|it| it.fail_closed = fail)
    }

    /// How long a response waits for a sink that does not answer at once.
    /// After that its event counts as not accepted. Default: 5 s.
    #[must_use]
    pub fn accept_timeout(self, timeout: Duration) -> Self {
        self.set(|it| it.accept_timeout = timeout)
    }

    /// How long a response waits for what the layer itself asks the inner
    /// service: the size of a blob that was pushed in chunks, the tags of a
    /// manifest. After that the event goes without. Default: 5 s.
    #[must_use]
    pub fn stat_timeout(self, timeout: Duration) -> Self {
        self.set(|it| it.stat_timeout = timeout)
    }
}

impl<S> Layer<S> for NotificationLayer {
    type Service = Notification<S>;

    fn layer(&self, inner: S) -> Notification<S> {
        Notification::new(inner, self.0.clone())
    }
}

impl Settings {
    /// Decides what it means for the request that a sink does not take its event.
    fn accept(&self, write: Write) -> Write {
        let fail_closed = self.fail_closed;
        let judge = move |answer: Result<(), SinkError>| {
            let Err(error) = answer else { return Ok(()) };
            tracing::debug!(%error, fail_closed, "a sink did not take an event");
            if fail_closed { Err(error) } else { Ok(()) }
        };
        match write.answer() {
            Ok(answer) => Write::ready(judge(answer)),
            Err(write) => {
                let timeout = self.accept_timeout;
                Write::pending(async move {
                    let late = |_| Err(SinkError::other("sink did not answer in time"));
                    let answer = tokio::time::timeout(timeout, write).await;
                    judge(answer.unwrap_or_else(late))
                })
            }
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("notifier", &self.notifier)
            .field("prefix", &self.prefix)
            .field("trusted_proxies", &self.trusted_proxies)
            .field("base_url", &self.base_url)
            .field("https", &self.https)
            .field("actor", &self.actor.is_some())
            .field("basic_auth_actor", &self.basic_auth_actor)
            .field("peer_addr", &self.peer_addr.is_some())
            .field("head_pulls", &self.head_pulls)
            .field("aborted_pulls", &self.aborted_pulls)
            .field("untag_lookup", &self.untag_lookup)
            .field("fail_closed", &self.fail_closed)
            .field("accept_timeout", &self.accept_timeout)
            .field("stat_timeout", &self.stat_timeout)
            .finish()
    }
}
