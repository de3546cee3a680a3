//! Whether a path still leads to a file that is open.

use std::fs::Metadata;

/// Whether both are the metadata of one file.
#[cfg(unix)]
pub(crate) fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Elsewhere, without inodes to compare, a file that exists at the path counts as the same.
/// An open file can be neither removed nor replaced there.
#[cfg(not(unix))]
pub(crate) fn is_same(_: &Metadata, _: &Metadata) -> bool {
    true
}
