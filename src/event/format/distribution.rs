//! Formats v2 and v1: what distribution posts.

use super::fragment::{Fragment, fragment};
use super::json::{Digits, Json, Place, key};
use super::wire::{Frame, Scope, Wire};
use crate::event::shared::{PaddedWord, Part, UrlParts};
use crate::event::{
    DescriptorRef, Digest, Format, Id, References, SharedEvent, media_types, timestamp,
};

pub(super) const V2: Wire = Wire {
    content_types: ["application/vnd.docker.distribution.events.v2+json"; 2],
    user_agent: None,
    batches: true,
    frames: [INDENTED, COMPACT],
    // An envelope is an object with an array in it.
    depth: 2,
    scope: Scope::All,
};

pub(super) const V1: Wire = Wire {
    content_types: ["application/vnd.docker.distribution.events.v1+json"; 2],
    ..V2
};

const INDENTED: Frame = Frame {
    open: "{\n   \"events\": [",
    before: "\n      ",
    between: ",",
    after: "\n   ",
    close: "]\n}",
    alone: ("{\n   \"events\": [\n      ", "\n   ]\n}"),
};

const COMPACT: Frame = Frame {
    open: "{\"events\":[",
    before: "",
    between: ",",
    after: "",
    close: "]}",
    alone: ("{\"events\":[", "]}"),
};

pub(in crate::event) fn write(json: &mut Json<'_>, event: &SharedEvent, format: Format) {
    json.object(|json| fields(json, event, format));
}

/// Writes the fields of an event.
pub(super) fn fields(json: &mut Json<'_>, event: &SharedEvent, format: Format) {
    id(json, key!("id"), &event.id());
    json.bytes(key!("timestamp"), |out| {
        timestamp::write_since_1970(out, event.since_1970());
    });
    json.plain(key!("action"), &[event.action().as_str()]);
    target(json, event, format);
    id(
        json,
        fragment!(r#"","request":{"id":""#),
        &event.request_id(),
    );
    json.non_empty(key!("addr"), event.request_addr());
    json.non_empty(key!("host"), event.request_host());
    json.put(key!("method"));
    match event.known_method() {
        Some(known) => json.raw(known),
        None => json.value(event.request_method()),
    }
    json.string(key!("useragent"), event.user_agent());
    match event.actor() {
        "" => {
            json.put(fragment!(r#""},"actor":{"#));
            json.end_object();
            json.put(fragment!(r#"","source":{"#));
        }
        name => {
            json.string(fragment!(r#""},"actor":{"name":""#), name);
            json.put(fragment!(r#""},"source":{"#));
        }
    }
    let source = event.source();
    json.non_empty(key!("addr"), &source.addr);
    json.non_empty(key!("instanceID"), &source.instance_id);
    json.end_object();
}

/// Writes an id behind what begins its field. A UUID has no characters that need
/// escaping.
pub(super) fn id(json: &mut Json<'_>, key: &'static Fragment, id: &Id<'_>) {
    json.put(key);
    match id.as_ascii() {
        Some(uuid) => json.fixed(uuid),
        None => json.value(id),
    }
}

fn target(json: &mut Json<'_>, event: &SharedEvent, format: Format) {
    let (parts, references) = event.parts();
    let content = event.descriptor_with(parts);
    let digest = content.digest();
    let size = Digits::of(content.size());
    if format != Format::V1 {
        json.put(fragment!(r#"","target":{"mediaType":""#));
        write_media_type(json, &content);
        json.put(key!("digest"));
        json.digest(&digest);
        json.key(key!("size"));
        json.digits(&size);
    } else {
        json.put(fragment!(r#"","target":{"#));
        v1(json, &content, &digest, &size);
    }
    rare_fields(json, &content, format, true);
    match parts.number(Part::Length).unwrap_or(content.size()) {
        0 => {}
        length if length == content.size() => {
            json.key(key!("length"));
            json.digits(&size);
        }
        length => json.number(key!("length"), length),
    }
    json.non_empty(key!("repository"), event.repository());
    if let Some(from) = parts.first(Part::FromRepository) {
        json.non_empty(key!("fromRepository"), from);
    }
    match event.url_parts() {
        UrlParts::None => {}
        UrlParts::Verbatim(url) => json.non_empty(key!("url"), url),
        UrlParts::Of { base, host, kind } => {
            json.string(key!("url"), base);
            json.value(host);
            json.fixed(b"/v2/");
            json.value(event.repository());
            json.raw(kind);
            json.digest(&digest);
        }
    }
    json.non_empty(key!("tag"), event.tag());
    if !references.is_empty() {
        // distribution 2.8 loses the platform of an index entry, not that of a layer.
        let v1_platform = !media_types::is_index(content.media_type());
        json.put(fragment!(r#"","references":["#));
        match format {
            Format::V1 => references_v1(json, references, v1_platform),
            _ => references_v2(json, references),
        }
        json.end_array();
    }
    json.end_object();
}

fn references_v2(json: &mut Json<'_>, references: References<'_>) {
    // A known media type, and where what is before a digest with it is.
    let mut latest: Option<(&PaddedWord, [Place; 2])> = None;
    for (number, reference) in references.enumerate() {
        let media_type = reference.known_media_type();
        // Most layers have the media type of the one before.
        let is_repeated = match (media_type, latest) {
            (Some(it), Some((known, places))) if std::ptr::eq(it, known) => json.repeat(places),
            _ => false,
        };
        if !is_repeated {
            let start = json.place();
            // Ends the one before too.
            json.put(match number {
                0 => fragment!(r#"",{"mediaType":""#),
                _ => fragment!(r#""},{"mediaType":""#),
            });
            write_media_type(json, &reference);
            json.put(key!("digest"));
            latest = media_type
                .filter(|_| number > 0)
                .map(|it| (it, [start, json.place()]));
        }
        let (digest, is_plain) = reference.reference_digest();
        json.reference_digest(digest, is_plain);
        json.number(key!("size"), reference.size());
        rare_fields(json, &reference, Format::V2, true);
    }
    json.end_object();
}

fn references_v1(json: &mut Json<'_>, references: References<'_>, with_platform: bool) {
    for reference in references {
        json.put(fragment!(r#"",{"#));
        let size = Digits::of(reference.size());
        v1(json, &reference, &reference.digest(), &size);
        rare_fields(json, &reference, Format::V1, with_platform);
        json.end_object();
    }
}

#[inline(always)]
fn write_media_type(json: &mut Json<'_>, descriptor: &DescriptorRef<'_>) {
    match descriptor.known_media_type() {
        Some(known) => json.word(known),
        None => json.value(descriptor.media_type()),
    }
}

/// Writes what nearly every descriptor has, in format v1.
fn v1(json: &mut Json<'_>, descriptor: &DescriptorRef<'_>, digest: &Digest<'_>, size: &Digits) {
    if !descriptor.media_type().is_empty() {
        json.put(key!("mediaType"));
        write_media_type(json, descriptor);
    }
    if descriptor.size() > 0 {
        json.key(key!("size"));
        json.digits(size);
    }
    if !digest.is_empty() {
        json.put(key!("digest"));
        json.digest(digest);
    }
}

/// Writes the fields that few descriptors have.
#[inline(always)]
fn rare_fields(
    json: &mut Json<'_>,
    descriptor: &DescriptorRef<'_>,
    format: Format,
    v1_platform: bool,
) {
    if let Some(rare) = descriptor.rare_fields() {
        write_rare(json, &rare, format, v1_platform);
    }
}

fn write_rare(
    json: &mut Json<'_>,
    descriptor: &DescriptorRef<'_>,
    format: Format,
    v1_platform: bool,
) {
    let v2 = format != Format::V1;
    let parts = descriptor.parts;
    json.strings(key!("urls"), descriptor.urls());
    let mut annotations = descriptor.annotations().peekable();
    if annotations.peek().is_some() {
        json.key(key!("annotations"));
        json.object(|json| annotations.for_each(|(name, value)| json.entry(name, value)));
    }
    if v2 {
        // In base64 already, as it stands on the wire.
        json.non_empty(key!("data"), parts.first(Part::Data).unwrap_or_default());
    }
    if let Some(architecture) = parts.first(Part::Architecture)
        && (v2 || v1_platform)
    {
        let text = |part| parts.first(part).unwrap_or_default();
        json.key(key!("platform"));
        json.object(|json| {
            json.string(key!("architecture"), architecture);
            json.string(key!("os"), text(Part::Os));
            json.non_empty(key!("os.version"), text(Part::OsVersion));
            json.strings(key!("os.features"), parts.of(Part::OsFeature));
            json.non_empty(key!("variant"), text(Part::Variant));
        });
    }
    if v2 {
        json.non_empty(key!("artifactType"), descriptor.artifact_type());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{
        Action, Descriptor, Envelope, Event, Platform, RequestRecord, SourceRecord,
    };

    #[test]
    fn serde_writes_v2_without_white_space() {
        let mut event = Event::new(Action::Push);
        event.target.descriptor = Descriptor::new("a/b", "sha256:00", 7);
        event.target.descriptor.urls = vec!["http://x".into()];
        event.target.descriptor.annotations = [("k".into(), "v".into())].into();
        event.target.descriptor.data = b"data".into();
        event.target.descriptor.artifact_type = "t/t".into();
        event.target.descriptor.platform = Some(Box::new(Platform {
            architecture: "arm64".into(),
            os: "linux".into(),
            os_version: "1".into(),
            os_features: vec!["f".into()],
            variant: "v8".into(),
        }));
        event.target.length = 7;
        event.target.repository = "a/b".into();
        event.target.from_repository = "c".into();
        event.target.url = "http://r/v2".into();
        event.target.tag = "t".into();
        event.target.references = vec![Descriptor::new("c/d", "sha256:11", 0)];
        let mut request = RequestRecord::new("r", "PUT");
        request.addr = "1.2.3.4:5".into();
        request.host = "h".into();
        event.request = request;
        event.actor.name = "me".into();
        event.source = SourceRecord::new("n:1");
        let envelope = Envelope::new([event]);
        let pretty = envelope.encode(Format::V2);
        let mut compact = String::from_utf8(pretty.clone()).unwrap();
        compact.retain(|c| c != ' ' && c != '\n');
        assert_eq!(serde_json::to_string(&envelope).unwrap(), compact);
        assert_eq!(
            serde_json::from_slice::<Envelope>(&pretty).unwrap(),
            envelope
        );
    }

    /// What is before the digest of a reference is copied from the one before if both have
    /// the same media type, which is only right if the one before ends the same way.
    #[test]
    fn references_are_written_the_same_whatever_is_before_them() {
        let layer = "application/vnd.oci.image.layer.v1.tar+gzip";
        let mut kinds = [layer, "a/b", "a/\"<b>", ""].map(|it| Descriptor::new(it, "sha256:0<", 1));
        kinds[0].digest = format!("sha256:{:064x}", 5);
        let mut all = kinds.to_vec();
        for kind in &kinds {
            let mut urls = kind.clone();
            urls.urls = vec!["http://<x>".into()];
            let mut artifact = kind.clone();
            artifact.artifact_type = "t/t".into();
            all.extend([urls, artifact]);
        }
        for first in &all {
            for (second, third) in all.iter().zip(all.iter().cycle().skip(3)) {
                let mut event = Event::new(Action::Push);
                let references = [first, second, second, third, second];
                event.target.references = references.map(Clone::clone).to_vec();
                let pretty = Envelope::new([event.clone()]).encode(Format::V2);
                let read: Envelope = serde_json::from_slice(&pretty).unwrap();
                assert_eq!(read.events[0].target.references, event.target.references);
                // Line by line, because indentation and separators are what may differ.
                let pretty = String::from_utf8(pretty).unwrap();
                let indented = serde_json::from_str::<serde_json::Value>(&pretty).unwrap();
                let lines = serde_json::to_string_pretty(&indented)
                    .unwrap()
                    .lines()
                    .count();
                assert_eq!(pretty.lines().count(), lines);
                assert!(pretty.lines().all(|line| {
                    let spaces = line.len() - line.trim_start().len();
                    spaces % 3 == 0 && !line.trim_start().is_empty()
                }));
            }
        }
    }

    #[test]
    fn an_envelope_without_events_is_go_s_empty_slice() {
        assert_eq!(
            Envelope::default().encode(Format::V2),
            b"{\n   \"events\": []\n}"
        );
    }
}
