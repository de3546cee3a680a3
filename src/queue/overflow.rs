//! What happens when a queue is full: [`Overflow`].

/// What happens to an event that finds its queue full.
///
/// An event that is larger than the queue's byte limit by itself is always refused, and
/// makes no other event give way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// The write fails, and the event becomes a dead letter. This is the default.
    #[default]
    RejectNewest,
    /// The oldest waiting events make room and become dead letters. Events that are being
    /// delivered stay.
    DropOldest,
    /// The write waits for room, and writers are served in their order. With
    /// [`fail_closed`](crate::NotificationLayer::fail_closed), a request whose event
    /// finds no room in time fails. If the write is dropped while it waits, its event
    /// becomes a dead letter.
    Wait,
}
