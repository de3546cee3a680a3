//! A registry, its page, and requests to both.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use examples::admin::Admin;
use examples::image::{Image, MANIFEST};
use examples::registry;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::json;
use tokio::net::TcpListener;
use tower_registry_notifications::endpoint::Backoff;
use tower_registry_notifications::{Endpoint, Notifier, NotifierBuilder};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A registry with one image, and its page.
pub(crate) struct Stage {
    pub(crate) registry: SocketAddr,
    pub(crate) page: SocketAddr,
    pub(crate) notifier: Notifier,
}

impl Stage {
    pub(crate) async fn new(endpoints: Vec<Endpoint>, writable: bool) -> Self {
        Self::of(notifier(endpoints), writable).await
    }

    pub(crate) async fn of(notifier: NotifierBuilder, writable: bool) -> Self {
        let recorder = PrometheusBuilder::new().build_recorder().handle();
        let mut admin = Admin::default().with_metrics(move || recorder.render());
        let notifier = admin.watch(notifier).build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let page = listener.local_addr().unwrap();
        admin.serve(listener, notifier.clone(), None, writable);

        let image = Image::new("amd64", "hello.txt", b"hello").unwrap();
        let registry = registry::empty();
        registry::seed(&registry, "demo/hello", "latest", &image)
            .await
            .unwrap();
        let app = ferro_oci_server::router(registry);
        let app = registry::with_notifications(app, notifier.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let registry = listener.local_addr().unwrap();
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(axum::serve(listener, app).into_future());
        Self {
            registry,
            page,
            notifier,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.page)
    }

    /// Pushes the image again under this tag, as this user.
    pub(crate) async fn push(&self, tag: &str, user: &str) {
        let image = Image::new("amd64", "hello.txt", b"hello").unwrap();
        let url = format!("http://{}/v2/demo/hello/manifests/{tag}", self.registry);
        let credentials = STANDARD.encode(format!("{user}:secret"));
        let request = Request::put(url)
            .header("content-type", MANIFEST)
            .header("authorization", format!("Basic {credentials}"))
            .body(Full::from(image.manifest.bytes.clone()))
            .unwrap();
        assert_eq!(send(request).await.0, StatusCode::CREATED);
    }
}

/// A builder with endpoints that try again soon.
pub(crate) fn notifier(endpoints: Vec<Endpoint>) -> NotifierBuilder {
    let backoff = Backoff::new().base(SECOND / 10).cap(SECOND / 10);
    let retrying = endpoints.into_iter().map(|it| it.retry(backoff.clone()));
    retrying.fold(Notifier::builder(), NotifierBuilder::endpoint)
}

pub(crate) async fn send(request: Request<Full<Bytes>>) -> (StatusCode, String) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let (head, body) = client.request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, String::from_utf8(body.to_vec()).unwrap())
}

pub(crate) async fn request(
    stage: &Stage,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, String) {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", stage.url()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(request.body(Full::default()).unwrap()).await
}

pub(crate) fn expression(selector: &str) -> String {
    format!("document.querySelector({})", json!(selector))
}
