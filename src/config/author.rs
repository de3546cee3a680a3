//! Who a section was written for: [`Author`].

/// Which registry a section was written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Author {
    Distribution,
    GitLab,
}
