//! Strings with escapes or invalid UTF-8.

use std::borrow::Cow;

/// Decodes a string whose escapes are well-formed.
pub(super) fn decode(quoted: &[u8]) -> Cow<'_, str> {
    if !quoted.contains(&b'\\')
        && let Ok(text) = std::str::from_utf8(quoted)
    {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(quoted.len());
    let mut rest = quoted;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        push_lossy(&mut text, &rest[..at]);
        let Some((escape, after)) = rest[at + 1..].split_first() else {
            break;
        };
        rest = after;
        text.push(match escape {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => unicode(&mut rest),
            byte => char::from(*byte),
        });
    }
    push_lossy(&mut text, rest);
    Cow::Owned(text)
}

/// Appends bytes as text. As in Go, each byte that is not UTF-8 becomes U+FFFD.
pub(crate) fn push_lossy(text: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
}

/// Decodes the escape whose digits `rest` begins with, together with the one after it if
/// the two are a pair of surrogates.
fn unicode(rest: &mut &[u8]) -> char {
    let Some((first, after)) = rest.split_at_checked(4) else {
        return char::REPLACEMENT_CHARACTER;
    };
    let first = hex(first).unwrap_or_default();
    *rest = after;
    if let Some(character) = char::from_u32(first.into()) {
        return character;
    }
    if let Some((escape, after)) = rest.split_at_checked(6)
        && let Some(second) = escape.strip_prefix(b"\\u").and_then(hex)
        && let Some(Ok(character)) = char::decode_utf16([first, second]).next()
    {
        *rest = after;
        return character;
    }
    char::REPLACEMENT_CHARACTER
}

/// Returns the value of four hexadecimal digits.
pub(super) fn hex(digits: &[u8]) -> Option<u16> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let value = digits
        .iter()
        .try_fold(0, |value, byte| Some(value << 4 | digit(byte)?));
    u16::try_from(value?).ok()
}
