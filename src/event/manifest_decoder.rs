//! What a manifest refers to, read as distribution reads it.
//!
//! Distribution decodes manifests into Go structs. A repeated key is decoded onto the
//! value that an earlier one left, so the rules of Go's structs, slices, maps and
//! pointers decide what a registry serves. The decoder follows them exactly:
//!
//! - `null` empties a slice, a map or a pointer, and leaves any other field as
//!   it is.
//! - An object sets those fields of a struct that it names.
//! - An array overwrites a slice element by element. Elements beyond its new
//!   length are hidden, and come back when a longer array follows. An empty
//!   array forgets them.
//! - The entries of an object are added to those of a map.
//! - A value of another type than its field makes the whole manifest invalid.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::str::FromStr;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::ReferenceList;
use super::go_json::{Fault, Scanner, fields};
use super::media_types::{self, ManifestKind};
use super::reference::{Details, GoPlatform, Reference, Slice};

/// How many layers or manifests one manifest may list.
pub(super) const COUNT_LIMIT: usize = 10_000;

/// The memory that the references of one manifest may take, in bytes.
pub(super) const MEMORY_LIMIT: usize = 1 << 20;

/// A length in JSON, in bytes, that few references are shorter than. It serves to reserve
/// memory.
const SHORT_REFERENCE: usize = 160;

/// Base64 as Go decodes it: padded, and with any unused bits in the last character.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

fields! { Field:
    SchemaVersion = "schemaVersion"
    MediaType = "mediaType"
    Config = "config"
    Layers = "layers"
    Manifests = "manifests"
    Annotations = "annotations"
}

fields! { DescriptorField:
    MediaType = "mediaType"
    Digest = "digest"
    Size = "size"
    Platform = "platform"
    Annotations = "annotations"
    Urls = "urls"
    Data = "data"
    ArtifactType = "artifactType"
}

fields! { PlatformField:
    Architecture = "architecture"
    Os = "os"
    Variant = "variant"
    OsVersion = "os.version"
    OsFeatures = "os.features"
    Features = "features"
}

/// A manifest that is valid JSON. Its references may still be unreadable.
#[derive(Debug)]
pub(super) struct Body<'a> {
    /// The media type that the manifest names, unchanged. Empty if it names none.
    pub(super) media_type: Cow<'a, str>,
    /// The references of the manifest, read as the kind that was asked for. Empty if no
    /// kind was asked for.
    pub(super) references: Result<ReferenceList, Fault>,
}

/// Reads the media type that a manifest names, and its references if it is to
/// be read as one of this `kind`.
///
/// # Errors
///
/// When the content is not JSON.
pub(super) fn read(content: &[u8], kind: Option<ManifestKind>) -> Result<Body<'_>, Fault> {
    let mut decoder = Decoder {
        json: Scanner::new(content),
        memory: MEMORY_LIMIT,
        kind,
        media_type: Cow::Borrowed(""),
        latest_media_type: "",
        config: Reference::default(),
        list: Slice::default(),
        foreign: [false; 2],
    };
    let fault = decoder.manifest()?;
    decoder.json.end()?;
    Ok(decoder.finish(fault))
}

type Outcome = Result<(), Fault>;

/// Decodes a manifest into what Go's struct for it would hold.
struct Decoder<'a> {
    json: Scanner<'a>,
    /// The rest of [`MEMORY_LIMIT`]. Values that are overwritten later count too, because
    /// a client can repeat a key as often as it likes.
    memory: usize,
    kind: Option<ManifestKind>,
    media_type: Cow<'a, str>,
    /// The media type of the latest reference, if it has no escapes.
    latest_media_type: &'a str,
    config: Reference<'a>,
    /// The layers of an image or the manifests of an index.
    list: Slice<Reference<'a>>,
    /// Whether it has fields of the other kind: `manifests`, or `config` and
    /// `layers`.
    foreign: [bool; 2],
}

impl<'a> Decoder<'a> {
    /// Decodes the manifest up to the first fault, and only the media type
    /// after it.
    ///
    /// # Errors
    ///
    /// When the content is not JSON.
    fn manifest(&mut self) -> Result<Option<Fault>, Fault> {
        if let Err(fault) = self.json.open(b'{') {
            self.json.skip()?;
            return Ok(Some(fault));
        }
        let mut fault = None;
        let mut first = true;
        while let Some(field) = Field::read(&mut self.json, &mut first)? {
            let start = self.json;
            let outcome = match fault {
                Some(_) if field != Field::MediaType => self.json.skip(),
                _ => self.field(field),
            };
            match outcome {
                Ok(()) => {}
                Err(syntax @ Fault::Syntax(_)) => return Err(syntax),
                Err(found) => {
                    fault.get_or_insert(found);
                    self.json = start;
                    self.json.skip()?;
                }
            }
        }
        Ok(fault)
    }

    fn field(&mut self, field: Field) -> Outcome {
        if field == Field::MediaType {
            return set_string(&mut self.json, &mut self.media_type);
        }
        let Some(kind) = self.kind else {
            return self.json.skip();
        };
        match field {
            Field::SchemaVersion => set_integer(&mut self.json, &mut 0_i64),
            // Docker's structs have no such field.
            Field::Annotations if kind.is_oci() => self.unused_map(),
            Field::Config if !kind.is_index() => {
                let mut config = std::mem::take(&mut self.config);
                let outcome = self.reference(&mut config);
                self.config = config;
                outcome
            }
            Field::Layers if !kind.is_index() => self.list(),
            Field::Manifests if kind.is_index() => self.list(),
            Field::Config | Field::Layers | Field::Manifests => {
                let is_null = self.json.null()?;
                self.foreign[usize::from(field == Field::Layers)] = !is_null;
                match is_null {
                    true => Ok(()),
                    false => self.json.skip(),
                }
            }
            Field::Annotations | Field::MediaType | Field::Unknown => self.json.skip(),
        }
    }

    fn list(&mut self) -> Outcome {
        let mut list = std::mem::take(&mut self.list);
        if list.items.capacity() == 0 {
            // Room for all references of most manifests.
            let references = self.json.rest() / SHORT_REFERENCE + 1;
            list.items.reserve(references.min(64));
        }
        let outcome = self.slice(&mut list, COUNT_LIMIT, Self::reference);
        self.list = list;
        outcome
    }

    fn reference(&mut self, reference: &mut Reference<'a>) -> Outcome {
        if self.json.null()? {
            return Ok(());
        }
        self.json.open(b'{')?;
        let mut first = true;
        while let Some(field) = DescriptorField::read(&mut self.json, &mut first)? {
            match field {
                DescriptorField::MediaType => self.media_type(&mut reference.media_type)?,
                DescriptorField::Digest => self.digest(reference)?,
                DescriptorField::Size => set_integer(&mut self.json, &mut reference.size)?,
                DescriptorField::Unknown => self.json.skip()?,
                rare => self.detail(rare, &mut reference.details)?,
            }
        }
        Ok(())
    }

    fn detail(
        &mut self,
        field: DescriptorField,
        details: &mut Option<Box<Details<'a>>>,
    ) -> Outcome {
        if details.is_none() {
            self.spend(size_of::<Details<'_>>())?;
        }
        let details = details.get_or_insert_default();
        match field {
            DescriptorField::Platform => self.platform(&mut details.platform),
            DescriptorField::Annotations => self.map(&mut details.annotations),
            DescriptorField::Urls => self.slice(&mut details.urls, usize::MAX, Self::string),
            DescriptorField::Data => self.data(&mut details.data),
            _ => self.string(&mut details.artifact_type),
        }
    }

    /// The platform is a pointer, but in Docker's list a struct.
    fn platform(&mut self, platform: &mut Option<GoPlatform<'a>>) -> Outcome {
        let in_list = self.kind == Some(ManifestKind::DockerList);
        if self.json.null()? {
            if !in_list {
                *platform = None;
            }
            return Ok(());
        }
        let platform = platform.get_or_insert_default();
        self.json.open(b'{')?;
        let mut first = true;
        while let Some(field) = PlatformField::read(&mut self.json, &mut first)? {
            match field {
                PlatformField::Architecture => self.string(&mut platform.architecture)?,
                PlatformField::Os => self.string(&mut platform.os)?,
                PlatformField::OsVersion => self.string(&mut platform.os_version)?,
                PlatformField::OsFeatures => {
                    self.slice(&mut platform.os_features, usize::MAX, Self::string)?;
                }
                PlatformField::Variant => self.string(&mut platform.variant)?,
                PlatformField::Features if in_list => self.unused_strings()?,
                PlatformField::Features | PlatformField::Unknown => self.json.skip()?,
            }
        }
        Ok(())
    }

    /// Bytes: base64 with line ends anywhere, or an array of numbers.
    fn data(&mut self, data: &mut Slice<u8>) -> Outcome {
        if self.json.peek() != Some(b'"') {
            let byte = |decoder: &mut Self, byte: &mut u8| set_integer(&mut decoder.json, byte);
            return self.slice(data, usize::MAX, byte);
        }
        let mismatch = self.json.mismatch();
        let mut text = self.json.string()?;
        if text.contains(['\r', '\n']) {
            text.to_mut().retain(|it| it != '\r' && it != '\n');
        }
        self.spend(text.len())?;
        let bytes = BASE64.decode(&*text).map_err(|_| mismatch)?;
        *data = bytes.into();
        Ok(())
    }

    fn slice<T: Default>(
        &mut self,
        slice: &mut Slice<T>,
        most: usize,
        mut set: impl FnMut(&mut Self, &mut T) -> Outcome,
    ) -> Outcome {
        if self.json.null()? {
            *slice = Slice::default();
            return Ok(());
        }
        self.json.open(b'[')?;
        let mut length = 0;
        let mut first = true;
        while self.json.element(&mut first)? {
            if length == most {
                return Err(Fault::Bounds);
            }
            if length == slice.items.len() {
                self.spend(size_of::<T>())?;
                slice.items.push(T::default());
            }
            set(self, &mut slice.items[length])?;
            length += 1;
        }
        if length == 0 {
            *slice = Slice::default();
        }
        slice.length = length;
        Ok(())
    }

    fn map(&mut self, map: &mut BTreeMap<Cow<'a, str>, Cow<'a, str>>) -> Outcome {
        if self.json.null()? {
            map.clear();
            return Ok(());
        }
        self.json.open(b'{')?;
        let mut first = true;
        while self.json.member(&mut first)? {
            let key = self.json.name()?;
            // Unlike elsewhere, `null` does not leave what was there.
            let mut value = Cow::Borrowed("");
            self.string(&mut value)?;
            let key = key.decode();
            self.spend(2 * size_of::<Cow<'_, str>>() + key.len())?;
            map.insert(key, value);
        }
        Ok(())
    }

    /// A map that must have its type, but is not posted.
    fn unused_map(&mut self) -> Outcome {
        if self.json.null()? {
            return Ok(());
        }
        self.json.open(b'{')?;
        let mut first = true;
        while self.json.member(&mut first)? {
            self.json.name()?;
            set_string(&mut self.json, &mut Cow::Borrowed(""))?;
        }
        Ok(())
    }

    /// A slice that must have its type, but is not posted.
    fn unused_strings(&mut self) -> Outcome {
        if self.json.null()? {
            return Ok(());
        }
        self.json.open(b'[')?;
        let mut first = true;
        while self.json.element(&mut first)? {
            set_string(&mut self.json, &mut Cow::Borrowed(""))?;
        }
        Ok(())
    }

    fn string(&mut self, string: &mut Cow<'a, str>) -> Outcome {
        set_string(&mut self.json, string)?;
        self.spend(string.len())
    }

    /// The media type of a reference. Most layers have the same.
    fn media_type(&mut self, media_type: &mut Cow<'a, str>) -> Outcome {
        if !self.json.null()? {
            *media_type = self.json.string_like(self.latest_media_type)?;
            if let Cow::Borrowed(latest) = media_type {
                self.latest_media_type = latest;
            }
        }
        self.spend(media_type.len())
    }

    fn digest(&mut self, reference: &mut Reference<'a>) -> Outcome {
        if !self.json.null()? {
            (reference.digest, reference.is_plain) = self.json.digest()?;
        }
        self.spend(reference.digest.len())
    }

    fn spend(&mut self, bytes: usize) -> Outcome {
        self.memory = self.memory.checked_sub(bytes).ok_or(Fault::Bounds)?;
        Ok(())
    }

    fn finish(mut self, fault: Option<Fault>) -> Body<'a> {
        let references = match (fault, self.kind) {
            (Some(fault), _) => Err(fault),
            (None, None) => Ok(ReferenceList::default()),
            (None, Some(kind)) => self.references(kind),
        };
        Body {
            media_type: self.media_type,
            references,
        }
    }

    fn references(&mut self, kind: ManifestKind) -> Result<ReferenceList, Fault> {
        let named = &*self.media_type;
        let names_other = named != kind.media_type()
            && !named.is_empty()
            && media_types::essence(named) != kind.media_type();
        // Distribution refuses such manifests only if they are of OCI's kinds.
        let has_other_fields = kind.is_oci() && self.foreign.contains(&true);
        if names_other || has_other_fields {
            return Err(Fault::Conflict);
        }
        let mut list = std::mem::take(&mut self.list).into_vec();
        let config = match kind {
            ManifestKind::OciIndex => None,
            ManifestKind::DockerList => {
                for reference in &mut list {
                    let details = reference.details.get_or_insert_default();
                    details.platform.get_or_insert_default();
                }
                None
            }
            // Distribution refuses an image whose configuration has no digest.
            _ if self.config.digest.is_empty() => return Err(self.json.mismatch()),
            _ => Some(&self.config),
        };
        Ok(ReferenceList::of(config.into_iter().chain(&list)))
    }
}

fn set_string<'a>(json: &mut Scanner<'a>, string: &mut Cow<'a, str>) -> Outcome {
    if !json.null()? {
        *string = json.string()?;
    }
    Ok(())
}

fn set_integer<T: FromStr + TryFrom<i64>>(json: &mut Scanner<'_>, integer: &mut T) -> Outcome {
    if !json.null()? {
        *integer = json.integer()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::Value;

    use super::*;
    use crate::event::{Descriptor, Platform};

    fn references(kind: ManifestKind, content: &[u8]) -> Result<Vec<Descriptor>, Fault> {
        Ok(read(content, Some(kind))?.references?.to_descriptors())
    }

    /// The only layer, whose fields these are.
    fn layer(fields: &str) -> Option<Descriptor> {
        let content = format!(r#"{{"config":{{"digest":"c"}},"layers":[{{{fields}}}]}}"#);
        let references = references(ManifestKind::OciManifest, content.as_bytes()).ok()?;
        references.into_iter().nth(1)
    }

    #[test]
    fn data_is_base64_with_line_ends_or_an_array_of_bytes() {
        for (fields, data) in [
            (r#""data":"b25l""#, Some(&b"one"[..])),
            (r#""data":"b2\r\n5l\n""#, Some(b"one")),
            (r#""data":"b24\n=""#, Some(b"on")),
            // The unused bits of the last character are ignored.
            (r#""data":"b25=""#, Some(b"on")),
            (r#""data":"""#, Some(b"")),
            (r#""data":null"#, Some(b"")),
            (r#""data":"b25l","data":null"#, Some(b"")),
            (r#""data":"b25l","DATA":"dHdv""#, Some(b"two")),
            (r#""data":[111,110,null,0]"#, Some(b"on\0\0")),
            (
                r#""data":"b25l","data":[116],"data":[null,null]"#,
                Some(b"tn"),
            ),
            (r#""data":"b25""#, None),
            (r#""data":"b25l=""#, None),
            (r#""data":"b2 5l""#, None),
            (r#""data":"b2-_""#, None),
            (r#""data":[256]"#, None),
            (r#""data":[-1]"#, None),
            (r#""data":5"#, None),
            (r#""data":{}"#, None),
        ] {
            let layer = layer(fields);
            assert_eq!(layer.as_ref().map(|it| &*it.data), data, "{fields}");
        }
    }

    #[test]
    fn the_fields_that_only_version_3_knows_have_their_types() {
        let text = r#""artifactType":"t","ArtifactType":null"#;
        assert_eq!(layer(text).unwrap().artifact_type, "t");
        assert_eq!(layer(r#""artifactType":5"#), None);
        for (kind, content) in [
            (
                ManifestKind::OciIndex,
                r#"{"manifests":[],"annotations":{"a":1}}"#,
            ),
            (
                ManifestKind::OciIndex,
                r#"{"manifests":[],"schemaVersion":2.0}"#,
            ),
            (
                ManifestKind::OciIndex,
                r#"{"manifests":[],"schemaVersion":9223372036854775808}"#,
            ),
            (
                ManifestKind::DockerList,
                r#"{"manifests":[{"platform":{"features":[1]}}]}"#,
            ),
        ] {
            let fault = references(kind, content.as_bytes()).unwrap_err();
            assert!(matches!(fault, Fault::Type(_)), "{content}: {fault:?}");
        }
    }

    #[test]
    fn broken_syntax_is_found_after_any_other_fault() {
        for before in [r#""config":5"#, r#""layers":{}"#, r#""mediaType":1"#] {
            let content = format!(r#"{{{before},"layers":[1,]}}"#);
            let fault = read(content.as_bytes(), Some(ManifestKind::OciManifest)).unwrap_err();
            assert!(matches!(fault, Fault::Syntax(_)), "{content}: {fault:?}");
        }
    }

    #[test]
    fn fields_that_are_not_posted_take_no_memory() {
        let text = "x".repeat(2 << 20);
        let content = format!(
            r#"{{"manifests":[{{"digest":"d","x":"{text}"}}],"annotations":{{"a":"{text}"}}}}"#
        );
        let references = references(ManifestKind::OciIndex, content.as_bytes()).unwrap();
        assert_eq!(references, [Descriptor::new("", "d", 0)]);
    }

    #[test]
    fn overwritten_values_count_towards_the_memory() {
        let text = "x".repeat(100_000);
        let field = format!(r#""mediaType":"{text}""#);
        assert!(layer(&[&*field; 9].join(",")).is_some());
        assert_eq!(layer(&[&*field; 11].join(",")), None);
    }

    #[derive(Debug, Deserialize)]
    struct Image {
        config: Descriptor,
        layers: Option<Vec<Descriptor>>,
    }

    fn strings() -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec(any::<String>(), 0..3)
    }

    fn platform() -> impl Strategy<Value = Platform> {
        (any::<[String; 4]>(), strings()).prop_map(|(strings, os_features)| {
            let [architecture, os, os_version, variant] = strings;
            Platform {
                architecture,
                os,
                os_version,
                os_features,
                variant,
            }
        })
    }

    /// Descriptors without oddities.
    fn descriptor() -> impl Strategy<Value = Descriptor> {
        let any_string = any::<String>;
        let media_type = prop_oneof![any_string(), Just("a/b".into()), Just("c/<d>".into())];
        let digest = prop_oneof![any_string(), "[0-9a-f]{64}", "[ -~]{63}[é\"\\\\<]"];
        let size = prop_oneof![0..=i64::MAX as u64, 0..1_000_000_000_u64];
        let kept = (media_type, digest, any_string(), size);
        let annotations = prop::collection::btree_map(any::<String>(), any::<String>(), 0..3);
        let data = prop::collection::vec(any::<u8>(), 0..9);
        let platform = prop::option::of(platform().prop_map(Box::new));
        (kept, strings(), annotations, data, platform).prop_map(
            |((media_type, digest, artifact_type, size), urls, annotations, data, platform)| {
                Descriptor {
                    urls,
                    annotations,
                    data,
                    platform,
                    artifact_type,
                    ..Descriptor::new(media_type, format!("sha256:{digest}"), size)
                }
            },
        )
    }

    /// Writes a value with spaces and escapes that change nothing, wherever a choice is 0.
    fn respelled(value: &Value, choices: &mut impl Iterator<Item = u8>, out: &mut String) {
        let mut odd = |odd: &str, usual: &str| match choices.next() {
            Some(0) => odd.to_owned(),
            _ => usual.to_owned(),
        };
        out.push_str(&odd(" \n\t     ", ""));
        match value {
            Value::String(text) => {
                out.push('"');
                for character in text.chars() {
                    let usual = serde_json::to_string(&character).unwrap();
                    let units = character.encode_utf16(&mut [0; 2]).to_vec();
                    let escaped: String = units.iter().map(|it| format!("\\u{it:04X}")).collect();
                    out.push_str(&odd(&escaped, &usual[1..usual.len() - 1]));
                }
                out.push('"');
            }
            Value::Array(values) => {
                out.push('[');
                for (number, value) in values.iter().enumerate() {
                    out.push_str(if number > 0 { "," } else { "" });
                    respelled(value, choices, out);
                }
                out.push(']');
            }
            Value::Object(fields) => {
                out.push('{');
                for (number, (name, value)) in fields.iter().enumerate() {
                    out.push_str(if number > 0 { "," } else { "" });
                    respelled(&Value::from(&**name), choices, out);
                    out.push(':');
                    respelled(value, choices, out);
                }
                out.push('}');
            }
            other => out.push_str(&other.to_string()),
        }
        if choices.next() == Some(0) {
            out.push(' ');
        }
    }

    /// Pieces of manifests, whole and torn.
    fn odd() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(vec![
            r#"{"config":{"digest":"c"},"#,
            r#""layers":["#,
            r#""manifests":["#,
            r#"{"digest":"d","#,
            r#""platform":{"#,
            r#""annotations":{"#,
            r#""urls":["#,
            r#""os.features":["#,
            r#""data":"#,
            r#""a":"b""#,
            "null",
            "1",
            "\"b25l\"",
            ",",
            "]",
            "}",
            "{}",
            "[]",
            "\\",
            "\"",
        ]);
        let piece = prop_oneof![
            9 => piece.prop_map(|it| it.as_bytes().to_vec()),
            1 => prop::collection::vec(any::<u8>(), 1..3),
        ];
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn no_content_makes_it_panic(content in odd()) {
            for kind in [
                ManifestKind::OciManifest,
                ManifestKind::DockerManifest,
                ManifestKind::OciIndex,
                ManifestKind::DockerList,
            ] {
                let _ = references(kind, &content);
            }
        }

        #[test]
        fn ordinary_manifests_are_read_as_serde_reads_them(
            descriptors in prop::collection::vec(descriptor(), 1..5),
            pretty in any::<bool>(),
        ) {
            let (config, layers) = descriptors.split_first().unwrap();
            let manifest = serde_json::json!({
                "schemaVersion": 2,
                "mediaType": media_types::OCI_MANIFEST,
                "config": config,
                "layers": layers,
                "annotations": {"a": "b"},
                "subject": config,
            });
            let content = match pretty {
                true => serde_json::to_vec_pretty(&manifest).unwrap(),
                false => serde_json::to_vec(&manifest).unwrap(),
            };
            let image: Image = serde_json::from_slice(&content).unwrap();
            let mut wanted = vec![image.config];
            wanted.extend(image.layers.unwrap());
            prop_assert_eq!(&wanted, &descriptors);
            prop_assert_eq!(references(ManifestKind::OciManifest, &content), Ok(wanted));
        }

        /// Whatever is compared with its usual spelling first must be read the same in
        /// any other.
        #[test]
        fn a_manifest_is_read_the_same_however_it_is_spelled(
            descriptors in prop::collection::vec(descriptor(), 1..5),
            rarity in 2..100_u8,
            choices in prop::collection::vec(any::<u8>(), 100..2_000),
        ) {
            let (config, layers) = descriptors.split_first().unwrap();
            let manifest = serde_json::json!({"config": config, "layers": layers});
            let mut spelled = String::new();
            let mut choices = choices.iter().map(|it| it % rarity).cycle();
            respelled(&manifest, &mut choices, &mut spelled);
            let read = references(ManifestKind::OciManifest, spelled.as_bytes());
            prop_assert_eq!(read, Ok(descriptors), "{}", spelled);
        }
    }
}
