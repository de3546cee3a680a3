//! Recent counts of an endpoint: [`History`] and [`Rates`].

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

/// How long one slot of a history lasts.
const SLOT: Duration = Duration::from_secs(10);
/// The number of slots of a history, including the current one.
const SLOTS: usize = 60;
/// The number of slots that rates are computed from, including the current one.
const RATE_SLOTS: usize = 6;

/// Counts of the last 10 minutes in slots of 10 s, the oldest first. The last slot is
/// the current one, which is incomplete.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct History {
    /// Duration of a slot in seconds.
    pub slot_seconds: u64,
    /// Events that were written to the endpoint.
    pub events: Vec<u64>,
    /// Events that the receiver has accepted.
    pub successes: Vec<u64>,
    /// Attempts that failed, with or without a response.
    pub failures: Vec<u64>,
}

/// Averages of the last minute, or of the time since the start if that is less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Rates {
    /// Events written to the endpoint per second.
    pub events_per_second: f64,
    /// Events that the receiver accepted per second.
    pub successes_per_second: f64,
    /// Attempts that failed per second.
    pub failures_per_second: f64,
}

/// The counters that a history is kept of, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) events: u64,
    pub(super) successes: u64,
    pub(super) failures: u64,
}

/// Keeps the slots that are over. The current one is the difference between the
/// counters and those at its beginning, so that counting costs nothing here.
#[derive(Debug)]
pub(super) struct HistoryRecorder {
    over: VecDeque<Totals>,
    /// When the current slot began, and the counters at that time.
    began: Instant,
    before: Totals,
    /// The events when they were last looked at. They are counted elsewhere, so
    /// that those beyond have come since then.
    seen: u64,
}

impl HistoryRecorder {
    pub(super) fn new() -> Self {
        Self {
            over: VecDeque::new(),
            began: Instant::now(),
            before: Totals::default(),
            seen: 0,
        }
    }

    /// Ends the slots whose time is over. Called before successes and failures are
    /// counted, so that those of `totals` belong to the oldest of these slots, and
    /// soon after events were counted: those that are new belong to the current one.
    pub(super) fn advance(&mut self, now: Instant, totals: Totals) {
        let seen = std::mem::replace(&mut self.seen, totals.events);
        let passed = now.saturating_duration_since(self.began).as_secs() / SLOT.as_secs();
        if passed == 0 {
            return;
        }
        let totals = Totals {
            events: seen,
            ..totals
        };
        let ended = totals.since(self.before);
        let empty = usize::try_from(passed - 1).unwrap_or(SLOTS).min(SLOTS);
        self.over.push_back(ended);
        self.over
            .extend(std::iter::repeat_n(Totals::default(), empty));
        self.over.drain(..self.over.len().saturating_sub(SLOTS - 1));
        self.before = totals;
        // Nothing may have been counted for any time, so the arithmetic must not
        // overflow.
        let slots = u32::try_from(passed).unwrap_or(u32::MAX);
        self.began = SLOT
            .checked_mul(slots)
            .and_then(|passed| self.began.checked_add(passed))
            .unwrap_or(now);
    }

    pub(super) fn history(&self, totals: Totals) -> History {
        let current = totals.since(self.before);
        let all = || self.over.iter().chain([&current]);
        History {
            slot_seconds: SLOT.as_secs(),
            events: all().map(|slot| slot.events).collect(),
            successes: all().map(|slot| slot.successes).collect(),
            failures: all().map(|slot| slot.failures).collect(),
        }
    }

    pub(super) fn rates(&self, now: Instant, totals: Totals) -> Rates {
        let recent = self.over.iter().rev().take(RATE_SLOTS - 1);
        let seconds = SLOT * u32::try_from(recent.len()).unwrap_or_default();
        let seconds = seconds + now.saturating_duration_since(self.began);
        // Less than a second after the start, a single event would be a huge rate.
        let seconds = seconds.as_secs_f64().max(1.0);
        let sum = recent.fold(totals.since(self.before), |sum, slot| Totals {
            events: sum.events + slot.events,
            successes: sum.successes + slot.successes,
            failures: sum.failures + slot.failures,
        });
        Rates {
            events_per_second: sum.events as f64 / seconds,
            successes_per_second: sum.successes as f64 / seconds,
            failures_per_second: sum.failures as f64 / seconds,
        }
    }
}

impl Totals {
    fn since(self, earlier: Self) -> Self {
        Self {
            events: self.events.saturating_sub(earlier.events),
            successes: self.successes.saturating_sub(earlier.successes),
            failures: self.failures.saturating_sub(earlier.failures),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(events: u64) -> Totals {
        Totals {
            events,
            successes: events / 2,
            failures: 0,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn counts_stand_in_the_slot_of_their_time() {
        let mut recorder = HistoryRecorder::new();
        recorder.advance(Instant::now(), totals(4));
        assert_eq!(recorder.history(totals(4)).events, [4]);
        tokio::time::advance(SLOT).await;
        recorder.advance(Instant::now(), totals(4));
        recorder.advance(Instant::now(), totals(10));
        tokio::time::advance(3 * SLOT + SLOT / 2).await;
        // Two more events have come just now; the success was there before.
        recorder.advance(Instant::now(), totals(12));
        let history = recorder.history(totals(13));
        assert_eq!(history.events, [4, 6, 0, 0, 3]);
        assert_eq!(history.successes, [2, 4, 0, 0, 0]);
        assert_eq!(history.slot_seconds, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_history_is_bounded_however_long_it_was_asleep() {
        let mut recorder = HistoryRecorder::new();
        recorder.advance(Instant::now(), totals(1));
        tokio::time::advance(SLOT * 1_000_000).await;
        recorder.advance(Instant::now(), totals(1));
        let history = recorder.history(totals(3));
        assert_eq!(history.events.len(), SLOTS);
        assert_eq!(history.events.last(), Some(&2));
        let rates = recorder.rates(Instant::now(), totals(3));
        assert_eq!(rates.events_per_second, 2.0 / 50.0);
    }

    #[tokio::test(start_paused = true)]
    async fn rates_are_averages_of_the_last_minute() {
        let mut recorder = HistoryRecorder::new();
        assert_eq!(
            recorder.rates(Instant::now(), totals(3)).events_per_second,
            3.0,
            "the first second counts as a whole one"
        );
        for slot in 1..=20 {
            recorder.advance(Instant::now(), totals(20 * slot));
            tokio::time::advance(SLOT).await;
            recorder.advance(Instant::now(), totals(20 * slot));
        }
        let rates = recorder.rates(Instant::now(), totals(20 * 20));
        assert_eq!(rates.events_per_second, 2.0);
        assert_eq!(rates.successes_per_second, 1.0);
        assert_eq!(rates.failures_per_second, 0.0);
    }
}
