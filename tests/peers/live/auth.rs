//! Actors from auth outside and inside the layer, and what a client cannot forge.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::middleware::from_fn_with_state;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use examples::image::Image;
use examples::token::{self, Tokens, User};
use examples::{keys, registry};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::{Layer as _, ServiceExt as _};
use tower_registry_notifications::event::{Action, Event};
use tower_registry_notifications::sink::{ChannelSink, Events};
use tower_registry_notifications::{NotificationLayer, Notifier};

use crate::client;

const SERVICE: &str = "registry.test:5000";
const PEER: &str = "198.51.100.7:4711";

fn users() -> HashMap<&'static str, User> {
    let user = |password, may| User { password, may };
    HashMap::from([
        ("alice", user("secret", &["pull", "push", "delete"][..])),
        ("bob", user("reading", &["pull"])),
    ])
}

/// The token example, with `demo/hello:latest` in it.
async fn token_app(tokens: &Arc<Tokens>) -> (Router, Events) {
    let (sink, events) = ChannelSink::new(1000);
    let notifier = Notifier::builder().sink(sink).build().unwrap();
    let registry = registry::empty();
    let hello = Image::new("amd64", "hello.txt", b"hello\n").unwrap();
    let seeded = registry::seed(&registry, "demo/hello", "latest", &hello);
    seeded.await.unwrap();
    let app = registry::with_notifications(ferro_oci_server::router(registry), notifier)
        .layer(from_fn_with_state(tokens.clone(), token::require))
        .merge(token::service(tokens.clone()));
    (app, events)
}

fn tokens(address: &str) -> Arc<Tokens> {
    Tokens::new(address, users()).unwrap()
}

fn told(events: &mut Events) -> Vec<Event> {
    std::iter::from_fn(|| events.try_recv())
        .map(|event| event.to_event())
        .collect()
}

fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::empty()).unwrap();
    let peer: SocketAddr = PEER.parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(peer));
    request
}

async fn status(app: &Router, request: Request<Body>) -> StatusCode {
    let response = app.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    // A pull happens with its last byte.
    body.collect().await.unwrap();
    head.status
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// A token from the service.
async fn login(app: &Router, name: &str, password: &str, scope: &str) -> Option<String> {
    let path = format!("/token?service={SERVICE}&scope={scope}");
    let login = request("GET", &path, &[("authorization", &basic(name, password))]);
    let response = app.clone().oneshot(login).await.unwrap();
    if response.status() != StatusCode::OK {
        return None;
    }
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let answer: Value = serde_json::from_slice(&body).unwrap();
    Some(answer["token"].as_str().unwrap().to_owned())
}

const PULL: &str = "repository:demo/hello:pull";
const MANIFEST: &str = "/v2/demo/hello/manifests/latest";

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_logs_in() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (app, mut events) = token_app(&tokens(&address)).await;
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(axum::serve(listener, app).into_future());
    let image = |name: &str| format!("docker://{address}/{name}");
    let folder = tempfile::tempdir().unwrap();
    let out = format!("dir:{}", folder.path().display());

    let [alice, and_alice] = ["--src-creds=alice:secret", "--dest-creds=alice:secret"];
    let (from, to) = (image("demo/hello:latest"), image("team/app:v1"));
    client::skopeo(&["copy", alice, and_alice, &from, &to]).await;
    client::skopeo(&["copy", "--src-creds=bob:reading", &to, &out]).await;
    let mut done = BTreeSet::new();
    for event in told(&mut events) {
        assert!(event.request.addr.starts_with("127.0.0.1:"));
        let actor = event.actor.name.clone();
        done.insert((
            actor,
            event.action.as_str(),
            event.target.repository.clone(),
        ));
    }
    let did = |actor: &str, action, repository: &str| (actor.into(), action, repository.into());
    for wanted in [
        did("alice", "pull", "demo/hello"),
        did("alice", "push", "team/app"),
        did("bob", "pull", "team/app"),
    ] {
        assert!(done.remove(&wanted), "{wanted:?}");
    }
    // skopeo looks what is there before it pushes.
    done.remove(&did("alice", "pull", "team/app"));
    assert_eq!(done, BTreeSet::new());

    // Who may not, or is somebody else, has pushed nothing.
    for creds in ["--dest-creds=bob:reading", "--dest-creds=alice:guessed"] {
        let (from, to) = (
            format!("dir:{}", folder.path().display()),
            image("team/no:v1"),
        );
        assert!(
            !client::try_skopeo(&["copy", creds, &from, &to]).await,
            "{creds}"
        );
    }
    // bob may look whether the blobs are there, which this registry tells of all.
    for event in told(&mut events) {
        let did = (&*event.actor.name, event.action, &*event.request.method);
        assert_eq!(did, ("bob", Action::Pull, "HEAD"), "{event:?}");
    }
}

/// Signed by nobody, by others, for others, or too old.
async fn bad_tokens(app: &Router, tokens: &Tokens) -> Vec<String> {
    let good = login(app, "alice", "secret", PULL).await.unwrap();
    let parts: Vec<_> = good.split('.').collect();
    let [head, claims, signature] = parts[..] else {
        panic!("{good}");
    };
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let mut altered: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    altered["sub"] = json!("mallory");
    let none = part(json!({ "alg": "none", "typ": "JWT" }));
    // The same names, another key; the right key, other claims.
    let (other, _) = token_app(&self::tokens(SERVICE)).await;
    let (elsewhere, _) = token_app(&self::tokens("elsewhere.test")).await;
    let at = |now: SystemTime| {
        let query = format!("scope={PULL}");
        tokens
            .give("alice", &users()["alice"], &query, now)
            .unwrap()
    };
    let (hour, now) = (Duration::from_secs(3600), SystemTime::now());
    vec![
        String::new(),
        "token".into(),
        format!("{head}.{}.{signature}", part(altered)),
        format!("{none}.{claims}."),
        format!("{head}.{claims}."),
        login(&other, "alice", "secret", PULL).await.unwrap(),
        login(&elsewhere, "alice", "secret", PULL).await.unwrap(),
        login(app, "alice", "secret", "repository:demo/other:pull")
            .await
            .unwrap(),
        login(app, "alice", "secret", "").await.unwrap(),
        at(now - hour),
        at(now + hour),
    ]
}

#[tokio::test]
async fn requests_that_auth_refuses_make_no_events() {
    let tokens = tokens(SERVICE);
    let (app, mut events) = token_app(&tokens).await;
    assert_eq!(login(&app, "alice", "guessed", PULL).await, None);
    assert_eq!(login(&app, "mallory", "secret", PULL).await, None);
    let mut credentials: Vec<_> = bad_tokens(&app, &tokens).await;
    credentials
        .iter_mut()
        .for_each(|token| token.insert_str(0, "Bearer "));
    credentials.push(basic("alice", "secret"));
    for authorization in &credentials {
        for (method, path) in [
            ("GET", MANIFEST),
            ("HEAD", "/v2/demo%2Fhello/manifests/latest"),
            ("PUT", MANIFEST),
            ("DELETE", MANIFEST),
            (
                "POST",
                "/v2/demo/hello/blobs/uploads/?mount=sha256:01&from=a",
            ),
        ] {
            let request = request(method, path, &[("authorization", authorization)]);
            let status = status(&app, request).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{authorization} {method}");
        }
    }
    // Good for a pull only.
    let token = login(
        &app,
        "bob",
        "reading",
        "repository:demo/hello:pull,push,delete",
    )
    .await;
    let authorization = format!("Bearer {}", token.unwrap());
    for (method, wanted) in [("GET", 200), ("PUT", 401), ("DELETE", 401)] {
        let request = request(method, MANIFEST, &[("authorization", &authorization)]);
        assert_eq!(status(&app, request).await, wanted, "{method}");
    }
    let told = told(&mut events);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (told[0].action, &*told[0].actor.name),
        (Action::Pull, "bob")
    );
}

/// Headers by which other software tells who somebody is.
const LIES: [(&str, &str); 22] = [
    ("x-forwarded-for", "203.0.113.9"),
    ("x-real-ip", "203.0.113.9"),
    ("forwarded", "for=203.0.113.9;host=mallory.test;proto=https"),
    ("x-forwarded-host", "mallory.test"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-user", "mallory"),
    ("x-client-ip", "203.0.113.9"),
    ("true-client-ip", "203.0.113.9"),
    ("cf-connecting-ip", "203.0.113.9"),
    ("x-cluster-client-ip", "203.0.113.9"),
    ("x-original-forwarded-for", "203.0.113.9"),
    ("x-request-id", "forged-by-mallory"),
    ("request-id", "forged-by-mallory"),
    ("x-correlation-id", "forged-by-mallory"),
    (
        "traceparent",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ),
    ("x-user", "mallory"),
    ("x-remote-user", "mallory"),
    ("remote-user", "mallory"),
    ("x-auth-request-user", "mallory"),
    ("from", "mallory@mallory.test"),
    ("proxy-authorization", "Basic bWFsbG9yeTp4"),
    ("authorization", "Basic bWFsbG9yeTp4"),
];

/// Nothing in an event is what a client said of itself, but its user agent and
/// the host that it asked for.
fn assert_not_forged(event: &Event, actor: &str) {
    assert_eq!(event.actor.name, actor);
    assert_eq!(event.request.addr, PEER);
    assert_eq!(event.request.host, SERVICE);
    assert!(
        event
            .target
            .url
            .starts_with("http://registry.test:5000/v2/")
    );
    let event = serde_json::to_string(event).unwrap();
    for lie in ["mallory", "203.0.113.9", "forged", "4bf92f", "0af765"] {
        assert!(!event.contains(lie), "{lie}: {event}");
    }
}

#[tokio::test]
async fn a_client_with_a_token_cannot_forge() {
    let (app, mut events) = token_app(&tokens(SERVICE)).await;
    let token = login(&app, "alice", "secret", PULL).await.unwrap();
    let authorization = format!("Bearer {token}");
    let honest = [("host", SERVICE), ("authorization", &*authorization)];
    for uri in [
        MANIFEST.to_owned(),
        format!("http://mallory:x@{SERVICE}{MANIFEST}"),
        format!("{MANIFEST}?actor=mallory&user=mallory"),
    ] {
        let request = request("GET", &uri, &[&honest[..], &LIES].concat());
        assert_eq!(status(&app, request).await, StatusCode::OK, "{uri}");
        let told = told(&mut events);
        assert_eq!(told.len(), 1);
        assert_not_forged(&told[0], "alice");
    }
}

fn keys_app() -> (Router, Events) {
    let (sink, events) = ChannelSink::new(100);
    let notifier = Notifier::builder().sink(sink).build().unwrap();
    let layer = NotificationLayer::new(notifier)
        .basic_auth_actor(false)
        .peer_addr(|parts| parts.extensions.get().map(|ConnectInfo(peer)| *peer));
    let app = Router::new().fallback_service(layer.layer(keys::registry()));
    (app, events)
}

#[tokio::test]
async fn auth_inside_the_layer_names_the_actor() {
    let (app, mut events) = keys_app();
    for (key, path, wanted) in [
        ("alice's key", "/v2/demo/manifests/latest", Some("alice")),
        ("bob's key", "/v2/demo/manifests/latest", Some("bob")),
        ("a guess", "/v2/demo/manifests/latest", None),
        // The registry knows alice, but she may not.
        ("alice's key", "/v2/private/manifests/latest", None),
    ] {
        let honest = [("host", SERVICE), ("x-key", key)];
        let request = request("GET", path, &[&honest[..], &LIES].concat());
        let status = status(&app, request).await;
        assert_eq!(status.is_success(), wanted.is_some(), "{key} {path}");
        let told = told(&mut events);
        assert_eq!(told.len(), usize::from(wanted.is_some()), "{told:?}");
        for (event, actor) in told.iter().zip(wanted) {
            assert_not_forged(event, actor);
        }
    }
}
