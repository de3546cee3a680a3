//! What a status of the receiver means: [`StatusMeaning`].

use std::fmt;
use std::ops::RangeInclusive;

use http::StatusCode;
use serde_json::{Value, json};

use crate::error::BuildError;

/// The meaning of a receiver's status for the events of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StatusMeaning {
    /// The receiver has accepted the events.
    Accept,
    /// The events are tried again, as the retry policy says.
    Retry,
    /// The receiver will never accept this event: it becomes a dead letter. A
    /// batch is split until the event is alone.
    Reject,
    /// The receiver will never accept any event. The endpoint is disabled, and
    /// its events wait until [`Notifier::enable`](crate::Notifier::enable).
    Disable,
}

/// One status or a range of them: `404`, `300..=399`, or a
/// [`StatusCode`](https://docs.rs/http/1/http/status/struct.StatusCode.html).
///
/// ```
/// use tower_registry_notifications::endpoint::Statuses;
///
/// let _one: Statuses = 404.into();
/// let _range: Statuses = (300..=399).into();
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Statuses(RangeInclusive<u16>);

impl From<u16> for Statuses {
    fn from(status: u16) -> Self {
        Self(status..=status)
    }
}

impl From<StatusCode> for Statuses {
    fn from(status: StatusCode) -> Self {
        status.as_u16().into()
    }
}

impl From<RangeInclusive<u16>> for Statuses {
    fn from(statuses: RangeInclusive<u16>) -> Self {
        Self(statuses)
    }
}

impl fmt::Debug for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.start() == self.0.end() {
            true => write!(f, "{}", self.0.start()),
            false => write!(f, "{:?}", self.0),
        }
    }
}

/// The meanings that an endpoint gives to statuses. If several rules match, the last
/// one counts.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Rules(Vec<(Statuses, StatusMeaning)>);

impl Rules {
    pub(crate) fn add(&mut self, statuses: Statuses, meaning: StatusMeaning) {
        self.0.push((statuses, meaning));
    }

    pub(super) fn meaning(&self, status: StatusCode) -> Option<StatusMeaning> {
        let matches = |(statuses, _): &&(Statuses, _)| statuses.0.contains(&status.as_u16());
        self.0.iter().rev().find(matches).map(|(_, it)| *it)
    }

    /// Returns the rules in order, as the status shows them.
    pub(crate) fn shown(&self) -> Value {
        let rules = self.0.iter().map(|(Statuses(statuses), meaning)| {
            let statuses = match statuses.start() == statuses.end() {
                true => statuses.start().to_string(),
                false => format!("{}-{}", statuses.start(), statuses.end()),
            };
            let meaning = match meaning {
                StatusMeaning::Accept => "accept",
                StatusMeaning::Retry => "retry",
                StatusMeaning::Reject => "reject",
                StatusMeaning::Disable => "disable",
            };
            json!({ "statuses": statuses, "meaning": meaning })
        });
        rules.collect()
    }

    pub(crate) fn check(&self, of: &str) -> Result<(), BuildError> {
        let is_valid =
            |it: &Statuses| !it.0.is_empty() && *it.0.start() >= 200 && *it.0.end() <= 599;
        match self.0.iter().find(|(statuses, _)| !is_valid(statuses)) {
            None => Ok(()),
            Some((statuses, _)) => {
                let remedy = "write a status from 200 to 599, or a range like 300..=399";
                let statuses = format!("{statuses:?}");
                Err(BuildError::new(&format!("{of}on_status"), statuses, remedy))
            }
        }
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.0.iter().map(|it| (&it.0, it.1)))
            .finish()
    }
}
