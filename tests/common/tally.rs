//! Compares what two sides report about the same requests.

// No test uses all of it.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};

use tower_registry_notifications::event::Event;

/// The part of an event that says what happened to which target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Occurrence {
    /// The number of the request, from its user agent.
    pub(crate) number: usize,
    pub(crate) action: &'static str,
    pub(crate) repository: String,
    pub(crate) tag: String,
    /// In lower case, because some registries accept both.
    pub(crate) digest: String,
    /// The repository that a mount is from.
    pub(crate) from: String,
}

impl Occurrence {
    /// Of a request whose user agent is `agent` and a number.
    pub(crate) fn of(event: &Event, agent: &str) -> Self {
        let number = event.request.user_agent.strip_prefix(agent).unwrap();
        let target = &event.target;
        Self {
            number: number.parse().unwrap(),
            action: event.action.as_str(),
            repository: target.repository.to_string(),
            tag: target.tag.to_string(),
            digest: target.descriptor.digest.to_lowercase(),
            from: target.from_repository.to_string(),
        }
    }
}

/// How often each side has reported each occurrence: first the truth, then the layer.
#[derive(Default)]
pub(crate) struct Tally(BTreeMap<Occurrence, [usize; 2]>);

impl Tally {
    pub(crate) fn new(
        truth: impl IntoIterator<Item = Occurrence>,
        told: impl IntoIterator<Item = Occurrence>,
    ) -> Self {
        let mut tally = Self::default();
        for happening in truth {
            tally.0.entry(happening).or_default()[0] += 1;
        }
        for happening in told {
            tally.0.entry(happening).or_default()[1] += 1;
        }
        tally
    }

    pub(crate) fn truth(&self) -> usize {
        self.0.values().map(|[truth, _]| truth).sum()
    }

    pub(crate) fn told(&self) -> usize {
        self.0.values().map(|[_, told]| told).sum()
    }

    pub(crate) fn equal(&self) -> usize {
        self.0.values().map(|[truth, told]| truth.min(told)).sum()
    }

    /// Returns the numbers of the requests that each side has reported: the truth, and the
    /// layer.
    pub(crate) fn numbers(&self) -> [BTreeSet<usize>; 2] {
        [0, 1].map(|side| {
            let there = self.0.iter().filter(|(_, counts)| counts[side] > 0);
            there.map(|(happening, _)| happening.number).collect()
        })
    }

    /// Returns a summary: occurrences without an event, and events without an occurrence.
    pub(crate) fn summary(&self) -> String {
        let (truth, told, equal) = (self.truth(), self.told(), self.equal());
        let (evaded, forged) = (truth - equal, told - equal);
        format!("{truth} true, {told} told, {equal} equal, {evaded} evaded, {forged} forged")
    }

    /// Returns what one side has reported more often than the other, by request.
    pub(crate) fn unequal(&self) -> Vec<(usize, String)> {
        let unequal = self.0.iter().filter(|(_, [truth, told])| truth != told);
        unequal
            .map(|(it, [truth, told])| {
                (
                    it.number,
                    format!("true {truth} times, told {told} times: {it:?}"),
                )
            })
            .collect()
    }
}
