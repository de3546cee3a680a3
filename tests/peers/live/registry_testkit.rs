//! The proxy before `registry-testkit`, a small registry with a mind of its
//! own: a HEAD of a manifest has no length, a GET no digest, and a HEAD of a
//! blob no type.

use std::path::Path;

use examples::image::{Image, MANIFEST};
use http::{Method, Request, StatusCode};
use registry_testkit::{RegistryConfig, RegistryServer};
use tower_registry_notifications::sink::Events;

use crate::client::skopeo;
use crate::layout::write_layout;
use crate::proxy_stage::*;

/// What happened to what; the size is that of the event.
type Reported = (&'static str, String, String, String, u64);

async fn told(events: &mut Events) -> Vec<Reported> {
    let mut told: Vec<_> = std::iter::from_fn(|| events.try_recv())
        .map(|event| {
            let event = event.to_event();
            let target = &event.target;
            assert_eq!(target.repository, "app");
            let descriptor = &target.descriptor;
            assert!(target.url.ends_with(&descriptor.digest), "{target:?}");
            (
                event.action.as_str(),
                target.tag.clone(),
                descriptor.digest.clone(),
                descriptor.media_type.to_string(),
                descriptor.size,
            )
        })
        .collect();
    told.sort();
    told.dedup();
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_missing_from_registry_testkit_come_from_stats() {
    let registry = RegistryServer::new(RegistryConfig::memory()).await.unwrap();
    let upstream = registry.url();
    let (address, mut events) = proxy(&settings(&upstream), None).await;
    let image = Image::new("amd64", "a", b"in a small registry\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    write_layout(folder.path(), &[("v1", &image.manifest, &[&image])]);

    let layout = format!("oci:{}:v1", folder.path().display());
    let app = format!("docker://{address}/app:v1");
    skopeo(&["copy", &layout, &app]).await;
    let size = |it: &examples::image::Content| it.bytes.len() as u64;
    let blob = |action, of: &examples::image::Content| {
        let octets = "application/octet-stream".to_owned();
        (action, String::new(), of.digest.clone(), octets, size(of))
    };
    let manifest = |action| {
        let manifest = &image.manifest;
        let digest = manifest.digest.clone();
        (
            action,
            "v1".to_owned(),
            digest,
            MANIFEST.to_owned(),
            size(manifest),
        )
    };
    let mut wanted = vec![
        manifest("push"),
        blob("push", &image.config),
        blob("push", &image.layer),
    ];
    wanted.sort();
    let pushed = told(&mut events).await;
    let pushed: Vec<_> = pushed.into_iter().filter(|it| it.0 == "push").collect();
    assert_eq!(pushed, wanted);

    let out = folder.path().join("out");
    skopeo(&["copy", &app, &format!("dir:{}", out.display())]).await;
    assert_pulled(&out, &image);
    let mut wanted = vec![
        manifest("pull"),
        blob("pull", &image.config),
        blob("pull", &image.layer),
    ];
    wanted.sort();
    assert_eq!(told(&mut events).await, wanted);

    let path = format!("/v2/app/blobs/{}", image.layer.digest);
    for (path, wanted) in [
        ("/v2/app/manifests/v1", manifest("pull")),
        // The registry names no type, which is that of every blob.
        (&path, blob("pull", &image.layer)),
    ] {
        let head = Request::builder().method(Method::HEAD);
        let head = head.uri(format!("http://{address}{path}"));
        let answer = send(head.body(full("")).unwrap()).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(told(&mut events).await, [wanted]);
    }
}

fn assert_pulled(folder: &Path, image: &Image) {
    for content in [&image.config, &image.layer] {
        let name = content.digest.trim_start_matches("sha256:");
        assert_eq!(std::fs::read(folder.join(name)).unwrap(), content.bytes);
    }
}
