//! A descriptor in a manifest: its configuration, a layer, or a manifest of an index.

use std::borrow::Cow;

use super::values::{Decoded, Values};
use crate::event::go_json::fields;
use crate::event::reference::{Details, GoPlatform, Reference};

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

/// Decodes the descriptors of one manifest, one after the other.
pub(super) struct Descriptors<'a> {
    /// Whether they are those of Docker's manifest list, in which the platform is a
    /// struct. It is a pointer elsewhere.
    pub(super) in_docker_list: bool,
    /// The media type of the latest descriptor, if it has no escapes.
    pub(super) latest_media_type: &'a str,
}

impl<'a> Descriptors<'a> {
    pub(super) fn decode(
        &mut self,
        values: &mut Values<'a>,
        reference: &mut Reference<'a>,
    ) -> Decoded {
        if values.json.null()? {
            return Ok(());
        }
        values.json.open(b'{')?;
        let mut first = true;
        while let Some(field) = DescriptorField::read(&mut values.json, &mut first)? {
            match field {
                DescriptorField::MediaType => self.media_type(values, &mut reference.media_type)?,
                DescriptorField::Digest => digest(values, reference)?,
                DescriptorField::Size => values.integer(&mut reference.size)?,
                DescriptorField::Unknown => values.json.skip()?,
                detail => self.detail(values, detail, &mut reference.details)?,
            }
        }
        Ok(())
    }

    /// Decodes a media type. Most layers of a manifest have the same.
    fn media_type(&mut self, values: &mut Values<'a>, media_type: &mut Cow<'a, str>) -> Decoded {
        if !values.json.null()? {
            *media_type = values.json.string_like(self.latest_media_type)?;
            if let Cow::Borrowed(latest) = media_type {
                self.latest_media_type = latest;
            }
        }
        values.spend(media_type.len())
    }

    fn detail(
        &self,
        values: &mut Values<'a>,
        field: DescriptorField,
        details: &mut Option<Box<Details<'a>>>,
    ) -> Decoded {
        if details.is_none() {
            values.spend(size_of::<Details<'_>>())?;
        }
        let details = details.get_or_insert_default();
        match field {
            DescriptorField::Platform => self.platform(values, &mut details.platform),
            DescriptorField::Annotations => values.map(&mut details.annotations),
            DescriptorField::Urls => values.slice(&mut details.urls, usize::MAX, Values::string),
            DescriptorField::Data => values.bytes(&mut details.data),
            _ => values.string(&mut details.artifact_type),
        }
    }

    fn platform(&self, values: &mut Values<'a>, platform: &mut Option<GoPlatform<'a>>) -> Decoded {
        if values.json.null()? {
            if !self.in_docker_list {
                *platform = None;
            }
            return Ok(());
        }
        let platform = platform.get_or_insert_default();
        values.json.open(b'{')?;
        let mut first = true;
        while let Some(field) = PlatformField::read(&mut values.json, &mut first)? {
            match field {
                PlatformField::Architecture => values.string(&mut platform.architecture)?,
                PlatformField::Os => values.string(&mut platform.os)?,
                PlatformField::OsVersion => values.string(&mut platform.os_version)?,
                PlatformField::OsFeatures => {
                    values.slice(&mut platform.os_features, usize::MAX, Values::string)?;
                }
                PlatformField::Variant => values.string(&mut platform.variant)?,
                PlatformField::Features if self.in_docker_list => values.unused_strings()?,
                PlatformField::Features | PlatformField::Unknown => values.json.skip()?,
            }
        }
        Ok(())
    }
}

fn digest<'a>(values: &mut Values<'a>, reference: &mut Reference<'a>) -> Decoded {
    if !values.json.null()? {
        (reference.digest, reference.is_plain) = values.json.digest()?;
    }
    values.spend(reference.digest.len())
}
