//! What is wrong with content: [`Fault`].

/// The reason why content cannot be read, and the byte at which that shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::event) enum Fault {
    /// It is not JSON.
    Syntax(usize),
    /// A value is of another type than the field that it is for.
    Type(usize),
    /// It refers to more than an event may list.
    Bounds,
    /// It contradicts the media type that it is served with.
    Conflict,
}
