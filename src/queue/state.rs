//! The state that a queue's lock protects: [`State`].

use std::fmt;

use tokio::time::Instant;

use super::bounds::{Bounds, Limits, Refused};
use super::entry::memory_of;
use super::fresh::Threshold;
use super::lanes::Lanes;
use super::numbering::{Numbering, Numbers};
use super::waiting::Waiters;
use super::window::Window;
use crate::event::SharedEvent;

pub(super) struct State {
    pub(super) lanes: Lanes,
    pub(super) bounds: Bounds,
    pub(super) window: Window,
    pub(super) numbers: Numbers,
    pub(super) waiters: Waiters,
    pub(super) closed: bool,
    /// How much that the reader has not looked at has to wait before it is woken.
    pub(super) wakes_at: Threshold,
    /// Called with the number of accepted events.
    pub(super) accepted: Box<dyn Fn(usize) + Send + Sync>,
}

impl State {
    pub(super) fn new(
        limits: Limits,
        has_store: bool,
        accepted: impl Fn(usize) + Send + Sync + 'static,
    ) -> Self {
        Self {
            lanes: Lanes::default(),
            bounds: Bounds::new(limits),
            window: Window::default(),
            numbers: Numbers::new(has_store),
            waiters: Waiters::default(),
            closed: false,
            wakes_at: Threshold::NEXT,
            accepted: Box::new(accepted),
        }
    }

    /// Returns the number of events that wait or are under way.
    pub(super) fn size(&self) -> usize {
        self.bounds.events() + self.lanes.resting() + self.window.unread
    }

    /// Refuses an event that would not be accepted even if there were room.
    pub(super) fn check_open(&self, memory: usize) -> Result<(), Refused> {
        if self.closed {
            return Err(Refused::Closed);
        }
        self.bounds.check_size(memory)
    }

    /// Accepts an event that is in memory only. Returns whether the reader has to be
    /// told: it takes events as long as there are any that it has not looked at, or is
    /// told by something else that it may go on. Waking it costs more than all else that a
    /// write does, so a reader that waits for several events is woken by the last, or when
    /// there is no room for more.
    #[inline]
    pub(super) fn admit(
        &mut self,
        event: SharedEvent,
        numbering: Numbering,
        since: Instant,
    ) -> bool {
        let memory = memory_of(&event);
        let wakes = self.lanes.fresh().reaches_with(memory, self.wakes_at);
        self.bounds.add(memory);
        let number = self.numbers.take(numbering);
        if let Some(entry) = self.window.accept(event, number, since) {
            self.lanes.push(entry);
        }
        (self.accepted)(1);
        wakes || !self.bounds.has_room()
    }

    /// Serves the writers that wait, in their order, as far as there is room. Returns
    /// whether the reader has to be told.
    pub(super) fn serve(&mut self) -> bool {
        let mut any = false;
        loop {
            let bounds = &self.bounds;
            let fits = |event: &SharedEvent| bounds.check(memory_of(event)).is_ok();
            let Some(waiting) = self.waiters.pop_if(fits) else {
                return any;
            };
            any |= self.admit(waiting.event.clone(), waiting.numbering, waiting.since);
            waiting.answer(Ok(()));
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("lanes", &self.lanes)
            .field("bounds", &self.bounds)
            .field("window", &self.window)
            .field("waiters", &self.waiters)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}
