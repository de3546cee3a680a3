//! The store's side of a queue: the events that it hands over, and the questions that it
//! is asked.
//!
//! The [window](super::window) decides what is taken and what stays in the store.

use std::ops::Range;
use std::sync::Arc;

use super::entry::{Entry, Now, memory_of};
use super::lane::Loaded;
use super::queue::Queue;
use super::store::{AnswerReceiver, Page, PageLimits, Position, Refill, Reload, Store, Stored};

/// The largest number of events of one repository that are loaded at a time.
const RELOAD: usize = 256;

/// A question to the store.
enum Question {
    Refill(Position, PageLimits),
    Reload(Arc<str>, Range<Position>, PageLimits),
}

/// The calls of a store to its queue.
#[cfg_attr(
    not(test),
    allow(dead_code, reason = "without stores, nobody hands over events")
)]
impl Queue {
    /// Notes that the store has this many more events, all below `end`, which it does not
    /// offer: those from before a restart.
    pub(crate) fn announce(&self, events: usize, end: Position) {
        let mut state = self.state();
        state.window.unread += events;
        state.window.end = state.window.end.max(end);
        (state.accepted)(events);
        drop(state);
        self.changed.notify_one();
    }

    /// Takes events that the store has accepted. Those that do not fit stay in the store.
    pub(crate) fn offer(&self, events: &[Stored]) {
        let now = Now::of(self.clock);
        let mut state = self.state();
        let before = state.lanes.fresh().reaches(state.wakes_at);
        for stored in events {
            let state = &mut *state;
            let (window, memory) = (&mut state.window, memory_of(&stored.event));
            let is_next = !window.is_behind() && !window.over;
            let has_come = window.has_come(stored.position);
            window.end = window.end.max(stored.position.next());
            if has_come {
                // A page has brought the event before the store offered it.
                window.early = window.early.saturating_sub(1);
            } else if !is_next || !state.bounds.fits_window(memory, window.in_memory) {
                // Older events are still only in the store, or there is no room: a page will
                // bring the event.
                window.unread += 1;
            } else {
                window.next = window.end;
                state.bounds.add(memory);
                state.lanes.push(Entry::of_store(stored.clone(), now));
            }
        }
        (state.accepted)(events.len());
        // If events stay in the store, the reader has to ask for them.
        let reached = !before && state.lanes.fresh().reaches(state.wakes_at);
        let wakes = reached || state.window.is_behind();
        drop(state);
        self.wake(wakes);
    }

    /// Notes that the store was not available and works again, with events up to `end`.
    ///
    /// A write to it that failed may have succeeded nevertheless. Its event is never
    /// offered, and counts as accepted when it is read, which may have happened already.
    pub(crate) fn recover(&self, end: Position) {
        let mut state = self.state();
        let have_come = state.window.recover(end);
        (state.accepted)(have_come);
        drop(state);
        // Also wakes the reader for a question that was dropped meanwhile.
        self.changed.notify_one();
    }

    /// Asks the store for as much as there is room for. Returns whether it was asked for
    /// anything.
    pub(super) fn ask(self: &Arc<Self>, store: &dyn Store) -> bool {
        let questions = self.questions();
        let any = questions.iter().any(Option::is_some);
        // The lock is not held: the store may answer within the call, which takes it.
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

    /// Returns the questions to ask now. Each counts as open from here on, so that no other
    /// thread asks it too.
    fn questions(&self) -> [Option<Question>; 2] {
        let mut state = self.state();
        let state = &mut *state;
        let (window, bounds, lanes) = (&mut state.window, &state.bounds, &state.lanes);
        let room = bounds.room();
        let most = PageLimits {
            events: room.events.max(1),
            bytes: room.bytes.max(1),
        };
        // Events to be reloaded are older than those that a refill brings, so they come
        // first.
        let wanted = match window.reloading {
            None if room == most || bounds.events() <= window.in_memory => {
                lanes.wanted(window.next)
            }
            _ => None,
        };
        let reload = wanted.map(|(repository, range)| {
            window.reloading = Some((repository.clone(), range.start));
            let events = most.events.min(RELOAD);
            Question::Reload(repository, range, PageLimits { events, ..most })
        });
        // A refill waits until half of the window is free, so that a page is worth its
        // cost, unless the reader has nothing else to look at.
        let idle = bounds.is_half_empty() || lanes.fresh().is_empty();
        let fits = bounds.fits_window(window.lacks, window.in_memory);
        let asks = window.is_behind() && !window.asked && !window.over;
        if !asks || !idle || !fits || bounds.too_many_absent(lanes.absent()) {
            return [reload, None];
        }
        window.asked = true;
        [reload, Some(Question::Refill(window.next, most))]
    }

    /// Reports events that should have come from the store and have not. Called without the
    /// lock, because the report may take a while.
    fn lacks_events(&self, missing: usize) {
        if missing > 0 {
            (self.missing)(missing);
        }
    }
}

impl AnswerReceiver for Queue {
    fn refilled(&self, page: Option<Page>) {
        let now = Now::of(self.clock);
        let mut guard = self.state();
        let state = &mut *guard;
        let (window, bounds, lanes) = (&mut state.window, &mut state.bounds, &mut state.lanes);
        window.asked = false;
        let Some(page) = page.filter(|_| !window.over) else {
            return;
        };
        let (before, mut next, mut uncounted) = (window.next, page.next, 0);
        window.lacks = 0;
        for stored in page.events {
            // The event has come before, or has become a dead letter meanwhile.
            if stored.position < window.next.max(window.expired) {
                continue;
            }
            // Events in memory only that were accepted before this one keep their place.
            while let Some(late) = window.late(stored.position) {
                lanes.push(late);
            }
            let memory = memory_of(&stored.event);
            if !bounds.fits_window(memory, window.in_memory) {
                next = stored.position;
                window.lacks = memory;
                break;
            }
            uncounted += usize::from(window.comes(stored.position));
            window.next = stored.position.next();
            bounds.add(memory);
            lanes.push(Entry::of_store(stored, now));
        }
        let missing = window.reads_up_to(next);
        while let Some(late) = window.late(window.next) {
            lanes.push(late);
        }
        (state.accepted)(uncounted);
        // If the page brought nothing new, waking the reader would ask the store again at
        // once. It is asked when the reader takes events the next time.
        let goes_on = window.next > before;
        drop(guard);
        self.lacks_events(missing);
        if goes_on {
            self.changed.notify_one();
        }
    }

    fn reloaded(&self, page: Option<Page>) {
        let now = Now::of(self.clock);
        let mut guard = self.state();
        let state = &mut *guard;
        let (window, bounds, lanes) = (&mut state.window, &mut state.bounds, &mut state.lanes);
        let page = page.filter(|_| !window.over);
        let (Some((repository, from)), Some(page)) = (window.reloading.take(), page) else {
            return;
        };
        let (mut next, mut entries) = (page.next.max(from), Vec::new());
        let (room, mut memory) = (bounds.room(), 0);
        for stored in page.events {
            if stored.position < window.expired {
                continue;
            }
            let more = memory + memory_of(&stored.event);
            // The first event is always taken: it is older than the events that fill the
            // window, and others of its repository wait for it.
            if !entries.is_empty() && (entries.len() >= room.events || more > room.bytes) {
                next = stored.position;
                break;
            }
            next = next.max(stored.position.next());
            memory = more;
            entries.push(Entry::of_store(stored, now));
        }
        let sizes: Vec<_> = entries.iter().map(Entry::memory).collect();
        let loaded = Loaded {
            from,
            entries,
            next,
        };
        let mut missing = 0;
        if let Some(reloaded) = lanes.reload(&repository, loaded, window.next) {
            sizes.into_iter().for_each(|it| bounds.add(it));
            (state.accepted)(reloaded.uncounted);
            missing = reloaded.missing;
        }
        drop(guard);
        self.lacks_events(missing);
        if next > from {
            self.changed.notify_one();
        }
    }
}
