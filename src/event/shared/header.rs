//! The headers of parts: [`Header`].

use super::word::Word;

/// The kind of a text with a header. The value is the first byte of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::event) enum Part {
    /// Something that a manifest refers to. The word is its media type, the number its
    /// size, and the text its digest. The parts that follow up to the next reference are
    /// its own.
    Reference = b'R',
    /// The same of one whose digest is known to need no escaping in JSON.
    PlainReference = b'r',
    /// Id of the event, if it is not a UUID.
    Id = b'I',
    /// Id of the request, if it is not a UUID.
    RequestId = b'J',
    /// Method of the request, if it is not a known one.
    Method = b'H',
    FromRepository = b'F',
    /// The number is `length` of the target, if it is not its size.
    Length = b'L',
    /// The number is the time of acceptance in seconds, if it is not the timestamp.
    AcceptedSeconds = b'S',
    /// Follows the seconds. The number is the nanoseconds.
    AcceptedNanoseconds = b'N',
    /// Media type, if it is not a known one.
    MediaType = b'M',
    Url = b'U',
    AnnotationName = b'A',
    /// Follows its name.
    AnnotationValue = b'V',
    /// In base64.
    Data = b'D',
    /// Of the platform. Present whenever there is a platform, even if empty.
    Architecture = b'C',
    Os = b'O',
    OsVersion = b'P',
    OsFeature = b'Q',
    Variant = b'W',
    ArtifactType = b'T',
}

/// The header of a part, which stands before its text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    part: Part,
    word: Word,
    number: u64,
    /// Bytes of the text.
    length: usize,
    /// How many digits the number and the length have.
    digits: [usize; 2],
}

/// Bytes of the longest header: part and word, the numbers of digits, and the digits.
const LONGEST: usize = 4 + 2 * MOST_DIGITS;
const MOST_DIGITS: usize = u64::BITS.div_ceil(DIGIT_BITS) as usize;

/// Numbers are written in digits of five bits, the lowest first. Zero has none.
const DIGIT_BITS: u32 = 5;
/// The 32 digits are the characters from here on, and so are the numbers of digits.
const ZERO: u8 = b'`';

#[inline(always)]
fn digits(number: u64) -> usize {
    (u64::BITS - number.leading_zeros()).div_ceil(DIGIT_BITS) as usize
}

/// Bytes of a header that is written in one go, aligned, so that it is quickly found to
/// be ASCII.
#[repr(align(16))]
struct Block([u8; 16]);

impl Header {
    #[inline(always)]
    pub(super) fn new(part: Part, word: Word, number: u64, length: usize) -> Self {
        Self {
            part,
            word,
            number,
            length,
            digits: [digits(number), digits(length as u64)],
        }
    }

    /// Returns the bytes that the header takes.
    #[inline(always)]
    pub(super) fn size(&self) -> usize {
        4 + self.digits[0] + self.digits[1]
    }

    /// Appends the header.
    #[inline(always)]
    pub(super) fn write(&self, out: &mut String) {
        let [number, length] = self.digits;
        if number > 8 || length > 4 {
            return self.write_long(out);
        }
        let mut block = Block([ZERO; 16]);
        let counts = [ZERO + number as u8, ZERO + length as u8];
        block.0[..2].copy_from_slice(&[self.part as u8, self.word.to_ascii()]);
        block.0[2..4].copy_from_slice(&counts);
        block.0[4..12].copy_from_slice(&spelled(self.number).to_le_bytes());
        // The digits of the length take the place of those that the number has not.
        let digits = spelled(self.length as u64) as u32;
        block.0[4 + number..8 + number].copy_from_slice(&digits.to_le_bytes());
        // All of it is ASCII.
        let text = str::from_utf8(&block.0).ok();
        out.push_str(
            text.and_then(|it| it.get(..self.size()))
                .unwrap_or_default(),
        );
    }

    /// The same of one with large numbers.
    #[inline(never)]
    fn write_long(&self, out: &mut String) {
        let numbers = [self.number, self.length as u64];
        let mut bytes = [0; LONGEST];
        bytes[..2].copy_from_slice(&[self.part as u8, self.word.to_ascii()]);
        let mut at = 4;
        for ((mut number, digits), count) in numbers.into_iter().zip(self.digits).zip([2, 3]) {
            bytes[count] = ZERO + digits as u8;
            for digit in &mut bytes[at..at + digits] {
                *digit = ZERO + (number & 31) as u8;
                number >>= DIGIT_BITS;
            }
            at += digits;
        }
        // All of it is ASCII.
        out.push_str(str::from_utf8(&bytes[..at]).unwrap_or_default());
    }
}

/// Returns the lowest eight digits of a number. The first is the lowest byte.
#[inline(always)]
fn spelled(number: u64) -> u64 {
    // Parts halves, then pairs of digits, then digits.
    let fours = (number & 0x000f_ffff) | (number & 0x00ff_fff0_0000) << 12;
    let pairs = (fours & 0x0000_03ff_0000_03ff) | (fours & 0x000f_fc00_000f_fc00) << 6;
    let word = (pairs & 0x001f_001f_001f_001f) | (pairs & 0x03e0_03e0_03e0_03e0) << 3;
    word | u64::from_ne_bytes([ZERO; 8])
}

/// Reads a number of so many digits, and returns what is behind it.
#[inline(always)]
pub(super) fn number(text: &[u8], digits: u8) -> Option<(u64, &[u8])> {
    let digits = usize::from(digits.wrapping_sub(ZERO));
    let (number, rest) = text.split_at_checked(digits)?;
    let number = match text.first_chunk::<8>() {
        // Nearly all numbers.
        Some(word) if digits < 8 => low_digits(*word, digits),
        _ => number.iter().rev().fold(0, |number, digit| {
            number << DIGIT_BITS | u64::from(digit.wrapping_sub(ZERO))
        }),
    };
    Some((number, rest))
}

/// Returns the number that the first digits of a word are.
#[inline(always)]
fn low_digits(word: [u8; 8], digits: usize) -> u64 {
    // Without the bytes that are no digits of this number, and the upper bits of digits.
    let word = u64::from_le_bytes(word) & ((1 << (8 * digits)) - 1) & 0x1f1f_1f1f_1f1f_1f1f;
    // Joins two digits, then pairs of them, then pairs of pairs.
    let pairs = (word & 0x001f_001f_001f_001f) | (word >> 3 & 0x03e0_03e0_03e0_03e0);
    let fours = (pairs & 0x0000_03ff_0000_03ff) | (pairs >> 6 & 0x000f_fc00_000f_fc00);
    (fours & 0x000f_ffff) | (fours >> 12 & 0x00ff_fff0_0000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_of_a_header_needs_escaping() {
        let mut out = String::new();
        for word in 0..=u8::MAX {
            for number in [0, u64::from(word), u64::MAX, 0x5555_5555_5555_5555] {
                let word_of = Word::from_ascii(word);
                Header::new(Part::Url, word_of, number, word.into()).write(&mut out);
            }
        }
        assert!(
            out.bytes()
                .all(|it| it.is_ascii() && it >= b' ' && !b"\"\\<>&".contains(&it))
        );
    }
}
