//! Every secret of a configuration is searched for in all that the crate says
//! about it: it is nowhere.
//!
//! Traces are those of the crate's own targets. What hyper, h2 and rustls print
//! under theirs at the levels debug and trace is not the crate's to decide.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "../common/mod.rs"]
mod common;

#[cfg(feature = "config")]
mod configuration;
mod mistakes;
mod receivers;
mod search;

use std::convert::Infallible;
use std::fmt::Debug;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use common::captured::Captured;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use metrics_exporter_prometheus::PrometheusBuilder;
use receivers::Receivers;
use search::{Secret, Secrets};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_registry_notifications::dead_letter::{DeadLetterChannel, DeadLetterFile};
use tower_registry_notifications::endpoint::Backoff;
use tower_registry_notifications::{
    Endpoint, NotificationLayer, Notifier, NotifierStatus, RequestBody,
};

const MILLISECOND: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
/// Not a secret, and everywhere: the search must find it.
const PLANTED: &str = "planted-registry";

// No word is in two of them: where one is hidden, it does not hide another.
const BEARER: &str = "tok-0123456789-abc";
const API_KEY: &str = r#"k "zitat" schlüßel\7"#;
const COOKIE: &str = "session=keks-42-abcdef";
const USER_INFO: &str = "ro%62ot:h%75sh-p%C3%A4ss%2Fw%40rd";
const PASSWORD: &str = "hush-päss/w@rd";
const SIGNING: [&str; 2] = [
    "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwJPlDE3kkcgU=",
];
const HMAC: &str = "pepper ünd salz-4711";
const CLIENT: &str = "hush-password-of-the-client";

/// All secrets there are, those of files among them.
pub(crate) struct AllSecrets {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) secrets: Secrets,
}

impl AllSecrets {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["receiver".to_owned()]).unwrap();
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let mut secrets = vec![
            Secret::new("bearer token", BEARER),
            Secret::new("beginning of the bearer token", &BEARER[..6]),
            Secret::new("header", API_KEY),
            Secret::new("part of the header", "schlüßel"),
            Secret::new("cookie", COOKIE),
            Secret::new("user info", USER_INFO),
            Secret::new("password as it is written", "h%75sh-p%C3%A4ss%2Fw%40rd"),
            Secret::new("password", PASSWORD),
            Secret::new("password of a client", CLIENT),
            Secret::new("HMAC secret", HMAC),
            Secret::new("key", &key),
            Secret::new("key", made.signing_key.serialize_der()),
        ];
        for secret in SIGNING {
            let bare = secret.trim_start_matches("whsec_");
            secrets.push(Secret::new("signing secret", bare));
            secrets.push(Secret::new(
                "signing secret",
                STANDARD.decode(bare).unwrap(),
            ));
        }
        // Neither are the certificates told, which are no secrets but long.
        for (name, pem) in [("key", &key), ("certificate", &certificate)] {
            let lines = pem.lines().filter(|line| !line.starts_with("-----"));
            secrets.extend(lines.map(|line| Secret::new(name, line)));
        }
        Self {
            certificate,
            key,
            secrets: Secrets(secrets),
        }
    }

    /// An endpoint that has all the secrets. Basic credentials of the URL are
    /// sent if no header is in their place.
    pub(crate) fn endpoint(&self, name: &str, address: &str, basic: bool) -> Endpoint {
        let (scheme, rest) = address.split_once("://").unwrap();
        let bearer = if basic { "x-token" } else { "authorization" };
        let endpoint = Endpoint::new(name, format!("{scheme}://{USER_INFO}@{rest}"))
            .header(bearer, format!("Bearer {BEARER}"))
            .header("x-api-key", API_KEY)
            .header("cookie", COOKIE)
            .sign(SIGNING)
            .sign_hmac("x-signature", HMAC)
            .timeout(Duration::from_millis(500))
            .retry(
                Backoff::new()
                    .base(MILLISECOND)
                    .cap(MILLISECOND)
                    .attempts(3),
            );
        if scheme != "https" {
            return endpoint;
        }
        endpoint
            .system_roots(false)
            .root_certificates(self.certificate.as_str())
            .client_certificate(self.certificate.as_str(), self.key.as_str())
    }
}

/// Everything that is said, with a name for each thing.
#[derive(Default)]
struct Output(Vec<(String, String)>);

impl Output {
    fn says(&mut self, what: &str, text: impl Into<String>) {
        self.0.push((what.into(), text.into()));
    }

    fn debug(&mut self, what: &str, value: &dyn Debug) {
        self.says(what, format!("{value:?}"));
        self.says(what, format!("{value:#?}"));
    }

    fn status(&mut self, status: &NotifierStatus) {
        self.debug("status", status);
        self.says("status as JSON", serde_json::to_string(status).unwrap());
    }
}

type Registry = Request<RequestBody<Full<Bytes>>>;

/// A pull by a client that has a password of its own, and its answer.
async fn pull(layer: &NotificationLayer) -> Response<String> {
    let registry = service_fn(async |_: Registry| {
        let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let response = Response::builder().header("docker-content-digest", digest);
        Ok::<_, Infallible>(response.body(Full::<Bytes>::default()).unwrap())
    });
    let credentials = STANDARD.encode(format!("alice:{CLIENT}"));
    let request = Request::head(format!("/v2/{PLANTED}/manifests/v1?token={CLIENT}"))
        .header("authorization", format!("Basic {credentials}"))
        .header("cookie", format!("token={CLIENT}"))
        .body(Full::default())
        .unwrap();
    let (head, body) = layer
        .layer(registry)
        .oneshot(request)
        .await
        .unwrap()
        .into_parts();
    let body = body.collect().await.ok().unwrap().to_bytes();
    Response::from_parts(head, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn no_secret_appears_whatever_the_receivers_do() {
    let captured = Captured::everywhere();
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let (vault, mut said) = (AllSecrets::new(), Output::default());

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letters");
    let (channel, mut letters) = DeadLetterChannel::new(1000);
    let receivers = Receivers::start().await;
    let mut builder = Notifier::builder();
    for (number, endpoint) in receivers.endpoints(&vault).into_iter().enumerate() {
        let endpoint = match number % 2 {
            0 => endpoint.dead_letters(channel.clone()),
            _ => endpoint.dead_letters(DeadLetterFile::new(&path)),
        };
        said.debug(PLANTED, &endpoint);
        builder = builder.endpoint(endpoint);
    }
    said.debug(PLANTED, &builder);
    let notifier = builder.build().unwrap();
    let layer = NotificationLayer::new(notifier.clone()).fail_closed(true);
    said.debug(PLANTED, &notifier);
    said.debug(PLANTED, &layer);

    assert_eq!(pull(&layer).await.status(), StatusCode::OK);
    said.status(&notifier.status());
    let report = notifier.shutdown(MINUTE).await;
    said.debug(PLANTED, &report);
    let refused = pull(&layer).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    said.debug("answer", &refused);

    let status = notifier.status();
    said.status(&status);
    receivers.have_done_their_worst(&status);
    let mut buried = 0;
    while let Some(letter) = letters.try_recv() {
        said.debug("letter", &letter);
        said.says("letter as JSON", serde_json::to_string(&letter).unwrap());
        buried += 1;
    }
    let file = std::fs::read_to_string(&path).unwrap();
    buried += file.lines().count();
    assert_eq!(buried, 2 * status.endpoints.len());
    said.says("file", file);
    said.says("metrics", recorder.handle().render());
    let lines = captured.lines().into_iter().filter(|line| line.is_ours());
    let lines: Vec<_> = lines.map(|line| line.text).collect();
    said.says("log", lines.concat());

    // The search finds what is there.
    let planted = Secrets(vec![
        Secret::new("repository", PLANTED),
        Secret::new("endpoint", "echo-0"),
    ]);
    for what in ["letter", "letter as JSON", "file"] {
        let all = said.0.iter().filter(|(name, _)| name == what);
        assert!(
            all.clone()
                .all(|(_, text)| planted.found_in(text).is_some()),
            "{what}"
        );
        assert!(all.count() > 0, "{what}");
    }
    for what in ["status", "status as JSON", "metrics", "log"] {
        let mut all = said.0.iter().filter(|(name, _)| name == what);
        assert!(
            all.any(|(_, text)| planted.found_in(text).is_some()),
            "{what}"
        );
    }
    for (what, text) in &said.0 {
        vault.secrets.assert_none_in(what, text);
    }
}

#[tokio::test]
async fn no_secret_appears_in_messages_of_a_wrong_configuration() {
    let vault = AllSecrets::new();
    let mistakes = mistakes::all(&vault);
    assert!(mistakes.len() > 30);
    for (number, endpoint) in mistakes.into_iter().enumerate() {
        let shown = format!("{endpoint:?} {endpoint:#?}");
        vault.secrets.assert_none_in("builder", &shown);
        let built = Notifier::builder().endpoint(endpoint).build();
        let error = built
            .err()
            .unwrap_or_else(|| panic!("{number} was taken: {shown}"));
        vault
            .secrets
            .assert_none_in("error", &format!("{error} {error:?}"));
    }
}

/// The same name twice is only seen by the notifier.
#[tokio::test]
async fn no_secret_appears_when_two_endpoints_share_a_name() {
    let vault = AllSecrets::new();
    let endpoint = || vault.endpoint("twice", "http://receiver", true);
    let built = Notifier::builder()
        .endpoint(endpoint())
        .endpoint(endpoint());
    let error = format!("{:?}", built.build().unwrap_err());
    assert!(error.contains("twice"), "{error}");
    vault.secrets.assert_none_in("error", &error);
}

#[tokio::test]
async fn the_receivers_received_the_secrets() {
    let vault = AllSecrets::new();
    let receivers = Receivers::start().await;
    let mut builder = Notifier::builder();
    for endpoint in receivers.endpoints(&vault) {
        builder = builder.endpoint(endpoint);
    }
    let notifier = builder.build().unwrap();
    let layer = NotificationLayer::new(notifier.clone());
    pull(&layer).await;
    notifier.shutdown(MINUTE).await;
    let got = receivers.said();
    for secret in [BEARER, API_KEY, COOKIE, PASSWORD] {
        let secret = Secrets(vec![Secret::new("", secret)]);
        assert!(secret.found_in(&got).is_some());
    }
}
