//! JSON to the byte as Go's `encoding/json` writes it: indented by three
//! spaces, or compact.

use std::io::Write as _;

/// A JSON text in the making.
pub(super) struct Json {
    out: Vec<u8>,
    compact: bool,
    depth: usize,
    /// Nothing stands yet in the innermost object or array.
    empty: bool,
}

/// What stands before a field or item: a comma, unless it is the first; a line
/// end and as many spaces as its depth asks for, unless the text is compact.
const BEFORE: &[u8] = b",\n                                          ";
const INDENT: usize = 3;

impl Json {
    /// A text that will stand `depth` objects and arrays deep in another one.
    pub(super) fn new(compact: bool, depth: usize, capacity: usize) -> Self {
        Self {
            out: Vec::with_capacity(capacity),
            compact,
            depth,
            empty: true,
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    pub(super) fn object(&mut self, fields: impl FnOnce(&mut Self)) {
        self.nest(b'{', b'}', fields);
    }

    pub(super) fn array<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
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
            self.out.extend_from_slice(&BEFORE[1..self.before_end()]);
        }
        self.empty = false;
        self.out.push(close);
    }

    /// Makes room for the next field or item.
    fn next(&mut self) {
        let start = usize::from(self.empty);
        self.out
            .extend_from_slice(&BEFORE[start..self.before_end()]);
        self.empty = false;
    }

    fn before_end(&self) -> usize {
        match self.compact {
            true => 1,
            false => (2 + INDENT * self.depth).min(BEFORE.len()),
        }
    }

    /// The name of a field. What follows must be its value.
    pub(super) fn key(&mut self, name: &str) {
        self.next();
        quoted(&mut self.out, name);
        self.colon();
    }

    fn colon(&mut self) {
        let colon: &[u8] = if self.compact { b":" } else { b": " };
        self.out.extend_from_slice(colon);
    }

    pub(super) fn string(&mut self, name: &str, value: &str) {
        self.key(name);
        quoted(&mut self.out, value);
    }

    pub(super) fn non_empty(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.string(name, value);
        }
    }

    /// A string that is made of parts.
    pub(super) fn joined(&mut self, name: &str, parts: &[&str]) {
        self.text(name, |out| parts.iter().for_each(|part| escape(out, part)));
    }

    /// A string that `write` appends, escaped.
    pub(super) fn text(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.key(name);
        self.out.push(b'"');
        write(&mut self.out);
        self.out.push(b'"');
    }

    pub(super) fn strings(&mut self, name: &str, values: &[String]) {
        if !values.is_empty() {
            self.key(name);
            self.array(values, |json, value| quoted(&mut json.out, value));
        }
    }

    pub(super) fn number(&mut self, name: &str, value: u64) {
        self.key(name);
        let _infallible = write!(self.out, "{value}");
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
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
        return;
    }
    let mut written = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if !needs_look(byte) {
            continue;
        }
        let short: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0x08 => b"\\b",
            0x0c => b"\\f",
            0xe2 => match bytes.get(at + 1..at + 3) {
                Some([0x80, 0xa8]) => b"\\u2028",
                Some([0x80, 0xa9]) => b"\\u2029",
                _ => continue,
            },
            _ => b"",
        };
        out.extend_from_slice(&bytes[written..at]);
        if short.is_empty() {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
        } else {
            out.extend_from_slice(short);
        }
        written = at + if byte == 0xe2 { 3 } else { 1 };
    }
    out.extend_from_slice(&bytes[written..]);
}

/// Is nothing in it that needs a look? Nearly all texts in events are so. The
/// blocks are looked at without a branch, so that the compiler takes all bytes
/// of one at once.
fn is_plain(text: &[u8]) -> bool {
    let (blocks, rest) = text.as_chunks::<16>();
    let block = |block: &[u8; 16]| {
        block
            .iter()
            .fold(false, |found, byte| found | needs_look(*byte))
    };
    !blocks.iter().any(block) && !rest.iter().any(|byte| needs_look(*byte))
}

/// Is it a byte that is escaped, or may begin a character that is (0xE2)?
const fn needs_look(byte: u8) -> bool {
    (byte < 0x20)
        | (byte == b'"')
        | (byte == b'\\')
        | (byte == b'<')
        | (byte == b'>')
        | (byte == b'&')
        | (byte == 0xe2)
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
    fn what_needs_escaping_is_found_wherever_it_stands() {
        for length in 0..50 {
            let mut plain = vec![b'x'; length];
            assert!(is_plain(&plain));
            for at in 0..length {
                plain[at] = b'<';
                assert!(!is_plain(&plain), "{at} of {length}");
                plain[at] = b'x';
            }
        }
    }
}
