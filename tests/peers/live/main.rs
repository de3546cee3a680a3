//! The whole path live: a real registry behind the layer, real clients, and a
//! webhook receiver that gets an event for each thing that was done and for
//! nothing else.
//!
//! What must arrive is derived from the requests that a middleware outside of
//! the layer saw, and from the images, which the test built itself.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod auth;
#[path = "../common/certificate.rs"]
mod certificate;
mod client;
mod container_registry;
mod expect;
mod layout;
mod node;
#[path = "../proxy/stage.rs"]
#[allow(dead_code, reason = "a part of it")]
mod proxy_stage;
mod receiver;
mod registry_testkit;

use examples::image::{Image, MANIFEST};
use http::{Method, StatusCode};
use tower_registry_notifications::event::Action;

use crate::client::skopeo;
use crate::layout::{INDEX, write_layout};
use crate::node::Node;

/// An image of more than axum's 2 MiB for a body, even when it is compressed.
fn large_image() -> Image {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    let noise: Vec<u8> = noise.take(400_000).flatten().collect();
    Image::new("amd64", "noise", &noise).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_goes_in_and_out() {
    let image = large_image();
    let node = Node::start(false).await;
    let folder = tempdir("image");
    write_layout(
        &folder.join("layout"),
        &[("v1", &image.manifest, &[&image])],
    );

    let layout = format!("oci:{}:v1", folder.join("layout").display());
    skopeo(&["copy", &layout, &node.image("live/app:v1")]).await;
    let out = format!("dir:{}", folder.join("out").display());
    skopeo(&["copy", &node.image("live/app:v1"), &out]).await;
    skopeo(&[
        "copy",
        &node.image("live/app:v1"),
        &node.image("other/app:v2"),
    ])
    .await;

    for content in [&image.layer, &image.config] {
        let file = content.digest.trim_start_matches("sha256:");
        assert_eq!(
            std::fs::read(folder.join("out").join(file)).unwrap(),
            content.bytes
        );
    }
    let events = node.stop(&[&image], &[]).await;
    let manifest = &*image.manifest.digest;
    let pushes = node::targets(&events, Action::Push, "live/app");
    let mut wanted = vec![
        ("", &*image.config.digest),
        ("", &*image.layer.digest),
        ("v1", manifest),
    ];
    wanted.sort_unstable();
    assert_eq!(pushes, wanted);
    let pulls = node::targets(&events, Action::Pull, "live/app");
    for target in wanted {
        assert!(pulls.contains(&target), "no pull of {target:?}");
    }
    let pushes = node::targets(&events, Action::Push, "other/app");
    assert!(pushes.contains(&("v2", manifest)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_multi_platform_index_goes_in_and_out() {
    let amd64 = Image::new("amd64", "a", b"for amd64\n").unwrap();
    let arm64 = Image::new("arm64", "b", b"for arm64\n").unwrap();
    let index = layout::index(&[("amd64", &amd64), ("arm64", &arm64)]);
    let node = Node::start(true).await;
    let folder = tempdir("index");
    write_layout(
        &folder.join("layout"),
        &[("all", &index, &[&amd64, &arm64])],
    );

    let layout = format!("oci:{}:all", folder.join("layout").display());
    skopeo(&["copy", "--all", &layout, &node.image("live/multi:v1")]).await;
    let out = format!("dir:{}", folder.join("out").display());
    skopeo(&["copy", "--all", &node.image("live/multi:v1"), &out]).await;

    let events = node.stop(&[&amd64, &arm64], &[&index]).await;
    let mut wanted = vec![("v1", &*index.digest)];
    for image in [&amd64, &arm64] {
        for content in [&image.config, &image.layer, &image.manifest] {
            wanted.push(("", &content.digest));
        }
    }
    wanted.sort_unstable();
    assert_eq!(node::targets(&events, Action::Push, "live/multi"), wanted);

    let push = |digest: &str| {
        let of = |event: &&tower_registry_notifications::event::Event| {
            event.action == Action::Push && event.target.descriptor.digest == digest
        };
        events.iter().find(of).unwrap().target.clone()
    };
    let target = push(&index.digest);
    assert_eq!(target.descriptor.media_type, INDEX);
    let platforms: Vec<_> = target
        .references
        .iter()
        .map(|it| (&*it.digest, &*it.platform.as_ref().unwrap().architecture))
        .collect();
    assert_eq!(
        platforms,
        [
            (&*amd64.manifest.digest, "amd64"),
            (&*arm64.manifest.digest, "arm64")
        ]
    );
    let target = push(&arm64.manifest.digest);
    assert_eq!(target.descriptor.media_type, MANIFEST);
    let references: Vec<_> = target.references.iter().map(|it| &*it.digest).collect();
    assert_eq!(references, [&*arm64.config.digest, &*arm64.layer.digest]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_deleted() {
    let image = Image::new("amd64", "a", b"to be deleted\n").unwrap();
    let node = Node::start(true).await;
    let folder = tempdir("tags");
    write_layout(
        &folder.join("layout"),
        &[("v1", &image.manifest, &[&image])],
    );

    let layout = format!("oci:{}:v1", folder.join("layout").display());
    for tag in ["v1", "v2", "v3"] {
        let to = node.image(&format!("live/app:{tag}"));
        skopeo(&["copy", &layout, &to]).await;
    }
    // By tag: gone, then not there, and told only once.
    for status in [StatusCode::ACCEPTED, StatusCode::NOT_FOUND] {
        let path = "/v2/live/app/manifests/v1";
        let response = node.send(Method::DELETE, path, &[], "").await;
        assert_eq!(response.status, status);
    }
    // By digest: takes the tags that are left along.
    skopeo(&["delete", &node.image("live/app:v2")]).await;

    let events = node.stop(&[&image], &[]).await;
    let digest = &*image.manifest.digest;
    assert_eq!(
        node::targets(&events, Action::Delete, "live/app"),
        [("", digest), ("v1", ""), ("v2", ""), ("v3", "")]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_at_a_time() {
    let image = Image::new("amd64", "a", b"by hand\n").unwrap();
    let node = Node::start(true).await;
    node.seed("live/app", "v1", &image).await;
    let blob = &image.layer;
    let uploads = format!("/v2/live/app/blobs/uploads/?digest={}", blob.digest);
    let octets = [("content-type", "application/octet-stream")];

    // Pushed in one request.
    let response = node
        .send(Method::POST, &uploads, &octets, blob.bytes.clone())
        .await;
    assert_eq!(response.status, StatusCode::CREATED);
    // Refused: the content is another.
    let response = node.send(Method::POST, &uploads, &octets, "other").await;
    assert_eq!(response.status, StatusCode::BAD_REQUEST);
    // Pushed in chunks, so that only the registry knows the size.
    let begun = node
        .send(Method::POST, "/v2/live/app/blobs/uploads/", &[], "")
        .await;
    assert_eq!(begun.status, StatusCode::ACCEPTED);
    let place = begun.headers["location"].to_str().unwrap().to_owned();
    let response = node
        .send(Method::PATCH, &place, &octets, blob.bytes.clone())
        .await;
    assert_eq!(response.status, StatusCode::ACCEPTED);
    let place = format!("{place}?digest={}", blob.digest);
    let response = node.send(Method::PUT, &place, &[], "").await;
    assert_eq!(response.status, StatusCode::CREATED);

    // Every spelling that the registry takes for a pull is one.
    let by_digest = format!("/v2/live/app/manifests/{}", image.manifest.digest);
    let by_encoded_digest = by_digest.replace(':', "%3A");
    for path in [
        "/v2/live/app/manifests/v1",
        "/v2/live%2Fapp/manifests/%76%31",
        "/v2/live/app/manifests/v1?x=y",
        &*by_digest,
        &*by_encoded_digest,
    ] {
        let response = node.send(Method::GET, path, &[], "").await;
        assert_eq!(response.status, StatusCode::OK, "{path}");
        assert_eq!(response.body, image.manifest.bytes, "{path}");
        let response = node.send(Method::HEAD, path, &[], "").await;
        assert_eq!(response.status, StatusCode::OK, "{path}");
    }
    let path = format!("/v2/live/app/blobs/{}", blob.digest);
    assert_eq!(
        node.send(Method::GET, &path, &[], "").await.body,
        blob.bytes
    );

    // Nothing happens.
    for (path, status) in [
        ("/v2/", StatusCode::OK),
        ("/v2/_catalog", StatusCode::OK),
        ("/v2/live/app/tags/list", StatusCode::OK),
        ("/v2/live/app/manifests/v9", StatusCode::NOT_FOUND),
        ("/v2/none/manifests/v1", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(
            node.send(Method::GET, path, &[], "").await.status,
            status,
            "{path}"
        );
    }
    let events = node.stop(&[&image], &[]).await;
    let actions: Vec<_> = events.iter().map(|event| event.action).collect();
    let wanted = [[Action::Push; 2].as_slice(), &[Action::Pull; 11]].concat();
    assert_eq!(actions, wanted, "not in order");
}

/// A new folder below the one that cargo keeps for tests.
pub(crate) fn tempdir(name: &str) -> std::path::PathBuf {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("live-{name}"));
    let _not_there = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
