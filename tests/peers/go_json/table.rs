//! Odd manifests, and what distribution makes of them.

use serde_json::Value;
use sha2::Digest as _;

pub(crate) const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// The blobs that manifests refer to: a configuration and two layers.
pub(crate) const BLOBS: [&str; 3] = ["{}", "one", "two!"];

/// What becomes of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// These references are posted, in format v1.
    As(&'static str),
    /// The manifest is refused, or has no references.
    Refused,
}

/// A manifest, and what distribution makes of it. In both texts `@c`, `@1`,
/// `@2` and `@m` stand for descriptors of configuration, layers and an image,
/// `%c`, `%1`, `%2` and `%m` for their digests, and `@@` for the two fields
/// that every manifest begins with.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) manifest: &'static [u8],
    /// What docker-registry posted.
    pub(crate) posted: Read,
    /// What is read here, if that differs, and why.
    pub(crate) differs: Option<(Read, &'static str)>,
}

pub(crate) fn digest(content: &str) -> String {
    format!("sha256:{:x}", sha2::Sha256::digest(content))
}

/// An ordinary image, which indexes refer to.
pub(crate) fn image() -> Vec<u8> {
    expand(OCI, br#"{@@,"config":@c,"layers":[@1,@2]}"#)
}

/// Puts in what a manifest's placeholders stand for.
pub(crate) fn expand(kind: &str, text: &[u8]) -> Vec<u8> {
    // Each byte is a character of its own here, so that none gets lost.
    let mut text: String = text.iter().map(|byte| char::from(*byte)).collect();
    let head = format!(r#""schemaVersion":2,"mediaType":"{kind}""#);
    text = text.replace("@@", &head);
    if text.contains("@m") || text.contains("%m") {
        let image = String::from_utf8(image()).unwrap();
        text = put(&text, 'm', OCI, &image);
    }
    for (mark, content) in ['c', '1', '2'].into_iter().zip(BLOBS) {
        text = put(&text, mark, &format!("t/{mark}"), content);
    }
    text.chars().map(|it| u8::try_from(it).unwrap()).collect()
}

fn put(text: &str, mark: char, kind: &str, content: &str) -> String {
    let digest = digest(content);
    let size = content.len();
    let descriptor = format!(r#"{{"mediaType":"{kind}","size":{size},"digest":"{digest}"}}"#);
    let text = text.replace(&format!("@{mark}"), &descriptor);
    text.replace(&format!("%{mark}"), &digest)
}

impl Read {
    /// The references, if there are any.
    pub(crate) fn value(self, kind: &str) -> Option<Value> {
        match self {
            Self::As(text) => Some(serde_json::from_slice(&expand(kind, text.as_bytes())).unwrap()),
            Self::Refused => None,
        }
    }
}
