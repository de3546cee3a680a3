//! The proxy as an operator sets it up: before distribution's registry, which is
//! below a prefix and asks for tokens, with a receiver of each format. Each part is
//! restarted.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, StatusCode};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, SigningKey as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::task::{JoinHandle, JoinSet};

use super::*;
use crate::operator::{blocking, closed};

const REPOSITORY: &str = "team/app";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Who gives tokens.
struct Authority {
    key: KeyPair,
    certificate: rcgen::Certificate,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["auth".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self { key, certificate }
    }

    /// A token with which `alice` may do everything in the repository.
    fn token(&self) -> String {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.unwrap().as_secs();
        let header = json!({
            "typ": "JWT", "alg": "ES256", "x5c": [STANDARD.encode(self.certificate.der())],
        });
        let actions = ["pull", "push", "delete"];
        let claims = json!({
            "iss": "auth", "aud": "registry", "sub": "alice", "jti": "1",
            "nbf": now - 60, "iat": now - 60, "exp": now + 3600,
            "access": [{"type": "repository", "name": REPOSITORY, "actions": actions}],
        });
        let part = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = flat(&self.key.sign(signed.as_bytes()).unwrap());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// The two numbers of an ECDSA signature as JWT writes them, from their DER.
fn flat(der: &[u8]) -> Vec<u8> {
    let mut rest = &der[2..];
    let mut signature = Vec::new();
    for _ in 0..2 {
        let length = usize::from(rest[1]);
        let number = &rest[2..2 + length];
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        signature.extend(std::iter::repeat_n(0, 32 - number.len()));
        signature.extend_from_slice(number);
        rest = &rest[2 + length..];
    }
    signature
}

/// A docker-registry below `/registry/`.
struct Registry {
    process: Child,
}

impl Registry {
    async fn start(folder: &std::path::Path, port: u16) -> Self {
        let file = folder.join("registry.yml");
        let folder = folder.display();
        let config = format!(
            "version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}/store}}, delete: {{enabled: true}}}}
http: {{addr: '127.0.0.1:{port}', prefix: /registry/, secret: s}}
auth:
  token:
    realm: http://auth.example/token
    service: registry
    issuer: auth
    rootcertbundle: {folder}/auth.pem
"
        );
        std::fs::write(&file, config).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let registry = Self {
            process: process.unwrap_or_else(|error| {
                panic!("cannot run docker-registry: {error}. This test needs it: apt-get install docker-registry")
            }),
        };
        let up = async {
            let client = Client::builder(TokioExecutor::new()).build_http();
            let url = format!("http://127.0.0.1:{port}/registry/v2/");
            loop {
                let request = Request::get(&url).body(Full::<Bytes>::default()).unwrap();
                match client.request(request).await {
                    Ok(answer) if answer.status() == 401 => break,
                    _ => tokio::task::yield_now().await,
                }
            }
        };
        let up = tokio::time::timeout(MINUTE, up).await;
        up.expect("docker-registry asks for no token");
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What came in: the content type and the body.
type Inbox = Arc<Mutex<Vec<(String, Value)>>>;

/// A receiver that can be stopped and started again at the same port.
struct Receiver {
    port: u16,
    inbox: Inbox,
    server: Option<JoinHandle<()>>,
}

impl Receiver {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut receiver = Self {
            port: listener.local_addr().unwrap().port(),
            inbox: Inbox::default(),
            server: None,
        };
        receiver.serve(listener);
        receiver
    }

    async fn start(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await;
        self.serve(listener.unwrap());
    }

    fn serve(&mut self, listener: TcpListener) {
        let inbox = self.inbox.clone();
        self.server = Some(tokio::spawn(async move {
            // Its connections end with it.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let inbox = inbox.clone();
                let answer = hyper::service::service_fn(move |request: Request<Incoming>| {
                    let inbox = inbox.clone();
                    async move {
                        let kind = request.headers()["content-type"].to_str().unwrap();
                        let kind = kind.to_owned();
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        let body = serde_json::from_slice(&body).unwrap();
                        inbox.lock().unwrap().push((kind, body));
                        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
                    }
                });
                connections.spawn(async move {
                    let server = hyper::server::conn::http1::Builder::new();
                    // The proxy may hang up.
                    let _ = server.serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        }));
    }

    async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            assert!(server.await.unwrap_err().is_cancelled());
        }
    }

    /// All events so far, whatever they came in.
    fn events(&self) -> Vec<Value> {
        let inbox = self.inbox.lock().unwrap();
        let events = inbox.iter().flat_map(|(_, body)| match body {
            Value::Array(batch) => batch.clone(),
            body => match body["events"].as_array() {
                Some(events) => events.clone(),
                None => vec![body.clone()],
            },
        });
        // CloudEvents carry it as their data.
        let inner = |event: Value| event.get("data").cloned().unwrap_or(event);
        events.map(inner).collect()
    }

    /// Waits for this many events.
    async fn wait(&self, count: usize) -> Vec<Value> {
        let here = async {
            while self.events().len() < count {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(MINUTE, here).await;
        let events = self.events();
        waited.unwrap_or_else(|_| panic!("{} of {count} events", events.len()));
        events
    }
}

/// Pushes an image by its tag and pulls its manifest; three events.
async fn push_and_pull(proxy: &str, token: &str, tag: &str) {
    let config = format!(r#"{{"architecture":"amd64","os":"linux","tag":"{tag}"}}"#);
    let digest = |content: &str| format!("sha256:{:x}", Sha256::digest(content));
    let base = format!("http://{proxy}/registry/v2/{REPOSITORY}");
    let (status, headers, _) =
        ask(Method::POST, &format!("{base}/blobs/uploads/"), token, "").await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let location = headers["location"].to_str().unwrap();
    assert!(location.starts_with(&base), "{location}");
    let upload = format!("{location}&digest={}", digest(&config));
    let (status, ..) = ask(Method::PUT, &upload, token, &config).await;
    assert_eq!(status, StatusCode::CREATED);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest(&config), "size": config.len(),
        },
    });
    let manifest = manifest.to_string();
    let url = format!("{base}/manifests/{tag}");
    let (status, ..) = ask(Method::PUT, &url, token, &manifest).await;
    assert_eq!(status, StatusCode::CREATED);
    let (status, _, body) = ask(Method::GET, &url, token, "").await;
    assert_eq!((status, body), (StatusCode::OK, manifest));
}

async fn ask(
    method: Method,
    url: &str,
    token: &str,
    body: &str,
) -> (StatusCode, HeaderMap, String) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let request = Request::builder().method(method).uri(url);
    let request = request
        .header("authorization", format!("Bearer {token}"))
        .header("accept", MANIFEST)
        .header("content-type", MANIFEST);
    let request = request
        .body(Full::new(Bytes::from(body.to_owned())))
        .unwrap();
    let answer = tokio::time::timeout(MINUTE, client.request(request)).await;
    let (head, body) = answer.expect("no answer").unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    (head.status, head.headers, body)
}

/// The tags in events of v2, in the order of their pushes.
fn pushed(events: &[Value]) -> Vec<&str> {
    let pushes = events.iter().filter(|it| it["action"] == "push");
    pushes
        .filter_map(|it| it["target"]["tag"].as_str())
        .collect()
}

const FORMATS: [(&str, &str, usize); 5] = [
    (
        "v2",
        "application/vnd.docker.distribution.events.v2+json",
        3,
    ),
    (
        "v1",
        "application/vnd.docker.distribution.events.v1+json",
        3,
    ),
    ("cloudevents", "application/cloudevents", 3),
    // Pushes of tags only.
    ("azure", "application/json", 1),
    ("harbor", "application/json", 1),
];

/// A file with an endpoint for each format.
fn configuration(receivers: &BTreeMap<&str, Receiver>) -> String {
    let mut text = "notifications:\n  events: {includereferences: true}\n  endpoints:\n".to_owned();
    for (format, receiver) in receivers {
        text += &format!(
            "    - name: {format}\n      format: {format}\n      url: http://127.0.0.1:{}/\n      \
             timeout: 1m\n      retry: {{base: 10ms, cap: 100ms}}\n",
            receiver.port
        );
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_is_delivered_through_a_restart_of_each_part() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    std::fs::write(folder.path().join("auth.pem"), authority.certificate.pem()).unwrap();
    let token = authority.token();
    let registry_port = closed().await;
    let registry = Registry::start(folder.path(), registry_port).await;
    let mut receivers = BTreeMap::new();
    for (format, ..) in FORMATS {
        receivers.insert(format, Receiver::new().await);
    }
    let file = folder.path().join("notifications.yml");
    std::fs::write(&file, configuration(&receivers)).unwrap();
    let upstream = format!("http://127.0.0.1:{registry_port}");
    let proxy = format!("127.0.0.1:{}", closed().await);
    let arguments = [
        "--upstream",
        &upstream,
        "--prefix",
        "/registry/",
        "--bearer-actor",
        "--listen",
        &proxy,
        "--config",
        file.to_str().unwrap(),
    ];
    let program = Program::start(&arguments);
    let (program, _) = blocking(program, |it| it.address("Listening on ")).await;
    let arrived = async |receivers: &BTreeMap<&str, Receiver>, images: usize| {
        for (format, content_type, each) in FORMATS {
            let events = receivers[format].wait(images * each).await;
            assert_eq!(events.len(), images * each, "{format}: {events:#?}");
            let inbox = receivers[format].inbox.lock().unwrap();
            assert!(inbox.iter().all(|(kind, _)| kind.starts_with(content_type)));
            assert!(events.iter().all(|it| it.to_string().contains(REPOSITORY)));
        }
        receivers["v2"].events()
    };

    push_and_pull(&proxy, &token, "one").await;
    let events = arrived(&receivers, 1).await;
    for event in &events {
        assert_eq!(event["actor"]["name"], "alice");
        assert_eq!(event["source"]["addr"], *proxy);
        let url = event["target"]["url"].as_str().unwrap();
        let base = format!("http://{proxy}/registry/v2/{REPOSITORY}/");
        assert!(url.starts_with(&base), "{url}");
    }

    // The registry: clients get 502 until it is back.
    drop(registry);
    let check = format!("http://{proxy}/registry/v2/");
    assert_eq!(ask(Method::GET, &check, &token, "").await.0, 502);
    let _registry = Registry::start(folder.path(), registry_port).await;
    push_and_pull(&proxy, &token, "two").await;
    arrived(&receivers, 2).await;

    // The receivers: events wait for them.
    for receiver in receivers.values_mut() {
        receiver.stop().await;
    }
    push_and_pull(&proxy, &token, "three").await;
    for receiver in receivers.values_mut() {
        receiver.start().await;
    }
    arrived(&receivers, 3).await;

    // The proxy: what it has accepted is delivered before it ends.
    push_and_pull(&proxy, &token, "four").await;
    program.signal("-TERM");
    let (program, (success, said)) = blocking(program, Program::end).await;
    assert!(
        success && said.ends_with("All events were delivered.\n"),
        "{said}"
    );
    drop(program);
    let before = arrived(&receivers, 4).await;
    let program = Program::start(&arguments);
    let (_program, _) = blocking(program, |it| it.address("Listening on ")).await;
    push_and_pull(&proxy, &token, "five").await;
    let events = arrived(&receivers, 5).await;
    assert_eq!(pushed(&events), ["one", "two", "three", "four", "five"]);
    let instance = |events: &[Value]| events.last().unwrap()["source"]["instanceID"].clone();
    assert_ne!(instance(&events), instance(&before));
}
