//! Times as people read them.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// Returns a time in UTC with milliseconds, such as `2026-11-26T08:00:00.000Z`, or `?` if
/// it is before 1970 or after 9999.
pub fn utc(time: SystemTime) -> String {
    let mut text = String::new();
    // It panics before 1970, and fails after 9999.
    let shown =
        time >= UNIX_EPOCH && write!(text, "{}", humantime::format_rfc3339_millis(time)).is_ok();
    if shown { text } else { "?".to_owned() }
}
