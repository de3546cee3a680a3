//! Parts of a configuration as messages show them. They cannot contain secrets.

use std::fmt;

/// Returns a value as messages show it: in quotes, and cut off if it is long.
pub(super) fn quoted(text: &str) -> String {
    const MOST: usize = 80;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{:?}", format!("{}…", &text[..end])),
        None => format!("{text:?}"),
    }
}

/// Returns a key as messages show it. A text that does not look like a key is not
/// shown: it may be a secret that was written in the place of a key.
pub(super) fn shown_key(key: &str) -> impl fmt::Display + '_ {
    let like_a_key = |c: char| c.is_ascii_alphanumeric() || "-_.<".contains(c);
    if key.len() <= 40 && key.chars().all(like_a_key) {
        key
    } else {
        "…"
    }
}
