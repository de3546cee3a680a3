//! Writes events in the formats of the wire. This is done by hand, so that formats
//! v2 and v1 are byte for byte what Go's `json.MarshalIndent` makes of the
//! reference's structs, or `json.Marshal` if they are compact.

mod azure;
mod cloud_events;
mod distribution;
pub(super) mod fragment;
mod harbor;
mod image_updater;
pub(super) mod json;
mod wire;

use bytes::Bytes;

pub(crate) use self::cloud_events::number_cloud_event;
pub(super) use self::distribution::write as write_distribution;
pub(crate) use self::image_updater::is_event_type;
use self::json::Json;
pub(super) use self::json::key;
use self::wire::{Frame, Scope, Wire};
use super::Action;
use super::encoding::{Encoding, Format};
use super::shared::{Encoded, SharedEvent};

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

    /// Whether the format can carry the event. `V2`, `V1` and `CloudEvents` carry every
    /// event; the docs of the others list what they carry. The others carry no event
    /// without a [registry host](SharedEvent::registry_host).
    pub fn carries(self, event: &SharedEvent) -> bool {
        match self.wire().scope {
            Scope::All => true,
            Scope::Some { carries, .. } => carries(event),
        }
    }

    /// Returns the actions that the format carries, if it does not carry all.
    pub(crate) fn actions(self) -> Option<impl Iterator<Item = Action>> {
        match self.wire().scope {
            Scope::All => None,
            Scope::Some { on_request, .. } => {
                Some([Action::Push].into_iter().chain(on_request.iter().copied()))
            }
        }
    }

    /// Whether an endpoint posts such events only if its filter names the action.
    pub(crate) fn is_on_request(self, action: Action) -> bool {
        match self.wire().scope {
            Scope::All => false,
            Scope::Some { on_request, .. } => on_request.contains(&action),
        }
    }

    /// Whether events are CloudEvents, which have attributes.
    pub(crate) fn is_cloud_events(self) -> bool {
        matches!(self, Self::CloudEvents | Self::ImageUpdater)
    }

    /// Whether a request may carry several events.
    pub(crate) fn takes_batches(self) -> bool {
        self.wire().batches
    }

    /// Returns the user agent that receivers of the format look for, if they do.
    pub(crate) fn user_agent(self) -> Option<&'static str> {
        self.wire().user_agent
    }

    fn wire(self) -> &'static Wire {
        match self {
            Self::V2 => &distribution::V2,
            Self::V1 => &distribution::V1,
            Self::CloudEvents => &cloud_events::WIRE,
            Self::Azure => &azure::WIRE,
            Self::Harbor => &harbor::WIRE,
            Self::ImageUpdater => &image_updater::WIRE,
        }
    }
}

/// Returns the `Content-Type` of a request with one event, or with several.
pub(crate) fn content_type(format: Format, batch: bool) -> &'static str {
    format.wire().content_types[usize::from(batch)]
}

impl Encoding {
    pub(super) fn frame(&self) -> &'static Frame {
        &self.format.wire().frames[usize::from(self.compact)]
    }

    /// Returns how many objects and arrays enclose an event.
    pub(super) fn depth(&self) -> usize {
        self.format.wire().depth
    }

    /// Returns the event in the body of a request with one event.
    pub(super) fn event_in<'a>(&self, body: &'a [u8]) -> &'a [u8] {
        let (before, after) = self.frame().alone;
        let end = body.len().saturating_sub(after.len());
        body.get(before.len()..end).unwrap_or_default()
    }
}

/// Makes the body of a request of events that are encoded already: in CloudEvents a
/// batch, in formats v2 and v1 an envelope. In the other formats, which have neither,
/// the events follow each other, each on a new line.
pub(crate) fn envelope<E: AsRef<[u8]>>(
    encoding: &Encoding,
    events: impl Iterator<Item = E> + Clone,
) -> Vec<u8> {
    let frame = encoding.frame();
    // Exactly what is needed: to let it grow copies everything twice.
    let around = frame.before.len() + frame.between.len();
    let lengths = events.clone().map(|event| event.as_ref().len() + around);
    let ends = frame.open.len() + frame.after.len() + frame.close.len();
    let mut out = Vec::with_capacity(lengths.sum::<usize>() + ends);
    out.extend_from_slice(frame.open.as_bytes());
    let start = out.len();
    for event in events {
        if out.len() > start {
            out.extend_from_slice(frame.between.as_bytes());
        }
        out.extend_from_slice(frame.before.as_bytes());
        out.extend_from_slice(event.as_ref());
    }
    if out.len() > start {
        out.extend_from_slice(frame.after.as_bytes());
    }
    out.extend_from_slice(frame.close.as_bytes());
    out
}

/// Encodes one event as it stands in an envelope, or without one as it stands alone.
pub(crate) fn encode(event: &SharedEvent, encoding: &Encoding) -> Vec<u8> {
    let mut json = start(event, encoding.depth(), encoding.compact);
    write(&mut json, event, encoding);
    json.into_bytes()
}

/// Encodes one event as the body of a request.
fn body(event: &SharedEvent, encoding: &Encoding) -> Vec<u8> {
    let (before, after) = encoding.frame().alone;
    let mut json = start(event, encoding.depth(), encoding.compact);
    json.raw(before);
    write(&mut json, event, encoding);
    json.raw(after);
    json.into_bytes()
}

impl SharedEvent {
    /// Encodes the event as the body of a request that carries nothing else:
    /// in formats v2 and v1 an envelope of one event, in CloudEvents an event
    /// in structured mode. [`Format::content_type`] returns its media type, and
    /// [`Format::carries`] whether the format can say what the event says.
    ///
    /// The bytes are shared by all callers that ask for the same format while one of them
    /// holds them. An event that only waits keeps no encoding.
    pub fn to_bytes(&self, format: Format) -> Bytes {
        self.encoded(&Encoding::of(format)).into_bytes()
    }

    /// Returns the event's encoding, shared with everybody who holds it now.
    pub(crate) fn encoded(&self, encoding: &Encoding) -> Encoded {
        self.shared_encoding(encoding, || body(self, encoding))
    }
}

fn write(json: &mut Json<'_>, event: &SharedEvent, encoding: &Encoding) {
    match encoding.format {
        Format::V2 | Format::V1 => distribution::write(json, event, encoding.format),
        Format::CloudEvents => cloud_events::write(json, event),
        Format::Azure => azure::write(json, event),
        Format::Harbor => harbor::write(json, event),
        Format::ImageUpdater => {
            image_updater::write(json, event, encoding.event_type.as_deref());
        }
    }
}

/// Starts a text with room for an event of which little needs escaping.
pub(super) fn start(event: &SharedEvent, depth: usize, compact: bool) -> Json<'_> {
    // Names, ids and spaces of an event with its envelope. What stands alone has attributes
    // of its own around it.
    let frame = if compact { 640 } else { 1_000 } + if depth == 0 { 400 } else { 0 };
    // References take about three times as much in JSON, other texts little more.
    let (text, references) = event.text();
    let capacity = frame + text.len() + text.len() / 8 + 13 * references / 4;
    Json::new(compact, depth, capacity, text)
}
