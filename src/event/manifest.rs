//! Manifests: what an event needs to know of them, parsed within bounds.

use std::fmt;

use serde::Deserialize;

use super::{Descriptor, Platform};

/// Size in bytes of the largest manifest that is looked into: 4 MiB, the limit
/// that the [distribution spec] lets registries set.
///
/// [distribution spec]: https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pushing-manifests
pub const MANIFEST_LIMIT: usize = 4 << 20;

/// Media types of the manifests whose references are known.
pub mod media_types {
    /// OCI image manifest.
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// OCI image index.
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// Docker image manifest, version 2, schema 2.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker manifest list.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

    /// Is this a manifest of a known kind?
    pub(crate) fn is_known(media_type: &str) -> bool {
        is_index(media_type) || media_type == OCI_MANIFEST || media_type == DOCKER_MANIFEST
    }

    /// Is this an index or a list, whose references are manifests?
    pub(crate) fn is_index(media_type: &str) -> bool {
        media_type == OCI_INDEX || media_type == DOCKER_LIST
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
    /// A manifest whose references are not known.
    pub fn new(descriptor: Descriptor) -> Self {
        Self {
            descriptor,
            references: Vec::new(),
        }
    }

    /// The same manifest with these references.
    #[must_use]
    pub fn references(mut self, references: Vec<Descriptor>) -> Self {
        self.references = references;
        self
    }

    /// What the manifest in `content` refers to.
    ///
    /// `media_type` says which kind of manifest to read; parameters must be
    /// cut off before.
    ///
    /// # Errors
    ///
    /// When the media type is not one of [`media_types`], the content is
    /// larger than [`MANIFEST_LIMIT`], nested deeper than 128 levels, or not a
    /// manifest of that kind.
    pub fn parse_references(
        media_type: &str,
        content: &[u8],
    ) -> Result<Vec<Descriptor>, ParseManifestError> {
        if content.len() > MANIFEST_LIMIT {
            return Err(Kind::TooLarge.into());
        }
        match media_type {
            media_types::OCI_MANIFEST | media_types::DOCKER_MANIFEST => image(content),
            media_types::OCI_INDEX => index(content),
            media_types::DOCKER_LIST => {
                let mut manifests = index(content)?;
                // The platform of a list's entry is not optional in the reference.
                for manifest in &mut manifests {
                    manifest
                        .platform
                        .get_or_insert_with(Box::<Platform>::default);
                }
                Ok(manifests)
            }
            _ => Err(Kind::UnknownMediaType.into()),
        }
    }
}

fn image(content: &[u8]) -> Result<Vec<Descriptor>, ParseManifestError> {
    #[derive(Deserialize)]
    struct Image {
        config: Descriptor,
        layers: Option<Vec<Descriptor>>,
    }
    let Image { config, layers } = serde_json::from_slice(content).map_err(Kind::Json)?;
    let mut references = vec![config];
    references.extend(layers.into_iter().flatten());
    Ok(references)
}

fn index(content: &[u8]) -> Result<Vec<Descriptor>, ParseManifestError> {
    #[derive(Deserialize)]
    struct Index {
        manifests: Option<Vec<Descriptor>>,
    }
    let Index { manifests } = serde_json::from_slice(content).map_err(Kind::Json)?;
    Ok(manifests.unwrap_or_default())
}

/// Why a manifest's references are not known.
#[derive(Debug)]
pub struct ParseManifestError(Kind);

#[derive(Debug)]
enum Kind {
    TooLarge,
    UnknownMediaType,
    Json(serde_json::Error),
}

impl ParseManifestError {
    /// Is the media type not one of those whose references are known? Then
    /// nothing is wrong with the manifest itself.
    pub fn is_unknown_media_type(&self) -> bool {
        matches!(self.0, Kind::UnknownMediaType)
    }
}

impl From<Kind> for ParseManifestError {
    fn from(kind: Kind) -> Self {
        Self(kind)
    }
}

impl fmt::Display for ParseManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::TooLarge => write!(f, "manifest is larger than {MANIFEST_LIMIT} bytes"),
            Kind::UnknownMediaType => f.write_str("media type is of no known kind of manifest"),
            Kind::Json(_) => f.write_str("content is not a manifest of this media type"),
        }
    }
}

impl std::error::Error for ParseManifestError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Kind::Json(error) => Some(error),
            Kind::TooLarge | Kind::UnknownMediaType => None,
        }
    }
}

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
