//! Digests of SHA-256, kept as bits.

use super::compact_text::CompactText;
use super::hex;

/// Digest of content, `algorithm:encoded`, or an empty text. Events keep those of SHA-256
/// as 256 bits.
pub type Digest<'a> = CompactText<'a, LENGTH>;

/// Bytes of `sha256:` and 64 digits.
pub(super) const LENGTH: usize = PREFIX.len() + 64;
const PREFIX: &[u8; 7] = b"sha256:";

/// The bits of a digest of SHA-256; all zeros if the digest is another text.
pub(super) type Bits = [u8; 32];

/// The bits of a digest that is not one of SHA-256 in its usual spelling.
pub(super) const NO_BITS: Bits = [0; 32];

/// Returns the bits of `text` if it is a digest of SHA-256 in its usual spelling, so that
/// [`of`] spells the same text.
pub(super) fn bits(text: &str) -> Bits {
    let digits = text.as_bytes().strip_prefix(PREFIX);
    let digits = digits.and_then(|it| it.as_chunks().0.first_chunk());
    match digits.and_then(hex::read) {
        Some(bits) if text.len() == LENGTH => bits,
        _ => NO_BITS,
    }
}

/// Returns the digest of these bits, or `text` if there are none.
pub(super) fn of<'a>(bits: &Bits, text: &'a str) -> Digest<'a> {
    if *bits == NO_BITS {
        return Digest::from_text(text);
    }
    let mut text = [0; LENGTH];
    let (prefix, digits) = text.split_at_mut(PREFIX.len());
    prefix.copy_from_slice(PREFIX);
    digits.copy_from_slice(hex::hex_digits(bits).as_flattened());
    Digest::from_ascii(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_digest_is_spelled_as_it_was(bytes: [u8; 32], at in 0..LENGTH, other: char) {
            let digits: String = bytes.iter().map(|it| format!("{it:02x}")).collect();
            let text = format!("sha256:{digits}");
            prop_assert_eq!(bits(&text), bytes);
            prop_assert_eq!(of(&bytes, ""), text.as_str());
            let mut odd = text.clone();
            odd.replace_range(at..=at, other.encode_utf8(&mut [0; 4]));
            prop_assert_eq!(of(&bits(&odd), &odd), odd.as_str());
        }
    }

    #[test]
    fn other_spellings_and_algorithms_stay_as_they_are() {
        let digits = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for text in [
            String::new(),
            "sha256:".into(),
            "sha256:c0ffee".into(),
            format!("sha256:{digits}0"),
            format!("sha256:{}", &digits[1..]),
            format!("sha256:{}", digits.to_uppercase()),
            format!("SHA256:{digits}"),
            format!("sha512:{digits}{digits}"),
            format!("sha256-{digits}"),
            format!("sha256:{}", "0".repeat(64)),
        ] {
            assert_eq!(bits(&text), NO_BITS, "{text}");
            assert_eq!(of(&NO_BITS, &text), text);
        }
        assert_ne!(bits(&format!("sha256:{digits}")), NO_BITS);
    }
}
