//! Events as [CloudEvents 1.0] in their [JSON format].
//!
//! [CloudEvents 1.0]: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
//! [JSON format]: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md

use std::borrow::Cow;
use std::net::Ipv6Addr;
use std::num::NonZeroU64;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::distribution;
use super::json::{Json, key};
use super::wire::{Frame, Scope, Wire};
use crate::event::{Action, Format, SharedEvent, SourceRecord, timestamp};

/// Everything but the unreserved characters of a URI (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

pub(super) const WIRE: Wire = Wire {
    content_types: [
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
    ],
    user_agent: None,
    batches: true,
    frames: [frame("\n", "\n"), frame("", "")],
    depth: 0,
    scope: Scope::All,
};

const fn frame(before: &'static str, after: &'static str) -> Frame {
    Frame {
        open: "[",
        before,
        between: ",",
        after,
        close: "]",
        alone: ("", ""),
    }
}

pub(super) fn write(json: &mut Json<'_>, event: &SharedEvent) {
    let type_and_source = |json: &mut Json<'_>| {
        let (kind, done) = (event.kind().as_str(), done(event.action()));
        json.plain(key!("type"), &["registry.", kind, ".", done, ".v1"]);
        source(json, event.source());
    };
    self::event(json, event, type_and_source, |json| {
        distribution::write(json, event, Format::V2);
    });
}

/// Writes an event. One closure writes its type and source, the other its data.
pub(super) fn event(
    json: &mut Json<'_>,
    event: &SharedEvent,
    type_and_source: impl FnOnce(&mut Json<'_>),
    data: impl FnOnce(&mut Json<'_>),
) {
    json.object(|json| {
        json.plain(key!("specversion"), &["1.0"]);
        json.string(key!("id"), &event.id());
        type_and_source(json);
        subject(json, event);
        json.bytes(key!("time"), |out| timestamp::write(out, event.timestamp()));
        json.non_empty(key!("traceparent"), event.trace_parent());
        json.plain(key!("datacontenttype"), &["application/json"]);
        json.key(key!("data"));
        data(json);
    });
}

/// Returns an encoded event with the attributes `sequence` ([Sequence]) and
/// `partitionkey` ([Partitioning]) before its others. Receivers compare the sequence as
/// text, so it is padded to the length of the largest number. The partition must not
/// need escaping.
///
/// [Sequence]: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/extensions/sequence.md
/// [Partitioning]: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/extensions/partitioning.md
pub(crate) fn number_cloud_event(event: &[u8], number: NonZeroU64, partition: &str) -> Vec<u8> {
    let rest = event.strip_prefix(b"{").unwrap_or(event);
    let (gap, space) = match rest.starts_with(b"\n") {
        true => ("\n   ", " "),
        false => ("", ""),
    };
    let sequence = format!("{{{gap}\"sequence\":{space}\"{number:020}\",");
    let partition = format!("{gap}\"partitionkey\":{space}\"{partition}\",");
    [sequence.as_bytes(), partition.as_bytes(), rest].concat()
}

/// Returns the participle of the action, which is part of the type.
fn done(action: Action) -> &'static str {
    match action {
        Action::Push => "pushed",
        Action::Pull => "pulled",
        Action::Mount => "mounted",
        Action::Delete => "deleted",
    }
}

/// Writes a URI reference that is never empty and always valid, whatever texts
/// the source has.
fn source(json: &mut Json<'_>, source: &SourceRecord) {
    let SourceRecord {
        addr, instance_id, ..
    } = source;
    if addr.is_empty() {
        // Without an address and an instance, the source is the root of every registry's
        // API, because an empty URI reference is not valid.
        let start = if instance_id.is_empty() {
            "/v2/"
        } else {
            "urn:uuid:"
        };
        return json.plain(key!("source"), &[start, &*encoded(instance_id)]);
    }
    let (host, colon, port) = host_and_port(addr);
    json.plain(key!("source"), &["//", &*host, colon, port]);
}

/// Splits an address into host, colon and port, each of which is valid in a URI.
pub(super) fn host_and_port(addr: &str) -> (Cow<'_, str>, &'static str, &str) {
    let port = addr.rsplit_once(':').filter(|(_, port)| is_port(port));
    let (host, colon, port) = port.map_or((addr, "", ""), |(host, port)| (host, ":", port));
    let address = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let host = match address {
        Some(address) if address.parse::<Ipv6Addr>().is_ok() => host.into(),
        _ => encoded(host),
    };
    (host, colon, port)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

fn encoded(text: &str) -> Cow<'_, str> {
    utf8_percent_encode(text, RESERVED).into()
}

fn subject(json: &mut Json<'_>, event: &SharedEvent) {
    let repository = event.repository();
    let digest = event.digest();
    let (separator, reference) = match (event.tag(), &*digest) {
        ("", "") => ("", ""),
        ("", digest) => ("@", digest),
        (tag, _) => (":", tag),
    };
    if !repository.is_empty() {
        json.joined(key!("subject"), &[repository, separator, reference]);
    }
}
