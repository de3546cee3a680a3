//! `container-registry`, which is made with axum 0.7, checks credentials itself
//! and says little: no digest and no length of what it gives, and uploads end
//! at URLs of its own.

use std::collections::HashMap;
use std::sync::Arc;

use container_registry::ContainerRegistry;
use examples::image::Image;
use http::{Method, StatusCode};
use sec::Secret;
use tower_registry_notifications::event::Action;

use crate::client::skopeo;
use crate::layout::write_layout;
use crate::node::{Node, targets};
use crate::tempdir;

const ALICE: (&str, &str) = ("authorization", "Basic YWxpY2U6c2VjcmV0");

async fn start(storage: &std::path::Path) -> Node {
    let users = HashMap::from([("alice".to_owned(), Secret::new("secret".to_owned()))]);
    let registry = ContainerRegistry::builder()
        .storage(storage)
        .auth_provider(Arc::new(users))
        .build()
        .unwrap();
    let router = axum::Router::new().fallback_service(registry.make_router());
    Node::around(router, true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_facts_come_from_stats() {
    let image = Image::new("amd64", "a", b"in another registry\n").unwrap();
    let folder = tempdir("container-registry");
    let storage = folder.join("storage");
    std::fs::create_dir(&storage).unwrap();
    let node = start(&storage).await;
    let layout = folder.join("layout");
    write_layout(&layout, &[("v1", &image.manifest, &[&image])]);

    let layout = format!("oci:{}:v1", layout.display());
    let app = node.image("live/app:v1");
    skopeo(&["copy", "--dest-creds=alice:secret", &layout, &app]).await;
    let out = format!("dir:{}", folder.join("out").display());
    skopeo(&["copy", "--src-creds=alice:secret", &app, &out]).await;

    let manifest = "/v2/live/app/manifests/v1";
    let blob = format!("/v2/live/app/blobs/{}", image.layer.digest);
    for method in [Method::HEAD, Method::GET] {
        let pull = node.send(method.clone(), manifest, &[ALICE], "").await;
        assert_eq!(pull.status, StatusCode::OK);
        assert!(!pull.headers.contains_key("docker-content-digest"));
        let pull = node.send(method, &blob, &[ALICE], "").await;
        assert_eq!(pull.status, StatusCode::OK);
    }
    let pull = node.send(Method::GET, &blob, &[ALICE], "").await;
    assert!(!pull.headers.contains_key("content-length"));
    // No mounts: it begins an upload.
    let mount = format!(
        "/v2/live/other/blobs/uploads/?mount={}&from=live/app",
        image.layer.digest
    );
    let answer = node.send(Method::POST, &mount, &[ALICE], "").await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    // Nor deletions.
    let answer = node.send(Method::DELETE, manifest, &[ALICE], "").await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    // Who may not has done nothing.
    for headers in [
        &[][..],
        &[("authorization", "Basic YWxpY2U6Z3Vlc3NlZA==")],
        &[("authorization", "Bearer token")],
    ] {
        for path in [manifest, &blob] {
            let answer = node.send(Method::GET, path, headers, "").await;
            assert!(answer.status.is_client_error(), "{headers:?}");
        }
    }

    let events = node.stop(&[&image], &[]).await;
    let mut wanted = vec![
        ("", &*image.config.digest),
        ("", &*image.layer.digest),
        ("v1", &*image.manifest.digest),
    ];
    wanted.sort_unstable();
    assert_eq!(targets(&events, Action::Push, "live/app"), wanted);
    for event in &events {
        assert_eq!(event.target.repository, "live/app");
        assert_eq!(event.actor.name, "alice");
    }
}
