//! The key `journal`: a file in which events survive the process.

use super::fields::Fields;
use super::item::Item;
use super::phase::Phase;
use crate::error::{BuildError, with_causes};
use crate::journal::{Journal, JournalOptions};
use crate::notifier::NotifierBuilder;

type Result<T> = std::result::Result<T, BuildError>;

/// Opens the journal that the value describes: a path, or a map of settings.
pub(super) fn set(builder: NotifierBuilder, item: &Item, phase: Phase) -> Result<NotifierBuilder> {
    let mut options = Journal::options();
    let path = match item.is_map() {
        true => {
            let mut fields = Fields::of(item);
            let path = fields.get("path", Item::owned);
            let (set, size) = (&mut fields, Item::size);
            options = set.set(options, "maxbytes", size, JournalOptions::max_bytes);
            options = set.set(options, "maxage", Item::span, JournalOptions::max_age);
            options = set.set(
                options,
                "retention",
                Item::duration,
                JournalOptions::retention,
            );
            let wait = JournalOptions::wait_for_pulls;
            options = set.set(options, "waitforpulls", Item::flag, wait);
            let oldest = JournalOptions::start_from_oldest;
            options = set.set(options, "startfromoldest", Item::flag, oldest);
            fields.finish(path)?
        }
        false => Some(item.owned()?),
    };
    if phase == Phase::Check {
        return Ok(builder);
    }
    let Some(path) = path.filter(|it| !it.is_empty()) else {
        return Err(item.error("has no path: write the file of the journal, such as path: /var/lib/registry/notifications"));
    };
    // The error names the path.
    let journal = options.open(&path);
    let journal = journal.map_err(|error| item.error(with_causes(&error)))?;
    Ok(builder.journal(journal))
}
