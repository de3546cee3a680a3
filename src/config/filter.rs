//! Which events an endpoint wants: what the reference ignores, and more.

use super::error::ConfigError;
use super::item::{Fields, Item};
use crate::event::{Action, Kind};
use crate::sink::Filter;

type Result<T> = std::result::Result<T, ConfigError>;

const ACTIONS: [(&str, Action); 4] = [
    ("push", Action::Push),
    ("pull", Action::Pull),
    ("mount", Action::Mount),
    ("delete", Action::Delete),
];

const KINDS: [(&str, Kind); 4] = [
    ("manifest", Kind::Manifest),
    ("blob", Kind::Blob),
    ("tag", Kind::Tag),
    ("repository", Kind::Repository),
];

/// The keys `ignoredmediatypes`, `ignore` and `include`.
pub(super) fn filter(fields: &mut Fields) -> Result<Filter> {
    let media_types = fields.get("ignoredmediatypes", Item::texts)?;
    let mut filter = Filter::new().ignore_media_types(media_types.unwrap_or_default());
    if let Some(rules) = fields.get("ignore", Rules::read)? {
        filter = filter
            .ignore_media_types(rules.media_types)
            .ignore_actions(rules.actions)
            .exclude_repositories(rules.repositories)
            .exclude_tags(rules.tags)
            .exclude_kinds(rules.kinds);
    }
    if let Some(rules) = fields.get("include", Rules::read)? {
        filter = filter
            .include_media_types(rules.media_types)
            .include_actions(rules.actions)
            .include_repositories(rules.repositories)
            .include_tags(rules.tags)
            .include_kinds(rules.kinds);
    }
    Ok(filter)
}

/// What events are told apart by.
struct Rules {
    media_types: Vec<String>,
    actions: Vec<Action>,
    repositories: Vec<String>,
    tags: Vec<String>,
    kinds: Vec<Kind>,
}

impl Rules {
    fn read(item: &Item) -> Result<Self> {
        let mut fields = item.fields()?;
        let rules = Self {
            media_types: fields.get("mediatypes", Item::texts)?.unwrap_or_default(),
            actions: fields
                .get("actions", |it| words(it, &ACTIONS))?
                .unwrap_or_default(),
            repositories: fields.get("repositories", globs)?.unwrap_or_default(),
            tags: fields.get("tags", globs)?.unwrap_or_default(),
            kinds: fields
                .get("kinds", |it| words(it, &KINDS))?
                .unwrap_or_default(),
        };
        fields.finish()?;
        Ok(rules)
    }
}

fn words<T: Copy>(item: &Item, words: &[(&'static str, T)]) -> Result<Vec<T>> {
    item.list()?.iter().map(|it| it.word(words)).collect()
}

fn globs(item: &Item) -> Result<Vec<String>> {
    let glob = |item: &Item| {
        let glob = item.owned()?;
        match Filter::new().include_tags([&glob]).check("") {
            Ok(()) => Ok(glob),
            Err(_) => Err(item.wrong(
                "a glob",
                "write one like team/* or **/app, or put a \\ before [ and {",
            )),
        }
    };
    item.list()?.iter().map(glob).collect()
}
