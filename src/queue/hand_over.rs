//! Events that a store hands over to its queue, and what the store is asked for.
//!
//! The [window](super::window) says what is taken and what stays in the store.

use std::ops::Range;
use std::sync::Arc;

use super::entry::{Entry, Now, memory_of};
use super::lane::Loaded;
use super::queue::Queue;
use super::store::{Asker, Page, Position, Refill, Reload, Room, Store, Stored};

/// Events of one repository that are loaded at a time.
const RELOAD: usize = 256;

/// What the store is asked for.
enum Question {
    Refill(Position, Room),
    Reload(Arc<str>, Range<Position>, Room),
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
        (state.accepted)(events);
        drop(state);
        self.changed.notify_one();
    }

    /// The store may have events below `end` that it does not announce, because it does
    /// not know whether the endpoint wants them. Each counts as accepted when it is
    /// read.
    pub(crate) fn adopt(&self, end: Position) {
        let window = &mut self.state().window;
        window.unoffered.push(Position::default()..end);
        window.end = window.end.max(end);
    }

    /// The store has accepted these events. What fits is taken, and the rest
    /// stays in the store.
    pub(crate) fn offer(&self, events: &[Stored]) {
        let now = Now::of(self.clock);
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
                state.lanes.push(Entry::of_store(stored.clone(), now));
            }
        }
        (state.accepted)(events.len());
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
}

impl Asker for Queue {
    fn refilled(&self, page: Option<Page>) {
        let now = Now::of(self.clock);
        let mut state = self.state();
        let state = &mut *state;
        let (window, bounds, lanes) = (&mut state.window, &mut state.bounds, &mut state.lanes);
        window.asked = false;
        let Some(page) = page else { return };
        let (before, mut next) = (window.next, page.next);
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
                true => (state.accepted)(1),
                false => window.left -= 1,
            }
            window.next = stored.position.next();
            bounds.add(memory);
            lanes.push(Entry::of_store(stored, now));
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

    fn reloaded(&self, page: Option<Page>) {
        let now = Now::of(self.clock);
        let mut state = self.state();
        let state = &mut *state;
        let (window, bounds, lanes) = (&mut state.window, &mut state.bounds, &mut state.lanes);
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
            // The first is taken in any case: it is older than what else fills
            // the window, and others of its repository wait for it.
            if !entries.is_empty() && (entries.len() >= room.events || more > room.bytes) {
                next = stored.position;
                break;
            }
            next = next.max(stored.position.next());
            memory = more;
            entries.push(Entry::of_store(stored, now));
        }
        let loaded = Loaded {
            from,
            entries,
            next,
        };
        let (events, bytes) = lanes.reload(&repository, loaded, window.next);
        window.left -= i64::try_from(events).unwrap_or(i64::MAX);
        bounds.add_all(events, bytes);
        if next > from {
            self.changed.notify_one();
        }
    }
}
