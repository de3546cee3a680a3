//! A store that outlives its queue, and answers when the test says so.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use super::*;

#[derive(Clone, Debug)]
pub(super) struct TestStore(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    events: BTreeMap<Position, Stored>,
    next: u64,
    numbers: u64,
    asked: Vec<Question>,
    can_reload: bool,
    /// Most events in an answer.
    page: usize,
    /// Questions so far.
    refills: usize,
    reloads: usize,
    /// Events that damage took.
    damaged: BTreeSet<Position>,
    /// What the queue says: events that it has accepted, and that it misses.
    accepted: usize,
    missing: usize,
}

#[derive(Debug)]
enum Question {
    Refill(Position, PageLimits, Refill),
    Reload(String, Range<Position>, PageLimits, Reload),
}

impl Default for TestStore {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State {
            events: BTreeMap::new(),
            next: 0,
            numbers: 0,
            asked: Vec::new(),
            can_reload: true,
            page: usize::MAX,
            refills: 0,
            reloads: 0,
            damaged: BTreeSet::new(),
            accepted: 0,
            missing: 0,
        })))
    }
}

impl TestStore {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(super) fn without_reload(self) -> Self {
        self.state().can_reload = false;
        self
    }

    pub(super) fn pages_of(self, events: usize) -> Self {
        self.state().page = events;
        self
    }

    pub(super) fn queue(&self, limits: Limits) -> Arc<Queue> {
        let (accepted, missing) = (self.clone(), self.clone());
        let accepted = move |events| accepted.state().accepted += events;
        let missing = move |events| missing.state().missing += events;
        Queue::over(self.clone(), limits, SystemTime::now, accepted, missing)
    }

    /// Stores an event. It is not offered yet.
    pub(super) fn insert(&self, event: SharedEvent) -> Stored {
        let mut state = self.state();
        let position = Position(state.next);
        // With gaps, as a store has that several endpoints share.
        state.next += 3;
        state.numbers += 1;
        let stored = Stored {
            position,
            number: state.numbers,
            accepted_at: event.accepted_at(),
            event,
        };
        state.events.insert(position, stored.clone());
        stored
    }

    /// Stores an event and offers it.
    pub(super) fn accept(&self, queue: &Queue, event: SharedEvent) {
        queue.offer(&[self.insert(event)]);
    }

    /// The position that the next event gets.
    pub(super) fn end(&self) -> Position {
        Position(self.state().next)
    }

    pub(super) fn waiting(&self) -> usize {
        self.state().events.len()
    }

    /// Loses an event that it has, as damage does. The queue may have it in memory.
    pub(super) fn damage(&self, position: Position) {
        let mut state = self.state();
        assert!(state.events.remove(&position).is_some());
        state.damaged.insert(position);
    }

    /// All events that it has.
    pub(super) fn events(&self) -> Vec<Stored> {
        self.state().events.values().cloned().collect()
    }

    /// How many events the queue has accepted, and how many it misses.
    pub(super) fn told(&self) -> (usize, usize) {
        let state = self.state();
        (state.accepted, state.missing)
    }

    pub(super) fn questions(&self) -> (usize, usize) {
        let state = self.state();
        (state.refills, state.reloads)
    }

    /// Answers a question that was asked, or drops it. Returns false if there is
    /// none.
    pub(super) fn answer(&self, answers: bool) -> bool {
        let mut state = self.state();
        if state.asked.is_empty() {
            return false;
        }
        let question = state.asked.remove(0);
        if !answers {
            drop(state);
            drop(question);
            return true;
        }
        match question {
            Question::Refill(from, most, reply) => {
                let page = state.page(from..Position(u64::MAX), most, |_| true);
                drop(state);
                reply.answer(page);
            }
            Question::Reload(repository, range, most, reply) => {
                let page = state.page(range, most, |event| event.repository() == repository);
                drop(state);
                reply.answer(page);
            }
        }
        true
    }

    /// Takes the next event, and answers what is asked for it.
    pub(super) fn take(&self, queue: &Arc<Queue>) -> Option<Entry> {
        loop {
            let entry = queue.take();
            if entry.is_some() || !self.answer(true) {
                return entry;
            }
        }
    }
}

impl State {
    fn page(
        &self,
        range: Range<Position>,
        most: PageLimits,
        wanted: impl Fn(&SharedEvent) -> bool,
    ) -> Page {
        let end = range.end.min(Position(self.next));
        let mut page = Page {
            events: Vec::new(),
            next: end.max(range.start),
        };
        let mut bytes = 0;
        for stored in self.events.range(range).map(|(_, stored)| stored) {
            if !wanted(&stored.event) {
                continue;
            }
            bytes += stored.event.memory();
            let full = page.events.len() >= most.events.min(self.page) || bytes > most.bytes;
            if full && !page.events.is_empty() {
                page.next = stored.position;
                break;
            }
            page.events.push(stored.clone());
        }
        page
    }
}

impl Store for TestStore {
    fn refill(&self, from: Position, most: PageLimits, reply: Refill) {
        let mut state = self.state();
        state.refills += 1;
        state.asked.push(Question::Refill(from, most, reply));
    }

    fn reload(&self, repository: &str, range: Range<Position>, most: PageLimits, reply: Reload) {
        assert!(range.start < range.end, "{range:?} is empty");
        let mut state = self.state();
        state.reloads += 1;
        let repository = repository.to_owned();
        let question = Question::Reload(repository, range, most, reply);
        state.asked.push(question);
    }

    fn can_reload(&self) -> bool {
        self.state().can_reload
    }

    fn settle(&self, position: Position) {
        let mut state = self.state();
        let settled = state.events.remove(&position).is_some();
        let damaged = state.damaged.remove(&position);
        assert!(settled || damaged, "{position:?} was settled twice");
    }

    fn kept_in(&self) -> &str {
        "the store"
    }
}
