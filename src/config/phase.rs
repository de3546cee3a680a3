//! How much of a configuration must be there.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// What is there makes sense; more may come from the environment. No file
    /// is read.
    Check,
    /// Everything that is needed is there.
    Build,
}
