//! The `notifications` section: from the tree to the builder of a notifier.

use std::collections::HashMap;

use super::endpoint;
use super::error::ConfigError;
use super::item::Item;
use crate::event::SourceRecord;
use crate::notifier::{Notifier, NotifierBuilder};

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

/// The notifier that the section describes.
pub(super) fn notifier(section: &Item, phase: Phase) -> Result<NotifierBuilder> {
    let mut builder = Notifier::builder();
    let mut fields = section.fields()?;
    if let Some(Some(references)) =
        fields.get("events", |it| only("includereferences", it, Item::flag))?
    {
        builder = builder.include_references(references);
    }
    if let Some(Some(addr)) = fields.get("source", |it| only("addr", it, Item::owned))? {
        builder = builder.source(SourceRecord::new(addr));
    }
    let endpoints = fields.get("endpoints", Item::list)?.unwrap_or_default();
    fields.finish()?;
    if phase == Phase::Build {
        complete(&endpoints)?;
    }
    for item in endpoints {
        let endpoint = endpoint::builder(&item, phase)?;
        if phase == Phase::Build {
            // What only the settings together tell.
            endpoint
                .check()
                .map_err(|error| item.error(error.to_string()))?;
        }
        builder = builder.endpoint(endpoint);
    }
    Ok(builder)
}

/// The value of the one key that a map may have.
fn only<T>(
    key: &'static str,
    map: &Item,
    read: impl FnOnce(&Item) -> Result<T>,
) -> Result<Option<T>> {
    let mut fields = map.fields()?;
    let value = fields.get(key, read)?;
    fields.finish()?;
    Ok(value)
}

/// Each endpoint has a URL and a name of its own.
fn complete(endpoints: &[Item]) -> Result<()> {
    let mut names = HashMap::new();
    for (index, item) in endpoints.iter().enumerate() {
        let mut fields = item.fields()?;
        let missing = |key| item.error(format!("has no {key}: give it one"));
        let name = fields.take("name").ok_or_else(|| missing("name"))?;
        fields.take("url").ok_or_else(|| missing("url"))?;
        if let Some(first) = names.insert(name.owned()?, index) {
            let remedy = format!("is the name of endpoints[{first}] too: give each its own");
            return Err(name.wrong_with(&remedy));
        }
    }
    Ok(())
}
