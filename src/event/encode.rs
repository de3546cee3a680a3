//! The formats on the wire, written by hand: v2 and v1 are byte for byte what
//! Go's `json.MarshalIndent`, or if compact `json.Marshal`, makes of the
//! reference's structs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::json::Json;
use super::{Descriptor, Event, Platform, cloud_event, timestamp};

/// How events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// What distribution v3 posts:
    /// `application/vnd.docker.distribution.events.v2+json`.
    #[default]
    V2,
    /// What distribution up to 2.8 posts, for receivers that compare the
    /// content type: `application/vnd.docker.distribution.events.v1+json`.
    ///
    /// Descriptors begin with `mediaType size digest` and leave out what is
    /// empty; `data`, `artifactType` and the platform of an index entry are
    /// not known to it.
    V1,
    /// [CloudEvents 1.0](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md)
    /// in JSON: an event alone in structured mode, several as a batch.
    ///
    /// | attribute | value |
    /// | --- | --- |
    /// | `specversion` | `1.0` |
    /// | `id` | the event's id |
    /// | `type` | `registry.<kind>.<done>.v1`, see below |
    /// | `source` | `//<host>:<port>` of the event's source; if it has no address, `urn:uuid:<instance id>`; without that too, `/v2/` |
    /// | `subject` | `<repository>:<tag>`; without a tag `<repository>@<digest>`; without either `<repository>` |
    /// | `time` | the event's timestamp |
    /// | `traceparent` | the trace of the request, if it has one ([Distributed Tracing]) |
    /// | `datacontenttype` | `application/json` |
    /// | `data` | the whole event as in format v2, so that what reads those can read this |
    ///
    /// The types are named after what the bridge is told:
    ///
    /// - `registry.manifest.pushed.v1`, `registry.manifest.pulled.v1`,
    ///   `registry.manifest.deleted.v1`
    /// - `registry.blob.pushed.v1`, `registry.blob.pulled.v1`,
    ///   `registry.blob.mounted.v1`, `registry.blob.deleted.v1`
    /// - `registry.tag.deleted.v1`
    /// - `registry.repository.deleted.v1`
    ///
    /// The number at their end changes when `data` does so that a receiver must
    /// know. As in Harbor's CloudEvents no domain stands before them: they mean
    /// the same whichever registry they come from.
    ///
    /// [Distributed Tracing]: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/extensions/distributed-tracing.md
    CloudEvents,
}

impl Format {
    /// The `Content-Type` of a request with one event: in CloudEvents that of
    /// structured mode, in the other formats that of an envelope.
    ///
    /// None has a `charset`: JSON is UTF-8 and its media types define no such
    /// parameter, and receivers of the reference's formats compare exactly.
    pub fn content_type(self) -> &'static str {
        content_type(self, false)
    }

    /// The `Content-Type` of an [encoded](super::Envelope::encode) envelope: in
    /// CloudEvents that of a batch, in the other formats no other one than
    /// [`content_type`](Self::content_type).
    pub fn batch_content_type(self) -> &'static str {
        content_type(self, true)
    }
}

/// The `Content-Type` of what [`envelope`] makes.
pub(crate) fn content_type(format: Format, batch: bool) -> &'static str {
    match (format, batch) {
        (Format::V2, _) => "application/vnd.docker.distribution.events.v2+json",
        (Format::V1, _) => "application/vnd.docker.distribution.events.v1+json",
        (Format::CloudEvents, false) => "application/cloudevents+json",
        (Format::CloudEvents, true) => "application/cloudevents-batch+json",
    }
}

/// A format, with or without white space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Encoding {
    pub(crate) format: Format,
    /// Nothing but what the receiver's parser needs: a third fewer bytes.
    pub(crate) compact: bool,
}

/// What stands around events and between them.
struct Frame {
    open: &'static str,
    before: &'static str,
    after: &'static str,
    close: &'static str,
}

impl Encoding {
    fn frame(self) -> Frame {
        let (open, before, after, close) = match (self.format, self.compact) {
            (Format::CloudEvents, true) => ("[", "", "", "]"),
            (Format::CloudEvents, false) => ("[", "\n", "\n", "]"),
            (Format::V2 | Format::V1, true) => ("{\"events\":[", "", "", "]}"),
            (Format::V2 | Format::V1, false) => {
                ("{\n   \"events\": [", "\n      ", "\n   ", "]\n}")
            }
        };
        Frame {
            open,
            before,
            after,
            close,
        }
    }
}

/// The body of a request, of events that are encoded already. Without `batch`,
/// CloudEvents has no frame and there must be one event; in the other formats
/// it makes no difference.
pub(crate) fn envelope(
    encoding: Encoding,
    batch: bool,
    events: impl IntoIterator<Item: AsRef<[u8]>>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(2048);
    let mut events = events.into_iter();
    if encoding.format == Format::CloudEvents && !batch {
        if let Some(event) = events.next() {
            out.extend_from_slice(event.as_ref());
        }
        debug_assert!(events.next().is_none(), "one event without a batch");
        return out;
    }
    let frame = encoding.frame();
    out.extend_from_slice(frame.open.as_bytes());
    let start = out.len();
    for event in events {
        let separator: &[u8] = if out.len() == start { b"" } else { b"," };
        out.extend_from_slice(separator);
        out.extend_from_slice(frame.before.as_bytes());
        out.extend_from_slice(event.as_ref());
    }
    if out.len() > start {
        out.extend_from_slice(frame.after.as_bytes());
    }
    out.extend_from_slice(frame.close.as_bytes());
    out
}

/// One event as it stands in an envelope, or in CloudEvents as it stands alone.
pub(crate) fn event(event: &Event, encoding: Encoding) -> Vec<u8> {
    let Encoding { format, compact } = encoding;
    let capacity = 1536 + 256 * event.target.references.len();
    // An envelope is an object with an array in it.
    let depth = if format == Format::CloudEvents { 0 } else { 2 };
    let mut json = Json::new(compact, depth, capacity);
    match format {
        Format::CloudEvents => cloud_event::write(&mut json, event, |json| {
            json.object(|json| fields(json, event, Format::V2));
        }),
        Format::V2 | Format::V1 => json.object(|json| fields(json, event, format)),
    }
    json.into_bytes()
}

fn fields(json: &mut Json, event: &Event, format: Format) {
    json.string("id", &event.id);
    json.text("timestamp", |out| timestamp::write(out, event.timestamp));
    json.string("action", event.action.as_str());
    json.key("target");
    json.object(|json| target(json, event, format));
    json.key("request");
    json.object(|json| {
        let request = &event.request;
        json.string("id", &request.id);
        json.non_empty("addr", &request.addr);
        json.non_empty("host", &request.host);
        json.string("method", &request.method);
        json.string("useragent", &request.user_agent);
    });
    json.key("actor");
    json.object(|json| json.non_empty("name", &event.actor.name));
    json.key("source");
    json.object(|json| {
        json.non_empty("addr", &event.source.addr);
        json.non_empty("instanceID", &event.source.instance_id);
    });
}

fn target(json: &mut Json, event: &Event, format: Format) {
    let target = &event.target;
    descriptor(json, &target.descriptor, format, true);
    if target.length > 0 {
        json.number("length", target.length);
    }
    json.non_empty("repository", &target.repository);
    json.non_empty("fromRepository", &target.from_repository);
    json.non_empty("url", &target.url);
    json.non_empty("tag", &target.tag);
    if !target.references.is_empty() {
        json.key("references");
        // distribution 2.8 loses the platform of an index entry, not that of a layer.
        let platform = !super::media_types::is_index(&target.descriptor.media_type);
        json.array(&target.references, |json, reference| {
            json.object(|json| descriptor(json, reference, format, platform));
        });
    }
}

fn descriptor(json: &mut Json, descriptor: &Descriptor, format: Format, v1_platform: bool) {
    let v2 = format != Format::V1;
    if v2 {
        json.string("mediaType", &descriptor.media_type);
        json.string("digest", &descriptor.digest);
        json.number("size", descriptor.size);
    } else {
        json.non_empty("mediaType", &descriptor.media_type);
        if descriptor.size > 0 {
            json.number("size", descriptor.size);
        }
        json.non_empty("digest", &descriptor.digest);
    }
    json.strings("urls", &descriptor.urls);
    if !descriptor.annotations.is_empty() {
        json.key("annotations");
        json.object(|json| {
            for (name, value) in &descriptor.annotations {
                json.entry(name, value);
            }
        });
    }
    if v2 && !descriptor.data.is_empty() {
        json.string("data", &STANDARD.encode(&descriptor.data));
    }
    if let Some(found) = &descriptor.platform
        && (v2 || v1_platform)
    {
        json.key("platform");
        json.object(|json| platform(json, found));
    }
    if v2 {
        json.non_empty("artifactType", &descriptor.artifact_type);
    }
}

fn platform(json: &mut Json, platform: &Platform) {
    json.string("architecture", &platform.architecture);
    json.string("os", &platform.os);
    json.non_empty("os.version", &platform.os_version);
    json.strings("os.features", &platform.os_features);
    json.non_empty("variant", &platform.variant);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Action, Envelope};

    #[test]
    fn what_serde_writes_is_v2_without_white_space() {
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
        let mut request = crate::event::RequestRecord::new("r", "PUT");
        request.addr = "1.2.3.4:5".into();
        request.host = "h".into();
        event.request = request.into();
        event.actor.name = "me".into();
        event.source = std::sync::Arc::new(crate::event::SourceRecord::new("n:1"));
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

    #[test]
    fn an_envelope_without_events_is_go_s_empty_slice() {
        assert_eq!(
            Envelope::default().encode(Format::V2),
            b"{\n   \"events\": []\n}"
        );
    }
}
