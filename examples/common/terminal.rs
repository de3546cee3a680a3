//! Makes text safe to print on a terminal: [`printable`].

use std::borrow::Cow;

/// Escapes control characters, which a terminal would obey instead of showing them. Clients
/// choose the names and user agents in events. The escapes are those of JSON.
pub fn printable(line: &str) -> Cow<'_, str> {
    // These also include characters that reverse the direction of writing.
    let is_obeyed = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !line.contains(is_obeyed) {
        return line.into();
    }
    let mut shown = String::with_capacity(line.len());
    for c in line.chars() {
        match is_obeyed(c) {
            true => shown.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => shown.push(c),
        }
    }
    shown.into()
}
