//! Manifests: what an event needs to know of them, parsed within bounds.

use std::borrow::Cow;
use std::fmt;

use super::Descriptor;
use super::go_json::Fault;
use super::references::{self, COUNT_LIMIT, MEMORY_LIMIT, ManifestKind, Reference};

/// Size in bytes of the largest manifest that is looked into: 4 MiB, the limit
/// that the [distribution spec] lets registries set.
///
/// [distribution spec]: https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pushing-manifests
pub const MANIFEST_LIMIT: usize = 4 << 20;

/// Media types of the manifests whose references are known.
pub mod media_types {
    use std::borrow::Cow;

    /// OCI image manifest.
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// OCI image index.
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// Docker image manifest, version 2, schema 2.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker manifest list.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

    /// The media types that need no memory of their own.
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
        is_index(media_type) || media_type == OCI_MANIFEST || media_type == DOCKER_MANIFEST
    }

    /// Whether this is an index or a list, whose references are manifests.
    pub(crate) fn is_index(media_type: &str) -> bool {
        media_type == OCI_INDEX || media_type == DOCKER_LIST
    }

    /// Whether a `Content-Type` says nothing about the kind of manifest: JSON,
    /// bytes, text, or what HTTP clients send when they are told nothing. It
    /// must be an [`essence`].
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

    /// The media type in lower case, without parameters.
    pub(crate) fn essence(media_type: &str) -> Cow<'static, str> {
        let (essence, _) = media_type.split_once(';').unwrap_or((media_type, ""));
        let essence = essence.trim();
        match essence.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => interned(Cow::Owned(essence.to_ascii_lowercase())),
            false => interned(Cow::Borrowed(essence)),
        }
    }

    /// The same media type, without memory of its own if it is a common one.
    pub(crate) fn interned(media_type: Cow<'_, str>) -> Cow<'static, str> {
        match COMMON.iter().find(|common| **common == media_type) {
            Some(common) => Cow::Borrowed(common),
            None => Cow::Owned(media_type.into_owned()),
        }
    }
}

/// A manifest as listeners are told of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Manifest {
    /// The manifest itself.
    pub descriptor: Descriptor,
    /// What it refers to: config, then layers, of an image; the manifests of
    /// an index or list. Its `subject` is not among them.
    pub references: Vec<Descriptor>,
}

impl Manifest {
    /// Returns a manifest whose references are not known.
    pub fn new(descriptor: Descriptor) -> Self {
        Self {
            descriptor,
            references: Vec::new(),
        }
    }

    /// Sets its references.
    #[must_use]
    pub fn references(mut self, references: Vec<Descriptor>) -> Self {
        self.references = references;
        self
    }

    /// Returns what the manifest in `content` refers to.
    ///
    /// `media_type` says which kind of manifest to read, in any case and with
    /// or without parameters. A generic one, such as `application/json`, gives
    /// way to the type that the content names.
    ///
    /// Content is read exactly as distribution reads it, by the rules of Go's
    /// `encoding/json`: names of fields match in any case, a repeated one is
    /// decoded onto the earlier value, `null` means absent, and U+FFFD takes
    /// the place of invalid UTF-8 and lone surrogates. A negative size, which
    /// Go takes too, is read as 0. At most 10,000 layers or manifests are
    /// read, which may take 1 MiB of memory altogether.
    ///
    /// # Errors
    ///
    /// When the media type is not one of [`media_types`], the content is
    /// larger than [`MANIFEST_LIMIT`] or refers to more than is read, is not a
    /// manifest of that kind, or names another media type.
    pub fn parse_references(
        media_type: &str,
        content: &[u8],
    ) -> Result<Vec<Descriptor>, ParseManifestError> {
        let references = Self::read(Some(media_type), content, true).references?;
        Ok(references.into_iter().map(Descriptor::from).collect())
    }

    /// Reads what an event says about the manifest in `content`, in one pass
    /// unless its kind must be found out first.
    ///
    /// `media_type` is the `Content-Type` that it came with. If there is none
    /// or a generic one, the type that the content names counts. If that names
    /// none either, the type stays unknown: it is not guessed from the fields.
    /// Without `want_references` there are none, and content of a known type
    /// is not looked at.
    pub(crate) fn read<'a>(
        media_type: Option<&str>,
        content: &'a [u8],
        want_references: bool,
    ) -> ReadManifest<'a> {
        let failed = |media_type, kind: Kind| ReadManifest {
            media_type,
            references: Err(kind.into()),
        };
        let specific = media_type
            .map(media_types::essence)
            .filter(|it| !media_types::is_generic(it));
        if content.len() > MANIFEST_LIMIT {
            return failed(specific, Kind::TooLarge);
        }
        let media_type = match specific {
            Some(specific) => specific,
            None => match references::read(content, None) {
                Err(fault) => return failed(None, fault.into()),
                Ok(body) => media_types::essence(&body.media_type),
            },
        };
        let media_type = Some(media_type).filter(|it| !it.is_empty());
        let Some(kind) = media_type.as_deref().and_then(ManifestKind::of) else {
            return failed(media_type, Kind::UnknownMediaType);
        };
        let references = match want_references {
            true => references::read(content, Some(kind)).and_then(|body| body.references),
            false => Ok(Vec::new()),
        };
        ReadManifest {
            media_type,
            references: references.map_err(|fault| Kind::from(fault).into()),
        }
    }
}

/// What an event says about a manifest.
#[derive(Debug)]
pub(crate) struct ReadManifest<'a> {
    /// Its media type, in lower case and without parameters, if it is known.
    pub(crate) media_type: Option<Cow<'static, str>>,
    /// What it refers to, if that was wanted.
    pub(crate) references: Result<Vec<Reference<'a>>, ParseManifestError>,
}

/// Why a manifest's references are not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseManifestError(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    TooLarge,
    TooManyReferences,
    UnknownMediaType,
    Conflict,
    Syntax(usize),
    Type(usize),
}

impl ParseManifestError {
    /// Whether the media type is not one of those whose references are known.
    /// Then nothing is wrong with the manifest itself.
    pub fn is_unknown_media_type(&self) -> bool {
        self.0 == Kind::UnknownMediaType
    }

    /// Whether the manifest refers to more than an event may list: more than
    /// 10,000 layers or manifests, or such that take more than 1 MiB of
    /// memory.
    pub fn is_too_many_references(&self) -> bool {
        self.0 == Kind::TooManyReferences
    }
}

impl From<Kind> for ParseManifestError {
    fn from(kind: Kind) -> Self {
        Self(kind)
    }
}

impl From<Fault> for Kind {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Syntax(at) => Self::Syntax(at),
            Fault::Type(at) => Self::Type(at),
            Fault::Bounds => Self::TooManyReferences,
            Fault::Conflict => Self::Conflict,
        }
    }
}

impl fmt::Display for ParseManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::TooLarge => write!(f, "manifest is larger than {MANIFEST_LIMIT} bytes"),
            Kind::TooManyReferences => write!(
                f,
                "manifest lists more than {COUNT_LIMIT} references, or they take more than \
                 {MEMORY_LIMIT} bytes"
            ),
            Kind::UnknownMediaType => f.write_str("media type is of no known kind of manifest"),
            Kind::Conflict => f.write_str("content is a manifest of another media type"),
            Kind::Syntax(at) => write!(f, "content is not JSON at byte {at}"),
            Kind::Type(at) => {
                write!(
                    f,
                    "content is not a manifest of this media type at byte {at}"
                )
            }
        }
    }
}

impl std::error::Error for ParseManifestError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_refers_to_its_config_then_its_layers_and_not_its_subject() {
        let references = Manifest::parse_references(
            media_types::OCI_MANIFEST,
            br#"{"layers":[{"mediaType":"l","digest":"sha256:2","size":2,"platform":null}],
                "subject":{"mediaType":"s","digest":"sha256:3","size":3},
                "config":{"mediaType":"c","digest":"sha256:1","size":1,"urls":null}}"#,
        )
        .unwrap();
        assert_eq!(
            references,
            [
                Descriptor::new("c", "sha256:1", 1),
                Descriptor::new("l", "sha256:2", 2)
            ]
        );
    }

    #[test]
    fn an_entry_of_a_docker_list_always_has_a_platform() {
        let list = br#"{"manifests":[{"mediaType":"m","digest":"sha256:1","size":1}]}"#;
        let platform = |media_type| {
            let references = Manifest::parse_references(media_type, list).unwrap();
            references[0].platform.clone()
        };
        assert_eq!(platform(media_types::OCI_INDEX), None);
        assert_eq!(platform(media_types::DOCKER_LIST), Some(Box::default()));
    }

    #[test]
    fn hostile_content_is_an_error() {
        let deep = format!("{{\"x\":{}", "[".repeat(100_000));
        let large = vec![b' '; MANIFEST_LIMIT + 1];
        for content in [&b""[..], b"[]", b"{}", b"\xff", deep.as_bytes(), &large] {
            Manifest::parse_references(media_types::OCI_MANIFEST, content).unwrap_err();
        }
        Manifest::parse_references("text/html", b"{}").unwrap_err();
    }
}
