//! The formats on the wire, written by hand: byte for byte what Go's
//! `json.MarshalIndent` makes of the reference's structs.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Descriptor, Event, Platform, timestamp};

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
}

impl Format {
    /// The `Content-Type` of an envelope in this format.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::V2 => "application/vnd.docker.distribution.events.v2+json",
            Self::V1 => "application/vnd.docker.distribution.events.v1+json",
        }
    }
}

/// An envelope around events that are encoded already.
pub(crate) fn envelope<T: AsRef<[u8]>>(events: impl IntoIterator<Item = T>) -> Vec<u8> {
    let mut out = Vec::with_capacity(2048);
    out.extend_from_slice(b"{\n   \"events\": [");
    let start = out.len();
    for event in events {
        let separator: &[u8] = if out.len() == start { b"" } else { b"," };
        out.extend_from_slice(separator);
        out.extend_from_slice(b"\n      ");
        out.extend_from_slice(event.as_ref());
    }
    if out.len() > start {
        out.extend_from_slice(b"\n   ");
    }
    out.extend_from_slice(b"]\n}");
    out
}

/// One event, indented as it stands in an envelope.
pub(crate) fn event(event: &Event, format: Format) -> Vec<u8> {
    let mut json = Json::new(1024 + 256 * event.target.references.len());
    json.object(|json| {
        json.string("id", &event.id);
        json.key("timestamp");
        json.out.push(b'"');
        timestamp::write(&mut json.out, event.timestamp);
        json.out.push(b'"');
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
    });
    json.out
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
    let v2 = format == Format::V2;
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
                json.string(name, value);
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

/// A JSON text in the making, indented by three spaces.
struct Json {
    out: Vec<u8>,
    depth: usize,
    /// Nothing stands yet in the innermost object or array.
    empty: bool,
}

/// Depth of an event in its envelope.
const EVENT_DEPTH: usize = 2;

impl Json {
    fn new(capacity: usize) -> Self {
        Self {
            out: Vec::with_capacity(capacity),
            depth: EVENT_DEPTH,
            empty: true,
        }
    }

    fn object(&mut self, fields: impl FnOnce(&mut Self)) {
        self.nest(b'{', b'}', fields);
    }

    fn array<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.nest(b'[', b']', |json| {
            for item in items {
                json.next();
                write(json, item);
            }
        });
    }

    fn nest(&mut self, open: u8, close: u8, content: impl FnOnce(&mut Self)) {
        self.out.push(open);
        self.depth += 1;
        self.empty = true;
        content(self);
        self.depth -= 1;
        if !self.empty {
            self.line();
        }
        self.empty = false;
        self.out.push(close);
    }

    /// Makes room for the next field or item.
    fn next(&mut self) {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        self.line();
    }

    fn line(&mut self) {
        const INDENT: &[u8] = b"\n                                          ";
        let end = (1 + 3 * self.depth).min(INDENT.len());
        self.out.extend_from_slice(&INDENT[..end]);
    }

    fn key(&mut self, name: &str) {
        self.next();
        escape(&mut self.out, name);
        self.out.extend_from_slice(b": ");
    }

    fn string(&mut self, name: &str, value: &str) {
        self.key(name);
        escape(&mut self.out, value);
    }

    fn non_empty(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.string(name, value);
        }
    }

    fn strings(&mut self, name: &str, values: &[String]) {
        if !values.is_empty() {
            self.key(name);
            self.array(values, |json, value| escape(&mut json.out, value));
        }
    }

    fn number(&mut self, name: &str, value: u64) {
        self.key(name);
        let mut text = Text(&mut self.out);
        let _infallible = write!(text, "{value}");
    }
}

struct Text<'a>(&'a mut Vec<u8>);

impl std::fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Appends `text` as a JSON string, escaped as Go's `encoding/json` does: `<`,
/// `>`, `&`, U+2028 and U+2029 are written `\u…`, so that the text can stand in
/// HTML and JavaScript.
fn escape(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    out.push(b'"');
    let mut written = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if !NEEDS_LOOK[usize::from(byte)] {
            continue;
        }
        let short: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0x08 => b"\\b",
            0x0c => b"\\f",
            0xe2 => match bytes.get(at + 1..at + 3) {
                Some([0x80, 0xa8]) => b"\\u2028",
                Some([0x80, 0xa9]) => b"\\u2029",
                _ => continue,
            },
            _ => b"",
        };
        out.extend_from_slice(&bytes[written..at]);
        if short.is_empty() {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
        } else {
            out.extend_from_slice(short);
        }
        written = at + if byte == 0xe2 { 3 } else { 1 };
    }
    out.extend_from_slice(&bytes[written..]);
    out.push(b'"');
}

/// Bytes that are escaped, or (0xE2) may begin a character that is.
const NEEDS_LOOK: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table[b'<' as usize] = true;
    table[b'>' as usize] = true;
    table[b'&' as usize] = true;
    table[0xe2] = true;
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Action, Envelope};

    #[test]
    fn strings_are_escaped_as_go_does() {
        let mut out = Vec::new();
        escape(
            &mut out,
            "a<b>&\"\\\u{8}\u{c}\n\r\t\u{0}\u{1f}\u{7f}\u{2028}\u{2029}\u{2027}é😀",
        );
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\"a\\u003cb\\u003e\\u0026\\\"\\\\\\b\\f\\n\\r\\t\\u0000\\u001f\u{7f}\\u2028\\u2029\u{2027}é😀\""
        );
    }

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
