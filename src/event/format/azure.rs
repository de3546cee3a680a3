//! The format of Azure's registry: an event without an envelope, and without the fields
//! that only distribution has. See its [webhook reference].
//!
//! [webhook reference]: https://learn.microsoft.com/azure/container-registry/container-registry-webhook-reference

use super::distribution;
use super::json::{Json, key};
use super::wire::{Scope, Wire};
use crate::event::{Action, Kind, SharedEvent, timestamp};

pub(super) const WIRE: Wire = Wire {
    user_agent: Some("AzureContainerRegistry/1.0"),
    ..Wire::single(
        "application/json",
        Scope::Some {
            carries,
            on_request: &[Action::Delete],
        },
    )
};

fn carries(event: &SharedEvent) -> bool {
    let named = match (event.kind(), event.action()) {
        (Kind::Manifest, Action::Push) => !event.tag().is_empty(),
        (Kind::Manifest, Action::Delete) => !event.digest().is_empty(),
        _ => false,
    };
    named && !event.repository().is_empty() && !event.registry_host().is_empty()
}

pub(super) fn write(json: &mut Json<'_>, event: &SharedEvent) {
    json.object(|json| {
        distribution::id(json, key!("id"), &event.id());
        json.bytes(key!("timestamp"), |out| {
            timestamp::write(out, event.timestamp());
        });
        json.string(key!("action"), event.action().as_str());
        json.key(key!("target"));
        json.object(|json| {
            json.non_empty(key!("mediaType"), event.media_type());
            json.not_zero(key!("size"), event.size());
            json.non_empty(key!("digest"), &event.digest());
            json.not_zero(key!("length"), event.length());
            json.string(key!("repository"), event.repository());
            json.non_empty(key!("tag"), event.tag());
        });
        json.key(key!("request"));
        json.object(|json| {
            distribution::id(json, key!("id"), &event.request_id());
            json.string(key!("host"), event.registry_host());
            json.string(key!("method"), event.request_method());
            json.string(key!("useragent"), event.user_agent());
        });
    });
}
