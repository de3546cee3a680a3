//! The formats on the wire. They are written by hand, so that formats v2 and v1
//! are byte for byte what Go's `json.MarshalIndent` makes of the reference's
//! structs, or `json.Marshal` if they are compact.

mod cloud_events;
mod distribution;
mod json;

use self::json::{Json, are_plain, key};
use super::{SharedEvent, stored, timestamp};

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
    /// empty. They have no `data` and no `artifactType`, and entries of an
    /// index have no platform.
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
    /// | `data` | the whole event as in format v2 |
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
    /// The number at the end changes when `data` changes incompatibly. As in
    /// Harbor's CloudEvents the types begin with no domain, because they mean
    /// the same whichever registry they come from.
    ///
    /// [Distributed Tracing]: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/extensions/distributed-tracing.md
    CloudEvents,
}

impl Format {
    /// Returns the `Content-Type` of a request with one event: in CloudEvents
    /// that of structured mode, in the other formats that of an envelope.
    ///
    /// There is never a `charset`: JSON is UTF-8 and its media types define no
    /// such parameter, and receivers of the reference's formats compare the
    /// header exactly.
    pub fn content_type(self) -> &'static str {
        content_type(self, false)
    }

    /// Returns the `Content-Type` of an [encoded](super::Envelope::encode)
    /// envelope: in CloudEvents that of a batch, in the other formats the same
    /// as [`content_type`](Self::content_type).
    pub fn batch_content_type(self) -> &'static str {
        content_type(self, true)
    }
}

/// Returns the `Content-Type` of what [`envelope`] makes.
pub(crate) fn content_type(format: Format, batch: bool) -> &'static str {
    match (format, batch) {
        (Format::V2, _) => "application/vnd.docker.distribution.events.v2+json",
        (Format::V1, _) => "application/vnd.docker.distribution.events.v1+json",
        (Format::CloudEvents, false) => "application/cloudevents+json",
        (Format::CloudEvents, true) => "application/cloudevents-batch+json",
    }
}

/// A format with or without white space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Encoding {
    pub(crate) format: Format,
    /// Without white space, which saves a third of the bytes.
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

    /// How many objects and arrays an event stands in: an envelope is an object
    /// with an array in it.
    fn depth(self) -> usize {
        match self.format {
            Format::CloudEvents => 0,
            Format::V2 | Format::V1 => 2,
        }
    }

    /// What stands before and after one event in the body of a request that is
    /// no batch.
    fn around_one(self) -> (&'static str, &'static str) {
        match (self.format, self.compact) {
            (Format::CloudEvents, _) => ("", ""),
            (Format::V2 | Format::V1, true) => ("{\"events\":[", "]}"),
            (Format::V2 | Format::V1, false) => ("{\n   \"events\": [\n      ", "\n   ]\n}"),
        }
    }

    /// The event in such a body.
    pub(super) fn event_in(self, body: &[u8]) -> &[u8] {
        let (before, after) = self.around_one();
        let end = body.len().saturating_sub(after.len());
        body.get(before.len()..end).unwrap_or_default()
    }
}

/// Makes the body of a request of events that are encoded already. Without
/// `batch` there must be one event, which in CloudEvents gets no frame; in the
/// other formats `batch` makes no difference.
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

/// Encodes one event as it stands in an envelope, or in CloudEvents as it
/// stands alone.
pub(crate) fn encode(event: &SharedEvent, encoding: Encoding) -> Vec<u8> {
    let mut json = start(event, encoding.depth(), encoding.compact);
    write(&mut json, event, encoding.format);
    json.into_bytes()
}

/// Encodes one event as the body of a request.
pub(super) fn body(event: &SharedEvent, encoding: Encoding) -> Vec<u8> {
    let (before, after) = encoding.around_one();
    let mut json = start(event, encoding.depth(), encoding.compact);
    json.raw(before);
    write(&mut json, event, encoding.format);
    json.raw(after);
    json.into_bytes()
}

/// Encodes an event as [`stored`](super::stored) describes.
pub(super) fn write_stored(event: &SharedEvent) -> Vec<u8> {
    let mut json = start(event, 0, true);
    json.object(|json| {
        json.number(key!("version"), stored::VERSION);
        json.bytes(key!("acceptedAt"), |out| {
            timestamp::write(out, event.accepted_at())
        });
        if let Some(kind) = event.known_kind() {
            json.string(key!("kind"), kind.as_str());
        }
        json.non_empty(key!("traceParent"), event.trace_parent());
        json.key(key!("event"));
        distribution::write(json, event, Format::V2);
    });
    json.into_bytes()
}

fn write(json: &mut Json, event: &SharedEvent, format: Format) {
    match format {
        Format::CloudEvents => cloud_events::write(json, event),
        Format::V2 | Format::V1 => distribution::write(json, event, format),
    }
}

/// Starts a text with room for an event of which little needs escaping.
fn start(event: &SharedEvent, depth: usize, compact: bool) -> Json {
    let texts = event.texts();
    let length: usize = texts.iter().map(|text| text.len()).sum();
    let capacity = 1280 + 2 * length + 200 * event.entries();
    let mut json = Json::new(compact, depth, capacity);
    if are_plain(&texts) {
        json.assume_plain();
    }
    json
}
