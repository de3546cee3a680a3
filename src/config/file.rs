//! Files of bounded size, as text.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// The maximum number of bytes of a file.
pub(super) const LIMIT: usize = 1 << 20;

/// Reads the text of a file.
///
/// # Errors
///
/// If the file cannot be read, is too large or is not UTF-8. The error is to be
/// written after the name of the file.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let cannot = |error: io::Error| format!("cannot be read: {error}");
    let file = File::open(path).map_err(cannot)?;
    let mut text = Vec::new();
    file.take(LIMIT as u64 + 1)
        .read_to_end(&mut text)
        .map_err(cannot)?;
    if text.len() > LIMIT {
        return Err("is larger than 1 MiB".into());
    }
    String::from_utf8(text).map_err(|_| "is not UTF-8: save it as that".into())
}
