//! What can be listened to: the reference's nine happenings.
//!
//! A repository is named without host and tag (`library/debian`). Every method
//! answers with a [`Write`] that resolves when the happening has been taken
//! care of; a registry that drops it does not know whether it was.

use crate::event::{Descriptor, Manifest};
use crate::sink::Write;

/// Is told what happens to manifests.
pub trait ManifestListener {
    /// A manifest was stored, under `tag` if it was pushed by one.
    fn manifest_pushed(&self, repository: &str, manifest: Manifest, tag: Option<&str>) -> Write;

    /// A manifest was read, by `tag` if it was asked for by one.
    fn manifest_pulled(&self, repository: &str, manifest: Manifest, tag: Option<&str>) -> Write;

    /// A manifest was removed.
    fn manifest_deleted(&self, repository: &str, digest: &str) -> Write;
}

/// Is told what happens to blobs.
pub trait BlobListener {
    /// A blob was stored.
    fn blob_pushed(&self, repository: &str, blob: Descriptor) -> Write;

    /// A blob was read, or the client was redirected to where it can be read.
    fn blob_pulled(&self, repository: &str, blob: Descriptor) -> Write;

    /// A blob was mounted; from which repository is not always known.
    fn blob_mounted(&self, repository: &str, blob: Descriptor, from: Option<&str>) -> Write;

    /// A blob was removed.
    fn blob_deleted(&self, repository: &str, digest: &str) -> Write;
}

/// Is told what happens to tags and repositories.
pub trait RepositoryListener {
    /// A tag was removed.
    fn tag_deleted(&self, repository: &str, tag: &str) -> Write;

    /// A repository was removed with all that was in it.
    fn repo_deleted(&self, repository: &str) -> Write;
}

/// Is told of everything that happens.
pub trait Listener: ManifestListener + BlobListener + RepositoryListener {}

impl<T: ManifestListener + BlobListener + RepositoryListener + ?Sized> Listener for T {}
