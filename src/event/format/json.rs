//! JSON to the byte as Go's `encoding/json` writes it: indented by three
//! spaces, or compact.

/// A JSON text that is being written.
pub(in crate::event) struct Json {
    out: Vec<u8>,
    compact: bool,
    depth: usize,
    /// Whether the innermost object or array is empty so far.
    empty: bool,
    /// Whether no value needs escaping.
    plain: bool,
}

/// The name of a field with the text around it.
///
/// Half of the time of encoding goes into copying short texts. So as few as
/// possible are copied, in blocks of a length that the compiler knows. The bytes
/// of a block that are too many are truncated.
#[derive(Clone, Copy)]
pub(in crate::event) struct Key {
    /// [`SPACES`] spaces, the name, and the quote that a string begins with.
    pub(in crate::event) indented: &'static str,
    /// A comma, the name, and the quote that a string begins with.
    pub(in crate::event) compact: &'static str,
    /// Bytes of the name.
    pub(in crate::event) name: usize,
}

/// Makes a [`Key`] of a name that needs no escaping. Its texts are padded to
/// more than a [`BLOCK`].
macro_rules! key {
    ($name:literal) => {
        $crate::event::format::json::Key {
            indented: concat!(
                "                              \"",
                $name,
                "\": \"                                                "
            ),
            compact: concat!(
                ",\"",
                $name,
                "\":\"                                                "
            ),
            name: $name.len(),
        }
    };
}
pub(in crate::event) use key;

/// Room for a comma and a line end, and for the deepest field of an event.
const SPACES: usize = 30;
/// Bytes that are copied at a time.
const BLOCK: usize = 48;
const INDENT: usize = 3;

impl Json {
    /// Creates an empty text that will be part of another one, in which `depth`
    /// objects and arrays enclose it.
    pub(super) fn new(compact: bool, depth: usize, capacity: usize) -> Self {
        Self {
            out: Vec::with_capacity(capacity),
            compact,
            depth,
            empty: true,
            plain: false,
        }
    }

    /// Promises that no value needs escaping, except those of [`Self::entry`], so
    /// that none is searched.
    pub(super) fn assume_plain(&mut self) {
        self.plain = true;
    }

    /// Appends text as it is, without a comma or a line end.
    pub(super) fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    pub(in crate::event) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    pub(in crate::event) fn object(&mut self, fields: impl FnOnce(&mut Self)) {
        self.nest(b'{', b'}', fields);
    }

    pub(super) fn array<T>(
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

    #[inline(always)]
    fn nest(&mut self, open: u8, close: u8, content: impl FnOnce(&mut Self)) {
        self.out.push(open);
        self.depth += 1;
        self.empty = true;
        content(self);
        self.depth -= 1;
        if !self.empty {
            // As before the first item.
            self.empty = true;
            self.next();
        }
        self.empty = false;
        self.out.push(close);
    }

    /// Begins the next item, or the end after the last.
    fn next(&mut self) {
        // A name of which nothing is used.
        let Key {
            indented, compact, ..
        } = key!("");
        self.before(indented, SPACES, compact, 1);
    }

    /// Appends what is written before a field or item. In an indented text that is
    /// a comma, unless it is the first, a line end, and `indented` up to its end
    /// with the spaces of the depth. In a compact text it is `compact` up to its
    /// end, without the comma if it is the first.
    #[inline(always)]
    fn before(&mut self, indented: &str, indented_end: usize, compact: &str, compact_end: usize) {
        let first = usize::from(self.empty);
        self.empty = false;
        if self.compact {
            return self.append(compact, first, compact_end);
        }
        // The comma and the line end replace two spaces, which saves a copy.
        let spaces = (2 - first + INDENT * self.depth).min(SPACES);
        let start = self.out.len();
        self.append(indented, SPACES - spaces, indented_end);
        let appended = self.out.get_mut(start..).unwrap_or_default();
        match (first, appended) {
            (0, [comma, end, ..]) => (*comma, *end) = (b',', b'\n'),
            (_, [end, ..]) => *end = b'\n',
            _ => {}
        }
    }

    #[inline(always)]
    fn append(&mut self, text: &str, start: usize, end: usize) {
        let text = text.as_bytes();
        let block = text.get(start..).and_then(<[u8]>::first_chunk::<BLOCK>);
        match block {
            Some(block) if end - start <= BLOCK => {
                let length = self.out.len() + end - start;
                self.out.extend_from_slice(block);
                self.out.truncate(length);
            }
            _ => self.out.extend_from_slice(&text[start..end]),
        }
    }

    /// Appends the name of a field. Its value must follow.
    #[inline(always)]
    pub(in crate::event) fn key(&mut self, key: Key) {
        self.name(key, 0);
    }

    #[inline(always)]
    fn name(&mut self, key: Key, quote: usize) {
        let Key {
            indented,
            compact,
            name,
        } = key;
        // Quotes, colon and, unless compact, a space; before it a comma.
        let (indented_end, compact_end) = (SPACES + name + 4, 1 + name + 3);
        self.before(indented, indented_end + quote, compact, compact_end + quote);
    }

    #[inline(always)]
    pub(in crate::event) fn string(&mut self, key: Key, value: &str) {
        self.text(key, |json| json.value(value));
    }

    /// Appends a field whose name may need escaping.
    pub(super) fn entry(&mut self, name: &str, value: &str) {
        self.next();
        quoted(&mut self.out, name);
        self.raw(if self.compact { ":" } else { ": " });
        quoted(&mut self.out, value);
    }

    #[inline(always)]
    pub(in crate::event) fn non_empty(&mut self, key: Key, value: &str) {
        if !value.is_empty() {
            self.string(key, value);
        }
    }

    /// Appends a field with a string of these parts.
    pub(super) fn joined(&mut self, key: Key, parts: &[&str]) {
        self.text(key, |json| parts.iter().for_each(|part| json.value(part)));
    }

    /// Appends a field with a string of these parts, which need no escaping.
    pub(super) fn plain(&mut self, key: Key, parts: &[&str]) {
        self.text(key, |json| parts.iter().for_each(|part| json.raw(part)));
    }

    /// Appends a field with a string that `write` appends escaped.
    #[inline(always)]
    pub(in crate::event) fn bytes(&mut self, key: Key, write: impl FnOnce(&mut Vec<u8>)) {
        self.text(key, |json| write(&mut json.out));
    }

    #[inline(always)]
    fn text(&mut self, key: Key, write: impl FnOnce(&mut Self)) {
        self.name(key, 1);
        write(self);
        self.out.push(b'"');
    }

    /// Appends a field with an array of strings, unless there are none.
    pub(super) fn strings<'a>(&mut self, key: Key, values: impl Iterator<Item = &'a str>) {
        let mut values = values.peekable();
        if values.peek().is_some() {
            self.key(key);
            self.array(values, |json, value| quoted(&mut json.out, value));
        }
    }

    pub(in crate::event) fn number(&mut self, key: Key, value: u64) {
        self.key(key);
        let mut digits = itoa::Buffer::new();
        self.out.extend_from_slice(digits.format(value).as_bytes());
    }

    /// Appends a field with a number, unless it is 0.
    #[inline(always)]
    pub(super) fn not_zero(&mut self, key: Key, value: u64) {
        if value > 0 {
            self.number(key, value);
        }
    }

    fn value(&mut self, text: &str) {
        if self.plain {
            self.out.extend_from_slice(text.as_bytes());
        } else {
            escape(&mut self.out, text);
        }
    }
}

/// Whether no text contains a byte that may have to be escaped.
pub(super) fn are_plain(texts: &[&str]) -> bool {
    // Without a branch within a text, so that many bytes are read at once.
    let look = |found, byte: &u8| found | needs_look(*byte);
    texts
        .iter()
        .all(|text| !text.as_bytes().iter().fold(false, look))
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
