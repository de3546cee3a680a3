//! Escapes what Go's `encoding/json` escapes in strings.

use std::ops::Range;

/// Bytes that are looked at together.
const BLOCK: usize = 32;
/// Bytes that are looked at together where one of a block may need escaping.
const WORD: usize = 8;

/// Appends `text` as it stands within a JSON string, escaped as Go does: `<`,
/// `>`, `&`, U+2028 and U+2029 are written `\u…`, so that the text can stand in
/// HTML and JavaScript.
pub(super) fn escaped(out: &mut Vec<u8>, text: &str) {
    match is_plain_text(text) {
        true => out.extend_from_slice(text.as_bytes()),
        false => escaped_in(out, text.as_bytes(), 0..text.len()),
    }
}

/// Whether no byte of a text needs escaping.
#[inline]
pub(super) fn is_plain_text(text: &str) -> bool {
    let (blocks, _) = text.as_bytes().as_chunks::<BLOCK>();
    blocks.iter().all(|block| is_plain(block)) && is_plain(&last_block(text.as_bytes()))
}

/// The same where no byte outside of a range needs escaping.
pub(super) fn escaped_in(out: &mut Vec<u8>, text: &[u8], odd: Range<usize>) {
    let (mut written, mut at) = (0, odd.start);
    while at < odd.end.min(text.len()) {
        if let Some(word) = text[at..].first_chunk::<WORD>() {
            at += plain_bytes(*word);
            if at >= text.len() {
                break;
            }
        }
        let length = match NEEDS_LOOK[usize::from(text[at])] {
            true => escaped_length(&text[at..]),
            false => None,
        };
        if let Some(length) = length {
            out.extend_from_slice(&text[written..at]);
            escape_one(out, &text[at..at + length]);
            written = at + length;
        }
        at += length.unwrap_or(1);
    }
    out.extend_from_slice(&text[written..]);
}

/// Returns where the first byte that may have to be escaped is, and the end of the last
/// one.
pub(super) fn may_need_escaping(text: &[u8]) -> Range<usize> {
    let (blocks, _) = text.as_chunks::<BLOCK>();
    let last = last_block(text);
    // A short text has spaces behind it, up to a whole block.
    let after_last = text.len().max(BLOCK);
    let first = blocks.iter().position(|block| !is_plain(block));
    if first.is_none() && is_plain(&last) {
        return 0..0;
    }
    let start = match first {
        Some(number) => BLOCK * number + plain_before(&blocks[number]),
        None => after_last - BLOCK + plain_before(&last),
    };
    let end = match blocks.iter().rposition(|block| !is_plain(block)) {
        Some(number) if is_plain(&last) => BLOCK * (number + 1) - plain_after(&blocks[number]),
        _ => after_last - plain_after(&last),
    };
    start..end
}

/// Returns how many bytes of a block are before the first that may have to be escaped.
fn plain_before(block: &[u8; BLOCK]) -> usize {
    let (words, _) = block.as_chunks::<WORD>();
    let word = words.iter().position(|word| marks(*word) != 0);
    word.map_or(BLOCK, |word| WORD * word + plain_bytes(words[word]))
}

/// Returns how many bytes of a block are after the last that may have to be escaped.
fn plain_after(block: &[u8; BLOCK]) -> usize {
    let (words, _) = block.as_chunks::<WORD>();
    let word = words.iter().rposition(|word| marks(*word) != 0);
    word.map_or(BLOCK, |word| {
        let in_word = marks(words[word]).leading_zeros() as usize / 8;
        BLOCK - WORD * (word + 1) + in_word
    })
}

/// Returns the last block, or all that there is and spaces, which are plain.
fn last_block(text: &[u8]) -> [u8; BLOCK] {
    text.last_chunk().copied().unwrap_or_else(|| {
        let mut block = [b' '; BLOCK];
        block[..text.len()].copy_from_slice(text);
        block
    })
}

/// Returns how many bytes at the beginning need no look.
fn plain_bytes(word: [u8; WORD]) -> usize {
    marks(word).trailing_zeros() as usize / 8
}

/// Marks the bytes that [may need a look](may_need_look) by their highest bit. The first
/// byte is the lowest.
fn marks(word: [u8; WORD]) -> u64 {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGH: u64 = ONES << 7;
    // Marks those that are zero.
    let zeros = |word: u64| !(((word & !HIGH) + !HIGH) | word);
    let word = u64::from_le_bytes(word);
    let is_control = !((word & !HIGH) + 0x60 * ONES);
    let is_quote = zeros((word & !(4 * ONES)) ^ (u64::from(b'"') * ONES));
    let is_angle = zeros((word & !(2 * ONES)) ^ (u64::from(b'<') * ONES));
    let is_backslash = zeros(word ^ (u64::from(b'\\') * ONES));
    (word | is_control | is_quote | is_angle | is_backslash) & HIGH
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
    let (text, length) = match *character {
        [byte] => ESCAPED[usize::from(byte & 0x7f)],
        [_, _, 0xa8] => (*b"\\u2028", 6),
        _ => (*b"\\u2029", 6),
    };
    let length = out.len() + length;
    out.extend_from_slice(&text);
    out.truncate(length);
}

/// How ASCII characters are escaped, each with the length of that.
const ESCAPED: [([u8; 6], usize); 128] = {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut escaped = [([b'\\', b'u', b'0', b'0', 0, 0], 6); 128];
    let mut byte = 0;
    while byte < 128 {
        let short = match byte as u8 {
            letter @ (b'"' | b'\\') => letter,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            _ => 0,
        };
        let (text, length) = &mut escaped[byte];
        if short > 0 {
            text[1] = short;
            *length = 2;
        } else {
            (text[4], text[5]) = (HEX[byte >> 4], HEX[byte & 15]);
        }
        byte += 1;
    }
    escaped
};

/// Whether no byte of a block needs a look, which is true of most. Has no branch,
/// so that the compiler looks at all bytes at once.
#[inline(always)]
pub(super) fn is_plain(block: &[u8]) -> bool {
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
        escaped(
            &mut out,
            "a<b>&\"\\\u{8}\u{c}\n\r\t\u{0}\u{1f}\u{7f}\u{2028}\u{2029}\u{2027}é😀",
        );
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "a\\u003cb\\u003e\\u0026\\\"\\\\\\b\\f\\n\\r\\t\\u0000\\u001f\u{7f}\\u2028\\u2029\u{2027}é😀"
        );
    }

    #[test]
    fn no_byte_that_needs_a_look_is_overlooked() {
        for byte in 0..=u8::MAX {
            assert!(may_need_look(byte) || !needs_look(byte), "{byte}");
            let is_rare = !byte.is_ascii() || byte < b' ' || b"\"&<>\\".contains(&byte);
            assert_eq!(may_need_look(byte), is_rare, "{byte}");
            for at in 0..WORD {
                let mut word = *b"  ~[!#%'";
                word[at] = byte;
                assert_eq!(plain_bytes(word), if is_rare { at } else { WORD }, "{byte}");
            }
        }
    }

    #[test]
    fn what_may_need_escaping_is_found_to_the_byte() {
        for length in 0..100 {
            let plain = vec![b'x'; length];
            assert_eq!(may_need_escaping(&plain), 0..0);
            for first in 0..length {
                for last in [first, first + 1, first + 7, first + 40, length - 1] {
                    if (first..length).contains(&last) {
                        let mut text = plain.clone();
                        (text[first], text[last]) = (b'<', b'\\');
                        assert_eq!(may_need_escaping(&text), first..last + 1, "{length}");
                        let text = String::from_utf8(text).unwrap();
                        assert!(!is_plain_text(&text));
                    }
                }
            }
        }
    }

    #[test]
    fn characters_are_escaped_at_every_position() {
        for length in 0..50 {
            for at in 0..length {
                for (character, expected) in [("<", "\\u003c"), ("\u{2029}", "\\u2029"), ("’", "’")]
                {
                    let [before, after] = [at, length - at].map(|length| "x".repeat(length));
                    let mut out = Vec::new();
                    escaped(&mut out, &[&*before, character, &after].concat());
                    assert_eq!(out, [&*before, expected, &after].concat().as_bytes());
                }
            }
        }
    }
}
