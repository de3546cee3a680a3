//! Ids of events and requests, as 16 bytes if they are UUIDs: [`Id`].

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use crate::event::uuid_v7;

/// Id of an event or of a request, as text.
///
/// Events keep ids that are UUIDs as 128 bits. This type has their text without an
/// allocation. It dereferences to [`str`].
#[derive(Clone, Copy)]
pub struct Id<'a>(Spelling<'a>);

#[derive(Clone, Copy)]
enum Spelling<'a> {
    Uuid([u8; LENGTH]),
    Text(&'a str),
}

pub(in crate::event) const LENGTH: usize = uuid::fmt::Hyphenated::LENGTH;

/// The bits of a UUID; all zeros if the id is another text.
pub(super) type Bits = [u8; 16];

/// The bits of an id that is not a UUID.
pub(super) const NO_BITS: Bits = [0; 16];

/// Where the two digits of each byte are in the spelling of a UUID.
const DIGITS: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

/// The value of each lower-case hexadecimal digit, and [`NO_DIGIT`] for other bytes.
const VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        values[HEX[value as usize] as usize] = value;
        value += 1;
    }
    values
};
const NO_DIGIT: u8 = 0xf0;
const HEX: &[u8; 16] = b"0123456789abcdef";

/// Returns the bits of `text` if it is a UUID in its usual spelling, so that
/// [`Id::new`] spells the same text.
pub(super) fn bits(text: &str) -> Bits {
    let Ok(text) = <&[u8; LENGTH]>::try_from(text.as_bytes()) else {
        return NO_BITS;
    };
    let mut bits = NO_BITS;
    let mut values = 0;
    for (byte, at) in bits.iter_mut().zip(DIGITS) {
        let (high, low) = (VALUES[text[at] as usize], VALUES[text[at + 1] as usize]);
        values |= high | low;
        *byte = high << 4 | low;
    }
    let hyphens = [8, 13, 18, 23].map(|at| text[at]);
    if values & NO_DIGIT != 0 || hyphens != [b'-'; 4] {
        return NO_BITS;
    }
    bits
}

/// The two digits of each byte.
const SPELLED: [[u8; 2]; 256] = {
    let mut spelled = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        spelled[byte] = [HEX[byte >> 4], HEX[byte & 15]];
        byte += 1;
    }
    spelled
};

fn spelled(bits: Bits) -> [u8; LENGTH] {
    let mut text = [b'-'; LENGTH];
    for (byte, at) in bits.into_iter().zip(DIGITS) {
        let [high, low] = SPELLED[usize::from(byte)];
        text[at] = high;
        text[at + 1] = low;
    }
    text
}

/// Returns the bits of a new UUIDv7 of this time.
pub(super) fn new_bits(since_1970: (i64, u32)) -> Bits {
    uuid_v7::of(since_1970).into_bytes()
}

impl<'a> Id<'a> {
    /// Creates the id of these bits, or of `text` if there are none.
    pub(super) fn new(bits: Bits, text: &'a str) -> Self {
        if bits == NO_BITS {
            return Self(Spelling::Text(text));
        }
        Self(Spelling::Uuid(spelled(bits)))
    }

    /// Returns the ASCII text of the id if it is a UUID.
    pub(in crate::event) fn uuid(&self) -> Option<&[u8; LENGTH]> {
        match &self.0 {
            Spelling::Uuid(spelled) => Some(spelled),
            Spelling::Text(_) => None,
        }
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            // The spelling of a UUID is ASCII.
            Spelling::Uuid(spelled) => str::from_utf8(spelled).unwrap_or_default(),
            Spelling::Text(text) => text,
        }
    }
}

impl Deref for Id<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Id<'_> {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Id<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Id<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl PartialEq for Id<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Id<'_> {}

impl PartialEq<str> for Id<'_> {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Id<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialEq<String> for Id<'_> {
    fn eq(&self, other: &String) -> bool {
        self.as_str() == other
    }
}

impl Hash for Id<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl From<Id<'_>> for String {
    fn from(id: Id<'_>) -> Self {
        id.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn uuids_are_spelled_and_read_as_usual(number: u128, at in 0..LENGTH, other: char) {
            let uuid = uuid::Uuid::from_u128(number);
            let text = uuid.to_string();
            prop_assert_eq!(bits(&text), uuid.into_bytes());
            prop_assert_eq!(spelled(uuid.into_bytes()), text.as_bytes());
            let mut odd = text.clone();
            odd.replace_range(at..=at, other.encode_utf8(&mut [0; 4]));
            prop_assert_eq!(&*Id::new(bits(&odd), &odd), &*odd);
        }
    }

    #[test]
    fn every_text_is_spelled_as_it_was() {
        for text in [
            "6df24a34-0959-4923-81ca-14f09767db19",
            "6DF24A34-0959-4923-81CA-14F09767DB19",
            "00000000-0000-0000-0000-000000000000",
            "6df24a340959-4923-81ca-14f09767db19-",
            "6df24a34095949238 1ca14f09767db190000",
            "6df24a3409594923-81ca-14f09767db19",
            "",
            "req-1",
        ] {
            let bits = bits(text);
            assert_eq!(Id::new(bits, text), text);
            assert_eq!(bits != NO_BITS, text.starts_with("6df24a34-0959-4923-81ca"));
        }
    }
}
