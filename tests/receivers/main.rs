//! Receivers that exist, each as a small checker with its own parsing rules, and the
//! configuration that `docs/receivers.md` recommends for it.
//!
//! A test reads the configuration out of the page, writes every kind of event to it, and
//! passes the requests to the checker: it must refuse none, and see the images that were
//! pushed.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod argo;
mod bodies;
#[path = "../common/mod.rs"]
mod common;
mod flux;
mod go;
mod jenkins;
mod kargo;
mod keel;
mod others;
mod page;
mod stage;

use stage::{Request, images, images_of_requests, posted};

/// What a receiver makes of a request: the images that it looks at again, or why it
/// refuses the request.
pub(crate) type Answer = Result<Vec<String>, String>;

/// Checks that `receiver` refuses nothing that is posted with the configuration below
/// `heading`, and returns the images that it acts upon.
async fn acts_on(heading: &str, receiver: impl Fn(&Request) -> Answer) -> Vec<String> {
    let posted = posted(&page::configuration(heading)).await;
    let mut images = Vec::new();
    for request in &posted.requests {
        match receiver(request) {
            Ok(more) => images.extend(more),
            Err(why) => panic!(
                "{why}: {:?} {}",
                request.headers,
                String::from_utf8_lossy(&request.body)
            ),
        }
    }
    images
}

#[tokio::test]
async fn argo_cd_refreshes_what_was_pushed() {
    let harbor = |it: &Request| argo::cd(it, "argocd-webhook-secret");
    assert_eq!(acts_on("Argo CD", harbor).await, images());
}

#[tokio::test]
async fn argo_cd_image_updater_takes_harbor_azure_cloud_events_and_gitlab() {
    let updater = |it: &Request| argo::updater(it, "updater-secret");
    for heading in [
        "Argo CD Image Updater: harbor",
        "Argo CD Image Updater: acr",
        "Argo CD Image Updater: cloudevents",
    ] {
        assert_eq!(acts_on(heading, updater).await, images(), "{heading}");
    }
    let gitlab = acts_on("Argo CD Image Updater: gitlab", updater).await;
    assert_eq!(gitlab, images_of_requests());
}

#[tokio::test]
async fn flux_takes_all_three_types() {
    for heading in ["Flux: generic-hmac", "Flux: harbor", "Flux: acr"] {
        let receiver = |it: &Request| flux::receiver(it, "flux-token");
        let handled = acts_on(heading, receiver).await;
        assert!(!handled.is_empty(), "{heading}");
    }
    // With JSON as its content type, filters of a receiver see the event.
    let filtered = |it: &Request| flux::filtered(it);
    assert_eq!(
        acts_on("Flux: generic-hmac", filtered).await,
        images_of_requests()
    );
}

#[tokio::test]
async fn kargo_refreshes_warehouses() {
    let repositories = || {
        images()
            .iter()
            .map(|it| kargo::repository(it))
            .collect::<Vec<_>>()
    };
    assert_eq!(acts_on("Kargo: azure", kargo::azure).await, repositories());
    let harbor = |it: &Request| kargo::harbor(it, "kargo-auth-header");
    assert_eq!(acts_on("Kargo: harbor", harbor).await, repositories());
}

#[tokio::test]
async fn keel_updates_what_was_pushed() {
    assert_eq!(acts_on("Keel: azure", keel::azure).await, images());
    assert_eq!(acts_on("Keel: harbor", keel::harbor).await, images());
    assert_eq!(
        acts_on("Keel: registry", keel::registry).await,
        images_of_requests()
    );
}

#[tokio::test]
async fn jenkins_triggers_jobs() {
    let repositories = |images: Vec<String>| -> Vec<String> {
        let names = images
            .iter()
            .map(|it| it.rsplit_once(':').unwrap().0.to_owned());
        names.collect()
    };
    let azure = acts_on("Jenkins: acr-webhook", jenkins::acr).await;
    assert_eq!(azure, repositories(images()));
    let registry = acts_on("Jenkins: dockerregistry-webhook", jenkins::docker_registry).await;
    assert_eq!(registry, repositories(images_of_requests()));
    assert_eq!(
        acts_on("Jenkins: Harbor plugin", jenkins::harbor).await,
        images()
    );
}

#[tokio::test]
async fn tekton_verifies_the_signature() {
    let github = |it: &Request| others::tekton(it, "tekton-secret");
    assert_eq!(acts_on("Tekton", github).await, images_of_requests());
}

#[tokio::test]
async fn knative_gets_no_batches() {
    let posted = posted(&page::configuration("Knative")).await;
    for request in &posted.requests {
        others::knative(request).unwrap();
    }
    assert_eq!(
        posted.requests.len(),
        stage::EVENTS,
        "each event is a request"
    );
    assert_eq!(posted.unsupported, 0);
}

#[tokio::test]
async fn gitlab_gets_no_foreign_action() {
    let posted = posted(&page::configuration("GitLab")).await;
    let mut actions = Vec::new();
    for request in &posted.requests {
        actions.extend(others::gitlab(request, "gitlab-notification-secret").unwrap());
    }
    actions.sort_unstable();
    actions.dedup();
    assert_eq!(actions, ["delete", "push"]);
    assert_eq!(posted.requests.len(), 8);
}

#[tokio::test]
async fn portus_acts_upon_docker_manifests_of_its_users() {
    use tower_registry_notifications::event::media_types;
    let configuration = page::configuration("Portus");
    let acts_upon = async |media_type, user: &str| {
        let posted = stage::posted_of(&configuration, media_type).await;
        let requests = posted.requests.iter();
        let images = requests.map(|it| others::portus(it, stage::INSIDE, user).unwrap());
        let mut images: Vec<_> = images.flatten().collect();
        images.sort();
        images
    };
    let deleted = format!("team/app@{}", stage::DIGEST);
    let [first, second] = <[String; 2]>::try_from(images_of_requests()).unwrap();
    let all = [first, second, deleted.clone()];
    assert_eq!(acts_upon(media_types::DOCKER_MANIFEST, "alice").await, all);
    // Manifests of OCI are none to it, and neither are events of somebody else.
    assert_eq!(
        acts_upon(media_types::OCI_MANIFEST, "alice").await,
        [deleted]
    );
    assert!(
        acts_upon(media_types::DOCKER_MANIFEST, "bob")
            .await
            .is_empty()
    );
}

/// The checkers themselves: what is not configured for them is refused.
#[tokio::test]
async fn receivers_refuse_what_is_posted_without_the_recipes() {
    let plain =
        "notifications: {endpoints: [{name: plain, timeout: 1m, url: https://plain.example.com/}]}";
    let posted = posted(plain).await;
    assert_eq!(posted.requests.len(), stage::EVENTS);
    for request in &posted.requests {
        argo::cd(request, "argocd-webhook-secret").unwrap_err();
        argo::updater(request, "updater-secret").unwrap_err();
        flux::receiver(request, "flux-token").unwrap_err();
        kargo::azure(request).unwrap_err();
        kargo::harbor(request, "kargo-auth-header").unwrap_err();
        keel::azure(request).unwrap_err();
        jenkins::harbor(request).unwrap_err();
        others::tekton(request, "tekton-secret").unwrap_err();
        others::knative(request).unwrap_err();
        others::gitlab(request, "gitlab-notification-secret").unwrap_err();
    }
}

#[test]
fn every_configuration_of_the_page_belongs_to_a_test() {
    let here = include_str!("main.rs");
    let headings = page::headings();
    assert!(headings.len() > 12, "{headings:?}");
    for heading in headings {
        assert!(here.contains(&format!("\"{heading}\"")), "{heading}");
    }
}

#[test]
fn every_link_within_the_page_leads_to_a_heading() {
    let slugs: Vec<_> = page::headings().into_iter().map(page::slug).collect();
    let links = page::links();
    assert!(links.len() > 15, "{links:?}");
    for link in &links {
        assert!(slugs.iter().any(|slug| slug == link), "{link}");
    }
    for slug in slugs {
        assert!(
            links.contains(&&*slug),
            "no row of the table leads to {slug}"
        );
    }
}
