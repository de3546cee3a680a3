//! JSON to the byte as Go's `encoding/json` writes it: indented by three
//! spaces, or compact.

use std::ops::Range;

use super::fragment::{Fragment, LONG, ROWS, SHORT, fragment};
use crate::event::Digest;
use crate::event::escape::{escaped, escaped_in, may_need_escaping};
use crate::event::shared::PaddedWord;

/// A JSON text that is being written.
///
/// Half of the time of encoding goes into copying short texts. So as few as possible are
/// copied, in blocks of a length that the compiler knows. The bytes of a block that are
/// too many are truncated.
pub(in crate::event) struct Json<'a> {
    out: Vec<u8>,
    /// Which of their forms [`Fragment`]s are written in.
    row: usize,
    /// How many bytes the next fragment is to leave out: none after a string, whose last
    /// quote it has; the quote after another value; and the comma too before the first
    /// item of an object or array.
    skip: usize,
    /// The text that most values are parts of.
    own: &'a [u8],
    /// The part of it, in whole blocks, which has bytes that may need escaping. Most texts
    /// have none, and in most others only the `User-Agent` has them, so that nearly all
    /// values are copied without a look.
    odd: Range<usize>,
}

/// Makes the [`Fragment`] that begins a field with a string: a comma, the name, and the
/// quote. The name must need no escaping.
macro_rules! key {
    ($name:literal) => {
        $crate::event::format::fragment::fragment!(concat!("\",\"", $name, "\":\""))
    };
}
pub(in crate::event) use key;

/// A place in a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Bytes before it.
    length: usize,
    /// How many bytes the next fragment leaves out there.
    skip: usize,
}

/// Bytes that values are copied in. Nearly all are shorter.
const VALUE: usize = 32;
/// Bytes of a digest of SHA-256.
const SHA256: usize = 71;

impl<'a> Json<'a> {
    /// Creates an empty text that will be part of another one, in which `depth`
    /// objects and arrays enclose it.
    ///
    /// Values that are parts of `own` are searched for characters to escape here, all at
    /// once.
    pub(super) fn new(compact: bool, depth: usize, capacity: usize, own: &'a str) -> Self {
        Self {
            out: Vec::with_capacity(capacity),
            row: if compact { 0 } else { depth + 1 },
            skip: 1,
            own: own.as_bytes(),
            odd: may_need_escaping(own.as_bytes()),
        }
    }

    /// Appends text as it is.
    pub(super) fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// The same of a text whose length the compiler knows.
    #[inline(always)]
    pub(super) fn fixed<const N: usize>(&mut self, text: &[u8; N]) {
        self.out.extend_from_slice(text);
    }

    pub(in crate::event) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// Appends a constant part of the text.
    #[inline(always)]
    pub(super) fn put(&mut self, fragment: &'static Fragment) {
        self.put_without(fragment, 0);
    }

    /// The same without the last bytes.
    #[inline(always)]
    fn put_without(&mut self, fragment: &'static Fragment, less: usize) {
        let row = self.row.min(ROWS - 1);
        let skip = self.skip & 3;
        let text = &fragment.rows[row][skip..];
        let length = self.out.len() + usize::from(fragment.lengths[row]) - skip - less;
        // Known when this is compiled, and always true.
        if fragment.longest <= SHORT
            && let Some(block) = text.first_chunk::<SHORT>()
        {
            self.out.extend_from_slice(block);
        } else if let Some(block) = text.first_chunk::<LONG>() {
            self.out.extend_from_slice(block);
        }
        self.out.truncate(length);
        self.skip = fragment.skip;
        if row > 0 {
            self.row = self.row.wrapping_add_signed(fragment.opens);
        }
    }

    /// Appends an object as the value of a key, as an item, or alone.
    pub(in crate::event) fn object(&mut self, fields: impl FnOnce(&mut Self)) {
        self.put(fragment!("\"{"));
        fields(self);
        self.end_object();
    }

    /// Ends an object that a fragment has begun.
    pub(super) fn end_object(&mut self) {
        self.end(fragment!("\"}"), b'}');
    }

    pub(super) fn array<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.put(fragment!("\"["));
        for item in items {
            self.put(fragment!("\","));
            write(self, item);
        }
        self.end_array();
    }

    /// Ends an array that a fragment has begun.
    pub(super) fn end_array(&mut self) {
        self.end(fragment!("\"]"), b']');
    }

    #[inline(always)]
    fn end(&mut self, fragment: &'static Fragment, bracket: u8) {
        if self.skip < 2 {
            return self.put(fragment);
        }
        // It is empty.
        self.out.push(bracket);
        self.skip = 1;
        if self.row > 0 {
            self.row -= 1;
        }
    }

    /// Appends the name of a field. Its value must follow.
    #[inline(always)]
    pub(in crate::event) fn key(&mut self, key: &'static Fragment) {
        // Without the quote.
        self.put_without(key, 1);
        self.skip = 1;
    }

    #[inline(always)]
    pub(in crate::event) fn string(&mut self, key: &'static Fragment, value: &str) {
        self.put(key);
        self.value(value);
    }

    /// Appends a field whose name may need escaping.
    pub(super) fn entry(&mut self, name: &str, value: &str) {
        self.put(fragment!("\",\""));
        escaped(&mut self.out, name);
        self.put(fragment!("\":\""));
        escaped(&mut self.out, value);
    }

    #[inline(always)]
    pub(in crate::event) fn non_empty(&mut self, key: &'static Fragment, value: &str) {
        if !value.is_empty() {
            self.string(key, value);
        }
    }

    /// Appends a field with a string of these parts.
    pub(super) fn joined(&mut self, key: &'static Fragment, parts: &[&str]) {
        self.put(key);
        parts.iter().for_each(|part| self.value(part));
    }

    /// Appends a field with a string of these parts, which need no escaping.
    #[inline(always)]
    pub(super) fn plain(&mut self, key: &'static Fragment, parts: &[&str]) {
        self.put(key);
        parts.iter().for_each(|part| self.raw(part));
    }

    /// Appends a field with a string that `write` appends escaped.
    #[inline(always)]
    pub(in crate::event) fn bytes(
        &mut self,
        key: &'static Fragment,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        self.put(key);
        write(&mut self.out);
    }

    /// Appends a field with an array of strings, unless there are none.
    pub(super) fn strings<'b>(
        &mut self,
        key: &'static Fragment,
        values: impl Iterator<Item = &'b str>,
    ) {
        let mut values = values.peekable();
        if values.peek().is_some() {
            self.key(key);
            self.put(fragment!("\"["));
            for value in values {
                self.put(fragment!("\",\""));
                escaped(&mut self.out, value);
            }
            self.end_array();
        }
    }

    #[inline(always)]
    pub(in crate::event) fn number(&mut self, key: &'static Fragment, value: u64) {
        self.key(key);
        self.digits(&Digits::of(value));
    }

    /// Appends a number.
    #[inline(always)]
    pub(super) fn digits(&mut self, digits: &Digits) {
        if let Some(rest) = &digits.large {
            return self.large(rest, digits);
        }
        let length = self.out.len() + digits.count;
        self.fixed(&digits.last);
        self.out.truncate(length);
    }

    /// The same of one that has more than eight digits.
    #[inline(never)]
    fn large(&mut self, first: &u64, digits: &Digits) {
        self.digits(&Digits::of(*first));
        self.fixed(&digits.last);
    }

    /// Appends a field with a number, unless it is 0.
    #[inline(always)]
    pub(super) fn not_zero(&mut self, key: &'static Fragment, value: u64) {
        if value > 0 {
            self.number(key, value);
        }
    }

    /// Returns the place that the text is at.
    #[inline(always)]
    pub(super) fn place(&self) -> Place {
        Place {
            length: self.out.len(),
            skip: self.skip,
        }
    }

    /// Appends what is between two places once more, of which the second is within a
    /// string. Both must be in the same array as this place. Appends nothing and returns
    /// false if what is before the first place has another end than what is before this.
    #[inline(always)]
    pub(super) fn repeat(&mut self, [from, to]: [Place; 2]) -> bool {
        let is_same = from.skip == self.skip;
        if is_same {
            self.out.extend_from_within(from.length..to.length);
            self.skip = to.skip;
        }
        is_same
    }

    /// Appends a known word.
    #[inline(always)]
    pub(super) fn word(&mut self, word: &PaddedWord) {
        let length = self.out.len() + word.length;
        self.out.extend_from_slice(&word.bytes);
        self.out.truncate(length);
    }

    /// Appends the digest of a reference within a string. `is_plain` says that it is known
    /// to need no escaping.
    #[inline(always)]
    pub(super) fn reference_digest(&mut self, digest: &str, is_plain: bool) {
        match digest.as_bytes().first_chunk::<SHA256>() {
            Some(sha256) if is_plain && digest.len() == SHA256 => self.fixed(sha256),
            _ => escaped(&mut self.out, digest),
        }
    }

    /// Appends a digest within a string.
    #[inline(always)]
    pub(super) fn digest(&mut self, digest: &Digest<'_>) {
        match digest.as_ascii() {
            Some(sha256) => self.fixed(sha256),
            None => self.value(digest),
        }
    }

    /// Appends a text within a string, escaped.
    #[inline]
    pub(super) fn value(&mut self, text: &str) {
        // No other text can be at these addresses, because the borrowed event lives. One
        // that is before it is a great distance behind it.
        let start = text.as_ptr().addr().wrapping_sub(self.own.as_ptr().addr());
        let end = start.wrapping_add(text.len());
        if start > self.own.len() || end > self.own.len() {
            return escaped(&mut self.out, text);
        }
        if start < self.odd.end && self.odd.start < end {
            return self.escape_own(start, end);
        }
        match self.own.get(start..).and_then(<[u8]>::first_chunk::<VALUE>) {
            Some(block) if text.len() <= VALUE => {
                let length = self.out.len() + text.len();
                self.out.extend_from_slice(block);
                self.out.truncate(length);
            }
            _ => self.out.extend_from_slice(text.as_bytes()),
        }
    }

    #[inline(never)]
    fn escape_own(&mut self, start: usize, end: usize) {
        let odd = self.odd.start.saturating_sub(start)..self.odd.end - start;
        escaped_in(&mut self.out, &self.own[start..end], odd);
    }
}

/// A number in decimal.
pub(super) struct Digits {
    /// Its digits without leading zeros, if they are eight or less. Otherwise the last
    /// eight.
    last: [u8; 8],
    count: usize,
    /// What is before the last eight digits, unless it is 0.
    large: Option<u64>,
}

impl Digits {
    #[inline(always)]
    pub(super) fn of(number: u64) -> Self {
        const WORD: u64 = 100_000_000;
        if number < WORD {
            let digits = eight(number);
            // One digit stays, even of 0.
            let zeros = (digits | 1 << 56).trailing_zeros() & !7;
            return Self {
                last: ((digits >> zeros) | ZEROS).to_le_bytes(),
                count: 8 - zeros as usize / 8,
                large: None,
            };
        }
        Self {
            last: (eight(number % WORD) | ZEROS).to_le_bytes(),
            count: 8,
            large: Some(number / WORD),
        }
    }
}

/// Eight times the digit 0.
const ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);

/// Returns the values of the eight digits of a number. The first is the lowest byte.
#[inline(always)]
fn eight(number: u64) -> u64 {
    // Parts the halves, then hundreds, then tens, each of all at once. Instead of a
    // division there is a multiplication that gives the same for numbers so small.
    let halves = (number / 10_000) | (number % 10_000) << 32;
    let hundreds = ((halves * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let pairs = hundreds | (halves - 100 * hundreds) << 16;
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | (pairs - 10 * tens) << 8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimal(number: u64) -> String {
        let mut json = Json::new(true, 0, 0, "");
        json.digits(&Digits::of(number));
        String::from_utf8(json.into_bytes()).unwrap()
    }

    #[test]
    fn numbers_of_up_to_five_digits_and_powers_of_ten_are_written_in_decimal() {
        let powers = (0..20).map(|power| 10_u64.pow(power));
        let powers = powers.flat_map(|power| [power - 1, power, power + 1]);
        for number in (0..100_000).chain(powers).chain([u64::MAX]) {
            assert_eq!(decimal(number), number.to_string());
        }
    }

    proptest! {
        #[test]
        fn numbers_are_written_in_decimal(number: u64, digits in 1..20_u32) {
            let number = number % 10_u64.pow(digits);
            prop_assert_eq!(decimal(number), number.to_string());
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
                        &b"{\"k\":\""[..]
                    } else {
                        b",\"k\":\""
                    });
                    escaped(&mut expected, value);
                    expected.push(b'"');
                }
                expected.push(b'}');
                assert_eq!(json.into_bytes(), expected, "{text}");
            }
        }
    }
}
