//! The calls that report what happened in a registry: [`Listener`].

use crate::event::{Descriptor, Manifest};
use crate::sink::Acceptance;

/// The methods that are called for each thing that happens in a registry.
///
/// They are those of the reference's listener. [`Bridge`] is the listener that
/// makes events of the calls. Implement the trait to count, log or route what
/// happens.
///
/// Repositories are named without host and tag (`library/debian`). Each method
/// returns an [`Acceptance`] that resolves when responsibility for the event has been
/// taken. If it is dropped early, the event may or may not have been accepted.
///
/// [`Bridge`]: crate::Bridge
pub trait Listener {
    /// A manifest was stored, under `tag` if it was pushed by one.
    fn manifest_pushed(
        &self,
        repository: &str,
        manifest: &Manifest,
        tag: Option<&str>,
    ) -> Acceptance;

    /// A manifest was read, by `tag` if it was requested by one.
    fn manifest_pulled(
        &self,
        repository: &str,
        manifest: &Manifest,
        tag: Option<&str>,
    ) -> Acceptance;

    /// A manifest was removed.
    fn manifest_deleted(&self, repository: &str, digest: &str) -> Acceptance;

    /// A blob was stored.
    fn blob_pushed(&self, repository: &str, blob: &Descriptor) -> Acceptance;

    /// A blob was read, or the client was redirected to its storage.
    fn blob_pulled(&self, repository: &str, blob: &Descriptor) -> Acceptance;

    /// A blob was mounted, from the repository `from` if that is known.
    fn blob_mounted(&self, repository: &str, blob: &Descriptor, from: Option<&str>) -> Acceptance;

    /// A blob was removed.
    fn blob_deleted(&self, repository: &str, digest: &str) -> Acceptance;

    /// A tag was removed.
    fn tag_deleted(&self, repository: &str, tag: &str) -> Acceptance;

    /// A repository was removed with everything in it.
    fn repo_deleted(&self, repository: &str) -> Acceptance;
}

/// The trait is object-safe.
const _: fn(&dyn Listener) = |_| {};
