//! A scanner of JSON that accepts what Go's `encoding/json` accepts.
//!
//! Registries written in Go decide with `encoding/json` what a manifest
//! refers to. A stricter parser would refuse manifests that they serve, and one
//! that resolves ambiguities differently could be made to report layers that nobody
//! pulls. Where Go differs from other parsers, its rules apply:
//!
//! - Invalid UTF-8 and lone surrogates in strings become U+FFFD, the former one
//!   for each byte.
//! - Names of fields match in any case, and by Unicode's simple folding (`ſ`
//!   is an `s`); see [`fields`].
//! - Values nest at most 10,000 deep.
//!
//! The scanner reads borrowed content and allocates only for strings with
//! escapes or invalid UTF-8. It does not recurse.

use std::borrow::Cow;
use std::str::FromStr;

/// The depth to which objects and arrays may nest, as in Go.
const DEPTH_LIMIT: usize = 10_000;

/// The reason why content cannot be read, and the byte at which that shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not JSON.
    Syntax(usize),
    /// A value is of another type than the field that it is for.
    Type(usize),
    /// It refers to more than an event may list.
    Bounds,
    /// It contradicts the media type that it is served with.
    Conflict,
}

/// A position in a JSON text. A copy of it leads back to the same position.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scanner<'a> {
    content: &'a [u8],
    /// The same, if it is UTF-8. It is checked once, because strings are many and short.
    text: Option<&'a str>,
    /// Whether the latest string has escapes.
    escaped: bool,
    at: usize,
    depth: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(content: &'a [u8]) -> Self {
        Self {
            content,
            text: str::from_utf8(content).ok(),
            escaped: false,
            at: 0,
            depth: 0,
        }
    }

    /// Returns the first byte of the next token without consuming it.
    pub(super) fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.content.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    /// Fails unless only white space is left.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.syntax()),
        }
    }

    /// Returns how many bytes are left.
    pub(super) fn rest(&self) -> usize {
        self.content.len().saturating_sub(self.at)
    }

    /// Whether the next value is `null`. If so, it is consumed.
    pub(super) fn null(&mut self) -> Result<bool, Fault> {
        if self.peek() != Some(b'n') {
            return Ok(false);
        }
        self.literal(b"null")?;
        Ok(true)
    }

    /// Enters an object (`{`) or an array (`[`). Its members follow by
    /// [`key`](Self::key) or [`element`](Self::element), until there are no more.
    pub(super) fn open(&mut self, bracket: u8) -> Result<(), Fault> {
        if self.peek() != Some(bracket) {
            return Err(self.mismatch());
        }
        self.enter()
    }

    /// Whether another element of the array follows. `first` must be `true`
    /// initially.
    pub(super) fn element(&mut self, first: &mut bool) -> Result<bool, Fault> {
        self.member(first, b']')
    }

    /// Returns the key of the next member of the object. Its value follows.
    /// `first` must be `true` initially.
    pub(super) fn key(&mut self, first: &mut bool) -> Result<Option<Key<'a>>, Fault> {
        match self.member(first, b'}')? {
            true => self.name().map(Some),
            false => Ok(None),
        }
    }

    fn member(&mut self, first: &mut bool, end: u8) -> Result<bool, Fault> {
        let is_first = std::mem::replace(first, false);
        match self.peek() {
            Some(byte) if byte == end => {
                self.leave();
                Ok(false)
            }
            Some(b',') if !is_first => {
                self.at += 1;
                // A comma must not end the list.
                match self.peek() {
                    Some(byte) if byte != end => Ok(true),
                    _ => Err(self.syntax()),
                }
            }
            Some(_) if is_first => Ok(true),
            _ => Err(self.syntax()),
        }
    }

    /// Returns the next value, which must be a string.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        match self.peek() {
            Some(b'"') => {
                let start = self.at + 1;
                let quoted = self.quoted()?;
                // The slice ends between characters, because quotes surround it.
                match self.text.and_then(|it| it.get(start..start + quoted.len())) {
                    Some(text) if !self.escaped => Ok(Cow::Borrowed(text)),
                    _ => Ok(decode(quoted)),
                }
            }
            _ => Err(self.mismatch()),
        }
    }

    /// Returns the next value, which must be an integer in the range of `T`, without
    /// fraction and exponent.
    pub(super) fn integer<T: FromStr + TryFrom<i64>>(&mut self) -> Result<T, Fault> {
        let start = *self;
        if let Some(b'1'..=b'9') = self.peek()
            && let Some(value) = self.whole()
        {
            return T::try_from(value).map_err(|_| start.mismatch());
        }
        match self.peek() {
            Some(b'-' | b'0'..=b'9') => self.number()?.parse().map_err(|_| start.mismatch()),
            _ => Err(self.mismatch()),
        }
    }

    /// Skips the next value, whatever it is. Does not recurse: a client chooses how deep
    /// values nest.
    pub(super) fn skip(&mut self) -> Result<(), Fault> {
        // The brackets that are still to come.
        let mut open = Vec::new();
        loop {
            match self.peek() {
                Some(bracket @ (b'{' | b'[')) => {
                    self.enter()?;
                    // In ASCII, a closing bracket is two after the opening one.
                    let end = bracket + 2;
                    if self.peek() != Some(end) {
                        open.push(end);
                        if end == b'}' {
                            self.name()?;
                        }
                        continue;
                    }
                    self.leave();
                }
                Some(b'"') => drop(self.quoted()?),
                Some(b'-' | b'0'..=b'9') => drop(self.number()?),
                Some(b't') => self.literal(b"true")?,
                Some(b'f') => self.literal(b"false")?,
                Some(b'n') => self.literal(b"null")?,
                _ => return Err(self.syntax()),
            }
            loop {
                let Some(&end) = open.last() else {
                    return Ok(());
                };
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        if end == b'}' {
                            self.name()?;
                        }
                        break;
                    }
                    Some(byte) if byte == end => {
                        self.leave();
                        open.pop();
                    }
                    _ => return Err(self.syntax()),
                }
            }
        }
    }

    fn syntax(&self) -> Fault {
        Fault::Syntax(self.at)
    }

    pub(super) fn mismatch(&self) -> Fault {
        Fault::Type(self.at)
    }

    fn enter(&mut self) -> Result<(), Fault> {
        self.at += 1;
        self.depth += 1;
        match self.depth > DEPTH_LIMIT {
            true => Err(self.syntax()),
            false => Ok(()),
        }
    }

    fn leave(&mut self) {
        self.at += 1;
        self.depth -= 1;
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), Fault> {
        if !self.content[self.at..].starts_with(word) {
            return Err(self.syntax());
        }
        self.at += word.len();
        Ok(())
    }

    /// Reads a number that consists of digits only, as nearly all do. Consumes nothing
    /// if the next number is of another form.
    fn whole(&mut self) -> Option<i64> {
        // A number of so many digits always fits into an `i64`.
        const MOST: usize = 18;
        let (mut value, mut at) = (0, self.at);
        while let Some(digit @ b'0'..=b'9') = self.content.get(at) {
            if at - self.at == MOST {
                return None;
            }
            value = 10 * value + i64::from(digit - b'0');
            at += 1;
        }
        if let Some(b'.' | b'e' | b'E') = self.content.get(at) {
            return None;
        }
        self.at = at;
        Some(value)
    }

    /// Reads a key and the colon after it. Returns what is between the quotes.
    fn name(&mut self) -> Result<Key<'a>, Fault> {
        if self.peek() != Some(b'"') {
            return Err(self.syntax());
        }
        let name = self.quoted()?;
        if self.peek() != Some(b':') {
            return Err(self.syntax());
        }
        self.at += 1;
        Ok(Key(name))
    }

    /// Reads a string. Returns what is between the quotes, whose escapes are checked but
    /// not decoded.
    fn quoted(&mut self) -> Result<&'a [u8], Fault> {
        self.at += 1;
        let start = self.at;
        self.escaped = false;
        loop {
            self.at += plain_length(self.content.get(self.at..).unwrap_or_default());
            match self.content.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    self.escaped = true;
                    self.escape()?;
                }
                _ => return Err(self.syntax()),
            }
        }
        self.at += 1;
        Ok(&self.content[start..self.at - 1])
    }

    fn escape(&mut self) -> Result<(), Fault> {
        let length = match &self.content[self.at + 1..] {
            [b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"', ..] => 2,
            [b'u', a, b, c, d, ..] if hex(&[*a, *b, *c, *d]).is_some() => 6,
            _ => return Err(self.syntax()),
        };
        self.at += length;
        Ok(())
    }

    fn number(&mut self) -> Result<&'a str, Fault> {
        let start = self.at;
        self.at += usize::from(self.here(b"-"));
        match self.here(b"0") {
            true => self.at += 1,
            false => self.digits()?,
        }
        if self.here(b".") {
            self.at += 1;
            self.digits()?;
        }
        if self.here(b"eE") {
            self.at += 1;
            self.at += usize::from(self.here(b"+-"));
            self.digits()?;
        }
        let digits = &self.content[start..self.at];
        std::str::from_utf8(digits).map_err(|_| self.syntax())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let digits = self.content[self.at..].iter();
        match digits.take_while(|it| it.is_ascii_digit()).count() {
            0 => Err(self.syntax()),
            count => {
                self.at += count;
                Ok(())
            }
        }
    }

    /// Whether the next byte is one of these.
    fn here(&self, bytes: &[u8]) -> bool {
        let next = self.content.get(self.at);
        next.is_some_and(|byte| bytes.contains(byte))
    }
}

/// The key of a member of an object, with its escapes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key<'a>(pub(super) &'a [u8]);

impl<'a> Key<'a> {
    pub(super) fn decode(self) -> Cow<'a, str> {
        decode(self.0)
    }
}

/// Returns the number of bytes before the first quote, backslash or control character,
/// which ends the plain part of a string.
fn plain_length(text: &[u8]) -> usize {
    let is_end = |byte: u8| (byte == b'"') | (byte == b'\\') | (byte < b' ');
    // A block of bytes is searched without a branch: most of a manifest is strings.
    const BLOCK: usize = 16;
    let mut rest = text;
    while let Some((block, after)) = rest.split_first_chunk::<BLOCK>()
        && !block
            .iter()
            .fold(false, |found, byte| found | is_end(*byte))
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

/// Returns a word whose lowest bit that is set is in the first byte of `word` that is a
/// quote, a backslash or a control character. Zero if there is none.
fn found_in(word: u64) -> u64 {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let below = |word: u64, bound: u8| word.wrapping_sub(EACH * u64::from(bound)) & !word;
    let equal = |byte: u8| below(word ^ (EACH * u64::from(byte)), 1);
    (below(word, b' ') | equal(b'"') | equal(b'\\')) & HIGH
}

/// Defines an enum of the names of fields, and a function that returns the field to which
/// Go assigns a key.
///
/// Go prefers the field of exactly that name. No two fields of a descriptor or a manifest
/// differ in case alone, so the first that matches is that field.
macro_rules! fields {
    ($of:ident: $($variant:ident = $name:literal)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum $of {
            $($variant,)*
        }

        impl $of {
            fn of(key: $crate::event::go_json::Key<'_>) -> Option<Self> {
                // None of them has escapes.
                $(if key.0 == $name.as_bytes() {
                    return Some(Self::$variant);
                })*
                Self::folded(key)
            }

            #[cold]
            fn folded(key: $crate::event::go_json::Key<'_>) -> Option<Self> {
                let key = key.decode();
                let fields = [$(($name, Self::$variant)),*];
                let mut fields = fields.into_iter();
                let found = fields.find(|(name, _)| $crate::event::go_json::is_folded(&key, name));
                found.map(|(_, field)| field)
            }
        }
    };
}
pub(super) use fields;

/// Whether Go takes `key` for the field `name`.
pub(super) fn is_folded(key: &str, name: &str) -> bool {
    let fold = |letter: char| match letter {
        'ſ' => 's',
        '\u{212a}' => 'k',
        _ => letter.to_ascii_lowercase(),
    };
    key.len() >= name.len() && key.chars().map(fold).eq(name.chars().map(fold))
}

/// Decodes a string whose escapes are well-formed.
fn decode(quoted: &[u8]) -> Cow<'_, str> {
    if !quoted.contains(&b'\\')
        && let Ok(text) = std::str::from_utf8(quoted)
    {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(quoted.len());
    let mut rest = quoted;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        push_lossy(&mut text, &rest[..at]);
        let Some((escape, after)) = rest[at + 1..].split_first() else {
            break;
        };
        rest = after;
        text.push(match escape {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => unicode(&mut rest),
            byte => char::from(*byte),
        });
    }
    push_lossy(&mut text, rest);
    Cow::Owned(text)
}

/// Appends bytes as text. As in Go, each byte that is not UTF-8 becomes U+FFFD.
pub(crate) fn push_lossy(text: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
}

/// Decodes the escape whose digits `rest` begins with, together with the one after it if
/// the two are a pair of surrogates.
fn unicode(rest: &mut &[u8]) -> char {
    let Some((first, after)) = rest.split_at_checked(4) else {
        return char::REPLACEMENT_CHARACTER;
    };
    let first = hex(first).unwrap_or_default();
    *rest = after;
    if let Some(character) = char::from_u32(first.into()) {
        return character;
    }
    if let Some((escape, after)) = rest.split_at_checked(6)
        && let Some(second) = escape.strip_prefix(b"\\u").and_then(hex)
        && let Some(Ok(character)) = char::decode_utf16([first, second]).next()
    {
        *rest = after;
        return character;
    }
    char::REPLACEMENT_CHARACTER
}

/// Returns the value of four hexadecimal digits.
fn hex(digits: &[u8]) -> Option<u16> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let value = digits
        .iter()
        .try_fold(0, |value, byte| Some(value << 4 | digit(byte)?));
    u16::try_from(value?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::*;

    fn skip(content: &[u8]) -> Result<(), Fault> {
        let mut scanner = Scanner::new(content);
        scanner.skip()?;
        scanner.end()
    }

    fn string(content: &[u8]) -> String {
        Scanner::new(content).string().unwrap().into_owned()
    }

    #[test]
    fn values_nest_as_deep_as_in_go() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
            let levels = open.matches(['[', '{']).count();
            let nested = |depth| {
                let count = depth / levels;
                let inner = if open.ends_with(':') { "1" } else { "" };
                format!("{}{inner}{}", open.repeat(count), close.repeat(count))
            };
            assert_eq!(skip(nested(10_000).as_bytes()), Ok(()), "{open}");
            skip(nested(10_002).as_bytes()).unwrap_err();
        }
    }

    #[test]
    fn text_that_is_not_json_is_refused() {
        for content in [
            "",
            "{",
            "[",
            "\"",
            "\"\\",
            "\"\\u00g0\"",
            "nul",
            "nulll",
            "True",
            "+1",
            "-",
            "01",
            "1.",
            ".5",
            "1e",
            "1e+",
            "0x1",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\" 1}",
            "{a:1}",
            "{1:1}",
            "[1}",
            "{\"a\":1]",
            "[]]",
            "1 1",
            "\"\n\"",
            "'a'",
            "\"\\'\"",
            "\u{feff}1",
            "\u{a0}1",
            "NaN",
            "//\n1",
        ] {
            skip(content.as_bytes()).expect_err(content);
        }
    }

    #[test]
    fn each_byte_that_is_not_utf8_becomes_a_replacement_character() {
        assert_eq!(string(b"\"a\xffb\""), "a\u{fffd}b");
        // Go counts the bytes, where others count the sequences that are cut off.
        assert_eq!(string(b"\"\xe2\x82\""), "\u{fffd}\u{fffd}");
        assert_eq!(string(b"\"\xe2\\n\x82\xac\""), "\u{fffd}\n\u{fffd}\u{fffd}");
        assert_eq!(string(b"\"\xed\xa0\x80\""), "\u{fffd}\u{fffd}\u{fffd}");
    }

    #[test]
    fn a_lone_surrogate_becomes_a_replacement_character() {
        for (escaped, text) in [
            (r"\ud83d\ude00", "\u{1f600}"),
            (r"\ud83d", "\u{fffd}"),
            (r"\ude00", "\u{fffd}"),
            (r"\ud83d\ud83d\ude00", "\u{fffd}\u{1f600}"),
            (r"\ud83d\u0041", "\u{fffd}A"),
            (r"\ud83d\n", "\u{fffd}\n"),
            (r"\ude00\ud83d", "\u{fffd}\u{fffd}"),
            (r"\ud83dx", "\u{fffd}x"),
        ] {
            assert_eq!(
                string(format!("\"{escaped}\"").as_bytes()),
                text,
                "{escaped}"
            );
        }
    }

    #[test]
    fn integers_parse_as_in_go() {
        let integer = |text: &str| Scanner::new(text.as_bytes()).integer::<i64>().ok();
        for (text, value) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("-12", Some(-12)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("-9223372036854775808", Some(i64::MIN)),
            ("1.0", None),
            ("1e2", None),
            ("7", Some(7)),
            ("10", Some(10)),
            ("12.5", None),
            ("12E5", None),
            ("999999999999999999", Some(999_999_999_999_999_999)),
            ("1000000000000000000", Some(1_000_000_000_000_000_000)),
            ("\"1\"", None),
            ("true", None),
        ] {
            assert_eq!(integer(text), value, "{text}");
        }
        assert!(Scanner::new(b"-0").integer::<u8>().is_err());
        assert!(Scanner::new(b"256").integer::<u8>().is_err());
    }

    #[test]
    fn names_match_in_any_case() {
        fields! { Name:
            Layers = "layers"
            Skip = "skip"
            Upper = "SKIP"
        }
        for (key, name) in [
            ("layers", Some(Name::Layers)),
            ("LAYERS", Some(Name::Layers)),
            ("layer\u{17f}", Some(Name::Layers)),
            ("s\u{212a}ip", Some(Name::Skip)),
            ("SKIP", Some(Name::Upper)),
            ("Skip", Some(Name::Skip)),
            ("", None),
            ("layer", None),
            ("layerss", None),
            ("layer\u{df}", None),
            ("\u{131}", None),
            (r"\u006cayers", Some(Name::Layers)),
            (r"\u017fkip", Some(Name::Skip)),
        ] {
            assert_eq!(Name::of(Key(key.as_bytes())), name, "{key}");
        }
    }

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

    /// Text that is JSON often enough.
    fn nearly_json() -> impl Strategy<Value = String> {
        let token = prop_oneof![
            8 => prop::sample::select(vec![
                "{", "}", "[", "]", ",", ":", "\"a\"", "\"a\":", "1", "-0.5e+7", "null", "true", " ",
            ]).prop_map(str::to_owned),
            1 => r#"["\\ua-f0-9.eE+-]{1,4}"#,
        ];
        let tokens = prop::collection::vec(token, 0..8).prop_map(|tokens| tokens.concat());
        let value = Just("1".to_owned()).boxed();
        let nested = value.prop_recursive(4, 24, 4, |inner| {
            let list = prop::collection::vec(inner.clone(), 0..4);
            let fields = prop::collection::vec(inner.prop_map(|it| format!("\"k\" : {it}")), 0..4);
            prop_oneof![
                list.prop_map(|it| format!("[{}]", it.join(" ,"))),
                fields.prop_map(|it| format!("{{{}}}", it.join(", "))),
            ]
        });
        // A token in the midst of a value breaks it, more often than not.
        let broken = (nested, tokens.clone(), any::<prop::sample::Index>()).prop_map(
            |(mut text, token, at)| {
                text.insert_str(at.index(text.len() + 1), &token);
                text
            },
        );
        prop_oneof![tokens, broken]
    }

    proptest! {
        #[test]
        fn no_content_makes_it_panic(content in any::<Vec<u8>>()) {
            let _ = skip(&content);
            let _ = Scanner::new(&content).string();
            let _ = Scanner::new(&content).integer::<i64>();
        }

        #[test]
        fn json_is_what_serde_json_takes_for_json(content in nearly_json()) {
            let wanted = serde_json::from_str::<IgnoredAny>(&content).is_ok();
            prop_assert_eq!(skip(content.as_bytes()).is_ok(), wanted);
        }

        #[test]
        fn strings_that_serde_json_writes_are_read(text in any::<String>()) {
            let written = serde_json::to_vec(&text).unwrap();
            prop_assert_eq!(string(&written), text);
        }

        #[test]
        fn strings_of_escapes_are_read_as_utf16(units in any::<Vec<u16>>()) {
            let escaped: String = units.iter().map(|it| format!("\\u{it:04x}")).collect();
            let read = string(format!("\"{escaped}\"").as_bytes());
            prop_assert_eq!(read, String::from_utf16_lossy(&units));
        }
    }
}
