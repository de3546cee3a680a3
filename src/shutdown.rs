//! The report on what a shutdown could not deliver: [`ShutdownReport`].
//!
//! Every event that was left is counted once: as kept or as lost.

use std::fmt;

use serde::Serialize;

use crate::endpoint::Account;

/// Reports what a [`shutdown`](crate::Notifier::shutdown) could not deliver.
///
/// It prints as one sentence for each endpoint, or as "All events were
/// delivered." if that is true of every event since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// The endpoints that had events left.
    pub left: Vec<Undelivered>,
    /// The number of events that had become dead letters before the end, of all
    /// endpoints together.
    pub dead_letters: u64,
    /// The number of those dead letters that were lost, because no sink of dead
    /// letters accepted them.
    pub lost: u64,
    /// The number of requests that ran without their client and had not ended by
    /// the deadline. It is unknown whether the registry acted on them, and so
    /// whether events are missing.
    pub unfinished: usize,
    /// The number of events that an endpoint or another sink did not accept, since
    /// the start. Those of an endpoint became dead letters and also count there;
    /// those that another sink refused are lost to that sink.
    pub unaccepted: u64,
}

/// The events that one endpoint had not delivered when the notifier was shut down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Undelivered {
    /// The name of the endpoint.
    pub endpoint: String,
    /// The number of events that are kept, as dead letters or in a journal.
    pub kept: usize,
    /// The place that keeps them, in words for people. It says so if that place is a
    /// journal that is down.
    pub kept_in: Option<String>,
    /// The number of events that are lost. They were counted and logged.
    pub lost: usize,
}

impl Undelivered {
    /// Returns the number of events that were left, kept and lost together.
    pub fn events(&self) -> usize {
        self.kept + self.lost
    }
}

impl ShutdownReport {
    pub(crate) fn of<'a>(
        endpoints: impl Iterator<Item = (&'a str, Account)>,
        unfinished: usize,
        unaccepted: u64,
    ) -> Self {
        let mut report = Self {
            unfinished,
            unaccepted,
            ..Self::default()
        };
        for (endpoint, account) in endpoints {
            report.dead_letters += account.earlier_dead;
            report.lost += account.earlier_lost;
            let left = Undelivered {
                endpoint: endpoint.into(),
                kept: account.leftover.stored + account.leftover.letters.kept,
                kept_in: account.kept_in,
                lost: account.leftover.letters.lost + account.stuck,
            };
            if left.events() > 0 {
                report.left.push(left);
            }
        }
        report
    }

    /// Notes that the place that keeps the events cannot be read now: whoever reads the
    /// report should know before they rely on it.
    pub(crate) fn place_fails(&mut self, error: &str) {
        for left in &mut self.left {
            if let Some(place) = &mut left.kept_in {
                *place = format!("{place} (which is down: {error})");
            }
        }
    }

    /// Whether no events were left at the end, and no requests were still
    /// running. Events that became dead letters before the end do not count.
    pub fn is_drained(&self) -> bool {
        self.left.is_empty() && self.unfinished == 0
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_drained() && self.dead_letters == 0 && self.unaccepted == 0 {
            return f.write_str("All events were delivered.");
        }
        let mut sentences: Vec<_> = self.left.iter().map(ToString::to_string).collect();
        if self.left.is_empty() {
            sentences.push("No events are left.".into());
        }
        if self.dead_letters > 0 {
            let (letters, lost) = (self.dead_letters, self.lost);
            let earlier = match lost {
                0 => format!("Dead letters before the end: {letters}."),
                _ => format!("Dead letters before the end: {letters}, lost: {lost}."),
            };
            sentences.push(earlier);
        }
        if self.unaccepted > 0 {
            let events = self.unaccepted;
            sentences.push(format!("Events that a sink did not accept: {events}."));
        }
        if self.unfinished > 0 {
            let requests = self.unfinished;
            sentences.push(format!("Requests that had not ended: {requests}."));
        }
        f.write_str(&sentences.join(" "))
    }
}

impl fmt::Display for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (endpoint, events) = (&self.endpoint, self.events());
        write!(f, "Events not delivered to {endpoint}: {events}")?;
        if self.kept > 0 {
            let place = self.kept_in.as_deref().unwrap_or("an unknown place");
            write!(f, ", kept in {place}: {}", self.kept)?;
        }
        if self.lost > 0 {
            write!(f, ", lost: {}", self.lost)?;
        }
        f.write_str(".")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(kept: usize, lost: usize) -> Undelivered {
        Undelivered {
            endpoint: "ci".into(),
            kept,
            kept_in: Some("the file /x".into()),
            lost,
        }
    }

    #[test]
    fn a_report_claims_that_all_was_delivered_only_if_it_was() {
        let report = |left: &[Undelivered], dead_letters, lost| {
            let left = left.to_vec();
            let report = ShutdownReport {
                left,
                dead_letters,
                lost,
                unfinished: 0,
                unaccepted: 0,
            };
            report.to_string()
        };
        assert_eq!(report(&[], 0, 0), "All events were delivered.");
        assert_eq!(
            report(&[], 3, 1),
            "No events are left. Dead letters before the end: 3, lost: 1."
        );
        assert_eq!(
            report(&[left(2, 0), left(2, 1), left(0, 1)], 0, 0),
            "Events not delivered to ci: 2, kept in the file /x: 2. \
             Events not delivered to ci: 3, kept in the file /x: 2, lost: 1. \
             Events not delivered to ci: 1, lost: 1."
        );
        assert!(report(&[left(1, 0)], 4, 0).ends_with("Dead letters before the end: 4."));
        let mut report = ShutdownReport {
            left: vec![left(2, 1)],
            ..ShutdownReport::default()
        };
        report.place_fails("is cut off");
        assert_eq!(
            report.to_string(),
            "Events not delivered to ci: 3, kept in the file /x (which is down: is cut off): 2, \
             lost: 1."
        );
    }
}
