//! JSON to the byte as Go's `encoding/json` writes it: indented by three
//! spaces, or compact.

/// A JSON text that is being written.
pub(in crate::event) struct Json {
    out: Vec<u8>,
    compact: bool,
    depth: usize,
    /// Whether the innermost object or array is empty so far.
    empty: bool,
}

/// What is written before a field or item: a comma, unless it is the first, then
/// a line end and the spaces of its depth, unless the text is compact.
const BEFORE: &[u8] = b",\n                                          ";
const INDENT: usize = 3;

impl Json {
    /// Creates an empty text that will be part of another one, in which `depth`
    /// objects and arrays enclose it.
    pub(in crate::event) fn new(compact: bool, depth: usize, capacity: usize) -> Self {
        Self {
            out: Vec::with_capacity(capacity),
            compact,
            depth,
            empty: true,
        }
    }

    /// Appends text as it is, without a comma or a line end.
    pub(in crate::event) fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    pub(in crate::event) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    pub(in crate::event) fn object(&mut self, fields: impl FnOnce(&mut Self)) {
        self.nest(b'{', b'}', fields);
    }

    pub(in crate::event) fn array<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.nest(b'[', b']', |json| {
            for item in items {
                json.next();
                write(json, item);
            }
        });
    }

    fn nest(&mut self, open: u8, close: u8, content: impl FnOnce(&mut Self)) {
        self.out.push(open);
        self.depth += 1;
        self.empty = true;
        content(self);
        self.depth -= 1;
        if !self.empty {
            self.before(1);
        }
        self.empty = false;
        self.out.push(close);
    }

    /// Begins the next field or item.
    fn next(&mut self) {
        let start = usize::from(self.empty);
        self.before(start);
        self.empty = false;
    }

    /// Appends [`BEFORE`] from `start` on. Copying all of it and truncating is
    /// faster than copying a length that the compiler does not know.
    fn before(&mut self, start: usize) {
        let end = match self.compact {
            true => 1,
            false => (2 + INDENT * self.depth).min(BEFORE.len()),
        };
        let length = self.out.len() + end - start;
        let all = if start == 0 { BEFORE } else { &BEFORE[1..] };
        self.out.extend_from_slice(all);
        self.out.truncate(length);
    }

    /// Appends the name of a field, which needs no escaping. Its value must follow.
    /// Inlined so that the compiler knows the length of the name: a third of the
    /// time goes into copying short texts.
    #[inline(always)]
    pub(in crate::event) fn key(&mut self, name: &'static str) {
        self.next();
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.colon();
    }

    fn colon(&mut self) {
        let colon: &[u8] = if self.compact { b"\":" } else { b"\": " };
        self.out.extend_from_slice(colon);
    }

    #[inline(always)]
    pub(in crate::event) fn string(&mut self, name: &'static str, value: &str) {
        self.key(name);
        quoted(&mut self.out, value);
    }

    /// Appends a field whose name may need escaping.
    pub(in crate::event) fn entry(&mut self, name: &str, value: &str) {
        self.next();
        self.out.push(b'"');
        escape(&mut self.out, name);
        self.colon();
        quoted(&mut self.out, value);
    }

    #[inline(always)]
    pub(in crate::event) fn non_empty(&mut self, name: &'static str, value: &str) {
        if !value.is_empty() {
            self.string(name, value);
        }
    }

    /// Appends a field with a string of these parts.
    pub(in crate::event) fn joined(&mut self, name: &'static str, parts: &[&str]) {
        self.text(name, |out| parts.iter().for_each(|part| escape(out, part)));
    }

    /// Appends a field with a string of these parts, which need no escaping.
    pub(in crate::event) fn plain(&mut self, name: &'static str, parts: &[&str]) {
        self.text(name, |out| {
            let parts = parts.iter();
            parts.for_each(|part| out.extend_from_slice(part.as_bytes()));
        });
    }

    /// Appends a field with a string that `write` appends escaped.
    pub(in crate::event) fn text(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>)) {
        self.key(name);
        self.out.push(b'"');
        write(&mut self.out);
        self.out.push(b'"');
    }

    /// Appends a field with an array of strings, unless there are none.
    pub(in crate::event) fn strings<'a>(
        &mut self,
        name: &'static str,
        values: impl Iterator<Item = &'a str>,
    ) {
        let mut values = values.peekable();
        if values.peek().is_some() {
            self.key(name);
            self.array(values, |json, value| quoted(&mut json.out, value));
        }
    }

    pub(in crate::event) fn number(&mut self, name: &'static str, value: u64) {
        self.key(name);
        let mut digits = itoa::Buffer::new();
        self.out.extend_from_slice(digits.format(value).as_bytes());
    }
}

fn quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    escape(out, text);
    out.push(b'"');
}

/// Appends `text` as it stands within a JSON string, escaped as Go does: `<`,
/// `>`, `&`, U+2028 and U+2029 are written `\u…`, so that the text can stand in
/// HTML and JavaScript.
fn escape(out: &mut Vec<u8>, text: &str) {
    const BLOCK: usize = 16;
    let bytes = text.as_bytes();
    let mut written = 0;
    for (number, block) in bytes.chunks(BLOCK).enumerate() {
        if <[u8; BLOCK]>::try_from(block).is_ok_and(is_plain) {
            continue;
        }
        for (at, &byte) in (BLOCK * number..).zip(block) {
            if NEEDS_LOOK[usize::from(byte)]
                && let Some(length) = escaped_length(&bytes[at..])
            {
                out.extend_from_slice(&bytes[written..at]);
                escape_one(out, &bytes[at..at + length]);
                written = at + length;
            }
        }
    }
    out.extend_from_slice(&bytes[written..]);
}

/// Returns the length of the first character of `bytes`, if it is escaped.
fn escaped_length(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [0xe2, 0x80, 0xa8 | 0xa9, ..] => Some(3),
        [0xe2, ..] => None,
        _ => Some(1),
    }
}

fn escape_one(out: &mut Vec<u8>, character: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short: &[u8] = match *character {
        [b'"'] => b"\\\"",
        [b'\\'] => b"\\\\",
        [b'\n'] => b"\\n",
        [b'\r'] => b"\\r",
        [b'\t'] => b"\\t",
        [0x08] => b"\\b",
        [0x0c] => b"\\f",
        [_, _, 0xa8] => b"\\u2028",
        [_, _, 0xa9] => b"\\u2029",
        [byte] => &[
            b'\\',
            b'u',
            b'0',
            b'0',
            HEX[usize::from(byte >> 4)],
            HEX[usize::from(byte & 15)],
        ],
        _ => character,
    };
    out.extend_from_slice(short);
}

/// Whether no byte of a block needs a look, which is true of most. Has no branch,
/// so that the compiler looks at all bytes at once.
fn is_plain<const N: usize>(block: [u8; N]) -> bool {
    !block
        .iter()
        .fold(false, |found, byte| found | needs_look(*byte))
}

const NEEDS_LOOK: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = needs_look(byte as u8);
        byte += 1;
    }
    table
};

/// Whether a byte is escaped (control characters, `"`, `&`, `<`, `>`, `\`) or may
/// begin a character that is (0xE2).
const fn needs_look(byte: u8) -> bool {
    // `"` and `&` differ in one bit, and so do `<` and `>`.
    (byte < 0x20) | (byte & !4 == b'"') | (byte & !2 == b'<') | (byte == b'\\') | (byte == 0xe2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_go_does() {
        let mut out = Vec::new();
        quoted(
            &mut out,
            "a<b>&\"\\\u{8}\u{c}\n\r\t\u{0}\u{1f}\u{7f}\u{2028}\u{2029}\u{2027}é😀",
        );
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\"a\\u003cb\\u003e\\u0026\\\"\\\\\\b\\f\\n\\r\\t\\u0000\\u001f\u{7f}\\u2028\\u2029\u{2027}é😀\""
        );
    }

    #[test]
    fn characters_are_escaped_at_every_position() {
        for length in 0..50 {
            for at in 0..length {
                for (character, escaped) in [("<", "\\u003c"), ("\u{2029}", "\\u2029"), ("’", "’")]
                {
                    let [before, after] = [at, length - at].map(|length| "x".repeat(length));
                    let mut out = Vec::new();
                    escape(&mut out, &[&*before, character, &after].concat());
                    assert_eq!(out, [&*before, escaped, &after].concat().as_bytes());
                }
            }
        }
    }
}
