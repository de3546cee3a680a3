//! What happens when a queue is full: [`Overflow`].

/// What happens to an event that finds its queue full.
///
/// An event that alone is larger than the queue's byte limit is refused in each
/// case, and makes no other event give way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// The write fails, and the event becomes a dead letter.
    #[default]
    RejectNewest,
    /// The oldest waiting events make room and become dead letters. Events
    /// under way stay.
    DropOldest,
    /// The write waits for room. Writers are served in the order in which they
    /// came. With [`fail_closed`](crate::NotificationLayer::fail_closed), a
    /// request whose event finds no room in time fails. An event whose write is
    /// dropped meanwhile becomes a dead letter.
    Wait,
}
