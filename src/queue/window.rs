//! How far a queue has read its store: [`Window`], and the events that the store
//! hands over.
//!
//! `next` is the position that the queue goes on with: everything below has come
//! to it, or had ended before. `end` lies behind the newest event that the store
//! is known to have. The queue is *behind* while `next < end`.
//!
//! An event that is offered while the queue is behind stays in the store, even
//! if there is room, and moves `end` only: those before it come first. When the
//! queue is not behind, the event is taken and moves both. A page of the store
//! moves `next`, and may pass `end` when it holds what is offered only later. An
//! offer below `next` has come with a page already. Since all of that happens
//! with the queue's lock held, nothing is lost or taken twice in between.
//!
//! An event that is accepted in memory only, because the store is not available,
//! comes after all that the store has offered so far. While the queue is behind,
//! it waits here until everything before it has come.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::Arc;

use tokio::time::Instant;

use super::admission::Numbering;
use super::entry::{Entry, Place, memory_of};
use super::queue::Queue;
use super::store::{Page, Position, Refill, Reload, Room, Store, Stored};
use crate::event::SharedEvent;

/// Events of one repository that are loaded at a time.
const RELOAD: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Window {
    pub(super) next: Position,
    end: Position,
    /// Whether a question for the events from `next` on is open.
    asked: bool,
    /// The bytes of the event at `next`, if it did not fit.
    lacks: usize,
    /// The lane whose events the store was asked for, and from where on.
    reloading: Option<(Arc<str>, Position)>,
    /// How many events only the store has. Below zero while a page holds events
    /// that are offered later.
    pub(super) left: i64,
    /// Events in memory only that have others before them in the store.
    late: VecDeque<Entry>,
    /// Events below this position become dead letters, unless they are under way.
    pub(super) expired: Position,
    /// Where the store may have events that it never offers; see
    /// [`recover`](Queue::recover).
    unoffered: Vec<Range<Position>>,
    /// How many events were accepted in memory only, ever and not ended.
    accepted: u64,
    /// The last number that an event got.
    numbered: u64,
    in_memory: usize,
}

/// What the store is asked for.
enum Question {
    Refill(Position, Room),
    Reload(Arc<str>, Range<Position>, Room),
}

impl Window {
    fn is_behind(&self) -> bool {
        self.next < self.end
    }

    /// Events that only the store has.
    pub(super) fn left(&self) -> usize {
        usize::try_from(self.left).unwrap_or(0)
    }

    /// Events that are in memory only and have not ended.
    pub(super) fn in_memory(&self) -> usize {
        self.in_memory
    }

    fn is_unoffered(&self, position: Position) -> bool {
        self.unoffered.iter().any(|range| range.contains(&position))
    }

    /// The number of an event that the store does not have. A store numbers its own
    /// events, and does not know of this one.
    pub(super) fn number(&mut self, numbering: Numbering, has_store: bool) -> Option<NonZeroU64> {
        match numbering {
            Numbering::Kept(number) => number,
            Numbering::Next if has_store => None,
            Numbering::Next => {
                self.numbered += 1;
                NonZeroU64::new(self.numbered)
            }
        }
    }

    /// Gives an event in memory only its place. Returns `None` if it has to wait
    /// for those before it.
    pub(super) fn accept(
        &mut self,
        event: SharedEvent,
        number: Option<NonZeroU64>,
        since: Instant,
    ) -> Option<Entry> {
        self.accepted += 1;
        self.in_memory += 1;
        let place = Place::in_memory(self.end.max(self.next), self.accepted);
        let entry = Entry::new(place, number, since, event);
        if self.is_behind() {
            self.late.push_back(entry);
            return None;
        }
        Some(entry)
    }

    /// An event has ended, or is left to the store.
    pub(super) fn ends(&mut self, entry: &Entry) {
        if !entry.is_stored() {
            self.in_memory = self.in_memory.saturating_sub(1);
        }
    }

    /// The oldest event that is late, if all those before it have come.
    fn late(&mut self, next: Position) -> Option<Entry> {
        let comes = self.late.front().is_some_and(|it| it.place.end <= next);
        if !comes {
            return None;
        }
        self.late.pop_front()
    }

    /// Removes the events that wait here.
    pub(super) fn drain(&mut self) -> VecDeque<Entry> {
        std::mem::take(&mut self.late)
    }

    /// Forgets everything but that the store has so many events.
    pub(super) fn clear(&mut self, stored: usize) {
        self.late.clear();
        self.in_memory = 0;
        self.left = i64::try_from(stored).unwrap_or(i64::MAX);
    }
}

/// What a store says to its queue.
#[cfg_attr(
    not(test),
    allow(dead_code, reason = "without stores, nobody hands over events")
)]
impl Queue {
    /// The store has so many more events, all of them below `end`, which it does
    /// not offer: those from before a restart. A store that offers none at all,
    /// and is to be asked always, passes the largest position.
    pub(crate) fn announce(&self, events: usize, end: Position) {
        let mut state = self.state();
        state.window.left += i64::try_from(events).unwrap_or(i64::MAX);
        state.window.end = state.window.end.max(end);
        (self.accepted)(events);
        drop(state);
        self.changed.notify_one();
    }

    /// The store has accepted these events. What fits is taken, and the rest
    /// stays in the store.
    pub(crate) fn offer(&self, events: &[Stored]) {
        let now = (Instant::now(), (self.clock)());
        let mut state = self.state();
        for stored in events {
            let state = &mut *state;
            let (window, memory) = (&mut state.window, memory_of(&stored.event));
            window.left += 1;
            let is_next = !window.is_behind() && stored.position >= window.next;
            window.end = window.end.max(stored.position.next());
            if is_next && state.bounds.check_window(memory, window.in_memory).is_ok() {
                window.next = window.end;
                window.left -= 1;
                state.bounds.add(memory);
                state.lanes.push(entry(stored.clone(), now));
            }
        }
        (self.accepted)(events.len());
        drop(state);
        self.changed.notify_one();
    }

    /// The store was not available and works again; it has events up to `end`. A
    /// write to it that failed may have succeeded nevertheless. Its event was
    /// never offered, and counts as accepted when it is read.
    pub(crate) fn recover(&self, end: Position) {
        let mut state = self.state();
        let window = &mut state.window;
        if window.end < end {
            window.unoffered.push(window.end..end);
            window.end = end;
        }
        drop(state);
        // For a question that was dropped meanwhile, too.
        self.changed.notify_one();
    }

    /// The store has ended so many events that are not in this queue's memory.
    pub(crate) fn removed(&self, events: usize) {
        self.state().window.left -= i64::try_from(events).unwrap_or(i64::MAX);
        self.changed.notify_one();
    }

    /// Asks the store for what there is room for. Returns whether it was asked
    /// for anything.
    pub(super) fn ask(self: &Arc<Self>, store: &dyn Store) -> bool {
        let questions = self.questions();
        let any = questions.iter().any(Option::is_some);
        // Without the lock: the store may answer at once, which takes it.
        for question in questions.into_iter().flatten() {
            match question {
                Question::Refill(from, most) => store.refill(from, most, Refill::new(self.clone())),
                Question::Reload(repository, range, most) => {
                    store.reload(&repository, range, most, Reload::new(self.clone()));
                }
            }
        }
        any
    }

    /// Questions that are to be asked now. Each counts as open from here on.
    fn questions(&self) -> [Option<Question>; 2] {
        let mut state = self.state();
        let state = &mut *state;
        let (window, bounds, lanes) = (&mut state.window, &state.bounds, &state.lanes);
        let mut most = bounds.room();
        if bounds.events() <= window.in_memory {
            // Whatever comes first is taken.
            most.events = most.events.max(1);
            most.bytes = most.bytes.max(window.lacks).max(1);
        }
        if most.events == 0 || most.bytes == 0 {
            return [None, None];
        }
        // Older than what a refill brings, so it goes first.
        let wanted = match window.reloading {
            None => lanes.wanted(window.next),
            Some(_) => None,
        };
        let reload = wanted.map(|(repository, range)| {
            window.reloading = Some((repository.clone(), range.start));
            let events = most.events.min(RELOAD);
            Question::Reload(repository, range, Room { events, ..most })
        });
        let idle = bounds.is_half_empty() || lanes.is_looked_through();
        let fits = most.bytes >= window.lacks && !bounds.too_many_absent(lanes.absent());
        if !window.is_behind() || window.asked || !idle || !fits {
            return [reload, None];
        }
        window.asked = true;
        [reload, Some(Question::Refill(window.next, most))]
    }

    pub(super) fn refilled(&self, page: Page) {
        let now = (Instant::now(), (self.clock)());
        let mut state = self.state();
        let state = &mut *state;
        let (window, bounds, lanes) = (&mut state.window, &mut state.bounds, &mut state.lanes);
        let (before, mut next) = (window.next, page.next);
        window.asked = false;
        window.lacks = 0;
        for stored in page.events {
            if stored.position < window.next.max(window.expired) {
                continue;
            }
            while let Some(late) = window.late(stored.position) {
                lanes.push(late);
            }
            let memory = memory_of(&stored.event);
            if bounds.check_window(memory, window.in_memory).is_err() {
                next = stored.position;
                window.lacks = memory;
                break;
            }
            match window.is_unoffered(stored.position) {
                true => (self.accepted)(1),
                false => window.left -= 1,
            }
            window.next = stored.position.next();
            bounds.add(memory);
            lanes.push(entry(stored, now));
        }
        window.next = window.next.max(next);
        let read = window.next;
        window.unoffered.retain(|range| read < range.end);
        while let Some(late) = window.late(window.next) {
            lanes.push(late);
        }
        // A store that has nothing to say is asked when the reader comes by.
        if window.next > before {
            self.changed.notify_one();
        }
    }

    pub(super) fn not_refilled(&self) {
        self.state().window.asked = false;
    }

    pub(super) fn reloaded(&self, page: Page) {
        let now = (Instant::now(), (self.clock)());
        let mut state = self.state();
        let state = &mut *state;
        let (window, bounds, lanes) = (&mut state.window, &mut state.bounds, &mut state.lanes);
        let Some((repository, from)) = window.reloading.take() else {
            return;
        };
        let (mut next, mut entries) = (page.next.max(from), Vec::new());
        let (room, mut memory) = (bounds.room(), 0);
        for stored in page.events {
            if stored.position < window.expired {
                continue;
            }
            let more = memory + memory_of(&stored.event);
            // The first is taken in any case: it is older than what else fills
            // the window, and others of its repository wait for it.
            if !entries.is_empty() && (entries.len() >= room.events || more > room.bytes) {
                next = stored.position;
                break;
            }
            next = next.max(stored.position.next());
            memory = more;
            entries.push(entry(stored, now));
        }
        let loaded = entries.len();
        if lanes.reloaded((&repository, from), entries, next, window.next) {
            window.left -= i64::try_from(loaded).unwrap_or(i64::MAX);
            bounds.add_all(loaded, memory);
        }
        if next > from {
            self.changed.notify_one();
        }
    }

    pub(super) fn not_reloaded(&self) {
        self.state().window.reloading = None;
    }
}

/// Makes the entry of an event that the store has. `now` is this moment, on the
/// monotonic clock and on the wall clock.
pub(super) fn entry(stored: Stored, (now, wall): (Instant, std::time::SystemTime)) -> Entry {
    let age = wall.duration_since(stored.accepted_at).unwrap_or_default();
    let since = now.checked_sub(age).unwrap_or(now);
    let place = Place::stored(stored.position);
    Entry::new(place, NonZeroU64::new(stored.number), since, stored.event)
}
