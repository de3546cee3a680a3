//! What messages show of a configuration.

use std::fmt;

/// A value as messages show it.
pub(super) fn quoted(text: &str) -> String {
    const MOST: usize = 80;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{:?}", format!("{}…", &text[..end])),
        None => format!("{text:?}"),
    }
}

/// A key as messages show it. What does not look like a key may be a value that
/// was written in a key's place.
pub(super) fn shown_key(key: &str) -> impl fmt::Display + '_ {
    let like_a_key = |c: char| c.is_ascii_alphanumeric() || "-_.<".contains(c);
    if key.len() <= 40 && key.chars().all(like_a_key) {
        key
    } else {
        "…"
    }
}
