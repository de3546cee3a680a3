//! How complete a configuration must be: [`Phase`].
//!
//! A section is read twice: when it is parsed, to report mistakes early, and when the
//! notifier is built, after the environment has been applied.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Keys that are there must be valid. Others may still come from the environment.
    /// No file is read.
    Check,
    /// All required keys must be there. Files are read.
    Build,
}
