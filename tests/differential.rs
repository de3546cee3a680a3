//! The proxy before a real distribution registry that posts its own
//! notifications: both must say the same.

#![allow(clippy::unwrap_used)]

mod common;
#[path = "../examples/support/proxy.rs"]
mod proxy;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{Received, receiver};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use proxy::Proxy;
use sha2::Digest as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedReceiver;
use tower::ServiceBuilder;
use tower::util::BoxCloneService;
use tower_registry_notifications::{
    Endpoint, Envelope, Event, Format, NotificationLayer, Notifier, PeerAddr, RequestBody,
    SourceRecord,
};

const MINUTE: Duration = Duration::from_secs(60);
const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

fn missing(program: &str, error: &std::io::Error) -> String {
    format!("cannot run {program}: {error}. This test needs it: apt-get install {program}")
}

/// A docker-registry process, ended with the test.
struct Upstream {
    process: Child,
    url: String,
    folder: tempfile::TempDir,
}

impl Upstream {
    async fn start(webhook: u16) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let folder = tempfile::tempdir().unwrap();
        let storage = folder.path().join("storage");
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\n\
             http: {{addr: '127.0.0.1:{port}'}}\nnotifications:\n  events: {{includereferences: true}}\n  endpoints:\n  \
             - {{name: a, url: 'http://127.0.0.1:{webhook}/', timeout: 5s, threshold: 10, backoff: 1s}}\n",
            storage.display()
        );
        let file = folder.path().join("config.yml");
        std::fs::write(&file, config).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}", missing("docker-registry", &error)));
        let url = format!("http://127.0.0.1:{port}");
        let upstream = Self {
            process,
            url,
            folder,
        };
        let client = TestClient::new(&upstream.url);
        let up = async {
            while client
                .try_send(Method::GET, "/v2/", &[], "")
                .await
                .is_none()
            {
                tokio::task::yield_now().await;
            }
        };
        let up = tokio::time::timeout(MINUTE, up).await;
        up.expect("docker-registry does not answer");
        upstream
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The proxy with the layer; the port that it listens on.
async fn serve(upstream: &str, notifier: Notifier) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let proxy = Arc::new(Proxy::<Incoming>::new(upstream, false).unwrap());
    let layer = NotificationLayer::new(notifier).untag_lookup(true);
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let proxy = proxy.clone();
            let forward = move |request: Request<RequestBody<Incoming>>| proxy.forward(request);
            let service = ServiceBuilder::new()
                .map_request(move |mut request: Request<Incoming>| {
                    request.extensions_mut().insert(PeerAddr(peer));
                    request
                })
                .layer(&layer)
                .service_fn(forward);
            let service = TowerToHyperService::new(BoxCloneService::new(service));
            tokio::spawn(async move {
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                // A client that hangs up is no concern of the test.
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    port
}

/// Sends requests by hand, each with a user agent of its own.
#[derive(Clone)]
struct TestClient {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
    count: Arc<std::sync::atomic::AtomicUsize>,
}

type Answer = Response<Bytes>;

impl TestClient {
    fn new(base: &str) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            base: base.into(),
            count: Arc::default(),
        }
    }

    async fn try_send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Option<Answer> {
        let uri = match path.starts_with("http") {
            true => path.to_owned(),
            false => format!("{}{path}", self.base),
        };
        let n = self.count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header("user-agent", format!("test/{n}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let (head, body) = self.client.request(request).await.ok()?.into_parts();
        Some(Response::from_parts(
            head,
            body.collect().await.ok()?.to_bytes(),
        ))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let answer = self.try_send(method, path, headers, body).await;
        answer.unwrap_or_else(|| panic!("no answer: {path}"))
    }

    /// Where to go on with the upload; it must lead back through the proxy.
    fn location(&self, answer: &Answer) -> String {
        let location = answer.headers()["location"].to_str().unwrap();
        assert!(
            location.starts_with(&self.base),
            "{location} leads around the proxy"
        );
        location.into()
    }

    async fn begin(&self, repository: &str) -> String {
        let path = format!("/v2/{repository}/blobs/uploads/");
        let answer = self.send(Method::POST, &path, &[], "").await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        self.location(&answer)
    }

    /// Pushes a blob in so many chunks, and a last part with the PUT.
    async fn push_blob(&self, repository: &str, content: &str, chunks: usize) -> String {
        let mut location = self.begin(repository).await;
        let size = content.len() / (chunks + 1);
        let octets = ("content-type", "application/octet-stream");
        for n in 0..chunks {
            let part = content[n * size..(n + 1) * size].to_owned();
            let range = format!("{}-{}", n * size, (n + 1) * size - 1);
            let headers = [octets, ("content-range", &*range)];
            let answer = self.send(Method::PATCH, &location, &headers, part).await;
            assert_eq!(answer.status(), StatusCode::ACCEPTED);
            location = self.location(&answer);
        }
        let digest = digest(content);
        let uri = format!("{location}&digest={}", digest.replace(':', "%3A"));
        let rest = content[chunks * size..].to_owned();
        let answer = self.send(Method::PUT, &uri, &[octets], rest).await;
        assert_eq!(answer.status(), StatusCode::CREATED);
        digest
    }

    async fn push_manifest(&self, repository: &str, reference: &str, kind: &str, content: &str) {
        let path = format!("/v2/{repository}/manifests/{reference}");
        let headers = [("content-type", kind)];
        let answer = self
            .send(Method::PUT, &path, &headers, content.to_owned())
            .await;
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        assert_eq!(answer.status(), StatusCode::CREATED, "{text}");
    }

    async fn get(&self, path: &str, status: u16, headers: &[(&str, &str)]) {
        for method in [Method::HEAD, Method::GET] {
            let answer = self.send(method, path, headers, "").await;
            assert_eq!(answer.status(), status, "{path}");
        }
    }

    /// Pushes an image; its digest and manifest.
    async fn push_image(
        &self,
        repository: &str,
        tag: &str,
        kind: &str,
        more: &str,
    ) -> (String, String) {
        let (config_kind, layer_kind) = match kind {
            DOCKER => (
                "application/vnd.docker.container.image.v1+json",
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
            ),
            _ => (OCI_CONFIG, OCI_LAYER),
        };
        let config =
            format!(r#"{{"architecture":"amd64","os":"linux","name":"{repository}:{tag}"}}"#);
        let layer = format!("layer of {repository}:{tag} <&> {}", "x".repeat(3000));
        let config_digest = self.push_blob(repository, &config, 0).await;
        let layer_digest = self.push_blob(repository, &layer, 3).await;
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{kind}",{more}"config":{{"mediaType":"{config_kind}","digest":"{config_digest}","size":{}}},"layers":[{{"mediaType":"{layer_kind}","digest":"{layer_digest}","size":{}}}]}}"#,
            config.len(),
            layer.len()
        );
        self.push_manifest(repository, tag, kind, &manifest).await;
        (digest(&manifest), manifest)
    }
}

fn digest(content: &str) -> String {
    format!("sha256:{:x}", sha2::Sha256::digest(content))
}

async fn skopeo(arguments: &[&str]) {
    let output = tokio::process::Command::new("skopeo")
        .arg("--insecure-policy")
        .args(arguments)
        .output()
        .await
        .unwrap_or_else(|error| panic!("{}", missing("skopeo", &error)));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "skopeo {arguments:?}: {error}");
}

/// What people do, by hand and with skopeo.
async fn use_registry(client: &TestClient, port: u16, folder: &Path) {
    let (oci, manifest) = client.push_image("team/app", "v1", OCI, "").await;
    let (docker, _) = client.push_image("team/docker", "v1", DOCKER, "").await;
    // Several tags, by digest, and again.
    client.push_manifest("team/app", "v2", OCI, &manifest).await;
    client.push_manifest("team/app", &oci, OCI, &manifest).await;
    client.push_manifest("team/app", "v1", OCI, &manifest).await;
    // An artifact that belongs to an image.
    let size = manifest.len();
    let subject = format!(
        r#""artifactType":"a/b","subject":{{"mediaType":"{OCI}","digest":"{oci}","size":{size}}},"#
    );
    client
        .push_image("team/app", "signature", OCI, &subject)
        .await;
    // Indexes of both kinds.
    for (repository, list, kind, image) in [
        ("team/app", OCI_INDEX, OCI, &oci),
        ("team/docker", DOCKER_LIST, DOCKER, &docker),
    ] {
        let index = format!(
            r#"{{"schemaVersion":2,"mediaType":"{list}","manifests":[{{"mediaType":"{kind}","digest":"{image}","size":{size},"platform":{{"architecture":"amd64","os":"linux"}},"annotations":{{"a":"<b>"}}}}]}}"#
        );
        client
            .push_manifest(repository, "multi", list, &index)
            .await;
        let accept = [("accept", list), ("accept", kind)];
        client
            .get(&format!("/v2/{repository}/manifests/multi"), 200, &accept)
            .await;
    }
    // Pulls, repeated and in part, and what is not there.
    let accept = [("accept", OCI)];
    client.get("/v2/team/app/manifests/v1", 200, &accept).await;
    client.get("/v2/team/app/manifests/v1", 200, &accept).await;
    client
        .get(&format!("/v2/team/app/manifests/{oci}"), 200, &accept)
        .await;
    client
        .get("/v2/team/app/manifests/none", 404, &accept)
        .await;
    let list = client
        .send(Method::GET, "/v2/team/app/tags/list", &[], "")
        .await;
    assert_eq!(list.status(), StatusCode::OK);
    let blob = client.push_blob("team/app", "0123456789", 0).await;
    let blob_path = format!("/v2/team/app/blobs/{blob}");
    client.get(&blob_path, 200, &[]).await;
    let range = [("range", "bytes=2-5")];
    let part = client.send(Method::GET, &blob_path, &range, "").await;
    assert_eq!(
        (part.status(), &part.body()[..]),
        (StatusCode::PARTIAL_CONTENT, &b"2345"[..])
    );
    // A mount, one that fails, and a digest that does not fit.
    for (digest, status) in [(&blob, 201), (&digest("nothing"), 202)] {
        let path = format!("/v2/team/copy/blobs/uploads/?mount={digest}&from=team/app");
        let answer = client.send(Method::POST, &path, &[], "").await;
        assert_eq!(answer.status(), status);
    }
    let upload = client.begin("team/app").await;
    let wrong = format!("{upload}&digest={}", digest("something else"));
    let answer = client.send(Method::PUT, &wrong, &[], "content").await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    // Spellings that the registry itself corrects or takes.
    let spelled = client
        .send(Method::GET, "/v2/team/app/manifests/%76%31", &accept, "")
        .await;
    assert_eq!(spelled.status(), StatusCode::OK);
    // Eight at once.
    let eight = (0..8).map(|n| {
        let client = client.clone();
        async move {
            let repository = format!("eight/r{n}");
            client.push_image(&repository, "t", OCI, "").await;
            client
                .get(
                    &format!("/v2/{repository}/manifests/t"),
                    200,
                    &[("accept", OCI)],
                )
                .await;
        }
    });
    futures_util::future::join_all(eight).await;
    use_skopeo(port, folder).await;
    // Deletions: by digest with two tags, of a blob, of what is gone.
    let app = format!("/v2/team/app/manifests/{oci}");
    for (path, status) in [(&app, 202), (&app, 404), (&blob_path, 202)] {
        let answer = client.send(Method::DELETE, path, &[], "").await;
        assert_eq!(answer.status(), status, "{path}");
    }
}

async fn use_skopeo(port: u16, folder: &Path) {
    let at = |name: &str| format!("docker://127.0.0.1:{port}/{name}");
    let dir = format!("dir:{}", folder.join("image").display());
    let (from, to) = ("--src-tls-verify=false", "--dest-tls-verify=false");
    skopeo(&["copy", from, &at("team/app:v1"), &dir]).await;
    skopeo(&["copy", to, &dir, &at("skopeo/in:v1")]).await;
    skopeo(&["copy", from, to, &at("team/app:v1"), &at("skopeo/copy:v1")]).await;
    skopeo(&[
        "copy",
        from,
        to,
        "--all",
        &at("team/app:multi"),
        &at("skopeo/copy:multi"),
    ])
    .await;
    skopeo(&[
        "copy",
        from,
        to,
        "--format",
        "oci",
        &at("team/app:v1"),
        &at("skopeo/in:v3"),
    ])
    .await;
    skopeo(&[
        "inspect",
        "--raw",
        "--tls-verify=false",
        &at("skopeo/in:v1"),
    ])
    .await;
    skopeo(&["list-tags", "--tls-verify=false", &at("skopeo/copy")]).await;
    skopeo(&["delete", "--tls-verify=false", &at("skopeo/copy:v1")]).await;
}

/// All that must be equal of an event.
fn essence(event: &Event) -> (String, String) {
    let mut same = Event::new(event.action);
    same.id = String::new();
    same.timestamp = std::time::SystemTime::UNIX_EPOCH;
    same.target = event.target.clone();
    same.actor = event.actor.clone();
    let mut request = (*event.request).clone();
    // Of each run, and of who stands before whom.
    request.id.clear();
    request.addr.clear();
    same.request = request.into();
    let kind = match (&*event.target.descriptor.media_type, &*event.target.tag) {
        ("application/octet-stream", _) => "blob",
        ("", "") => "digest",
        ("", _) => "tag",
        _ => "manifest",
    };
    let class = format!("{} {} by {}", event.action, kind, event.request.method);
    (
        class,
        String::from_utf8(Envelope::new([same]).encode(Format::V1)).unwrap(),
    )
}

/// Takes events until both sides have been told of the last request, which is
/// the only one in the repository `end`.
async fn until_end(received: &mut UnboundedReceiver<Received>) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let next = tokio::time::timeout(MINUTE, received.recv()).await;
        let received = next.expect("the end was not told").unwrap();
        let envelope: Envelope = serde_json::from_slice(&received.body).unwrap();
        assert_eq!(received.headers["content-type"], Format::V1.content_type());
        for event in envelope.events {
            if event.target.repository == "end" {
                return events;
            }
            events.push(event);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proxy_says_what_distribution_says() {
    let (port_a, mut a) = receiver(Box::new(|_| Response::builder())).await;
    let (port_b, mut b) = receiver(Box::new(|_| Response::builder())).await;
    let upstream = Upstream::start(port_a).await;
    let endpoint = Endpoint::builder("b", format!("http://127.0.0.1:{port_b}/"));
    let notifier = Notifier::builder()
        .source(SourceRecord::new("proxy"))
        .include_references(true)
        .endpoint(endpoint.format(Format::V1).timeout(MINUTE))
        .build()
        .unwrap();
    let port = serve(&upstream.url, notifier).await;
    let client = TestClient::new(&format!("http://127.0.0.1:{port}"));
    use_registry(&client, port, upstream.folder.path()).await;
    client.push_blob("end", "end", 0).await;
    let (a, b) = (until_end(&mut a).await, until_end(&mut b).await);

    // What the layer asks the registry itself is a pull to it, by its own user agent.
    let own = |event: &Event| event.request.user_agent.starts_with(env!("CARGO_PKG_NAME"));
    let (stats, a): (Vec<_>, Vec<_>) = a.into_iter().partition(own);
    assert!(!b.iter().any(own), "the layer told of its own requests");
    println!(
        "{} pulls are the proxy's own stats and lookups of tags",
        stats.len()
    );

    let mut table: BTreeMap<String, BTreeMap<String, [usize; 2]>> = BTreeMap::new();
    for (side, events) in [&a, &b].into_iter().enumerate() {
        for event in events {
            let (class, essence) = essence(event);
            table.entry(class).or_default().entry(essence).or_default()[side] += 1;
        }
    }
    println!(
        "{:<32} {:>13} {:>6} {:>6}",
        "event", "distribution", "proxy", "equal"
    );
    let mut unexplained = Vec::new();
    for (class, events) in &table {
        let sum = |of: fn(&[usize; 2]) -> usize| events.values().map(of).sum::<usize>();
        let equal = sum(|[a, b]| *a.min(b));
        println!(
            "{class:<32} {:>13} {:>6} {equal:>6}",
            sum(|it| it[0]),
            sum(|it| it[1])
        );
        for (event, [a, b]) in events.iter().filter(|(_, [a, b])| a != b) {
            unexplained.push(format!("distribution {a}, proxy {b}: {event}"));
        }
    }
    assert!(a.len() > 100, "{} events are too few", a.len());
    assert!(
        unexplained.is_empty(),
        "unexplained:\n{}",
        unexplained.join("\n")
    );
}
