//! JSON to the byte as Go's `encoding/json` writes it: indented by three
//! spaces, or compact.

use std::ops::Range;

/// A JSON text that is being written.
pub(in crate::event) struct Json {
    out: Vec<u8>,
    compact: bool,
    depth: usize,
    /// Whether the innermost object or array is empty so far.
    empty: bool,
    /// The addresses of the text that most values are parts of.
    own: Range<usize>,
    /// The addresses of the bytes in it between the first and the last one which may need
    /// escaping. Most texts have none, and in most others only the `User-Agent` has them,
    /// so that nearly all values are copied without a look.
    odd: Range<usize>,
}

/// The name of a field with the text around it.
///
/// Half of the time of encoding goes into copying short texts. So as few as
/// possible are copied, in blocks of a length that the compiler knows. The bytes
/// of a block that are too many are truncated.
pub(in crate::event) struct Key {
    /// For each depth: a comma, a line end and its spaces, the name, and the quote that a
    /// string begins with.
    pub(in crate::event) indented: [&'static str; DEPTHS],
    /// A comma, the name, and the quote that a string begins with.
    pub(in crate::event) compact: &'static str,
    /// Bytes of the name.
    pub(in crate::event) name: usize,
}

/// Makes a [`Key`] of a name that needs no escaping. Its texts are padded to
/// more than a [`BLOCK`].
macro_rules! key {
    ($name:literal) => {
        $crate::event::format::json::key!(
            $name: "" "   " "      " "         " "            " "               "
            "                  " "                     " "                        "
        )
    };
    ($name:literal: $($spaces:literal)*) => {
        const {
            &$crate::event::format::json::Key {
                indented: [$(concat!(
                    ",\n",
                    $spaces,
                    "\"",
                    $name,
                    "\": \"                                                 "
                )),*],
                compact: concat!(
                    ",\"",
                    $name,
                    "\":\"                                                 "
                ),
                name: $name.len(),
            }
        }
    };
}
pub(in crate::event) use key;

/// The largest depth to which objects and arrays nest in an envelope. The features of the
/// platform of a reference are the innermost.
const DEPTHS: usize = 9;
/// Bytes that are copied at a time.
const BLOCK: usize = 48;
const INDENT: usize = 3;

impl Json {
    /// Creates an empty text that will be part of another one, in which `depth`
    /// objects and arrays enclose it.
    ///
    /// Values that are parts of `own` are searched for characters to escape here, all at
    /// once.
    pub(super) fn new(compact: bool, depth: usize, capacity: usize, own: &str) -> Self {
        let start = own.as_ptr().addr();
        let odd = odd(own.as_bytes());
        Self {
            out: Vec::with_capacity(capacity),
            compact,
            depth,
            empty: true,
            own: start..start + own.len(),
            odd: start + odd.start..start + odd.end,
        }
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
            // The line break before the closing bracket is written as before a first item,
            // without a comma.
            self.empty = true;
            self.next();
        }
        self.empty = false;
        self.out.push(close);
    }

    /// Begins the next item, or the end after the last.
    fn next(&mut self) {
        // A name of which nothing is used.
        self.before(key!(""), 0, 0);
    }

    /// Appends what is written before a field or item: in an indented text a comma, unless
    /// it is the first, a line end and the spaces of the depth, and `indented` bytes of
    /// what follows in the key. In a compact text it is the comma and `compact` bytes.
    #[inline(always)]
    fn before(&mut self, key: &Key, indented: usize, compact: usize) {
        let first = usize::from(self.empty);
        self.empty = false;
        if self.compact {
            return self.append(key.compact, first, 1 + compact);
        }
        let depth = self.depth.min(DEPTHS - 1);
        self.append(key.indented[depth], first, 2 + INDENT * depth + indented);
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
    pub(in crate::event) fn key(&mut self, key: &Key) {
        self.name(key, 0);
    }

    #[inline(always)]
    fn name(&mut self, key: &Key, quote: usize) {
        // Quotes, colon and, unless compact, a space.
        self.before(key, key.name + 4 + quote, key.name + 3 + quote);
    }

    #[inline(always)]
    pub(in crate::event) fn string(&mut self, key: &Key, value: &str) {
        self.text(key, |json| json.value(value));
    }

    /// The same of a value that is a part of the text that was searched, or a known word,
    /// which needs no escaping.
    #[inline(always)]
    pub(super) fn own(&mut self, key: &Key, value: &str) {
        self.text(key, |json| json.own_value(value));
    }

    /// Appends a field whose name may need escaping.
    pub(super) fn entry(&mut self, name: &str, value: &str) {
        self.next();
        quoted(&mut self.out, name);
        self.raw(if self.compact { ":" } else { ": " });
        quoted(&mut self.out, value);
    }

    #[inline(always)]
    pub(in crate::event) fn non_empty(&mut self, key: &Key, value: &str) {
        if !value.is_empty() {
            self.string(key, value);
        }
    }

    /// Appends a field with a string of these parts.
    pub(super) fn joined(&mut self, key: &Key, parts: &[&str]) {
        self.text(key, |json| parts.iter().for_each(|part| json.value(part)));
    }

    /// Appends a field with a string of these parts, which need no escaping.
    pub(super) fn plain(&mut self, key: &Key, parts: &[&str]) {
        self.text(key, |json| parts.iter().for_each(|part| json.raw(part)));
    }

    /// Appends a field with a string that `write` appends escaped.
    #[inline(always)]
    pub(in crate::event) fn bytes(&mut self, key: &Key, write: impl FnOnce(&mut Vec<u8>)) {
        self.text(key, |json| write(&mut json.out));
    }

    #[inline(always)]
    fn text(&mut self, key: &Key, write: impl FnOnce(&mut Self)) {
        self.name(key, 1);
        write(self);
        self.out.push(b'"');
    }

    /// Appends a field with an array of strings, unless there are none.
    pub(super) fn strings<'a>(&mut self, key: &Key, values: impl Iterator<Item = &'a str>) {
        let mut values = values.peekable();
        if values.peek().is_some() {
            self.key(key);
            self.array(values, |json, value| quoted(&mut json.out, value));
        }
    }

    pub(in crate::event) fn number(&mut self, key: &Key, value: u64) {
        self.key(key);
        let mut digits = itoa::Buffer::new();
        self.out.extend_from_slice(digits.format(value).as_bytes());
    }

    /// Appends a field with a number, unless it is 0.
    #[inline(always)]
    pub(super) fn not_zero(&mut self, key: &Key, value: u64) {
        if value > 0 {
            self.number(key, value);
        }
    }

    fn value(&mut self, text: &str) {
        let start = text.as_ptr().addr();
        // No other text can be at these addresses, because the borrowed event lives.
        if self.own.start <= start && start + text.len() <= self.own.end {
            self.own_value(text);
        } else {
            escape(&mut self.out, text);
        }
    }

    fn own_value(&mut self, text: &str) {
        let start = text.as_ptr().addr();
        if start < self.odd.end && self.odd.start < start + text.len() {
            let odd = self.odd.start.saturating_sub(start)..self.odd.end - start;
            escape_in(&mut self.out, text.as_bytes(), odd);
        } else {
            self.out.extend_from_slice(text.as_bytes());
        }
    }
}

/// Returns where the first byte that may have to be escaped is, and the end of the last
/// one.
fn odd(text: &[u8]) -> Range<usize> {
    const BLOCK: usize = 32;
    let is_odd = |byte: &u8| may_need_look(*byte);
    let mut rest = text;
    while let Some((block, after)) = rest.split_first_chunk::<BLOCK>()
        && is_plain(block)
    {
        rest = after;
    }
    if rest.len() < BLOCK {
        // With spaces, which are plain, it is a block too.
        let mut block = [b' '; BLOCK];
        block[..rest.len()].copy_from_slice(rest);
        if is_plain(&block) {
            return 0..0;
        }
    }
    let before = text.len() - rest.len();
    while let Some((before, block)) = rest.split_last_chunk::<BLOCK>()
        && is_plain(block)
    {
        rest = before;
    }
    let first = rest.iter().position(is_odd).unwrap_or(rest.len());
    let end = rest.iter().rposition(is_odd).map_or(first, |last| last + 1);
    before + first..before + end
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
    let text = text.as_bytes();
    escape_in(out, text, odd(text));
}

/// The same where no byte outside of a range needs escaping.
fn escape_in(out: &mut Vec<u8>, text: &[u8], odd: Range<usize>) {
    let mut written = 0;
    for at in odd.start..odd.end.min(text.len()) {
        if NEEDS_LOOK[usize::from(text[at])]
            && let Some(length) = escaped_length(&text[at..])
        {
            out.extend_from_slice(&text[written..at]);
            escape_one(out, &text[at..at + length]);
            written = at + length;
        }
    }
    out.extend_from_slice(&text[written..]);
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
#[inline(always)]
fn is_plain(block: &[u8]) -> bool {
    !block
        .iter()
        .fold(false, |found, byte| found | may_need_look(*byte))
}

/// True for all bytes that need a look and for others that are not ASCII, which costs
/// fewer instructions than to tell them apart.
#[inline(always)]
const fn may_need_look(byte: u8) -> bool {
    ((byte as i8) < 0x20) | (byte & !4 == b'"') | (byte & !2 == b'<') | (byte == b'\\')
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
    fn no_byte_that_needs_a_look_is_overlooked() {
        for byte in 0..=u8::MAX {
            assert!(may_need_look(byte) || !needs_look(byte), "{byte}");
            let is_rare = !byte.is_ascii() || byte < b' ' || b"\"&<>\\".contains(&byte);
            assert_eq!(may_need_look(byte), is_rare, "{byte}");
        }
    }

    #[test]
    fn values_beside_odd_ones_are_copied_and_odd_ones_escaped() {
        let plain = "abc".repeat(30);
        for odd_one in ["\"", "a<b", "\u{2028}", "’", "&x&"] {
            for (before, after) in [(0, 0), (1, 90), (31, 1), (32, 32), (33, 64), (90, 0)] {
                let text = [&plain[..before], odd_one, &plain[..after]].concat();
                let mut json = Json::new(true, 0, 0, &text);
                let (first, rest) = text.split_at(before);
                let (middle, last) = rest.split_at(odd_one.len());
                json.object(|json| {
                    for value in [first, middle, last] {
                        json.string(key!("k"), value);
                    }
                    json.string(key!("k"), "<other>");
                });
                let mut expected = Vec::new();
                for value in [first, middle, last, "<other>"] {
                    expected.extend_from_slice(if expected.is_empty() {
                        b"{\"k\":"
                    } else {
                        b",\"k\":"
                    });
                    quoted(&mut expected, value);
                }
                expected.push(b'}');
                assert_eq!(json.into_bytes(), expected, "{text}");
            }
        }
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
