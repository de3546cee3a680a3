//! Decodes percent-encoding in paths, and resolves dot segments and repeated slashes.
//!
//! Nothing here allocates except [`resolved`], and every output is at most as long as
//! its input, so a path of any length costs linear time and fits the caller's buffer.

use std::borrow::Cow;

/// Stands for an encoded slash that does not separate segments. Never part of
/// UTF-8, and never the result of [`decode`] for another byte.
pub(super) const ENCODED_SLASH: u8 = 0xff;

/// Whether all readings of the path are the same.
pub(super) fn is_plain(path: &[u8]) -> bool {
    !path.contains(&b'%') && is_resolved(path)
}

/// Whether the path certainly has no dot segments and no repeated slashes.
pub(super) fn is_resolved(path: &[u8]) -> bool {
    // Without an early return this compiles to vector instructions.
    let pairs = path.iter().zip(path.iter().skip(1));
    !pairs.fold(false, |found, (first, second)| {
        found | ((*first == b'/') & ((*second == b'/') | (*second == b'.')))
    })
}

/// Returns the path percent-decoded once, and then without dot segments and repeated
/// slashes.
pub(in crate::layer) fn resolved(path: &str) -> Cow<'_, [u8]> {
    let path = path.as_bytes();
    if is_plain(path) {
        return Cow::Borrowed(path);
    }
    let mut decoded = vec![0; path.len()];
    let length = decode(path, &mut decoded, b'/');
    let mut out = vec![0; length];
    let length = resolve(&decoded[..length], &mut out, true, true);
    out.truncate(length);
    Cow::Owned(out)
}

pub(super) fn has_encoded_slash(path: &[u8]) -> bool {
    path.windows(3).any(|it| it.eq_ignore_ascii_case(b"%2f"))
}

/// Writes `path`, percent-decoded once, to `out` and returns the length. Encoded
/// slashes are written as `slash`.
///
/// Malformed escapes stay as they are, as in Rust's and other lenient decoders.
/// Servers with strict decoders refuse the request.
pub(super) fn decode(path: &[u8], out: &mut [u8], slash: u8) -> usize {
    let mut length = 0;
    let mut rest = path;
    while let [first, after @ ..] = rest {
        rest = after;
        out[length] = *first;
        if let (b'%', Some(byte)) = (*first, escaped(after)) {
            rest = &after[2..];
            out[length] = match byte {
                b'/' => slash,
                // A client that encodes this byte must not pass for an encoded slash.
                // Neither byte is UTF-8, so both become U+FFFD in a name.
                ENCODED_SLASH => 0xfe,
                byte => byte,
            };
        }
        length += 1;
    }
    length
}

/// Returns the byte that two hexadecimal digits at the start of `text` stand for.
fn escaped(text: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let value = 16 * digit(text.first()?)? + digit(text.get(1)?)?;
    u8::try_from(value).ok()
}

/// Writes `path` to `out` with dot segments resolved (`dots`) and repeated
/// slashes merged (`slashes`), and returns the length, which is never greater
/// than that of `path`.
pub(super) fn resolve(path: &[u8], out: &mut [u8], dots: bool, slashes: bool) -> usize {
    let mut length = 0;
    let mut start = 0;
    let mut bytes = path.iter();
    loop {
        let byte = bytes.next();
        if let Some(byte) = byte.filter(|byte| **byte != b'/') {
            out[length] = *byte;
            length += 1;
            continue;
        }
        // A segment ends here. If it is dropped, so is the slash after it, except that
        // the first slash stays: `..` cannot leave the root.
        let dropped = match &out[start..length] {
            b"" => slashes,
            b"." if dots => {
                length = start;
                true
            }
            b".." if dots => {
                let above = &out[..start.saturating_sub(1)];
                let slash = above.iter().rposition(|byte| *byte == b'/');
                length = slash.map_or(0, |slash| slash + 1);
                true
            }
            _ => false,
        };
        let Some(slash) = byte else { return length };
        if !dropped || length == 0 {
            out[length] = *slash;
            length += 1;
        }
        start = length;
    }
}
