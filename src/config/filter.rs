//! The keys of an endpoint's filter: the reference's lists of what is ignored, and
//! the lists of this crate.

use super::fields::Fields;
use super::item::Item;
use crate::error::BuildError;
use crate::event::{Action, Kind};
use crate::sink::Filter;

type Result<T> = std::result::Result<T, BuildError>;

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

/// Reads the keys `ignoredmediatypes`, `ignore` and `include`.
pub(super) fn filter(fields: &mut Fields) -> Filter {
    let mut filter = Filter::new();
    let media_types = |filter: Filter, types: Vec<String>| filter.ignore_media_types(types);
    filter = fields.set(filter, "ignoredmediatypes", Item::texts, media_types);
    filter = fields.set(filter, "ignore", Rules::read, |filter, rules| {
        filter
            .ignore_media_types(rules.media_types)
            .ignore_actions(rules.actions)
            .exclude_repositories(rules.repositories)
            .exclude_tags(rules.tags)
            .exclude_kinds(rules.kinds)
    });
    fields.set(filter, "include", Rules::read, |filter, rules| {
        filter
            .include_media_types(rules.media_types)
            .include_actions(rules.actions)
            .include_repositories(rules.repositories)
            .include_tags(rules.tags)
            .include_kinds(rules.kinds)
    })
}

/// The lists below `ignore` or `include`.
struct Rules {
    media_types: Vec<String>,
    actions: Vec<Action>,
    repositories: Vec<String>,
    tags: Vec<String>,
    kinds: Vec<Kind>,
}

impl Rules {
    fn read(item: &Item) -> Result<Self> {
        let mut fields = Fields::of(item);
        let actions = |it: &Item| it.each(|it| it.word(&ACTIONS));
        let kinds = |it: &Item| it.each(|it| it.word(&KINDS));
        let globs = |it: &Item| it.each(glob);
        let rules = Self {
            media_types: fields.get("mediatypes", Item::texts).unwrap_or_default(),
            actions: fields.get("actions", actions).unwrap_or_default(),
            repositories: fields.get("repositories", globs).unwrap_or_default(),
            tags: fields.get("tags", globs).unwrap_or_default(),
            kinds: fields.get("kinds", kinds).unwrap_or_default(),
        };
        fields.finish(rules)
    }
}

fn glob(item: &Item) -> Result<String> {
    let glob = item.owned()?;
    match Filter::new().include_tags([&glob]).check("") {
        Ok(()) => Ok(glob),
        Err(_) => Err(item.wrong(
            "a glob",
            "write one like team/* or **/app, or put a \\ before [ and {",
        )),
    }
}
