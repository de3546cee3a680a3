//! The registry of the example: `ferro-oci-server`, all in memory.

use std::error::Error;
use std::sync::Arc;

use axum::extract::ConnectInfo;
use ferro_blob_store::{Digest, InMemoryBlobStore};
use ferro_oci_server::{AppState, InMemoryRegistryMeta, Reference};
use tower_registry_notifications::{NotificationLayer, Notifier};

use crate::image::Image;

/// A registry with nothing in it.
pub fn empty() -> Arc<AppState> {
    AppState::new(
        Arc::new(InMemoryBlobStore::new()),
        Arc::new(InMemoryRegistryMeta::new()),
    )
}

/// The layer that the example puts around its registry.
///
/// The lookup costs a few requests inside of the process at each delete by
/// digest, and tells which tags went with the manifest: `skopeo delete` finds
/// the digest itself and names no tag. The registry raises axum's limit for
/// bodies (2 MiB) to 512 MiB; the layer sets none.
pub fn layer(notifier: Notifier) -> NotificationLayer {
    NotificationLayer::new(notifier)
        .untag_lookup(true)
        .peer_addr(|parts| {
            let peer = parts.extensions.get::<ConnectInfo<_>>()?;
            Some(peer.0)
        })
}

/// Stores an image without a request, so that no event tells of it.
pub async fn seed(
    registry: &AppState,
    repository: &str,
    tag: &str,
    image: &Image,
) -> Result<(), Box<dyn Error>> {
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
