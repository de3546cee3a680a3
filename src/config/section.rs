//! The `notifications` section: from the tree to the builder of a notifier.

use std::collections::HashMap;
use std::time::Duration;

use super::author::Author;
use super::fields::Fields;
use super::item::Item;
use super::phase::Phase;
use super::{endpoint, gitlab, journal};
use crate::error::{BuildError, Mistakes};
use crate::event::SourceRecord;
use crate::host::is_valid_in_url;
use crate::notifier::{Notifier, NotifierBuilder};
use crate::redact::shown_name;

type Result<T> = std::result::Result<T, BuildError>;

/// Returns the notifier that the section describes.
pub(super) fn notifier(section: &Item, phase: Phase) -> Result<NotifierBuilder> {
    let mut fields = Fields::of(section);
    let mut builder = Notifier::builder();
    let references = |it: &Item| only("includereferences", it, Item::flag);
    if let Some(references) = fields.get("events", references).flatten() {
        builder = builder.include_references(references);
    }
    if let Some((addr, public_host)) = fields.get("source", source) {
        if let Some(addr) = addr {
            builder = builder.source(SourceRecord::new(addr));
        }
        if let Some(host) = public_host {
            builder = builder.public_host(host);
        }
    }
    if let Some(item) = fields.take("journal") {
        let with_journal = journal::set(builder.clone(), &item, phase);
        builder = fields.note(with_journal).unwrap_or(builder);
    }
    let endpoints = fields.get("endpoints", Item::list).unwrap_or_default();
    let fanout = fields.take("fanouttimeout");
    if let Some(fanout) = &fanout {
        fields.note(fanout.duration());
    }
    let author = match gitlab::wrote(fanout.as_ref(), &endpoints) {
        true => Author::GitLab,
        false => Author::Distribution,
    };
    if phase == Phase::Build {
        fields.note(check_names(&endpoints));
    }
    for item in &endpoints {
        if let Some(endpoint) = fields.note(endpoint::endpoint(item, author, phase)) {
            builder = builder.endpoint(endpoint);
        }
    }
    fields.finish(builder)
}

/// Reads the address of the source, and its public host.
fn source(item: &Item) -> Result<(Option<String>, Option<String>)> {
    let mut fields = Fields::of(item);
    let addr = |it: &Item| match it.text()? {
        text if shown_name(text) == text => it.owned(),
        // Receivers would see the password.
        _ => Err(it.wrong("an address", "write one like registry.example.com:5000")),
    };
    let addr = fields.get("addr", addr).filter(|addr| !addr.is_empty());
    let host = |it: &Item| match is_valid_in_url(it.text()?) {
        true => it.owned(),
        false => Err(it.wrong("a host", "write one like registry.example.com:5000")),
    };
    let public_host = fields.get("publichost", host);
    fields.finish((addr, public_host))
}

/// Returns how long the section's registry takes to shut down, if the section says
/// so.
pub(super) fn shutdown_deadline(section: &Item) -> Option<Duration> {
    let mut fields = Fields::of(section);
    let endpoints = fields.take("endpoints").and_then(|it| it.list().ok());
    let endpoints = endpoints.unwrap_or_default();
    let fanout = fields.take("fanouttimeout");
    let is_gitlab = gitlab::wrote(fanout.as_ref(), &endpoints);
    is_gitlab.then(|| gitlab::shutdown_deadline(fanout.as_ref(), &endpoints))
}

/// Reads the value of the one key that a map may have.
fn only<T>(
    key: &'static str,
    map: &Item,
    read: impl FnOnce(&Item) -> Result<T>,
) -> Result<Option<T>> {
    let mut fields = Fields::of(map);
    let value = fields.get(key, read);
    fields.finish(value)
}

/// Reports names that two endpoints have.
fn check_names(endpoints: &[Item]) -> Result<()> {
    let mut mistakes = Mistakes::default();
    let mut names = HashMap::new();
    for (index, item) in endpoints.iter().enumerate().filter(|(_, it)| it.is_map()) {
        let Some(item) = Fields::of(item).take("name") else {
            continue;
        };
        // A name that is not a text is reported where it is read.
        let Ok(name) = item.owned() else { continue };
        if let Some(first) = names.insert(name, index) {
            let remedy = format!("is the name of endpoints[{first}] too: give each its own");
            mistakes.add(item.wrong_with(&remedy));
        }
    }
    mistakes.or(())
}
