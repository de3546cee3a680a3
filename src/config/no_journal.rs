//! The key `journal` in a build without the feature: an error that says so.

use super::item::Item;
use super::phase::Phase;
use crate::error::BuildError;
use crate::notifier::NotifierBuilder;

pub(super) fn set(
    _: NotifierBuilder,
    item: &Item,
    _: Phase,
) -> Result<NotifierBuilder, BuildError> {
    Err(item.error("needs the feature `journal` of this crate, without which it was built"))
}
