//! From the tree to the builders: every key of the section stands here once.

use std::collections::HashMap;

use http::{HeaderName, HeaderValue, Uri};

use super::error::ConfigError;
use super::item::{Item, shown_key};
use crate::endpoint::{Endpoint, EndpointBuilder};
use crate::event::{Action, Format, SourceRecord};
use crate::notifier::{Notifier, NotifierBuilder};
use crate::sink::Filter;

type Result<T> = std::result::Result<T, ConfigError>;

/// How much must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// What is there makes sense; more may come from the environment. No file
    /// is read.
    Check,
    /// All that is needed is there.
    Build,
}

const ACTIONS: [(&str, Action); 4] = [
    ("push", Action::Push),
    ("pull", Action::Pull),
    ("mount", Action::Mount),
    ("delete", Action::Delete),
];

/// The `notifications` section.
pub(super) fn notifier(section: Option<&Item>, phase: Phase) -> Result<NotifierBuilder> {
    let mut builder = Notifier::builder();
    let Some(section) = section else {
        return Ok(builder);
    };
    let mut fields = section.fields()?;
    if let Some(references) = fields.get("events", events)?.flatten() {
        builder = builder.include_references(references);
    }
    if let Some(addr) = fields.get("source", source)?.flatten() {
        builder = builder.source(SourceRecord::new(addr));
    }
    let endpoints = fields.get("endpoints", Item::list)?.unwrap_or_default();
    fields.finish()?;
    let mut names = HashMap::new();
    for (index, item) in endpoints.iter().enumerate() {
        builder = builder.endpoint(endpoint(item, index, &mut names, phase)?);
    }
    Ok(builder)
}

fn events(item: &Item) -> Result<Option<bool>> {
    let mut fields = item.fields()?;
    let references = fields.get("includereferences", Item::flag)?;
    fields.finish()?;
    Ok(references)
}

fn source(item: &Item) -> Result<Option<String>> {
    let mut fields = item.fields()?;
    let addr = fields.get("addr", text)?;
    fields.finish()?;
    Ok(addr)
}

fn text(item: &Item) -> Result<String> {
    item.text().map(Into::into)
}

fn endpoint(
    item: &Item,
    index: usize,
    names: &mut HashMap<String, usize>,
    phase: Phase,
) -> Result<EndpointBuilder> {
    let mut fields = item.fields()?;
    let name = fields.get("name", |item| {
        let name = text(item)?;
        if let Some(first) = names.insert(name.clone(), index).filter(|_| phase == Phase::Build) {
            let message = format!("{name:?} is the name of endpoints[{first}] too: give each its own");
            return Err(item.error(message));
        }
        Ok(name)
    })?;
    let url = fields.get("url", url)?;
    let needed = [("name", name.is_none()), ("url", url.is_none())];
    let missing = needed.iter().find(|(_, missing)| *missing);
    let mut builder = Endpoint::builder(name.unwrap_or_default(), url.unwrap_or_default());
    if let Some(disabled) = fields.get("disabled", Item::flag)? {
        builder = builder.disabled(disabled);
    }
    if let Some(timeout) = fields.get("timeout", Item::duration)?.filter(|it| !it.is_zero()) {
        builder = builder.timeout(timeout);
    }
    fields.finish()?;
    match missing {
        Some((key, _)) if phase == Phase::Build => Err(item.error(format!("has no {key}: give it one"))),
        _ => Ok(builder),
    }
}

fn url(item: &Item) -> Result<String> {
    let url = item.text()?;
    let parsed = url.parse::<Uri>().ok();
    let valid = parsed.is_some_and(|it| {
        matches!(it.scheme_str(), Some("http" | "https")) && it.host().is_some_and(|it| !it.is_empty())
    });
    if valid {
        return Ok(url.into());
    }
    Err(item.wrong("a URL", "write one like https://receiver.example.com/events"))
}
