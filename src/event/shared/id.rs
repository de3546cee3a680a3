//! Ids of events and requests, as 16 bytes if they are UUIDs.

use super::compact_text::CompactText;
use super::hex;
use crate::event::uuid_v7;

/// Id of an event or of a request. Events keep ids that are UUIDs as 128 bits.
pub type Id<'a> = CompactText<'a, LENGTH>;

/// Bytes of a UUID in its usual spelling.
pub(super) const LENGTH: usize = uuid::fmt::Hyphenated::LENGTH;

/// The bits of a UUID; all zeros if the id is another text.
pub(super) type Bits = [u8; 16];

/// The bits of an id that is not a UUID.
pub(super) const NO_BITS: Bits = [0; 16];

/// Returns the bits of `text` if it is a UUID in its usual spelling, so that
/// [`of`] spells the same text.
pub(super) fn bits(text: &str) -> Bits {
    let Ok(text) = <&[u8; LENGTH]>::try_from(text.as_bytes()) else {
        return NO_BITS;
    };
    let mut digits = [[0; 2]; 16];
    let groups = digits.as_flattened_mut();
    groups[..8].copy_from_slice(&text[..8]);
    groups[8..12].copy_from_slice(&text[9..13]);
    groups[12..16].copy_from_slice(&text[14..18]);
    groups[16..20].copy_from_slice(&text[19..23]);
    groups[20..].copy_from_slice(&text[24..]);
    match hex::read(&digits) {
        Some(bits) if [8, 13, 18, 23].map(|at| text[at]) == [b'-'; 4] => bits,
        _ => NO_BITS,
    }
}

/// Where the two digits of each byte are in the spelling of a UUID.
const DIGITS: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

/// The two digits of each byte.
const SPELLED: [[u8; 2]; 256] = {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        text[byte] = [HEX[byte >> 4], HEX[byte & 15]];
        byte += 1;
    }
    text
};

/// Returns the id of these bits, or `text` if there are none.
pub(super) fn of(bits: Bits, text: &str) -> Id<'_> {
    if bits == NO_BITS {
        return Id::from_text(text);
    }
    let mut text = [b'-'; LENGTH];
    for (byte, at) in bits.into_iter().zip(DIGITS) {
        let [high, low] = SPELLED[usize::from(byte)];
        text[at] = high;
        text[at + 1] = low;
    }
    Id::from_ascii(text)
}

/// Returns the bits of a new UUIDv7 of this time.
pub(super) fn new_bits(since_1970: (i64, u32)) -> Bits {
    uuid_v7::of(since_1970).into_bytes()
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
            prop_assert_eq!(of(uuid.into_bytes(), ""), text.as_str());
            let mut odd = text.clone();
            odd.replace_range(at..=at, other.encode_utf8(&mut [0; 4]));
            prop_assert_eq!(of(bits(&odd), &odd), odd.as_str());
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
            assert_eq!(of(bits, text), text);
            assert_eq!(bits != NO_BITS, text.starts_with("6df24a34-0959-4923-81ca"));
        }
    }
}
