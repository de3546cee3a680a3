//! The registry of the example: `ferro-oci-server`, all in memory.

use std::sync::Arc;

use axum::Router;
use axum::extract::ConnectInfo;
use ferro_blob_store::{Digest, InMemoryBlobStore};
use ferro_oci_server::{AppState, InMemoryRegistryMeta, Reference};
use tower::{BoxError, Layer as _};
use tower_registry_notifications::{NotificationLayer, Notifier};

use crate::image::Image;

/// A registry with nothing in it.
pub fn empty() -> Arc<AppState> {
    AppState::new(
        Arc::new(InMemoryBlobStore::new()),
        Arc::new(InMemoryRegistryMeta::new()),
    )
}

/// The registry `inside` of the layer.
///
/// `stat_with` lets the layer ask the registry itself, for the tags that are
/// removed with a manifest, since `skopeo delete` names no tag, and for the
/// sizes of blobs that no request and response shows.
///
/// Credentials are not checked: the actor is the name that a client gives.
///
/// `ferro-oci-server` raises axum's limit for bodies (2 MiB) to 512 MiB; the
/// layer sets none.
pub fn with_notifications(inside: Router, notifier: Notifier) -> Router {
    let layer = NotificationLayer::new(notifier)
        .stat_with(inside.clone())
        .untag_lookup(true)
        .peer_addr(|parts| {
            let peer = parts.extensions.get::<ConnectInfo<_>>()?;
            Some(peer.0)
        });
    Router::new().fallback_service(layer.layer(inside))
}

/// Stores an image without a request, and so without an event.
pub async fn seed(
    registry: &AppState,
    repository: &str,
    tag: &str,
    image: &Image,
) -> Result<(), BoxError> {
    for content in [&image.config, &image.layer] {
        let digest: Digest = content.digest.parse()?;
        let bytes = content.bytes.clone().into();
        registry.store_blob_counted(&digest, bytes).await?;
    }
    let manifest = &image.manifest;
    registry
        .registry
        .put_manifest(
            repository,
            &Reference::Tag(tag.to_owned()),
            &manifest.digest.parse()?,
            manifest.media_type,
            manifest.bytes.clone().into(),
        )
        .await?;
    Ok(())
}
