//! A registry that is one closure, behind the layer, and the parts of its
//! requests and responses.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use tower::util::BoxCloneService;
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};
use tower_registry_notifications::event::Event;
use tower_registry_notifications::layer::ResponseBody;
use tower_registry_notifications::sink::{ChannelSink, Events};
use tower_registry_notifications::{NotificationLayer, Notifier, RequestBody, StatBody};

pub(crate) const D: &str =
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
pub(crate) const OTHER: &str = "sha256:01";
pub(crate) const BLOB: &str = "/v2/a/blobs/sha256:01";
pub(crate) const MANIFEST: &str = "/v2/a/manifests/t";
pub(crate) const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const IMAGE: &str =
    r#"{"config":{"mediaType":"c","digest":"sha256:c","size":1},"layers":[]}"#;

pub(crate) type Body = http_body_util::combinators::BoxBody<Bytes, BoxError>;

pub(crate) fn full(content: impl Into<Bytes>) -> Body {
    Full::new(content.into()).map_err(BoxError::from).boxed()
}

/// A body of several frames that does not tell its length.
pub(crate) fn frames<const N: usize>(content: [&'static str; N]) -> Body {
    let frames = content.map(|it| Ok(Frame::data(Bytes::from(it))));
    StreamBody::new(futures_util::stream::iter(frames)).boxed()
}

pub(crate) fn response(status: u16, headers: &[(&str, &str)], body: Body) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body).unwrap()
}

pub(crate) fn request(
    method: &str,
    uri: &str,
    headers: &[(&str, &str)],
    body: impl IntoBody,
) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into_body()).unwrap()
}

/// What can be the body of a request.
pub(crate) trait IntoBody {
    fn into_body(self) -> Body;
}

impl IntoBody for Body {
    fn into_body(self) -> Body {
        self
    }
}

impl IntoBody for &str {
    fn into_body(self) -> Body {
        full(self.to_owned())
    }
}

/// A notifier that includes references, and its events.
pub(crate) fn notifier() -> (Notifier, Events) {
    let (sink, events) = ChannelSink::new(100);
    let notifier = Notifier::builder().sink(sink).include_references(true);
    (notifier.build().unwrap(), events)
}

/// The events so far.
pub(crate) fn drain(events: &mut Events) -> Vec<Event> {
    std::iter::from_fn(|| events.try_recv())
        .map(|event| event.to_event())
        .collect()
}

pub(crate) type Set = fn(NotificationLayer) -> NotificationLayer;

/// A layer with these settings around a registry that is `serve`.
pub(crate) struct Case<F> {
    set: Set,
    references: bool,
    stat: bool,
    pub(crate) serve: F,
}

/// A registry behind the layer.
pub(crate) struct Started {
    service: BoxCloneService<Request<Body>, Response<ResponseBody<Body>>, BoxError>,
    events: Events,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Started {
    pub(crate) async fn response(&self, request: Request<Body>) -> Response<ResponseBody<Body>> {
        self.service.clone().oneshot(request).await.unwrap()
    }

    /// Sends a request and reads at most `read` frames of its response, whose
    /// status it returns.
    pub(crate) async fn send(&mut self, request: Request<Body>, read: usize) -> StatusCode {
        let response = self.response(request).await;
        let status = response.status();
        let mut body = response.into_body();
        for _ in 0..read {
            match body.frame().await {
                Some(frame) => drop(frame.unwrap()),
                None => break,
            }
        }
        status
    }

    /// The events so far.
    pub(crate) fn events(&mut self) -> Vec<Event> {
        drain(&mut self.events)
    }

    /// The requests of the layer's own so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl<F> Case<F>
where
    F: Fn(&http::request::Parts) -> Response<Body> + Clone + Send + 'static,
{
    pub(crate) fn new(serve: F) -> Self {
        Self {
            set: |layer| layer,
            references: false,
            stat: true,
            serve,
        }
    }

    pub(crate) fn set(mut self, set: Set) -> Self {
        self.set = set;
        self
    }

    /// Gives the layer no service for stats.
    pub(crate) fn without_stat(mut self) -> Self {
        self.stat = false;
        self
    }

    pub(crate) fn references(mut self) -> Self {
        self.references = true;
        self
    }

    /// A service that remembers what earlier requests have shown.
    pub(crate) fn start(&self) -> Started {
        let (sink, events) = ChannelSink::new(1000);
        let notifier = Notifier::builder().sink(sink);
        let notifier = notifier
            .include_references(self.references)
            .build()
            .unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (serve, log) = (self.serve.clone(), asked.clone());
        let stat = service_fn(move |request: Request<StatBody>| {
            let question = format!("{} {}", request.method(), request.uri());
            log.lock().unwrap().push(question);
            let response = serve(&request.into_parts().0);
            async { Ok::<_, BoxError>(response) }
        });
        let serve = self.serve.clone();
        let registry = service_fn(move |request: Request<RequestBody<Body>>| {
            let serve = serve.clone();
            async move {
                let (parts, body) = request.into_parts();
                body.collect().await?;
                Ok::<_, BoxError>(serve(&parts))
            }
        });
        let mut layer = NotificationLayer::new(notifier);
        if self.stat {
            layer = layer.stat_with(stat);
        }
        let service = BoxCloneService::new((self.set)(layer).layer(registry));
        Started {
            service,
            events,
            asked,
        }
    }

    /// The events of a request whose response is read by `read` frames at most.
    pub(crate) async fn read(&self, request: Request<Body>, read: usize) -> Vec<Event> {
        let mut started = self.start();
        started.send(request, read).await;
        started.events()
    }

    pub(crate) async fn events(&self, request: Request<Body>) -> Vec<Event> {
        self.read(request, usize::MAX).await
    }

    pub(crate) async fn event(&self, request: Request<Body>) -> Event {
        let mut events = self.events(request).await;
        assert_eq!(events.len(), 1, "{events:?}");
        events.remove(0)
    }
}

/// A registry that answers everything with this.
macro_rules! always {
    ($($response:tt)*) => { $crate::stage::Case::new(move |_: &http::request::Parts| $crate::stage::response($($response)*)) };
}
pub(crate) use always;

pub(crate) type Incoming = Request<RequestBody<Body>>;

/// Any registry.
pub(crate) type Registry = BoxCloneService<Incoming, Response<Body>, BoxError>;

/// Commits at once and answers 5 ms later.
pub(crate) fn slow_registry(committed: Arc<Mutex<Vec<String>>>) -> Registry {
    BoxCloneService::new(service_fn(move |request: Incoming| {
        let change = format!("{} {}", request.method(), request.uri());
        committed.lock().unwrap().push(change);
        async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let status = match *request.method() {
                Method::DELETE => 202,
                _ => 201,
            };
            Ok(response(status, &[], full("")))
        }
    }))
}

pub(crate) const MUTATIONS: [(&str, &str); 5] = [
    ("PUT", "/v2/a/manifests/t"),
    ("PUT", "/v2/a/blobs/uploads/1?digest=sha256:01"),
    ("POST", "/v2/a/blobs/uploads/?mount=sha256:01&from=b"),
    ("DELETE", "/v2/a/manifests/t"),
    ("DELETE", BLOB),
];
