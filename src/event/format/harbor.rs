//! The format "Default" of Harbor, without the fields that only Harbor can fill. Some
//! receivers refuse unknown fields, so no others are added.

use std::time::SystemTime;

use super::json::{Json, key};
use super::wire::{Scope, Wire};
use crate::event::{Action, Kind, SharedEvent};

pub(super) const WIRE: Wire = Wire::single(
    "application/json",
    Scope::Some {
        carries,
        on_request: &[Action::Pull, Action::Delete],
    },
);

fn carries(event: &SharedEvent) -> bool {
    let (tag, digest) = (event.tag(), event.digest());
    let named = match (event.kind(), event.action()) {
        (Kind::Manifest, Action::Push) | (Kind::Tag, Action::Delete) => !tag.is_empty(),
        (Kind::Manifest, Action::Pull | Action::Delete) => !tag.is_empty() || !digest.is_empty(),
        _ => false,
    };
    named && !event.repository().is_empty() && !event.registry_host().is_empty()
}

pub(super) fn write(json: &mut Json<'_>, event: &SharedEvent) {
    let repository = event.repository();
    let (namespace, name) = repository.split_once('/').unwrap_or(("", repository));
    json.object(|json| {
        json.plain(key!("type"), &[type_of(event.action())]);
        let since = event.timestamp().duration_since(SystemTime::UNIX_EPOCH);
        json.number(key!("occur_at"), since.unwrap_or_default().as_secs());
        json.string(key!("operator"), event.actor());
        json.key(key!("event_data"));
        json.object(|json| {
            json.key(key!("resources"));
            json.array([event], |json, event| {
                json.object(|json| resource(json, event))
            });
            json.key(key!("repository"));
            json.object(|json| {
                json.string(key!("name"), name);
                json.string(key!("namespace"), namespace);
                json.string(key!("repo_full_name"), repository);
                json.plain(key!("repo_type"), &["private"]);
            });
        });
    });
}

fn type_of(action: Action) -> &'static str {
    match action {
        Action::Push | Action::Mount => "PUSH_ARTIFACT",
        Action::Pull => "PULL_ARTIFACT",
        Action::Delete => "DELETE_ARTIFACT",
    }
}

fn resource(json: &mut Json<'_>, event: &SharedEvent) {
    // As in Harbor, the digest takes the place of an absent tag.
    let digest = event.digest();
    let (separator, tag) = match event.tag() {
        "" => ("@", &*digest),
        tag => (":", tag),
    };
    json.non_empty(key!("digest"), &digest);
    json.string(key!("tag"), tag);
    let url = [
        event.registry_host(),
        "/",
        event.repository(),
        separator,
        tag,
    ];
    json.joined(key!("resource_url"), &url);
}
