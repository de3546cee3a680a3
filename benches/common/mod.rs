//! Inputs of the benchmarks.
//!
//! Texts have typical lengths: those of a pull of `library/debian` by podman or Docker from a
//! registry behind a proxy.

pub(crate) mod events;
pub(crate) mod requests;

use tower_registry_notifications::event::media_types;

pub(crate) const DIGEST: &str =
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// An image manifest as build tools write it, with this many layers.
pub(crate) fn manifest(layers: usize) -> Vec<u8> {
    let descriptor = |kind: &str, number: usize, size: usize| {
        format!(r#"{{"mediaType":"{kind}","digest":"sha256:{number:064x}","size":{size}}}"#)
    };
    let config = descriptor(CONFIG, 0, 7_023);
    let layers = (1..=layers).map(|number| descriptor(LAYER, number, 31_357_624 + number));
    let layers = layers.collect::<Vec<_>>().join(",");
    let kind = media_types::OCI_MANIFEST;
    format!(r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{config},"layers":[{layers}]}}"#)
        .into_bytes()
}

/// A name of 255 characters, the longest that registries accept.
pub(crate) fn long_name() -> String {
    let name = "project-with-a-long-name/".repeat(11);
    name[..255].replace("/p", "/q")
}
