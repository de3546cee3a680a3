//! Which dead letters an operation is about: [`LetterFilter`].

use std::time::SystemTime;

use crate::dead_letter::Reason;

/// Selects dead letters of a [`Journal`](super::Journal). By default it selects all.
#[derive(Clone, Debug, Default)]
pub struct LetterFilter {
    pub(super) id: Option<u64>,
    endpoint: Option<String>,
    reason: Option<Reason>,
    before: Option<SystemTime>,
    since: Option<SystemTime>,
}

impl LetterFilter {
    /// Creates a filter for all letters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Selects only the letter with this number.
    #[must_use]
    pub fn id(mut self, id: u64) -> Self {
        self.id = Some(id);
        self
    }

    /// Selects only letters of the endpoint with this name.
    #[must_use]
    pub fn endpoint(mut self, name: impl Into<String>) -> Self {
        self.endpoint = Some(name.into());
        self
    }

    /// Selects only letters with this reason.
    #[must_use]
    pub fn reason(mut self, reason: Reason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Selects only letters that were stored before this time.
    #[must_use]
    pub fn kept_before(mut self, time: SystemTime) -> Self {
        self.before = Some(time);
        self
    }

    /// Selects only letters that were stored at this time or later.
    #[must_use]
    pub fn kept_since(mut self, time: SystemTime) -> Self {
        self.since = Some(time);
        self
    }

    /// Whether the filter asks nothing that a damaged letter can no longer answer.
    pub(super) fn wants_damaged(&self) -> bool {
        let Self {
            id: _,
            endpoint,
            reason,
            before,
            since,
        } = self;
        endpoint.is_none() && reason.is_none() && before.is_none() && since.is_none()
    }

    pub(super) fn wants(&self, head: &LetterHead<'_>) -> bool {
        let is_before = |time| head.kept < time;
        self.endpoint.as_ref().is_none_or(|it| it == head.endpoint)
            && self.reason.is_none_or(|it| it.as_str() == head.reason)
            && self.before.is_none_or(is_before)
            && !self.since.is_some_and(is_before)
    }
}

/// The part of a letter that filters read. It stands before the letter, which then need not
/// be decompressed.
pub(super) struct LetterHead<'a> {
    pub(super) kept: SystemTime,
    pub(super) reason: &'a str,
    pub(super) endpoint: &'a str,
}
