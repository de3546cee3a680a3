use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a piece of content is: media type, digest and size, and what the
/// [OCI descriptor](https://github.com/opencontainers/image-spec/blob/v1.1.0/descriptor.md)
/// may add to them.
///
/// The three first fields are always written in format v2, even when they are
/// empty or 0, as the reference does; 0 means that the size is not known (or
/// that the content is empty).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct Descriptor {
    /// Media type of the content.
    #[serde(deserialize_with = "media_type")]
    pub media_type: Cow<'static, str>,
    /// Digest of the content, `algorithm:encoded`.
    pub digest: String,
    /// Size of the content in bytes.
    pub size: u64,
    /// Other places where the content can be had.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_null")]
    pub urls: Vec<String>,
    /// Free metadata of the content.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "or_null"
    )]
    pub annotations: BTreeMap<String, String>,
    /// The content itself, if it is embedded. Base64 on the wire.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "to_base64",
        deserialize_with = "from_base64"
    )]
    pub data: Vec<u8>,
    /// The platform that the content is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Box<Platform>>,
    /// Type of the artifact that the content is.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "or_null")]
    pub artifact_type: String,
}

impl Descriptor {
    /// A descriptor with nothing but media type, digest and size (in bytes).
    pub fn new(
        media_type: impl Into<Cow<'static, str>>,
        digest: impl Into<String>,
        size: u64,
    ) -> Self {
        Self {
            media_type: media_type.into(),
            digest: digest.into(),
            size,
            ..Self::default()
        }
    }
}

/// The platform that content runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Platform {
    /// CPU architecture, in Go's terms (`amd64`).
    pub architecture: String,
    /// Operating system, in Go's terms (`linux`).
    pub os: String,
    /// Version of the operating system.
    #[serde(
        rename = "os.version",
        skip_serializing_if = "String::is_empty",
        deserialize_with = "or_null"
    )]
    pub os_version: String,
    /// Features that the operating system must have.
    #[serde(
        rename = "os.features",
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "or_null"
    )]
    pub os_features: Vec<String>,
    /// Variant of the CPU (`v8`).
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "or_null")]
    pub variant: String,
}

/// Go reads `null` as the zero value; so do we.
fn or_null<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn media_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'static, str>, D::Error> {
    or_null::<_, String>(deserializer).map(Cow::Owned)
}

fn to_base64<S: Serializer>(data: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(data))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let mut text: String = or_null(deserializer)?;
    // Go's decoder skips line ends inside of base64.
    text.retain(|c| c != '\r' && c != '\n');
    STANDARD.decode(text).map_err(serde::de::Error::custom)
}
