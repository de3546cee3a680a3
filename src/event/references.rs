//! What a manifest refers to, read as distribution reads it.
//!
//! Distribution decodes manifests into Go structs. A key that is repeated is
//! decoded onto the value that an earlier one left, so that the rules of Go's
//! structs, slices, maps and pointers decide what a registry serves. They are
//! followed here to the letter:
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

use super::go_json::{Fault, Scanner, field};
use super::{Descriptor, Platform, media_types};

/// How many layers or manifests one manifest may list.
pub(super) const COUNT_LIMIT: usize = 10_000;

/// Memory in bytes that the references of one manifest may take.
pub(super) const MEMORY_LIMIT: usize = 1 << 20;

/// Go pads its base64 and does not mind what is left in the last character.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

const MANIFEST: &[&str] = &[
    "schemaVersion",
    "mediaType",
    "config",
    "layers",
    "manifests",
    "annotations",
];
const DESCRIPTOR: &[&str] = &[
    "mediaType",
    "digest",
    "size",
    "platform",
    "annotations",
    "urls",
    "data",
    "artifactType",
];
const PLATFORM: &[&str] = &[
    "architecture",
    "os",
    "variant",
    "os.version",
    "os.features",
    "features",
];

/// What a manifest refers to: a descriptor that borrows from the manifest.
#[derive(Debug, Default)]
pub(crate) struct Reference<'a> {
    /// Media type of the content.
    pub(crate) media_type: Cow<'a, str>,
    /// Digest of the content.
    pub(crate) digest: Cow<'a, str>,
    size: i64,
    details: Option<Box<Details<'a>>>,
}

impl Reference<'_> {
    /// Size of the content in bytes. A negative one is not a size, so that it
    /// counts as 0: not known.
    pub(crate) fn size(&self) -> u64 {
        self.size.try_into().unwrap_or_default()
    }
}

/// Fields that few references have.
#[derive(Debug, Default)]
struct Details<'a> {
    urls: Slice<Cow<'a, str>>,
    annotations: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    data: Slice<u8>,
    platform: Option<GoPlatform<'a>>,
    artifact_type: Cow<'a, str>,
}

#[derive(Debug, Default)]
struct GoPlatform<'a> {
    architecture: Cow<'a, str>,
    os: Cow<'a, str>,
    os_version: Cow<'a, str>,
    os_features: Slice<Cow<'a, str>>,
    variant: Cow<'a, str>,
}

impl From<Reference<'_>> for Descriptor {
    fn from(reference: Reference<'_>) -> Self {
        let size = reference.size();
        let media_type = media_types::interned(reference.media_type);
        let descriptor = Self::new(media_type, reference.digest, size);
        let Some(details) = reference.details else {
            return descriptor;
        };
        let annotations = details.annotations.into_iter();
        Self {
            urls: details.urls.into_strings(),
            annotations: annotations
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            data: details.data.into_vec(),
            platform: details.platform.map(|it| Box::new(it.into())),
            artifact_type: details.artifact_type.into(),
            ..descriptor
        }
    }
}

impl From<GoPlatform<'_>> for Platform {
    fn from(platform: GoPlatform<'_>) -> Self {
        Self {
            architecture: platform.architecture.into(),
            os: platform.os.into(),
            os_version: platform.os_version.into(),
            os_features: platform.os_features.into_strings(),
            variant: platform.variant.into(),
        }
    }
}

/// A slice as in Go: the elements beyond its length are hidden, not gone.
#[derive(Debug)]
struct Slice<T> {
    items: Vec<T>,
    length: usize,
}

impl<T> Default for Slice<T> {
    fn default() -> Self {
        Self::from(Vec::new())
    }
}

impl<T> From<Vec<T>> for Slice<T> {
    fn from(items: Vec<T>) -> Self {
        let length = items.len();
        Self { items, length }
    }
}

impl<T> Slice<T> {
    fn into_vec(mut self) -> Vec<T> {
        self.items.truncate(self.length);
        self.items
    }
}

impl Slice<Cow<'_, str>> {
    fn into_strings(self) -> Vec<String> {
        self.into_vec().into_iter().map(String::from).collect()
    }
}

/// The kinds of manifests whose references are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ManifestKind {
    OciManifest,
    DockerManifest,
    OciIndex,
    DockerList,
}

impl ManifestKind {
    pub(super) fn of(media_type: &str) -> Option<Self> {
        match media_type {
            media_types::OCI_MANIFEST => Some(Self::OciManifest),
            media_types::DOCKER_MANIFEST => Some(Self::DockerManifest),
            media_types::OCI_INDEX => Some(Self::OciIndex),
            media_types::DOCKER_LIST => Some(Self::DockerList),
            _ => None,
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::OciManifest => media_types::OCI_MANIFEST,
            Self::DockerManifest => media_types::DOCKER_MANIFEST,
            Self::OciIndex => media_types::OCI_INDEX,
            Self::DockerList => media_types::DOCKER_LIST,
        }
    }

    fn is_oci(self) -> bool {
        matches!(self, Self::OciManifest | Self::OciIndex)
    }

    fn is_index(self) -> bool {
        matches!(self, Self::OciIndex | Self::DockerList)
    }
}

/// A manifest that is JSON, if nothing else.
#[derive(Debug)]
pub(super) struct Body<'a> {
    /// The media type that it names, as it stands there. Empty if it names
    /// none.
    pub(super) media_type: Cow<'a, str>,
    /// What it refers to as a manifest of the kind that was asked for. Empty if
    /// none was.
    pub(super) references: Result<Vec<Reference<'a>>, Fault>,
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
    /// What is left of [`MEMORY_LIMIT`]. What is overwritten later counts too.
    memory: usize,
    kind: Option<ManifestKind>,
    media_type: Cow<'a, str>,
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
        while let Some(key) = self.json.key(&mut first)? {
            let start = self.json;
            let name = field(&key, MANIFEST);
            let outcome = match fault {
                Some(_) if name != "mediaType" => self.json.skip(),
                _ => self.field(name),
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

    fn field(&mut self, name: &str) -> Outcome {
        if name == "mediaType" {
            return set_string(&mut self.json, &mut self.media_type);
        }
        let Some(kind) = self.kind else {
            return self.json.skip();
        };
        match name {
            "schemaVersion" => set_integer(&mut self.json, &mut 0),
            // Docker's have none.
            "annotations" if kind.is_oci() => self.map(&mut BTreeMap::new()),
            "config" if !kind.is_index() => {
                let mut config = std::mem::take(&mut self.config);
                let outcome = self.reference(&mut config);
                self.config = config;
                outcome
            }
            "layers" if !kind.is_index() => self.list(),
            "manifests" if kind.is_index() => self.list(),
            "config" | "layers" | "manifests" => {
                self.foreign[usize::from(name == "layers")] = !self.json.null()?;
                match self.foreign[usize::from(name == "layers")] {
                    true => self.json.skip(),
                    false => Ok(()),
                }
            }
            _ => self.json.skip(),
        }
    }

    fn list(&mut self) -> Outcome {
        let mut list = std::mem::take(&mut self.list);
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
        while let Some(key) = self.json.key(&mut first)? {
            match field(&key, DESCRIPTOR) {
                "mediaType" => self.string(&mut reference.media_type)?,
                "digest" => self.string(&mut reference.digest)?,
                "size" => set_integer(&mut self.json, &mut reference.size)?,
                "" => self.json.skip()?,
                name => self.detail(name, &mut reference.details)?,
            }
        }
        Ok(())
    }

    fn detail(&mut self, name: &str, details: &mut Option<Box<Details<'a>>>) -> Outcome {
        if details.is_none() {
            self.spend(size_of::<Details<'_>>())?;
        }
        let details = details.get_or_insert_default();
        match name {
            "platform" => self.platform(&mut details.platform),
            "annotations" => self.map(&mut details.annotations),
            "urls" => self.slice(&mut details.urls, usize::MAX, Self::string),
            "data" => self.data(&mut details.data),
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
        while let Some(key) = self.json.key(&mut first)? {
            match field(&key, PLATFORM) {
                "architecture" => self.string(&mut platform.architecture)?,
                "os" => self.string(&mut platform.os)?,
                "os.version" => self.string(&mut platform.os_version)?,
                "os.features" => {
                    self.slice(&mut platform.os_features, usize::MAX, Self::string)?;
                }
                "variant" => self.string(&mut platform.variant)?,
                // It has a type there, but is not posted.
                "features" if in_list => {
                    self.slice(&mut Slice::default(), usize::MAX, Self::string)?;
                }
                _ => self.json.skip()?,
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
        while let Some(key) = self.json.key(&mut first)? {
            // Unlike elsewhere, `null` does not leave what was there.
            let mut value = Cow::Borrowed("");
            self.string(&mut value)?;
            self.spend(2 * size_of::<Cow<'_, str>>() + key.len())?;
            map.insert(key, value);
        }
        Ok(())
    }

    fn string(&mut self, string: &mut Cow<'a, str>) -> Outcome {
        set_string(&mut self.json, string)?;
        self.spend(string.len())
    }

    fn spend(&mut self, bytes: usize) -> Outcome {
        self.memory = self.memory.checked_sub(bytes).ok_or(Fault::Bounds)?;
        Ok(())
    }

    fn finish(mut self, fault: Option<Fault>) -> Body<'a> {
        let references = match (fault, self.kind) {
            (Some(fault), _) => Err(fault),
            (None, None) => Ok(Vec::new()),
            (None, Some(kind)) => self.references(kind),
        };
        Body {
            media_type: self.media_type,
            references,
        }
    }

    fn references(&mut self, kind: ManifestKind) -> Result<Vec<Reference<'a>>, Fault> {
        let names_other = !self.media_type.is_empty()
            && media_types::essence(&self.media_type) != kind.media_type();
        // Distribution refuses these of OCI's kinds alone.
        let has_other_fields = kind.is_oci() && self.foreign.contains(&true);
        if names_other || has_other_fields {
            return Err(Fault::Conflict);
        }
        let mut list = std::mem::take(&mut self.list).into_vec();
        match kind {
            ManifestKind::OciIndex => {}
            ManifestKind::DockerList => {
                for reference in &mut list {
                    let details = reference.details.get_or_insert_default();
                    details.platform.get_or_insert_default();
                }
            }
            // Distribution refuses an image whose configuration has no digest.
            _ if self.config.digest.is_empty() => return Err(self.json.mismatch()),
            _ => list.insert(0, std::mem::take(&mut self.config)),
        }
        Ok(list)
    }
}

fn set_string<'a>(json: &mut Scanner<'a>, string: &mut Cow<'a, str>) -> Outcome {
    if !json.null()? {
        *string = json.string()?;
    }
    Ok(())
}

fn set_integer<T: FromStr>(json: &mut Scanner<'_>, integer: &mut T) -> Outcome {
    if !json.null()? {
        *integer = json.integer()?;
    }
    Ok(())
}
