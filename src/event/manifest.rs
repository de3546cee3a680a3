//! The facts that events state about manifests: [`Manifest`].
//!
//! A client chooses the content, so its size, the number of references and their memory
//! are bounded.

use std::borrow::Cow;
use std::fmt;

use super::go_json::Fault;
use super::manifest_decoder::{self, COUNT_LIMIT, MEMORY_LIMIT};
use super::media_types::{self, ManifestKind};
use super::{Descriptor, ReferenceList};

/// Size in bytes of the largest manifest that is read: 4 MiB, the limit that the
/// [distribution spec] lets registries set.
///
/// [distribution spec]: https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pushing-manifests
pub const MANIFEST_LIMIT: usize = 4 << 20;

/// A manifest as listeners receive it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Manifest {
    /// The manifest itself.
    pub descriptor: Descriptor,
    /// What the manifest refers to: the config and then the layers of an image, or the
    /// manifests of an index or list. The `subject` is not included.
    pub references: ReferenceList,
}

impl Manifest {
    /// Returns a manifest whose references are not known.
    pub fn new(descriptor: Descriptor) -> Self {
        Self {
            descriptor,
            references: ReferenceList::default(),
        }
    }

    /// Sets its references.
    #[must_use]
    pub fn references(mut self, references: impl Into<ReferenceList>) -> Self {
        self.references = references.into();
        self
    }

    /// Returns what the manifest in `content` refers to.
    ///
    /// `media_type` says which kind of manifest to read, in any case and with or without
    /// parameters. If it is generic, such as `application/json`, the type that the
    /// content names is used.
    ///
    /// Content is read exactly as distribution reads it, by the rules of Go's
    /// `encoding/json`: names of fields match in any case, a repeated one is
    /// decoded onto the earlier value, `null` means absent, and U+FFFD replaces
    /// invalid UTF-8 and lone surrogates. A negative size, which Go accepts too, is
    /// read as 0. The layers or manifests may take at most 1 MiB of memory, which is
    /// enough for about 5,600 with SHA-256 digests, and there may be at most 10,000.
    ///
    /// # Errors
    ///
    /// When the media type is not one of [`media_types`], the content is
    /// larger than [`MANIFEST_LIMIT`] or refers to more than is read, is not a
    /// manifest of that kind, or names another media type.
    pub fn parse_references(
        media_type: &str,
        content: &[u8],
    ) -> Result<ReferenceList, ParseManifestError> {
        Self::read(Some(media_type), content, true).references
    }

    /// Reads the facts about the manifest in `content`, in one pass unless its kind must
    /// be found out first.
    ///
    /// `media_type` is the `Content-Type` that it came with. If there is none or a
    /// generic one, the type that the content names counts. If the content names none
    /// either, the type stays unknown: it is not guessed from the fields. Without
    /// `want_references` there are none, and content of a known type is not read.
    pub(crate) fn read(
        media_type: Option<&str>,
        content: &[u8],
        want_references: bool,
    ) -> ReadManifest {
        let failed = |media_type, kind: ManifestErrorKind| ReadManifest {
            media_type,
            references: Err(kind.into()),
        };
        let specific = media_type
            .map(media_types::essence)
            .filter(|it| !media_types::is_generic(it));
        if content.len() > MANIFEST_LIMIT {
            return failed(specific, ManifestErrorKind::TooLarge);
        }
        let media_type = match specific {
            Some(specific) => Some(specific),
            None => match manifest_decoder::read(content, None) {
                Err(fault) => return failed(None, fault.into()),
                Ok(body) => Some(media_types::essence(&body.media_type))
                    .filter(|named| media_types::is_valid(named)),
            },
        };
        let Some(kind) = media_type.as_deref().and_then(ManifestKind::of) else {
            return failed(media_type, ManifestErrorKind::UnknownMediaType);
        };
        let references = match want_references {
            true => manifest_decoder::read(content, Some(kind)).and_then(|body| body.references),
            false => Ok(ReferenceList::default()),
        };
        ReadManifest {
            media_type,
            references: references.map_err(|fault| ManifestErrorKind::from(fault).into()),
        }
    }
}

/// The facts that an event states about a manifest.
#[derive(Debug)]
pub(crate) struct ReadManifest {
    /// Its media type, in lower case and without parameters, if it is known.
    pub(crate) media_type: Option<Cow<'static, str>>,
    /// The references, if they were wanted.
    pub(crate) references: Result<ReferenceList, ParseManifestError>,
}

/// Why a manifest's references are not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseManifestError(ManifestErrorKind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum ManifestErrorKind {
    TooLarge,
    TooManyReferences,
    UnknownMediaType,
    Conflict,
    Syntax(usize),
    Type(usize),
}

impl ParseManifestError {
    /// Whether the media type is none of those whose references can be read. The manifest
    /// itself may be valid.
    pub fn is_unknown_media_type(&self) -> bool {
        self.0 == ManifestErrorKind::UnknownMediaType
    }

    /// Whether the manifest refers to more than an event may list: layers or manifests
    /// that take more than 1 MiB of memory (about 5,600 with digests of SHA-256), or more
    /// than 10,000 of them.
    pub fn is_too_many_references(&self) -> bool {
        self.0 == ManifestErrorKind::TooManyReferences
    }
}

impl From<ManifestErrorKind> for ParseManifestError {
    fn from(kind: ManifestErrorKind) -> Self {
        Self(kind)
    }
}

impl From<Fault> for ManifestErrorKind {
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
            ManifestErrorKind::TooLarge => {
                write!(f, "manifest is larger than {MANIFEST_LIMIT} bytes")
            }
            ManifestErrorKind::TooManyReferences => write!(
                f,
                "manifest lists more than {COUNT_LIMIT} references, or they take more than \
                 {MEMORY_LIMIT} bytes"
            ),
            ManifestErrorKind::UnknownMediaType => {
                f.write_str("media type is of no known kind of manifest")
            }
            ManifestErrorKind::Conflict => {
                f.write_str("content is a manifest of another media type")
            }
            ManifestErrorKind::Syntax(at) => write!(f, "content is not JSON at byte {at}"),
            ManifestErrorKind::Type(at) => {
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
    use std::borrow::Cow;

    use super::*;
    use crate::event::Platform;

    const IMAGE: &str = r#"{"mediaType":"TYPE","config":{"digest":"c"},"layers":[{"digest":"l"}]}"#;

    fn image(media_type: &str) -> Vec<u8> {
        IMAGE.replace("TYPE", media_type).into_bytes()
    }

    fn digests(read: ReadManifest) -> Option<Vec<String>> {
        let references = read.references.ok()?;
        Some(references.iter().map(|it| it.digest().into()).collect())
    }

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
            ReferenceList::from([
                Descriptor::new("c", "sha256:1", 1),
                Descriptor::new("l", "sha256:2", 2)
            ])
        );
    }

    #[test]
    fn an_entry_of_a_docker_list_always_has_a_platform() {
        let list = br#"{"manifests":[{"mediaType":"m","digest":"sha256:1","size":1}]}"#;
        let platform = |media_type| {
            let references = Manifest::parse_references(media_type, list).unwrap();
            references.iter().next().unwrap().platform()
        };
        assert_eq!(platform(media_types::OCI_INDEX), None);
        assert_eq!(
            platform(media_types::DOCKER_LIST),
            Some(Platform::default())
        );
    }

    #[test]
    fn null_empties_the_platform_of_an_index_but_not_that_of_a_docker_list() {
        let list = br#"{"manifests":[{"platform":{"os":"o"},"platform":null}]}"#;
        let platform = |media_type| {
            let references = Manifest::parse_references(media_type, list).unwrap();
            let platform = references.iter().next().unwrap().platform();
            platform.map(|it| it.os)
        };
        assert_eq!(platform(media_types::OCI_INDEX), None);
        assert_eq!(platform(media_types::DOCKER_LIST).unwrap(), "o");
    }

    #[test]
    fn a_generic_content_type_gives_way_to_the_type_that_the_content_names() {
        let oci = media_types::OCI_MANIFEST;
        let content = image(" Application/vnd.OCI.image.manifest.v1+json; charset=utf-8");
        for generic in [
            None,
            Some(""),
            Some("application/json"),
            Some("Application/JSON; charset=utf-8"),
            Some("application/octet-stream"),
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
        ] {
            let read = Manifest::read(generic, &content, true);
            assert_eq!(read.media_type.as_deref(), Some(oci), "{generic:?}");
            assert_eq!(digests(read).unwrap(), ["c", "l"], "{generic:?}");
        }
        let read = Manifest::read(None, &content, false);
        assert_eq!(read.media_type.as_deref(), Some(oci));
        assert!(digests(read).unwrap().is_empty());
    }

    #[test]
    fn the_media_type_is_read_by_the_rules_of_go() {
        for (content, media_type) in [
            (r#"{"MEDIATYPE":"a/b"}"#, Some("a/b")),
            (r#"{"media\u0054ype":"a\/b","mediaType":null}"#, Some("a/b")),
            (r#"{"mediaType":"a/b","MediaType":"c/d"}"#, Some("c/d")),
            // What else it has is of no kind that is known.
            (r#"{"layers":5,"mediaType":"a/b","config":[]}"#, Some("a/b")),
            (r#"{"mediaType":""}"#, None),
            (r#"{"mediaType":["a/b"]}"#, None),
            (r#"{"mediaType":"a\u0000/b"}"#, None),
            (r#"{"mediaType":"text"}"#, None),
            (r#"{"config":{},"layers":[]}"#, None),
            (r#"{"manifests":[]}"#, None),
            (r#"{"mediaType":"a/b"} x"#, None),
            (r#"{"mediaType":"a/b""#, None),
            (r#"["mediaType"]"#, None),
            ("", None),
        ] {
            let read = Manifest::read(None, content.as_bytes(), true);
            assert_eq!(read.media_type.as_deref(), media_type, "{content}");
            read.references.unwrap_err();
        }
        let long = format!(r#"{{"mediaType":"a/{}"}}"#, "b".repeat(254));
        assert_eq!(Manifest::read(None, long.as_bytes(), true).media_type, None);
    }

    #[test]
    fn a_specific_content_type_stays_whatever_the_content_is() {
        let oci = media_types::OCI_MANIFEST;
        let other = image(media_types::DOCKER_MANIFEST);
        let large = vec![b' '; MANIFEST_LIMIT + 1];
        for content in [&b"{"[..], b"{}", &other, &large] {
            let read = Manifest::read(
                Some("Application/VND.oci.image.manifest.v1+json"),
                content,
                true,
            );
            assert_eq!(read.media_type.as_deref(), Some(oci));
            read.references.unwrap_err();
        }
        let read = Manifest::read(Some("A/B; c=d"), b"{", true);
        assert_eq!(read.media_type.as_deref(), Some("a/b"));
        assert!(read.references.unwrap_err().is_unknown_media_type());
    }

    #[test]
    fn each_error_says_what_is_wrong() {
        let error = |media_type, content| {
            let error = Manifest::parse_references(media_type, content).unwrap_err();
            error.to_string()
        };
        let oci = media_types::OCI_MANIFEST;
        let other = image(media_types::DOCKER_MANIFEST);
        assert_eq!(
            error(oci, &other),
            "content is a manifest of another media type"
        );
        assert_eq!(error(oci, b"{]"), "content is not JSON at byte 1");
        let text = br#"{"config":{"size":"5"}}"#;
        assert_eq!(
            error(oci, text),
            "content is not a manifest of this media type at byte 18"
        );
        assert_eq!(
            error("a/b", b""),
            "media type is of no known kind of manifest"
        );
    }

    #[test]
    fn common_media_types_take_no_memory() {
        let descriptor = |kind: &str| {
            let content = format!(r#"{{"manifests":[{{"mediaType":"{kind}"}}]}}"#);
            let references = Manifest::parse_references(media_types::OCI_INDEX, content.as_bytes());
            references.unwrap().to_descriptors().remove(0).media_type
        };
        let common = descriptor(media_types::OCI_MANIFEST);
        assert!(matches!(common, Cow::Borrowed(media_types::OCI_MANIFEST)));
        assert_eq!(descriptor("a/b"), "a/b");
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
