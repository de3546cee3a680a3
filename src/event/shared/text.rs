//! The layout of an event's one text.
//!
//! First come the [`Field`]s that every event has a place for, one after the other. The
//! event has a table of their ends. They are followed by the [`Part`]s that few events
//! have, and by the references with their own parts. Each part begins with a header,
//! which is also text: the kind of the part, a word, a number and the length of the text
//! that follows. In this form a reference takes about a dozen bytes in addition to its
//! digest, and a whole event takes one allocation.
//!
//! No character of a header needs escaping in JSON, so that the text as a whole can be
//! searched for those that do.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::word::Word;
use crate::event::Descriptor;
use crate::event::escape::is_plain_text;
use crate::event::reference::Details;

/// Texts that every event has a place for, in their order. Those of the
/// [`Origin`](super::Origin) come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) enum Field {
    Addr,
    Host,
    UserAgent,
    TraceParent,
    /// The beginning of the URL, or all of it. See [`Url`](super::Url).
    Url,
    Actor,
    Repository,
    Tag,
    /// Digest, if it is not one of SHA-256.
    Digest,
}

/// How many fields there are, and how many of them belong to the origin.
pub(super) const FIELDS: usize = 9;
pub(super) const ORIGIN_FIELDS: usize = 6;

/// The number of bytes of text that an event may have, so that offsets fit. A
/// text that would exceed it is left out. It is lower in tests, which exceed it.
pub(super) const LIMIT: usize = if cfg!(test) {
    1 << 20
} else {
    u32::MAX as usize
};

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
    fn new(part: Part, word: Word, number: u64, length: usize) -> Self {
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
    fn size(&self) -> usize {
        4 + self.digits[0] + self.digits[1]
    }

    /// Appends the header.
    #[inline(always)]
    fn write(&self, out: &mut String) {
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
fn number(text: &[u8], digits: u8) -> Option<(u64, &[u8])> {
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

/// A part with its text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'a> {
    /// The first byte of its header.
    part: u8,
    pub(super) word: Word,
    pub(super) number: u64,
    pub(super) text: &'a str,
}

impl Item<'_> {
    pub(super) fn is(&self, part: Part) -> bool {
        self.part == part as u8
    }
}

/// Consecutive parts: an iterator over them.
#[derive(Clone, Copy, Debug)]
pub(in crate::event) struct Parts<'a>(pub(super) &'a str);

impl<'a> Parts<'a> {
    pub(in crate::event) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the parts that begin with the first field that few descriptors have. Such
    /// fields come last.
    pub(super) fn rare(mut self) -> Self {
        const OTHERS: [u8; 8] = [
            Part::Id as u8,
            Part::RequestId as u8,
            Part::Method as u8,
            Part::FromRepository as u8,
            Part::Length as u8,
            Part::AcceptedSeconds as u8,
            Part::AcceptedNanoseconds as u8,
            Part::MediaType as u8,
        ];
        while let Some(part) = self.0.as_bytes().first()
            && OTHERS.contains(part)
            && self.next().is_some()
        {}
        self
    }

    /// Whether the next part is a reference.
    fn is_at_reference(self) -> bool {
        const REFERENCES: [u8; 2] = [Part::Reference as u8, Part::PlainReference as u8];
        { self.0.as_bytes().first() }.is_some_and(|part| REFERENCES.contains(part))
    }

    /// Removes and returns the next part.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Item<'a>> {
        let (&[part, word, number_digits, length_digits], rest) =
            self.0.as_bytes().split_first_chunk()?;
        let (value, rest) = number(rest, number_digits)?;
        let (length, rest) = number(rest, length_digits)?;
        let start = self.0.len() - rest.len();
        let (text, rest) = self.0.get(start..)?.split_at_checked(length as usize)?;
        self.0 = rest;
        Some(Item {
            part,
            word: Word::from_ascii(word),
            number: value,
            text,
        })
    }

    /// Removes and returns the parts up to the next reference.
    #[inline]
    pub(super) fn split_own(&mut self) -> Self {
        let all = self.0;
        while !self.is_empty() && !self.is_at_reference() {
            // A part that cannot be read ends the list. The writer never makes one.
            if self.next().is_none() {
                self.0 = "";
            }
        }
        Self(&all[..all.len() - self.0.len()])
    }

    pub(super) fn items(mut self) -> impl Iterator<Item = Item<'a>> {
        std::iter::from_fn(move || self.next())
    }

    /// Returns the texts of one part, in order.
    pub(in crate::event) fn of(self, part: Part) -> impl Iterator<Item = &'a str> + use<'a> {
        let items = self.items().filter(move |item| item.is(part));
        items.map(|item| item.text)
    }

    pub(in crate::event) fn first(self, part: Part) -> Option<&'a str> {
        self.of(part).next()
    }

    /// Returns the number of the first of one part.
    pub(in crate::event) fn number(self, part: Part) -> Option<u64> {
        let item = self.items().find(|item| item.is(part));
        item.map(|item| item.number)
    }

    pub(super) fn media_type(self, word: Word) -> &'a str {
        match word {
            Word::OTHER => self.first(Part::MediaType).unwrap_or_default(),
            known => known.media_type(),
        }
    }
}

/// Receives texts. Everything is written twice: first to a [`Measure`], then to a
/// [`String`] of exactly that size.
pub(super) trait Out {
    /// Returns the number of bytes of text so far.
    fn length(&self) -> usize;
    fn append(&mut self, text: &str);
    fn append_header(&mut self, header: Header);
    fn append_base64(&mut self, data: &[u8], length: usize);

    /// Appends `text` if it fits, and returns the end of the text.
    fn text(&mut self, text: &str) -> u32 {
        if text.len() <= LIMIT - self.length() {
            self.append(text);
        }
        u32::try_from(self.length()).unwrap_or(u32::MAX)
    }

    /// Appends a header, without the text if that does not fit, and returns whether the
    /// text is to follow.
    fn header(&mut self, part: Part, word: Word, number: u64, length: usize) -> bool {
        let mut header = Header::new(part, word, number, length);
        let room = LIMIT - self.length();
        let fits = length <= room && header.size() <= room - length;
        if !fits {
            header = Header::new(part, word, number, 0);
            if header.size() > room {
                return false;
            }
        }
        self.append_header(header);
        fits
    }

    fn part(&mut self, part: Part, text: &str) {
        if self.header(part, Word::EMPTY, 0, text.len()) {
            self.append(text);
        }
    }

    fn part_unless_empty(&mut self, part: Part, text: &str) {
        if !text.is_empty() {
            self.part(part, text);
        }
    }

    fn number(&mut self, part: Part, number: u64) {
        self.header(part, Word::EMPTY, number, 0);
    }

    /// Appends the media type of a descriptor, if it is not a known one.
    fn media_type(&mut self, word: Word, text: &str) {
        if word == Word::OTHER {
            self.part(Part::MediaType, text);
        }
    }

    /// Appends the fields that few descriptors have, in the order of the wire.
    fn rare(&mut self, descriptor: &Descriptor) {
        for url in &descriptor.urls {
            self.part(Part::Url, url);
        }
        for (name, value) in &descriptor.annotations {
            self.part(Part::AnnotationName, name);
            self.part(Part::AnnotationValue, value);
        }
        self.data(&descriptor.data);
        if let Some(platform) = &descriptor.platform {
            self.part(Part::Architecture, &platform.architecture);
            self.part_unless_empty(Part::Os, &platform.os);
            self.part_unless_empty(Part::OsVersion, &platform.os_version);
            for feature in &platform.os_features {
                self.part(Part::OsFeature, feature);
            }
            self.part_unless_empty(Part::Variant, &platform.variant);
        }
        self.part_unless_empty(Part::ArtifactType, &descriptor.artifact_type);
    }

    /// The same of a reference in a manifest that was read.
    fn details(&mut self, details: &Details<'_>) {
        for url in details.urls.as_slice() {
            self.part(Part::Url, url);
        }
        for (name, value) in &details.annotations {
            self.part(Part::AnnotationName, name);
            self.part(Part::AnnotationValue, value);
        }
        self.data(details.data.as_slice());
        if let Some(platform) = &details.platform {
            self.part(Part::Architecture, &platform.architecture);
            self.part_unless_empty(Part::Os, &platform.os);
            self.part_unless_empty(Part::OsVersion, &platform.os_version);
            for feature in platform.os_features.as_slice() {
                self.part(Part::OsFeature, feature);
            }
            self.part_unless_empty(Part::Variant, &platform.variant);
        }
        self.part_unless_empty(Part::ArtifactType, &details.artifact_type);
    }

    fn data(&mut self, data: &[u8]) {
        let length = base64::encoded_len(data.len(), true).unwrap_or(usize::MAX);
        if !data.is_empty() && self.header(Part::Data, Word::EMPTY, 0, length) {
            self.append_base64(data, length);
        }
    }

    /// Appends a reference with nothing but media type, digest and size.
    fn plain_reference(&mut self, media_type: &str, digest: &str, size: u64) {
        let word = Word::of_media_type(media_type);
        self.reference_of(word, media_type, digest, size, false);
    }

    /// The same where the word of the media type is known. `is_plain` says that the digest
    /// is known to need no escaping.
    #[inline(always)]
    fn reference_of(
        &mut self,
        word: Word,
        media_type: &str,
        digest: &str,
        size: u64,
        is_plain: bool,
    ) {
        // Equal references have equal texts, whatever was known of them.
        let part = match is_plain || is_plain_text(digest) {
            true => Part::PlainReference,
            false => Part::Reference,
        };
        if self.header(part, word, size, digest.len()) {
            self.append(digest);
        }
        self.media_type(word, media_type);
    }

    fn reference(&mut self, descriptor: &Descriptor) {
        let Descriptor {
            media_type,
            digest,
            size,
            ..
        } = descriptor;
        self.plain_reference(media_type, digest, *size);
        self.rare(descriptor);
    }
}

/// Counts what would be written.
#[derive(Debug, Default)]
pub(super) struct Measure(pub(super) usize);

impl Out for Measure {
    fn length(&self) -> usize {
        self.0
    }

    fn append(&mut self, text: &str) {
        self.0 += text.len();
    }

    fn append_header(&mut self, header: Header) {
        self.0 += header.size();
    }

    fn append_base64(&mut self, _: &[u8], length: usize) {
        self.0 += length;
    }
}

impl Out for String {
    fn length(&self) -> usize {
        self.len()
    }

    fn append(&mut self, text: &str) {
        self.push_str(text);
    }

    fn append_header(&mut self, header: Header) {
        header.write(self);
    }

    fn append_base64(&mut self, data: &[u8], _: usize) {
        STANDARD.encode_string(data, self);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_are_read_as_they_were_written(
            number in prop_oneof![any::<u64>(), 0..100_u64, (0..64_u32).prop_map(|it| 1 << it)],
            texts in proptest::collection::vec(".{0,40}", 0..4),
        ) {
            let (mut out, mut measure) = (String::new(), Measure::default());
            for text in &texts {
                out.plain_reference("a/b", text, number);
                measure.plain_reference("a/b", text, number);
                out.number(Part::Length, number);
                measure.number(Part::Length, number);
            }
            prop_assert_eq!(measure.0, out.len());
            let mut parts = Parts(&out);
            for text in &texts {
                let reference = parts.next().unwrap();
                let is_plain = reference.is(Part::PlainReference);
                prop_assert!(is_plain || reference.is(Part::Reference));
                prop_assert_eq!(is_plain, is_plain_text(text));
                prop_assert_eq!((reference.number, reference.text), (number, &**text));
                let own = parts.split_own();
                prop_assert_eq!(own.media_type(reference.word), "a/b");
                prop_assert_eq!(own.number(Part::Length), Some(number));
            }
            prop_assert!(parts.next().is_none());
        }

        #[test]
        fn text_that_is_no_part_ends_the_iteration(text in "[RL`a:x]{0,20}|.{0,9}") {
            let mut parts = Parts(&text);
            parts.split_own();
            prop_assert!(Parts(&text).items().count() <= text.len());
        }
    }

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
