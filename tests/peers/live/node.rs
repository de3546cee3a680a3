//! The example's registry in this process, watched from inside and outside of
//! the layer.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use examples::image::{Content, Image};
use examples::registry;
use ferro_oci_server::AppState;
use http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tower_registry_notifications::event::{Action, Event};
use tower_registry_notifications::{Endpoint, Notifier, SourceRecord};

use crate::expect::{Expected, line};
use crate::receiver::Receiver;

const PATIENCE: Duration = Duration::from_secs(20);

/// A request of a client, and the head of its response.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) host: String,
    pub(crate) addr: String,
    pub(crate) user_agent: String,
    /// Who asks, by Basic authentication.
    pub(crate) actor: String,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
}

/// What a response's head was, by the request that it answers.
type Head = (usize, Method, Uri, StatusCode, Vec<(String, Vec<u8>)>);

/// What was seen of the requests.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    begun: usize,
    exchanges: Vec<Exchange>,
    outside: Vec<Head>,
    inside: Vec<Head>,
}

/// Which of the clients' requests this is.
#[derive(Clone, Copy)]
struct Number(usize);

pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    registry: Option<Arc<AppState>>,
    receiver: Receiver,
    notifier: Notifier,
    include_references: bool,
    log: Log,
    seeded: Mutex<Vec<(String, String, String)>>,
    client: Client<HttpConnector, Full<Bytes>>,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
    stop: oneshot::Sender<()>,
}

impl Node {
    /// The registry of the example.
    pub(crate) async fn start(include_references: bool) -> Self {
        let registry = registry::empty();
        let router = Router::new()
            .fallback_service(ferro_oci_server::router(registry.clone()))
            .layer(from_fn_with_state(Untagged::default(), untag));
        let mut node = Self::around(router, include_references).await;
        node.registry = Some(registry);
        node
    }

    /// Any registry.
    pub(crate) async fn around(registry: Router, include_references: bool) -> Self {
        let receiver = Receiver::default();
        let url = receiver.start().await;
        let notifier = Notifier::builder()
            .source(SourceRecord::new("registry.test:5000"))
            .include_references(include_references)
            .endpoint(Endpoint::new("receiver", url))
            .build()
            .unwrap();

        let log = Log::default();
        let registry = registry.layer(from_fn_with_state(log.clone(), inside));
        let app = registry::with_notifications(registry, notifier.clone())
            .layer(from_fn_with_state(log.clone(), outside));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let server = serve(listener, app, stopped);
        Self {
            address,
            registry: None,
            receiver,
            notifier,
            include_references,
            log,
            seeded: Mutex::default(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            server,
            stop,
        }
    }

    /// Stores an image without a request.
    pub(crate) async fn seed(&self, repository: &str, tag: &str, image: &Image) {
        let registry = self.registry.as_ref().unwrap();
        let seeded = registry::seed(registry, repository, tag, image);
        seeded.await.unwrap();
        let digest = image.manifest.digest.clone();
        let mut seeded = self.seeded.lock().unwrap();
        seeded.push((repository.into(), tag.into(), digest));
    }

    /// What skopeo calls an image of this registry.
    pub(crate) fn image(&self, name: &str) -> String {
        format!("docker://{}/{name}", self.address)
    }

    /// Sends a request, its path as it is.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &'static str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header(header::USER_AGENT, "live-test");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let response = timeout(PATIENCE, self.client.request(request));
        let (parts, body) = response.await.unwrap().unwrap().into_parts();
        let body = timeout(PATIENCE, body.collect()).await.unwrap().unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.to_bytes(),
        }
    }

    /// Stops all, and checks that the receiver has an event for each request
    /// that should make one, and nothing else; `images` and `indexes` are all
    /// that can be in the registry. Answers with the events.
    pub(crate) async fn stop(self, images: &[&Image], indexes: &[&Content]) -> Vec<Event> {
        drop(self.client);
        self.stop.send(()).unwrap();
        let served = timeout(PATIENCE, self.server).await;
        served.expect("requests do not end").unwrap().unwrap();

        let report = self.notifier.shutdown(PATIENCE).await;
        let status = self.notifier.status();
        assert!(report.is_drained(), "{report:?}\n{status:#?}");

        let seen = self.log.0.lock().unwrap();
        for head in &seen.outside {
            let found = seen.inside.contains(head);
            assert!(found, "the layer changed a response: {head:?}");
        }
        let mut expected = Expected::new(images, indexes, self.include_references);
        for (repository, tag, digest) in &*self.seeded.lock().unwrap() {
            expected.tag(repository, tag, digest);
        }
        for exchange in &seen.exchanges {
            expected.add(exchange);
        }
        let events = self.receiver.events();
        compare(&expected, &events);
        events
    }
}

/// A response that was read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Tag and digest of each event of this action, sorted.
pub(crate) fn targets<'a>(
    events: &'a [Event],
    action: Action,
    repository: &str,
) -> Vec<(&'a str, &'a str)> {
    let of = |event: &&Event| event.action == action && event.target.repository == repository;
    let mut targets: Vec<_> = events
        .iter()
        .filter(of)
        .map(|event| (&*event.target.tag, &*event.target.descriptor.digest))
        .collect();
    targets.sort_unstable();
    targets
}

fn compare(expected: &Expected, events: &[Event]) {
    let mut wanted = expected.lines.clone();
    let mut unwanted = Vec::new();
    for event in events {
        let line = line(event);
        match wanted.iter().position(|wanted| *wanted == line) {
            Some(at) => drop(wanted.swap_remove(at)),
            None => unwanted.push(line),
        }
    }
    assert!(
        wanted.is_empty() && unwanted.is_empty(),
        "missing events: {wanted:#?}\nevents of nothing: {unwanted:#?}"
    );
    assert!(!events.is_empty(), "nothing happened");
    let ids: BTreeSet<_> = events.iter().map(|event| &event.id).collect();
    assert_eq!(ids.len(), events.len(), "ids of events are not unique");
    let requests: BTreeSet<_> = events.iter().map(|event| &event.request.id).collect();
    assert_eq!(requests.len(), expected.requests, "ids of requests");
    for event in events {
        assert_eq!(event.source.addr, "registry.test:5000");
        assert_eq!(event.source.instance_id, events[0].source.instance_id);
        assert!(!event.source.instance_id.is_empty());
    }
}

fn serve(
    listener: TcpListener,
    app: Router,
    stopped: oneshot::Receiver<()>,
) -> tokio::task::JoinHandle<std::io::Result<()>> {
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, app);
    let server = server.with_graceful_shutdown(async { stopped.await.unwrap_or_default() });
    tokio::spawn(server.into_future())
}

async fn outside(
    State(log): State<Log>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let number = {
        let mut seen = log.0.lock().unwrap();
        seen.begun += 1;
        seen.begun
    };
    request.extensions_mut().insert(Number(number));
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let host = text(request.headers(), header::HOST);
    let user_agent = text(request.headers(), header::USER_AGENT);
    let actor = user(&text(request.headers(), header::AUTHORIZATION));
    let response = next.run(request).await;
    let mut seen = log.0.lock().unwrap();
    seen.outside.push(head(number, &method, &uri, &response));
    seen.exchanges.push(Exchange {
        method,
        uri,
        host,
        addr: peer.to_string(),
        user_agent,
        actor,
        status: response.status(),
        headers: response.headers().clone(),
    });
    response
}

fn text(headers: &HeaderMap, name: HeaderName) -> String {
    match headers.get(name) {
        Some(value) => value.to_str().unwrap().to_owned(),
        None => String::new(),
    }
}

fn user(authorization: &str) -> String {
    let Some(encoded) = authorization.strip_prefix("Basic ") else {
        return String::new();
    };
    let credentials = String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap();
    credentials.split_once(':').unwrap().0.to_owned()
}

/// Also sees what the layer asks itself.
async fn inside(State(log): State<Log>, request: Request, next: Next) -> Response {
    let number = request.extensions().get::<Number>().unwrap().0;
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let response = next.run(request).await;
    let head = head(number, &method, &uri, &response);
    log.0.lock().unwrap().inside.push(head);
    response
}

fn head(number: usize, method: &Method, uri: &Uri, response: &Response) -> Head {
    let headers = response.headers().iter();
    let headers = headers.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
    let (method, uri) = (method.clone(), uri.clone());
    (number, method, uri, response.status(), headers.collect())
}

/// Paths of manifests by tag that were deleted.
type Untagged = Arc<Mutex<BTreeSet<String>>>;

/// Deletes tags, which the registry itself cannot.
async fn untag(State(untagged): State<Untagged>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    if untagged.lock().unwrap().contains(&path) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let reference = path.rsplit_once("/manifests/").map(|(_, it)| it);
    let is_tag = reference.is_some_and(|reference| !reference.contains(':'));
    if *request.method() != Method::DELETE || !is_tag {
        return next.run(request).await;
    }
    *request.method_mut() = Method::HEAD;
    let found = next.run(request).await.status();
    if found != StatusCode::OK {
        return found.into_response();
    }
    untagged.lock().unwrap().insert(path);
    StatusCode::ACCEPTED.into_response()
}
