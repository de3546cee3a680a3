use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::event::SharedEvent;
use crate::sink::{Sink, SinkError, Write};

/// A queue in memory, first in first out, bounded in events and in bytes.
///
/// An event counts against the bounds until it was delivered. When the queue
/// is full, the newest event is refused.
#[derive(Debug)]
pub(crate) struct MemoryQueue {
    state: Mutex<State>,
    changed: Notify,
    limits: Limits,
}

/// Bounds of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Most events that wait.
    pub(crate) events: usize,
    /// Most bytes that they take in memory.
    pub(crate) bytes: usize,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<SharedEvent>,
    bytes: usize,
    closed: bool,
}

impl MemoryQueue {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            state: Mutex::default(),
            changed: Notify::new(),
            limits,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The oldest event, which stays in the queue; `None` when the queue was
    /// closed and all events are delivered. For one reader.
    pub(crate) async fn front(&self) -> Option<SharedEvent> {
        loop {
            let changed = self.changed.notified();
            {
                let state = self.state();
                if let Some(event) = state.events.front() {
                    return Some(event.clone());
                }
                if state.closed {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// The oldest event was delivered.
    pub(crate) fn pop(&self) {
        let mut state = self.state();
        if let Some(event) = state.events.pop_front() {
            state.bytes -= event.memory();
        }
    }

    /// Takes no more events.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_one();
    }

    /// Events that wait.
    pub(crate) fn len(&self) -> usize {
        self.state().events.len()
    }
}

impl Sink for MemoryQueue {
    fn write(&self, event: &SharedEvent) -> Write {
        let memory = event.memory();
        let mut state = self.state();
        if state.closed {
            return Write::failed(SinkError::closed());
        }
        if state.events.len() >= self.limits.events || state.bytes + memory > self.limits.bytes {
            return Write::failed(SinkError::full());
        }
        state.bytes += memory;
        state.events.push_back(event.clone());
        drop(state);
        self.changed.notify_one();
        Write::accepted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Action, Event};

    fn event() -> SharedEvent {
        Event::new(Action::Pull).into()
    }

    async fn refused(queue: &MemoryQueue) -> SinkError {
        queue.write(&event()).await.unwrap_err()
    }

    #[tokio::test]
    async fn events_and_bytes_are_bounded_until_delivery() {
        let one = event().memory();
        for limits in [
            Limits {
                events: 2,
                bytes: usize::MAX / 2,
            },
            Limits {
                events: 9,
                bytes: 2 * one,
            },
        ] {
            let queue = MemoryQueue::new(limits);
            let first = event();
            queue.write(&first).await.unwrap();
            queue.write(&event()).await.unwrap();
            assert!(refused(&queue).await.is_full());
            assert_eq!(queue.front().await.unwrap().id, first.id);
            assert!(refused(&queue).await.is_full(), "under way, not delivered");
            queue.pop();
            queue.write(&event()).await.unwrap();
            queue.close();
            assert!(refused(&queue).await.is_closed());
            queue.pop();
            assert!(queue.front().await.is_some(), "closed, not emptied");
            queue.pop();
            assert!(queue.front().await.is_none());
            assert_eq!((queue.len(), queue.state().bytes), (0, 0));
        }
    }
}
