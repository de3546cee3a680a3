//! The methods of [`Endpoint`] that configure its queue and its dead letters.

use std::sync::Arc;

use super::dead_letter::DeadLetterSink;
use super::endpoint::Endpoint;
use crate::queue::Overflow;

/// # Queue and dead letters
impl Endpoint {
    /// Sets the maximum number of events that wait or are under way, at least 1. Of those
    /// that wait in a journal, at most 10,000 are in memory. Defaults to 100,000.
    pub fn queue_events(mut self, events: usize) -> Self {
        self.limits.events = events;
        self
    }

    /// Sets the maximum amount of memory that these events take, in bytes, at least 1.
    /// Events of a journal take memory only while they are read ahead. Defaults to 128 MiB.
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.limits.bytes = bytes;
        self
    }

    /// Sets what happens when the queue is full. Defaults to
    /// [`Overflow::RejectNewest`].
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Sets where events are kept that will not be tried again: a
    /// [`DeadLetterFile`](crate::dead_letter::DeadLetterFile), a
    /// [`DeadLetterChannel`](crate::dead_letter::DeadLetterChannel), any
    /// [`Sink`](crate::sink::Sink), or a [`DeadLetterSink`] of your own.
    ///
    /// Defaults to the journal if the notifier has one, and otherwise to
    /// [`NotifierBuilder::dead_letters`](crate::NotifierBuilder::dead_letters). Without
    /// any of them the events are lost, which is counted and logged.
    pub fn dead_letters(mut self, sink: impl DeadLetterSink) -> Self {
        self.dead_letters = Some(Arc::new(sink));
        self
    }

    /// Sets where dead letters are kept if the endpoint has no place of its own.
    pub(crate) fn dead_letters_or(mut self, sink: Option<&Arc<dyn DeadLetterSink>>) -> Self {
        self.dead_letters = self.dead_letters.or_else(|| sink.cloned());
        self
    }
}
