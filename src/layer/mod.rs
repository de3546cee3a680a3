//! Makes events of requests to a registry: [`NotificationLayer`].
//!
//! # When an event fires
//!
//! An event fires on every successful response to one of these routes, whatever the
//! spelling of name, tag or digest: the registry decides what is valid. `<name>` is
//! everything between the prefix and the last `/manifests/` or `/blobs/` that
//! makes a route. A reference with a `:` is a digest, any other is a tag.
//!
//! | request | response | event |
//! | --- | --- | --- |
//! | GET, HEAD `<name>/manifests/<ref>` | 200, 203, 206 | pull |
//! | PUT `<name>/manifests/<ref>` | any 2xx | push |
//! | PUT `<name>/manifests/<digest>?tag=a&tag=b` | any 2xx | push for each tag in the response's `OCI-Tag`; one without a tag if there is none |
//! | DELETE `<name>/manifests/<ref>` | any 2xx | delete of the tag, or of the digest |
//! | GET, HEAD `<name>/blobs/<digest>` | 200, 203, 206, 302, 303, 307 | pull |
//! | DELETE `<name>/blobs/<digest>` | any 2xx | delete |
//! | PUT `<name>/blobs/uploads/<id>` | any 2xx but 202 | push |
//! | PUT of any other URL with a `digest` parameter | any 2xx but 202 | push |
//! | POST `<name>/blobs/uploads/` | 201 | mount if query or form body has `mount`, else push |
//! | DELETE of anything | any 2xx with [`ResponseFacts::repository_deleted`] | delete of the repository |
//!
//! The spec lets a registry choose the URLs of its uploads. Where one is not of
//! the form above, the response's `Location` names the repository, or the URL
//! itself does, as `<name>/uploads/<id>` and `<name>/blobs/upload/<id>` do.
//!
//! # When an event is written
//!
//! An event is written before the client sees the response. A request that can
//! change the registry runs to completion once it has been passed on. If its
//! client hangs up, or a timeout outside the layer fires, it continues in a task
//! of its own for at most the
//! [`detached_timeout`](NotificationLayer::detached_timeout).
//!
//! The event of a GET with a body is written when the body ends, for whatever
//! reason. The last bytes are held back until the sinks have accepted it, so
//! that no client can have the whole content without its event.
//!
//! # Where to put the layer
//!
//! Put it around the whole registry, so that no request bypasses it. Auth
//! middleware may stand outside (it puts an [`ActorRecord`](crate::event::ActorRecord)
//! into the request's extensions) or inside (into the response's extensions).
//! Middleware that compresses responses stands outside, because an encoded body
//! hides the size of its content.
//!
//! # Stats
//!
//! The layer sends no requests of its own unless
//! [`stat_with`](NotificationLayer::stat_with) names a service for them.
//! Without it, a fact that neither the request nor the response shows is
//! omitted from the event and counted in
//! `registry_notifications_missing_facts_total`.
//!
//! # Recipes
//!
//! ## axum
//!
//! Wrap the router as a service. `Router::layer` works too, but it puts one
//! layer around each route.
//!
//! ```
//! use axum::Router;
//! use tower::Layer;
//! use tower_registry_notifications::{NotificationLayer, Notifier};
//!
//! fn app(registry: Router, notifier: Notifier) -> Router {
//!     let layer = NotificationLayer::new(notifier).stat_with(registry.clone());
//!     Router::new().fallback_service(layer.layer(registry))
//! }
//! # let _ = app;
//! ```
//!
//! ## axum under a path
//!
//! **Inside `nest_service`** the layer sees paths without the nest's path.
//! [`prefix`](NotificationLayer::prefix) is what remains of the path before the
//! repository's name. URLs in events lack the nest's path unless
//! [`base_url`](NotificationLayer::base_url) adds it, to the requested host or as
//! part of a fixed URL.
//!
//! ```
//! use axum::Router;
//! use axum::body::Body;
//! use http::Request;
//! use tower::{Layer, ServiceExt};
//! use tower_registry_notifications::layer::BaseUrl;
//! use tower_registry_notifications::sink::ChannelSink;
//! use tower_registry_notifications::{NotificationLayer, Notifier};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (sink, mut events) = ChannelSink::new(10);
//! # let notifier = Notifier::builder().sink(sink).build()?;
//! # let digest = [("docker-content-digest", "sha256:c0ff")];
//! # let registry = Router::new().fallback(move || async move { (digest, "{}") });
//! let layer = NotificationLayer::new(notifier)
//!     .base_url(BaseUrl::from_request_below("/registry")?);
//! let app = Router::new().nest_service("/registry", layer.layer(registry));
//!
//! let request = Request::head("/registry/v2/team/app/manifests/v1").header("host", "example.com");
//! app.oneshot(request.body(Body::empty())?).await?;
//! let event = events.recv().await.unwrap();
//! assert_eq!(event.repository(), "team/app");
//! assert!(event.url().starts_with("http://example.com/registry/v2/team/app/manifests/"));
//! # Ok(()) }
//! ```
//!
//! With `nest_service("/v2", …)` the layer sees `/team/app/manifests/v1`:
//!
//! ```
//! # use axum::Router;
//! # use axum::body::Body;
//! # use http::Request;
//! # use tower::{Layer, ServiceExt};
//! # use tower_registry_notifications::sink::ChannelSink;
//! # use tower_registry_notifications::{NotificationLayer, Notifier};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (sink, mut events) = ChannelSink::new(10);
//! # let notifier = Notifier::builder().sink(sink).build()?;
//! # let digest = [("docker-content-digest", "sha256:c0ff")];
//! # let registry = Router::new().fallback(move || async move { (digest, "{}") });
//! let layer = NotificationLayer::new(notifier).prefix("/");
//! let app = Router::new().nest_service("/v2", layer.layer(registry));
//! # let request = Request::head("/v2/team/app/manifests/v1").body(Body::empty())?;
//! # app.oneshot(request).await?;
//! # assert_eq!(events.recv().await.unwrap().repository(), "team/app");
//! # Ok(()) }
//! ```
//!
//! **Outside the nest** the layer sees the whole path:
//!
//! ```
//! # use axum::Router;
//! # use axum::body::Body;
//! # use http::Request;
//! # use tower::{Layer, ServiceExt};
//! # use tower_registry_notifications::sink::ChannelSink;
//! # use tower_registry_notifications::{NotificationLayer, Notifier};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (sink, mut events) = ChannelSink::new(10);
//! # let notifier = Notifier::builder().sink(sink).build()?;
//! # let digest = [("docker-content-digest", "sha256:c0ff")];
//! # let registry = Router::new().fallback(move || async move { (digest, "{}") });
//! let nested = Router::new().nest_service("/registry", registry);
//! let layer = NotificationLayer::new(notifier).prefix("/registry/v2/");
//! let app = Router::new().fallback_service(layer.layer(nested));
//! # let request = Request::head("http://a.example/registry/v2/team/app/manifests/v1");
//! # app.oneshot(request.header("host", "a.example").body(Body::empty())?).await?;
//! # let event = events.recv().await.unwrap();
//! # assert_eq!(event.repository(), "team/app");
//! # assert!(event.url().starts_with("http://a.example/registry/v2/team/app/"), "{}", event.url());
//! # Ok(()) }
//! ```
//!
//! ## hyper
//!
//! A handler of `Request<Incoming>` becomes generic in the body, because the
//! layer passes on a [`RequestBody`] around the client's. The same handler then
//! also serves the layer's stats.
//!
//! ```
//! use std::convert::Infallible;
//! use std::net::SocketAddr;
//!
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body::Body;
//! use http_body_util::Full;
//! use hyper::body::Incoming;
//! use hyper_util::rt::{TokioExecutor, TokioIo};
//! use hyper_util::server::conn::auto;
//! use hyper_util::service::TowerToHyperService;
//! use tokio::net::TcpStream;
//! use tower::{BoxError, ServiceBuilder, service_fn};
//! use tower_registry_notifications::layer::PeerAddr;
//! use tower_registry_notifications::{NotificationLayer, Notifier, StatBody};
//!
//! async fn registry<B>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible>
//! where
//!     B: Body<Data = Bytes>,
//! {
//!     // …
//! #   drop(request);
//! #   Ok(Response::default())
//! }
//!
//! fn layer(notifier: Notifier) -> NotificationLayer {
//!     NotificationLayer::new(notifier).stat_with(service_fn(registry::<StatBody>))
//! }
//!
//! async fn serve(
//!     stream: TcpStream,
//!     peer: SocketAddr,
//!     layer: NotificationLayer,
//! ) -> Result<(), BoxError> {
//!     let service = ServiceBuilder::new()
//!         .map_request(move |mut request: Request<Incoming>| {
//!             request.extensions_mut().insert(PeerAddr(peer));
//!             request
//!         })
//!         .layer(layer)
//!         .service_fn(registry);
//!     auto::Builder::new(TokioExecutor::new())
//!         .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
//!         .await
//! }
//! # let _ = (layer, serve);
//! ```
//!
//! A server makes one layer and clones it for each connection: the clones share
//! what they remember of sizes and of unfinished uploads.
//!
//! ## A service of a boxed body
//!
//! A hand-written `Service<Request<BoxBody>>` gets both kinds of bodies boxed:
//!
//! ```
//! # use std::convert::Infallible;
//! # use std::future::{Ready, ready};
//! # use std::task::{Context, Poll};
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use http_body_util::combinators::UnsyncBoxBody;
//! use hyper::body::Incoming;
//! use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
//! use tower_registry_notifications::{NotificationLayer, Notifier, RequestBody, StatBody};
//!
//! type BoxBody = UnsyncBoxBody<Bytes, BoxError>;
//!
//! #[derive(Clone)]
//! struct Registry;
//!
//! impl Service<Request<BoxBody>> for Registry {
//!     // …
//! #   type Response = Response<Full<Bytes>>;
//! #   type Error = Infallible;
//! #   type Future = Ready<Result<Self::Response, Infallible>>;
//! #   fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
//! #       Poll::Ready(Ok(()))
//! #   }
//! #   fn call(&mut self, _: Request<BoxBody>) -> Self::Future {
//! #       ready(Ok(Response::default()))
//! #   }
//! }
//!
//! # fn with(notifier: Notifier) {
//! let stat = Registry.map_request(|request: Request<StatBody>| {
//!     request.map(|body| body.map_err(BoxError::from).boxed_unsync())
//! });
//! let service = ServiceBuilder::new()
//!     .layer(NotificationLayer::new(notifier).stat_with(stat))
//!     .map_request(|request: Request<RequestBody<Incoming>>| {
//!         request.map(|body| body.map_err(BoxError::from).boxed_unsync())
//!     })
//!     .service(Registry);
//! # fn check(_: impl Service<Request<Incoming>>) {}
//! # check(service);
//! # }
//! ```
//!
//! ## warp
//!
//! `warp::service` makes a tower service of a filter, which takes any body that
//! is `Send` and `Sync`:
//!
//! ```
//! use http::Request;
//! use http_body_util::Empty;
//! use bytes::Bytes;
//! use tower::{Layer, ServiceExt};
//! use tower_registry_notifications::sink::ChannelSink;
//! use tower_registry_notifications::{NotificationLayer, Notifier};
//! use warp::Filter;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (sink, mut events) = ChannelSink::new(10);
//! # let notifier = Notifier::builder().sink(sink).build()?;
//! let registry = warp::path!("v2" / String / "manifests" / String)
//!     .map(|_name, _reference| warp::reply::json(&"a manifest"));
//! let registry = warp::service(registry);
//! let service = NotificationLayer::new(notifier).stat_with(registry.clone()).layer(registry);
//!
//! let request = Request::get("/v2/app/manifests/v1").body(Empty::<Bytes>::new())?;
//! // The event is written when the response's body ends.
//! drop(service.oneshot(request).await?);
//! assert_eq!(events.try_recv().unwrap().repository(), "app");
//! # Ok(()) }
//! ```
//!
//! ## A layer that can be turned off
//!
//! `option_layer` needs the same response type with and without the layer, so
//! the [`ResponseBody`] is mapped back:
//!
//! ```
//! use axum::Router;
//! use axum::body::Body;
//! use http::{Request, Response};
//! use tower::util::option_layer;
//! use tower::{Layer, ServiceBuilder};
//! use tower_registry_notifications::layer::ResponseBody;
//! use tower_registry_notifications::{NotificationLayer, Notifier};
//!
//! fn app(registry: Router, notifier: Option<Notifier>) -> Router {
//!     let layer = notifier.map(|notifier| {
//!         ServiceBuilder::new()
//!             .map_response(|response: Response<ResponseBody<Body>>| response.map(Body::new))
//!             .layer(NotificationLayer::new(notifier).stat_with(registry.clone()))
//!             .into_inner()
//!     });
//!     Router::new().fallback_service(option_layer(layer).layer(registry))
//! }
//! # let _ = app;
//! ```
//!
//! ## Tests of a registry
//!
//! A [`ChannelSink`](crate::sink::ChannelSink) holds the events. Because an event is
//! accepted before the client sees the response, no test has to wait. After a GET,
//! read or drop the response's body first. The size of a push is counted while the
//! handler reads the request's body, so a fake handler must read it:
//!
//! ```
//! use axum::Router;
//! use axum::body::Body;
//! use http::{Request, StatusCode};
//! use tower::{Layer, ServiceExt};
//! use tower_registry_notifications::event::Action;
//! use tower_registry_notifications::sink::ChannelSink;
//! use tower_registry_notifications::{NotificationLayer, Notifier};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let registry = Router::new().fallback(|| async { StatusCode::ACCEPTED });
//! let (sink, mut events) = ChannelSink::new(10);
//! let notifier = Notifier::builder().sink(sink).build()?;
//! let service = NotificationLayer::new(notifier).layer(registry);
//!
//! let request = Request::delete("/v2/team/app/manifests/v1").body(Body::empty())?;
//! let response = service.oneshot(request).await?;
//! assert_eq!(response.status(), StatusCode::ACCEPTED);
//!
//! let event = events.try_recv().unwrap();
//! assert_eq!(event.action(), Action::Delete);
//! assert_eq!((event.repository(), event.tag()), ("team/app", "v1"));
//! assert!(events.try_recv().is_none());
//! # Ok(()) }
//! ```
//!
//! ## Frameworks without tower
//!
//! actix-web and others report what happened through the
//! [`Bridge`](crate::Bridge) in their own handlers, before they respond:
//!
//! ```
//! use tower_registry_notifications::event::{Manifest, RequestRecord};
//! use tower_registry_notifications::sink::SinkError;
//! use tower_registry_notifications::Notifier;
//!
//! /// Reports a manifest that was stored, from a handler of any framework.
//! async fn report(
//!     notifier: &Notifier,
//!     (id, host, user): (&str, &str, &str),
//!     (repository, tag): (&str, Option<&str>),
//!     manifest: Manifest,
//! ) -> Result<(), SinkError> {
//!     let mut request = RequestRecord::new(id, "PUT");
//!     request.host = host.into();
//!     notifier
//!         .bridge(request)
//!         .actor(user)
//!         .base_url(format!("https://{host}"))
//!         .manifest_pushed(repository, manifest, tag)
//!         .await
//! }
//! # let _ = report;
//! ```

mod answer;
mod body;
mod detachable;
mod exchange;
mod facts;
mod future;
mod generations;
mod headers;
#[allow(clippy::module_inception, reason = "named as its siblings are")]
mod layer;
mod memory;
mod observed;
mod origin;
mod outcome;
mod pull;
mod respond;
mod response_facts;
mod route;
mod service;
mod settings;
mod sizes;
mod stat;
mod stat_service;
mod tap;
mod uploads;

pub use self::body::{RequestBody, ResponseBody};
pub use self::future::ResponseFuture;
pub use self::layer::NotificationLayer;
pub use self::origin::{BaseUrl, PeerAddr, TrustedProxies};
pub use self::response_facts::ResponseFacts;
pub use self::service::Notification;
pub use self::stat_service::StatBody;
