//! Requests in every spelling: whatever a registry accepts must have its event,
//! and no event may say what did not happen.
//!
//! Four registries are asked. docker-registry stands behind the proxy, and its
//! own notifications are the truth. Of the other three, the truth is what they
//! answered, to the names that their router reads in the path, checked against
//! what is in them afterwards.
//!
//! `SPELLING_REQUESTS` and `SPELLING_SEED` change the number of requests and
//! their spelling.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "../common/certificate.rs"]
mod certificate;
#[path = "../../common/collected.rs"]
mod collected;
#[path = "../../common/mod.rs"]
mod common;
#[path = "../common/content.rs"]
mod content;
#[path = "../common/front.rs"]
mod front;
mod mutation;
mod parameter_routes;
#[path = "../common/registry_client.rs"]
mod registry_client;
mod request;
mod stage;
#[path = "../../common/tally.rs"]
mod tally;
#[path = "../common/upstream.rs"]
mod upstream;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use common::{receiver, setting};
use container_registry::ContainerRegistry;
use container_registry::hooks::RegistryHooks;
use container_registry::storage::ManifestReference;
use ferro_blob_store::InMemoryBlobStore;
use ferro_oci_server::{AppState, InMemoryRegistryMeta, Reference, SessionLimits};
use http::Response;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use registry_testkit::{RegistryConfig, RegistryServer};
use sec::Secret;
use tower::Layer as _;
use tower::util::BoxCloneService;
use tower_registry_notifications::NotificationLayer;

use crate::collected::Collected;
use crate::common::raw::{RawConnection, RawRequest};
use crate::content::with_token;
use crate::front::{MINUTE, ProxySetup, TestServer};
use crate::parameter_routes::{Named, ParameterRoutes};
use crate::registry_client::TestClient;
use crate::request::{AGENT, Traits};
use crate::stage::{Notified, Outcome, Run};
use crate::tally::Occurrence;
use crate::upstream::{Setup, Upstream};

/// A part of the requests to all four registries.
fn requests(tenths: u64) -> usize {
    let all = setting("SPELLING_REQUESTS", 20_500).max(20_000);
    (all * tenths / 10) as usize
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_spelling_evades_at_docker_registry() {
    let (webhook, received) = receiver(Box::new(|_| Response::builder())).await;
    let told_by_registry = Collected::of(received);
    let upstream = Upstream::start(Setup {
        webhook,
        in_memory: true,
        ..Setup::default()
    })
    .await;
    let notified = Notified::default();
    let wiring = ProxySetup::default();
    let front = TestServer::proxy(&upstream.url, notified.notifier(), wiring).await;
    let traits = Traits {
        repository: "team/app",
        deletes: true,
        ..Traits::default()
    };
    let run = Run::start("docker-registry", upstream.port(), front, traits);
    let mut outcome = run.send(requests(6)).await;
    // Its notifications come in order: when that of a last request is there,
    // all are.
    let last = RawRequest::new("HEAD", "/v2/team/app/manifests/seed");
    let last = last.header("Accept", content::INDEX);
    let mut connection = RawConnection::open(upstream.port()).await;
    let answer = connection.send(&with_token(last, "last")).await;
    assert_eq!(answer.status, 200);
    let end = tokio::time::timeout(MINUTE, async {
        while told_by_registry.by("last").is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    end.await
        .expect("the registry does not tell of its requests");
    let truth = told_by_registry.by(AGENT).into_iter();
    let truth = truth.map(|event| Occurrence::of(&event, AGENT)).collect();
    let client = TestClient::new(&upstream.url, None);
    let access_log = upstream.requests(0, &client).await;
    let truth = outcome.without_deliberate_differences(truth, &access_log);
    outcome.compare(truth, &notified);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_spelling_evades_at_ferro() {
    let registry = AppState::new(
        Arc::new(InMemoryBlobStore::new()),
        Arc::new(InMemoryRegistryMeta::with_session_limits(SessionLimits {
            max_sessions: 100_000,
            idle_ttl: MINUTE * 60,
        })),
    );
    let router = ferro_oci_server::router(registry.clone());
    let bare = TestServer::serve(BoxCloneService::new(router.clone()), None).await;
    let notified = Notified::default();
    let layer = NotificationLayer::new(notified.notifier());
    let front = TestServer::serve(BoxCloneService::new(layer.layer(router)), None).await;
    let traits = Traits {
        repository: "team/app",
        deletes: true,
        ..Traits::default()
    };
    let run = Run::start("ferro-oci-server", bare.port, front, traits);
    let outcome = run.send(requests(1)).await;
    let truth = outcome.truth(&ParameterRoutes::ferro()).await;
    assert_ferro_holds(&registry, &outcome, &truth).await;
    outcome.compare(truth, &notified);
}

/// Every push of a manifest must be in the registry, and every tag in it must
/// be of a push; what was deleted must be gone, and nothing else.
async fn assert_ferro_holds(registry: &AppState, outcome: &Outcome, truth: &[Occurrence]) {
    let registry = &registry.registry;
    let manifests: HashMap<_, _> = outcome.manifests().collect();
    let of = |action| truth.iter().filter(move |it| it.action == action);
    let deleted: HashSet<_> = of("delete").map(|it| &*it.digest).collect();
    let mut pushed = HashSet::new();
    for push in of("push").filter(|it| manifests.contains_key(&*it.digest)) {
        let digest = Reference::Digest(push.digest.parse().unwrap());
        let found = registry.get_manifest(&push.repository, &digest).await;
        assert!(found.unwrap().is_some(), "not there: {push:?}");
        pushed.insert((push.repository.clone(), push.digest.clone()));
    }
    for repository in registry.list_repositories(None, None).await.unwrap() {
        for tag in registry.list_tags(&repository, None, None).await.unwrap() {
            let reference = Reference::Tag(tag.clone());
            let found = registry.get_manifest(&repository, &reference).await;
            let (digest, ..) = found.unwrap().unwrap();
            let pushed = pushed.contains(&(repository.clone(), digest.to_string()));
            assert!(pushed || tag == "seed", "{repository}:{tag} is of no push");
        }
    }
    for (digest, repository) in outcome.deletable_manifests() {
        let reference = Reference::Digest(digest.parse().unwrap());
        let found = registry.get_manifest(repository, &reference).await;
        let is_gone = found.unwrap().is_none();
        let told = deleted.contains(digest);
        assert_eq!(is_gone, told, "{}", outcome.deletion(digest));
    }
}

/// Keeps which manifests the registry says were uploaded.
#[derive(Clone, Default)]
struct Uploaded(Arc<Mutex<Vec<String>>>);

#[axum_0_7::async_trait]
impl RegistryHooks for Uploaded {
    async fn on_manifest_uploaded(&self, manifest: &ManifestReference) {
        self.0.lock().unwrap().push(manifest.to_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_spelling_evades_at_container_registry() {
    let folder = tempfile::tempdir().unwrap();
    let users = HashMap::from([("silly".to_owned(), Secret::new("secret".to_owned()))]);
    let uploaded = Uploaded::default();
    let registry = ContainerRegistry::builder()
        .storage(folder.path())
        .auth_provider(Arc::new(users))
        .hooks(Box::new(uploaded.clone()))
        .build()
        .unwrap();
    let router = registry.make_router();
    let bare = TestServer::serve(BoxCloneService::new(router.clone()), None).await;
    let notified = Notified::default();
    let layer = NotificationLayer::new(notified.notifier());
    let front = TestServer::serve(BoxCloneService::new(layer.layer(router)), None).await;
    let traits = Traits {
        repository: "team/app",
        images: true,
        ..Traits::default()
    };
    let run = Run::start("container-registry", bare.port, front, traits);
    let prepared = async || std::mem::take(&mut *uploaded.0.lock().unwrap());
    let outcome = run.send_after(requests(1), prepared).await;
    let truth = outcome.truth(&ParameterRoutes::container_registry()).await;

    assert_uploaded(&uploaded, &outcome, &truth).await;
    outcome.compare(truth, &notified);
}

/// What the registry's hook was told of must be what was answered. A tag that
/// fits into no header makes the registry panic after it has stored the
/// manifest: the request is not answered.
async fn assert_uploaded(uploaded: &Uploaded, outcome: &Outcome, truth: &[Occurrence]) {
    let manifests: HashSet<_> = outcome.manifests().map(|(digest, _)| digest).collect();
    let pushes = truth.iter().filter(|it| it.action == "push");
    let pushes = pushes.filter(|it| manifests.contains(&*it.digest));
    // To an event, what has a colon in it is a digest; this registry takes any
    // that is not well-formed for a tag.
    let pushes = pushes.filter(|it| !it.tag.is_empty());
    let mut answered: Vec<_> = pushes
        .map(|it| format!("{}:{}", it.repository, it.tag))
        .collect();
    let mut unanswered = HashSet::new();
    for target in outcome.unanswered() {
        let named = ParameterRoutes::container_registry().named(target).await;
        if let Some(Named::Manifest {
            repository,
            reference,
        }) = named
        {
            unanswered.insert(format!("{repository}:{reference}"));
        }
    }
    let mut told = uploaded.0.lock().unwrap().clone();
    told.retain(|it| !unanswered.contains(it) && !is_digest(it));
    answered.retain(|it| !unanswered.contains(it));
    for it in &answered {
        let at = told.iter().position(|told| told == it);
        told.swap_remove(at.unwrap_or_else(|| panic!("its hook does not tell of {it}")));
    }
    assert!(told.is_empty(), "its hook alone tells of {told:?}");
}

/// Whether an event takes the reference in `<name>:<reference>` for a digest.
fn is_digest(manifest: &str) -> bool {
    let (_, file) = manifest.rsplit_once('/').unwrap();
    file.matches(':').count() > 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_spelling_evades_at_registry_testkit() {
    let registry = RegistryServer::new(RegistryConfig::memory()).await.unwrap();
    let notified = Notified::default();
    let wiring = ProxySetup::default();
    let front = TestServer::proxy(&registry.url(), notified.notifier(), wiring).await;
    let traits = Traits {
        repository: "app",
        one_segment: true,
        ..Traits::default()
    };
    let run = Run::start("registry-testkit", registry.port(), front, traits);
    let outcome = run.send(requests(2)).await;
    let truth = outcome.truth(&ParameterRoutes::registry_testkit()).await;

    // What was pushed is there by its digest.
    let manifests: HashSet<_> = outcome.manifests().map(|(digest, _)| digest).collect();
    let mut connection = RawConnection::open(registry.port()).await;
    let pushes = truth.iter().filter(|it| it.action == "push");
    for push in pushes.filter(|it| manifests.contains(&*it.digest)) {
        let name = utf8_percent_encode(&push.repository, NON_ALPHANUMERIC);
        let path = format!("/v2/{name}/manifests/{}", push.digest);
        let answer = connection.send(&RawRequest::new("HEAD", path)).await;
        assert_eq!(answer.status, 200, "not there: {push:?}");
    }
    outcome.compare(truth, &notified);
}
