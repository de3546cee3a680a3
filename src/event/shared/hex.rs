//! Hexadecimal digits of many bytes at once: without branches, so that the compiler uses
//! the processor's vector instructions.

/// Returns the two lower-case digits of each byte.
#[inline(always)]
pub(super) fn hex_digits<const N: usize>(bytes: &[u8; N]) -> [[u8; 2]; N] {
    let mut digits = [[0; 2]; N];
    for (pair, byte) in digits.iter_mut().zip(bytes) {
        let byte = u16::from(*byte);
        *pair = (byte >> 4 | (byte & 15) << 8).to_le_bytes();
    }
    for digit in digits.as_flattened_mut() {
        *digit += if *digit < 10 { b'0' } else { b'a' - 10 };
    }
    digits
}

/// Returns the bytes of these digits, unless one of them is no lower-case digit.
#[inline(always)]
pub(super) fn read<const N: usize>(digits: &[[u8; 2]; N]) -> Option<[u8; N]> {
    const NONE: u8 = 0xf0;
    let (mut values, mut all) = (*digits, 0);
    for value in values.as_flattened_mut() {
        let (number, letter) = (value.wrapping_sub(b'0'), value.wrapping_sub(b'a'));
        let letter = if letter < 6 { letter + 10 } else { NONE };
        *value = if number < 10 { number } else { letter };
        all |= *value;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(&values) {
        let pair = u16::from_le_bytes(*pair);
        *byte = (pair << 4 | pair >> 8) as u8;
    }
    (all & NONE == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_spelled_and_read_as_usual() {
        for byte in 0..=u8::MAX {
            let digits = hex_digits(&[byte]);
            assert_eq!(digits.as_flattened(), format!("{byte:02x}").as_bytes());
            assert_eq!(read(&digits), Some([byte]));
            let lower = byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
            for pair in [[byte, b'0'], [b'f', byte]] {
                assert_eq!(read(&[pair]).is_some(), lower, "{byte}");
            }
        }
    }
}
