//! CloudEvents for tools that update images, such as Argo CD Image Updater. They read
//! the type, and four fields of the data that name the image.

use super::json::{Json, key};
use super::wire::{Scope, Wire};
use super::{cloud_events, distribution};
use crate::event::shared::UrlParts;
use crate::event::{Action, Format, Kind, SharedEvent};

pub(super) const WIRE: Wire = Wire::single(
    "application/cloudevents+json",
    Scope::Some {
        carries,
        on_request: &[],
    },
);

/// The type of events, if the endpoint sets no other.
const TYPE: &str = "registry.image.pushed.v1";

fn carries(event: &SharedEvent) -> bool {
    (event.kind(), event.action()) == (Kind::Manifest, Action::Push)
        && !event.tag().is_empty()
        && !event.repository().is_empty()
        && !event.registry_host().is_empty()
}

pub(super) fn write(json: &mut Json<'_>, event: &SharedEvent, event_type: Option<&str>) {
    let type_and_source = |json: &mut Json<'_>| {
        // A type needs no escaping: see `is_event_type`.
        json.plain(key!("type"), &[event_type.unwrap_or(TYPE)]);
        source(json, event);
    };
    cloud_events::event(json, event, type_and_source, |json| {
        json.object(|json| {
            distribution::fields(json, event, Format::V2);
            json.string(key!("registryUrl"), event.registry_host());
            json.string(key!("repository"), event.repository());
            json.string(key!("tag"), event.tag());
            json.string(key!("digest"), &event.digest());
        });
    });
}

/// Writes the URL of the registry. Its host is the requested or configured one, as in
/// the names of images. Characters that no host has are percent-encoded.
fn source(json: &mut Json<'_>, event: &SharedEvent) {
    let scheme = match event.url_parts() {
        UrlParts::Verbatim(url) | UrlParts::Of { base: url, .. } if url.starts_with("http://") => {
            "http://"
        }
        _ => "https://",
    };
    let (host, colon, port) = cloud_events::host_and_port(event.registry_host());
    json.plain(key!("source"), &[scheme, &*host, colon, port]);
}

/// Whether a text can be the type of events. Receivers look for `image` or `container`
/// in it.
pub(crate) fn is_event_type(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:/+".contains(&byte);
    text.bytes().all(plain)
        && ["image", "container"]
            .iter()
            .any(|word| text.contains(word))
}
