//! Media types of the manifests whose references are known.

use std::borrow::Cow;

/// OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker image manifest, version 2, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Common media types, which are borrowed instead of allocated.
const COMMON: [&str; 13] = [
    OCI_MANIFEST,
    OCI_INDEX,
    DOCKER_MANIFEST,
    DOCKER_LIST,
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.oci.empty.v1+json",
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
];

/// Whether this is a manifest of a known kind.
pub(crate) fn is_known(media_type: &str) -> bool {
    ManifestKind::of(media_type).is_some()
}

/// Whether this is an index or a list, whose references are manifests.
pub(crate) fn is_index(media_type: &str) -> bool {
    ManifestKind::of(media_type).is_some_and(ManifestKind::is_index)
}

/// Whether a `Content-Type` says nothing about the kind of manifest: JSON, bytes,
/// text, or the default of HTTP clients. It must be an [`essence`].
pub(crate) fn is_generic(media_type: &str) -> bool {
    matches!(
        media_type,
        "" | "application/json"
            | "application/octet-stream"
            | "application/x-www-form-urlencoded"
            | "binary/octet-stream"
            | "text/json"
            | "text/plain"
    )
}

/// Whether an event may have this media type: visible ASCII with a slash, at most
/// 255 bytes, which is what [RFC 6838] lets register.
///
/// [RFC 6838]: https://www.rfc-editor.org/rfc/rfc6838#section-4.2
pub(crate) fn is_valid(media_type: &str) -> bool {
    let is_visible = |byte: u8| byte.is_ascii_graphic();
    media_type.len() <= 255 && media_type.contains('/') && media_type.bytes().all(is_visible)
}

/// Returns the media type in lower case, without parameters.
pub(crate) fn essence(media_type: &str) -> Cow<'static, str> {
    // The usual case, which allocates nothing.
    if let Some(common) = COMMON.iter().find(|common| **common == media_type) {
        return Cow::Borrowed(common);
    }
    let (essence, _) = media_type.split_once(';').unwrap_or((media_type, ""));
    let essence = essence.trim();
    match essence.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => interned(Cow::Owned(essence.to_ascii_lowercase())),
        false => interned(Cow::Borrowed(essence)),
    }
}

/// Returns the same media type, without memory of its own if it is a common one.
pub(crate) fn interned(media_type: Cow<'_, str>) -> Cow<'static, str> {
    match COMMON.iter().find(|common| **common == media_type) {
        Some(common) => Cow::Borrowed(common),
        None => Cow::Owned(media_type.into_owned()),
    }
}

/// The kinds of manifests whose references are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ManifestKind {
    OciManifest,
    DockerManifest,
    OciIndex,
    DockerList,
}

impl ManifestKind {
    pub(crate) fn of(media_type: &str) -> Option<Self> {
        match media_type {
            OCI_MANIFEST => Some(Self::OciManifest),
            DOCKER_MANIFEST => Some(Self::DockerManifest),
            OCI_INDEX => Some(Self::OciIndex),
            DOCKER_LIST => Some(Self::DockerList),
            _ => None,
        }
    }

    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::OciManifest => OCI_MANIFEST,
            Self::DockerManifest => DOCKER_MANIFEST,
            Self::OciIndex => OCI_INDEX,
            Self::DockerList => DOCKER_LIST,
        }
    }

    pub(crate) fn is_oci(self) -> bool {
        matches!(self, Self::OciManifest | Self::OciIndex)
    }

    pub(crate) fn is_index(self) -> bool {
        matches!(self, Self::OciIndex | Self::DockerList)
    }
}
