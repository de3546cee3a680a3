//! Which events an endpoint wants: what the reference can ignore.

use super::error::ConfigError;
use super::item::{Fields, Item};
use crate::event::Action;
use crate::sink::Filter;

type Result<T> = std::result::Result<T, ConfigError>;

const ACTIONS: [(&str, Action); 4] = [
    ("push", Action::Push),
    ("pull", Action::Pull),
    ("mount", Action::Mount),
    ("delete", Action::Delete),
];

/// The keys `ignoredmediatypes` and `ignore`.
pub(super) fn filter(fields: &mut Fields) -> Result<Filter> {
    let media_types = fields.get("ignoredmediatypes", Item::texts)?;
    let mut filter = Filter::new().ignore_media_types(media_types.unwrap_or_default());
    if let Some(rules) = fields.get("ignore", Rules::read)? {
        filter = filter
            .ignore_media_types(rules.media_types)
            .ignore_actions(rules.actions);
    }
    Ok(filter)
}

/// What events are told apart by.
struct Rules {
    media_types: Vec<String>,
    actions: Vec<Action>,
}

impl Rules {
    fn read(item: &Item) -> Result<Self> {
        let mut fields = item.fields()?;
        let rules = Self {
            media_types: fields.get("mediatypes", Item::texts)?.unwrap_or_default(),
            actions: fields
                .get("actions", |it| words(it, &ACTIONS))?
                .unwrap_or_default(),
        };
        fields.finish()?;
        Ok(rules)
    }
}

fn words<T: Copy>(item: &Item, words: &[(&'static str, T)]) -> Result<Vec<T>> {
    item.list()?.iter().map(|it| it.word(words)).collect()
}
