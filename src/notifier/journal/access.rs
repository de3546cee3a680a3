//! The journal of a notifier, for its users: [`Notifier::journal`].

use crate::journal::Journal;
use crate::notifier::Notifier;

impl Notifier {
    /// Returns the journal that keeps the events of the endpoints, if there is one. Its
    /// dead letters can be listed, sent again and purged while the notifier runs.
    pub fn journal(&self) -> Option<&Journal> {
        self.0.journal.as_ref().map(|it| &it.journal)
    }
}
