//! Strings and numbers in their plainest form, many bytes at a time.

use crate::event::escape;

/// Returns the number of bytes before the first quote, backslash or control character,
/// which ends the plain part of a string.
pub(super) fn plain_length(text: &[u8]) -> usize {
    // A block of bytes is searched without a branch: most of a manifest is strings.
    const BLOCK: usize = 16;
    let mut rest = text;
    while let Some((block, after)) = rest.split_first_chunk::<BLOCK>()
        && is_plain(block)
    {
        rest = after;
    }
    while let Some((bytes, after)) = rest.split_first_chunk() {
        let found = found_in(u64::from_le_bytes(*bytes));
        if found != 0 {
            return text.len() - rest.len() + found.trailing_zeros() as usize / 8;
        }
        rest = after;
    }
    let end = rest.iter().position(|byte| is_end(*byte));
    text.len() - rest.len() + end.unwrap_or(rest.len())
}

/// Bytes of a digest of SHA-256, and of the part of it that is compared in one go.
const DIGEST: usize = 71;
const FIRST: usize = 64;

/// Whether `text` begins with a string of 71 bytes and its quote, which nearly all
/// digests are, and none of the bytes has an escape or needs one where it is written
/// again. Returns those bytes and what is behind the quote.
#[inline(always)]
pub(super) fn split_digest(text: &[u8]) -> Option<(&[u8; DIGEST], &[u8])> {
    let (digest, rest) = text.split_first_chunk::<DIGEST>()?;
    let (quote, rest) = rest.split_first()?;
    // The two overlap, so that each has a length of whole vectors.
    let (first, last) = (digest.first_chunk::<FIRST>()?, digest.last_chunk::<16>()?);
    let is_plain = escape::is_plain(first) && escape::is_plain(last);
    (*quote == b'"' && is_plain).then_some((digest, rest))
}

/// Whether none of the bytes ends the plain part of a string. Has no branch.
#[inline(always)]
fn is_plain<const N: usize>(bytes: &[u8; N]) -> bool {
    !bytes
        .iter()
        .fold(false, |found, byte| found | is_end(*byte))
}

#[inline(always)]
fn is_end(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < b' ')
}

const EACH: u64 = u64::from_ne_bytes([1; 8]);
const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);

/// Returns a word whose lowest bit that is set is in the first byte of `word` that is a
/// quote, a backslash or a control character. Zero if there is none.
fn found_in(word: u64) -> u64 {
    let below = |word: u64, bound: u8| word.wrapping_sub(EACH * u64::from(bound)) & !word;
    let equal = |byte: u8| below(word ^ (EACH * u64::from(byte)), 1);
    (below(word, b' ') | equal(b'"') | equal(b'\\')) & HIGH
}

/// Returns the number that `text` begins with, and what is behind its digits. `None` if
/// it has more digits than always fit into an `i64`.
#[inline(always)]
pub(super) fn leading_number(text: &[u8]) -> Option<(i64, &[u8])> {
    const WORD: usize = 8;
    const POWERS: [u64; WORD + 1] = {
        let mut powers = [1; WORD + 1];
        let mut at = 1;
        while at <= WORD {
            powers[at] = 10 * powers[at - 1];
            at += 1;
        }
        powers
    };
    let (mut rest, mut value) = (text, 0);
    // Two words have at most 16 digits.
    for _ in 0..2 {
        let word = rest.first_chunk::<WORD>().copied();
        let word = word.unwrap_or_else(|| padded(rest));
        let (digits, count) = leading_digits(u64::from_le_bytes(word));
        value = value * POWERS[count] + digits;
        rest = rest.get(count..)?;
        if count < WORD {
            return Some((value.cast_signed(), rest));
        }
    }
    None
}

/// Returns the last bytes of a text, and zeros behind them.
#[cold]
fn padded<const N: usize>(last: &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    let length = last.len().min(N);
    bytes[..length].copy_from_slice(&last[..length]);
    bytes
}

/// Returns the number that the digits are which the bytes of `word` begin with, and how
/// many there are.
#[inline(always)]
fn leading_digits(word: u64) -> (u64, usize) {
    const ZEROS: u64 = EACH * b'0' as u64;
    // The values of digits. Those of other bytes are 10 or more, so that adding to their
    // lower bits sets their highest bit, if it is not set already.
    let values = word ^ ZEROS;
    let others = (((values & !HIGH) + EACH * (0x80 - 10)) | values) & HIGH;
    let count = others.trailing_zeros() as usize / 8;
    if count == 0 {
        return (0, 0);
    }
    // The digits move to the end, so that zeros are before them. The first is the lowest
    // byte. Then tens and ones are joined, then hundreds, then the two halves.
    let digits = values << (8 * (8 - count));
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    let all = (fours * 10_000 + (fours >> 32)) & 0xffff_ffff;
    (all, count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn strings_end_at_the_first_byte_that_may_end_them() {
        for length in 0..40 {
            for at in 0..length {
                for end in [0, 0x1f, b'\n', b'"', b'\\'] {
                    for other in [
                        b' ', b'!', b'#', b'[', b']', 0x7f, 0x80, 0x9f, 0xa2, 0xdc, 0xff,
                    ] {
                        let mut text = vec![other; length];
                        assert_eq!(plain_length(&text), length);
                        text[at] = end;
                        text[(at + 1).min(length - 1)] = end;
                        assert_eq!(plain_length(&text), at);
                    }
                }
            }
        }
    }

    #[test]
    fn a_string_is_taken_for_a_digest_only_if_it_is_plain_and_has_its_length() {
        for end in [0, 0x1f, b'\n', b'"', b'\\', b'<', b'&', 0x80, 0xe2] {
            for at in 0..DIGEST + 1 {
                let mut text = [b'a'; DIGEST + 3];
                assert_eq!(split_digest(&text), None);
                text[DIGEST] = b'"';
                let (digest, rest) = split_digest(&text).unwrap();
                assert_eq!((digest, rest), (&[b'a'; DIGEST], &b"aa"[..]));
                text[at] = end;
                let is_whole = at == DIGEST && end == b'"';
                assert_eq!(split_digest(&text).is_some(), is_whole, "{at} {end}");
                assert_eq!(split_digest(&text[..at]), None);
            }
        }
    }

    proptest! {
        #[test]
        fn numbers_are_read_with_all_of_their_digits(
            number in prop_oneof![any::<u64>(), 0..1_000_000_000_u64, (0..64_u32).prop_map(|it| 1 << it)],
            after in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let mut text = number.to_string().into_bytes();
            text.extend_from_slice(&after);
            let count = text.iter().take_while(|it| it.is_ascii_digit()).count();
            let digits = str::from_utf8(&text[..count]).unwrap();
            match leading_number(&text) {
                Some((read, rest)) => {
                    prop_assert_eq!(Ok(read), digits.parse());
                    prop_assert_eq!(rest, &text[count..]);
                }
                None => prop_assert!(count >= 16),
            }
        }
    }
}
