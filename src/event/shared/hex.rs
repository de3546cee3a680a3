//! Hexadecimal digits of many bytes at once: without branches, so that the compiler uses
//! the processor's vector instructions.

/// Returns the two lower-case digits of each byte.
#[inline(always)]
pub(super) fn spell<const N: usize>(bytes: &[u8; N]) -> [[u8; 2]; N] {
    let digit = |value: u8| value + if value < 10 { b'0' } else { b'a' - 10 };
    bytes.map(|byte| [digit(byte >> 4), digit(byte & 15)])
}

/// Returns the bytes of these digits, unless one of them is no lower-case digit.
#[inline(always)]
pub(super) fn read<const N: usize>(digits: &[[u8; 2]; N]) -> Option<[u8; N]> {
    const NONE: u8 = 0xf0;
    let value = |digit: u8| {
        let (number, letter) = (digit.wrapping_sub(b'0'), digit.wrapping_sub(b'a'));
        let letter = if letter < 6 { letter + 10 } else { NONE };
        if number < 10 { number } else { letter }
    };
    let (mut bytes, mut all) = ([0; N], 0);
    for (byte, [high, low]) in bytes.iter_mut().zip(digits) {
        let (high, low) = (value(*high), value(*low));
        all |= high | low;
        *byte = high << 4 | low;
    }
    (all & NONE == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_spelled_and_read_as_usual() {
        for byte in 0..=u8::MAX {
            let digits = spell(&[byte]);
            assert_eq!(digits.as_flattened(), format!("{byte:02x}").as_bytes());
            assert_eq!(read(&digits), Some([byte]));
            let lower = byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
            for pair in [[byte, b'0'], [b'f', byte]] {
                assert_eq!(read(&[pair]).is_some(), lower, "{byte}");
            }
        }
    }
}
