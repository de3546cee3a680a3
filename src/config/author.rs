//! The registry that a section was written for: [`Author`].
//!
//! The same keys mean different things to distribution and to GitLab's fork of it.

/// The registry that a section was written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Author {
    Distribution,
    GitLab,
}
