//! A manifest: an image or an index, of OCI's kinds or Docker's.

use std::borrow::Cow;

use super::descriptor::Descriptors;
use super::values::{Decoded, Values};
use crate::event::ReferenceList;
use crate::event::go_json::{Fault, fields};
use crate::event::media_types::{self, ManifestKind};
use crate::event::reference::{Reference, Slice};

/// How many layers or manifests one manifest may list.
pub(in crate::event) const COUNT_LIMIT: usize = 10_000;

/// A length in JSON, in bytes, that few references are shorter than. It serves to reserve
/// memory.
const SHORT_REFERENCE: usize = 160;

fields! { Field:
    SchemaVersion = "schemaVersion"
    MediaType = "mediaType"
    Config = "config"
    Layers = "layers"
    Manifests = "manifests"
    Annotations = "annotations"
}

/// A manifest that is valid JSON. Its references may still be unreadable.
#[derive(Debug)]
pub(in crate::event) struct Body<'a> {
    /// The media type that the manifest names, unchanged. Empty if it names none.
    pub(in crate::event) media_type: Cow<'a, str>,
    /// The references of the manifest, read as the kind that was asked for. Empty if no
    /// kind was asked for.
    pub(in crate::event) references: Result<ReferenceList, Fault>,
}

/// Reads the media type that a manifest names, and its references if it is to
/// be read as one of this `kind`.
///
/// # Errors
///
/// When the content is not JSON.
pub(in crate::event) fn read(
    content: &[u8],
    kind: Option<ManifestKind>,
) -> Result<Body<'_>, Fault> {
    let mut decoder = Decoder {
        values: Values::new(content),
        kind,
        media_type: Cow::Borrowed(""),
        descriptors: Descriptors {
            in_docker_list: kind == Some(ManifestKind::DockerList),
            latest_media_type: "",
        },
        config: Reference::default(),
        list: Slice::default(),
        foreign: [false; 2],
    };
    let fault = decoder.manifest()?;
    decoder.values.json.end()?;
    Ok(decoder.finish(fault))
}

/// Decodes a manifest into what Go's struct for it would hold.
struct Decoder<'a> {
    values: Values<'a>,
    kind: Option<ManifestKind>,
    media_type: Cow<'a, str>,
    descriptors: Descriptors<'a>,
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
        if let Err(fault) = self.values.json.open(b'{') {
            self.values.json.skip()?;
            return Ok(Some(fault));
        }
        let mut fault = None;
        let mut first = true;
        while let Some(field) = Field::read(&mut self.values.json, &mut first)? {
            let start = self.values.json;
            let outcome = match fault {
                Some(_) if field != Field::MediaType => self.values.json.skip(),
                _ => self.field(field),
            };
            match outcome {
                Ok(()) => {}
                Err(syntax @ Fault::Syntax(_)) => return Err(syntax),
                Err(found) => {
                    fault.get_or_insert(found);
                    self.values.json = start;
                    self.values.json.skip()?;
                }
            }
        }
        Ok(fault)
    }

    fn field(&mut self, field: Field) -> Decoded {
        if field == Field::MediaType {
            return self.values.uncounted_string(&mut self.media_type);
        }
        let Some(kind) = self.kind else {
            return self.values.json.skip();
        };
        match field {
            Field::SchemaVersion => self.values.integer(&mut 0_i64),
            // Docker's structs have no such field.
            Field::Annotations if kind.is_oci() => self.values.unused_map(),
            Field::Config if !kind.is_index() => {
                self.descriptors.decode(&mut self.values, &mut self.config)
            }
            Field::Layers if !kind.is_index() => self.list(),
            Field::Manifests if kind.is_index() => self.list(),
            Field::Config | Field::Layers | Field::Manifests => {
                let is_null = self.values.json.null()?;
                self.foreign[usize::from(field == Field::Layers)] = !is_null;
                match is_null {
                    true => Ok(()),
                    false => self.values.json.skip(),
                }
            }
            Field::Annotations | Field::MediaType | Field::Unknown => self.values.json.skip(),
        }
    }

    fn list(&mut self) -> Decoded {
        let list = &mut self.list;
        if list.items.capacity() == 0 {
            // Room for all references of most manifests.
            let references = self.values.json.rest() / SHORT_REFERENCE + 1;
            list.items.reserve(references.min(64));
        }
        self.values.slice(list, COUNT_LIMIT, |values, reference| {
            self.descriptors.decode(values, reference)
        })
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
            _ if self.config.digest.is_empty() => return Err(self.values.json.mismatch()),
            _ => Some(&self.config),
        };
        Ok(ReferenceList::of(config.into_iter().chain(&list)))
    }
}
