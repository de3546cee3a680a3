//! The description of a piece of content: [`Descriptor`].
//!
//! Parsing follows Go where it is more lenient than serde, because the events of the
//! reference are read too.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Describes a piece of content by media type, digest and size, and by the
/// optional fields of the
/// [OCI descriptor](https://github.com/opencontainers/image-spec/blob/v1.1.0/descriptor.md).
///
/// Format v2 always writes the first three fields, even when they are empty or
/// 0, as the reference does. A size of 0 means that the size is not known or
/// that the content is empty.
///
/// `null` is read as the zero value of its field, as in Go, and a negative size
/// as 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct Descriptor {
    /// Media type of the content.
    #[serde(deserialize_with = "media_type")]
    pub media_type: Cow<'static, str>,
    /// Digest of the content, `algorithm:encoded`.
    #[serde(deserialize_with = "or_null")]
    pub digest: String,
    /// Size of the content in bytes.
    #[serde(deserialize_with = "size")]
    pub size: u64,
    /// Other locations of the content.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_null")]
    pub urls: Vec<String>,
    /// Arbitrary metadata of the content.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "or_null"
    )]
    pub annotations: BTreeMap<String, String>,
    /// The content itself, if it is embedded. It is base64 on the wire.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "to_base64",
        deserialize_with = "from_base64"
    )]
    pub data: Vec<u8>,
    /// The platform that the content is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Box<Platform>>,
    /// Type of the artifact, if the content is one.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "or_null")]
    pub artifact_type: String,
}

impl Descriptor {
    /// Returns a descriptor of nothing but media type, digest and size in bytes.
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

/// The platform that content is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Platform {
    /// CPU architecture, in Go's terms (`amd64`).
    #[serde(deserialize_with = "or_null")]
    pub architecture: String,
    /// Operating system, in Go's terms (`linux`).
    #[serde(deserialize_with = "or_null")]
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

/// Reads `null` as the zero value, as Go does.
fn or_null<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn media_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'static, str>, D::Error> {
    or_null::<_, String>(deserializer).map(Cow::Owned)
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Size {
        Known(u64),
        Negative(i64),
    }
    match Option::deserialize(deserializer)? {
        Some(Size::Known(size)) => Ok(size),
        Some(Size::Negative(size)) => Ok(size.try_into().unwrap_or_default()),
        None => Ok(0),
    }
}

fn to_base64<S: Serializer>(data: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(data))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let mut text: String = or_null(deserializer)?;
    // Go's decoder skips line ends inside base64.
    text.retain(|c| c != '\r' && c != '\n');
    STANDARD.decode(text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_read_as_go_writes_and_reads_them() {
        for (text, size) in [
            (r#"{"size":7}"#, 7),
            (r#"{"size":18446744073709551615}"#, u64::MAX),
            (r#"{"size":-1}"#, 0),
            (
                r#"{"size":null,"digest":null,"mediaType":null,"urls":null,"annotations":null}"#,
                0,
            ),
            (r#"{"platform":null,"data":null,"artifactType":null}"#, 0),
        ] {
            let read: Descriptor = serde_json::from_str(text).unwrap();
            assert_eq!(read, Descriptor::new("", "", size), "{text}");
        }
        let platform = r#"{"architecture":null,"os":null,"os.version":null,"variant":null}"#;
        let read: Platform = serde_json::from_str(platform).unwrap();
        assert_eq!(read, Platform::default());
        serde_json::from_str::<Descriptor>(r#"{"size":"7"}"#).unwrap_err();
    }
}
