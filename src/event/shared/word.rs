//! Words that many events have, kept as one byte each.

/// A word as a number: a known one, none at all, or one whose text is elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(u8);

impl Word {
    /// The empty text.
    pub(super) const EMPTY: Self = Self(0);
    /// A text that has no number.
    pub(super) const OTHER: Self = Self(MOST);

    /// Returns the word as a character that needs no escaping in JSON.
    pub(super) fn to_ascii(self) -> u8 {
        FIRST + self.0
    }

    /// Returns the word of such a character.
    pub(super) fn from_ascii(character: u8) -> Self {
        Self(character.wrapping_sub(FIRST).min(MOST))
    }
}

/// The character of the empty text. Those that follow it are not quotes, brackets or
/// backslashes.
const FIRST: u8 = b']';
/// The greatest number.
const MOST: u8 = b'~' - FIRST;

/// A known word with bytes behind it, so that it can be copied in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::event) struct PaddedWord {
    pub(in crate::event) bytes: [u8; PADDED],
    pub(in crate::event) length: usize,
}

/// Bytes of the longest word, or more.
const PADDED: usize = 64;

impl PaddedWord {
    const fn new(word: &str) -> Self {
        let word = word.as_bytes();
        let mut bytes = [b' '; PADDED];
        let (text, _) = bytes.split_at_mut(word.len());
        text.copy_from_slice(word);
        let length = word.len();
        Self { bytes, length }
    }
}

/// Defines which number stands for which word. The numbers live in memory
/// only, so they may change from version to version.
macro_rules! words {
    ($of:ident, $text:ident: $($number:literal $word:literal)*) => {
        $(const _: () = assert!($number < MOST);)*

        impl Word {
            pub(super) fn $of(text: &str) -> Self {
                match text {
                    "" => Self::EMPTY,
                    $($word => Self($number),)*
                    _ => Self::OTHER,
                }
            }

            /// Returns the word, or an empty text for [`Word::OTHER`].
            pub(super) const fn $text(self) -> &'static str {
                match self.0 {
                    $($number => $word,)*
                    _ => "",
                }
            }
        }
    };
}

words! { of_method, method:
    1 "GET"
    2 "HEAD"
    3 "PUT"
    4 "POST"
    5 "DELETE"
    6 "PATCH"
}

words! { of_media_type, media_type:
    1 "application/octet-stream"
    2 "application/vnd.oci.image.layer.v1.tar+gzip"
    3 "application/vnd.docker.image.rootfs.diff.tar.gzip"
    4 "application/vnd.oci.image.manifest.v1+json"
    5 "application/vnd.oci.image.index.v1+json"
    6 "application/vnd.docker.distribution.manifest.v2+json"
    7 "application/vnd.docker.distribution.manifest.list.v2+json"
    8 "application/vnd.oci.image.config.v1+json"
    9 "application/vnd.docker.container.image.v1+json"
    10 "application/vnd.oci.image.layer.v1.tar+zstd"
    11 "application/vnd.oci.image.layer.v1.tar"
    12 "application/vnd.oci.empty.v1+json"
    13 "application/vnd.in-toto+json"
    14 "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    15 "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    16 "application/vnd.docker.distribution.manifest.v1+prettyjws"
    17 "application/vnd.docker.distribution.manifest.v1+json"
    18 "application/vnd.docker.plugin.v1+json"
    19 "application/vnd.cncf.helm.config.v1+json"
    20 "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
    21 "application/vnd.dev.cosign.simplesigning.v1+json"
    22 "application/vnd.dev.sigstore.bundle.v0.3+json"
    23 "application/json"
    24 "application/vnd.oci.image.layer.nondistributable.v1.tar"
    25 "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
}

impl Word {
    /// Returns the media type, or an empty text for [`Word::OTHER`].
    #[inline(always)]
    pub(super) fn padded(self) -> &'static PaddedWord {
        static MEDIA_TYPES: [PaddedWord; MOST as usize + 1] = {
            let mut words = [PaddedWord::new(""); MOST as usize + 1];
            let mut number = 0;
            while number < MOST {
                words[number as usize] = PaddedWord::new(Word(number).media_type());
                number += 1;
            }
            words
        };
        &MEDIA_TYPES[usize::from(self.0.min(MOST))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::media_types;

    #[test]
    fn each_number_stands_for_its_word() {
        let mut known = 0;
        for number in 1..MOST {
            let (method, media_type) = (Word(number).method(), Word(number).media_type());
            if !method.is_empty() {
                assert_eq!(Word::of_method(method), Word(number));
            }
            let padded = Word(number).padded();
            assert_eq!(&padded.bytes[..padded.length], media_type.as_bytes());
            if !media_type.is_empty() {
                assert_eq!(Word::of_media_type(media_type), Word(number));
                known += 1;
            }
        }
        assert!(known >= 20);
        assert_eq!(Word::of_media_type(""), Word::EMPTY);
        assert_eq!(Word::of_method("get"), Word::OTHER);
    }

    #[test]
    fn every_media_type_that_has_references_has_a_number() {
        for media_type in [
            media_types::OCI_MANIFEST,
            media_types::OCI_INDEX,
            media_types::DOCKER_MANIFEST,
            media_types::DOCKER_LIST,
        ] {
            assert_ne!(Word::of_media_type(media_type), Word::OTHER);
        }
    }
}
