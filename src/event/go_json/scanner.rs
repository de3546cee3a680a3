//! The scanner: [`Scanner`].

use std::borrow::Cow;
use std::str::FromStr;

use super::decode::{decode, hex};
use super::fault::Fault;
use super::key::Key;
use super::plain::{leading_number, plain_length, split_digest};

/// The depth to which objects and arrays may nest, as in Go.
const DEPTH_LIMIT: usize = 10_000;

/// A position in a JSON text. A copy of it leads back to the same position.
#[derive(Clone, Copy, Debug)]
pub(in crate::event) struct Scanner<'a> {
    /// What is still to be read.
    rest: &'a [u8],
    length: usize,
    /// All of the content, if it is UTF-8. It is checked once, because strings are many
    /// and short.
    text: Option<&'a str>,
    depth: usize,
}

impl<'a> Scanner<'a> {
    pub(in crate::event) fn new(content: &'a [u8]) -> Self {
        Self {
            rest: content,
            length: content.len(),
            text: str::from_utf8(content).ok(),
            depth: 0,
        }
    }

    /// Returns the first byte of the next token without consuming it.
    #[inline(always)]
    pub(in crate::event) fn peek(&mut self) -> Option<u8> {
        match self.rest.first() {
            Some(byte) if *byte > b' ' => Some(*byte),
            _ => self.peek_far(),
        }
    }

    /// The same behind white space.
    #[inline(never)]
    fn peek_far(&mut self) -> Option<u8> {
        const INDENT: &[u8] = b"    ";
        loop {
            while let Some(rest) = self.rest.strip_prefix(INDENT) {
                self.rest = rest;
            }
            match self.rest.split_first()? {
                (b' ' | b'\t' | b'\r' | b'\n', rest) => self.rest = rest,
                (byte, _) => return Some(*byte),
            }
        }
    }

    /// Fails unless only white space is left.
    pub(in crate::event) fn end(&mut self) -> Result<(), Fault> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.syntax()),
        }
    }

    /// Returns how many bytes are left.
    pub(in crate::event) fn rest(&self) -> usize {
        self.rest.len()
    }

    /// Whether the next value is `null`. If so, it is consumed.
    #[inline(always)]
    pub(in crate::event) fn null(&mut self) -> Result<bool, Fault> {
        if self.peek() != Some(b'n') {
            return Ok(false);
        }
        self.literal(b"null")?;
        Ok(true)
    }

    /// Enters an object (`{`) or an array (`[`). Its members follow by
    /// [`member`](Self::member) and [`name`](Self::name) or by
    /// [`element`](Self::element), until there are no more.
    #[inline(always)]
    pub(in crate::event) fn open(&mut self, bracket: u8) -> Result<(), Fault> {
        if self.peek() != Some(bracket) {
            return Err(self.mismatch());
        }
        self.enter()
    }

    /// Whether another element of the array follows. `first` must be `true`
    /// initially.
    #[inline(always)]
    pub(in crate::event) fn element(&mut self, first: &mut bool) -> Result<bool, Fault> {
        self.follows(first, b']')
    }

    /// Whether another member of the object follows. `first` must be `true`
    /// initially.
    #[inline(always)]
    pub(in crate::event) fn member(&mut self, first: &mut bool) -> Result<bool, Fault> {
        self.follows(first, b'}')
    }

    #[inline(always)]
    fn follows(&mut self, first: &mut bool, end: u8) -> Result<bool, Fault> {
        let is_first = std::mem::replace(first, false);
        match self.peek() {
            Some(byte) if byte == end => {
                self.leave();
                Ok(false)
            }
            Some(b',') if !is_first => {
                self.advance(1);
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

    /// Consumes this text if it is next.
    #[inline(always)]
    pub(in crate::event) fn take(&mut self, text: &[u8]) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Returns the next value, which must be a string.
    #[inline]
    pub(in crate::event) fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        match self.peek() {
            Some(b'"') => match self.plain() {
                Some(text) => Ok(Cow::Borrowed(text)),
                None => self.quoted().map(decode),
            },
            _ => Err(self.mismatch()),
        }
    }

    /// The same of a string that is likely to be `guess`, which must have been read by
    /// this scanner.
    #[inline(always)]
    pub(in crate::event) fn string_like(&mut self, guess: &'a str) -> Result<Cow<'a, str>, Fault> {
        // A string that was borrowed has no escapes, and so has its repetition.
        if self.peek() == Some(b'"')
            && let Some(rest) = self.rest.get(1..)
            && let Some([b'"', rest @ ..]) = rest.strip_prefix(guess.as_bytes())
        {
            self.rest = rest;
            return Ok(Cow::Borrowed(guess));
        }
        self.string()
    }

    /// The same of a string that is likely to be a digest. Returns also whether it is known
    /// to need no escaping where it is written again.
    #[inline(always)]
    pub(in crate::event) fn digest(&mut self) -> Result<(Cow<'a, str>, bool), Fault> {
        if self.peek() == Some(b'"')
            && let Some((digest, rest)) = self.rest.get(1..).and_then(split_digest)
            && let Some(text) = self.text_at(self.at() + 1, digest.len())
        {
            self.rest = rest;
            return Ok((Cow::Borrowed(text), true));
        }
        self.string().map(|text| (text, false))
    }

    /// Reads a string that has no escapes, if the content is UTF-8. Consumes nothing
    /// otherwise.
    #[inline]
    fn plain(&mut self) -> Option<&'a str> {
        let inner = self.rest.get(1..)?;
        let length = plain_length(inner);
        let Some([b'"', rest @ ..]) = inner.get(length..) else {
            return None;
        };
        let text = self.text_at(self.at() + 1, length)?;
        self.rest = rest;
        Some(text)
    }

    /// Returns so much of the content, which is between quotes and so begins and ends
    /// between characters.
    #[inline(always)]
    fn text_at(&self, start: usize, length: usize) -> Option<&'a str> {
        self.text?.get(start..start + length)
    }

    /// Returns the next value, which must be an integer in the range of `T`, without
    /// fraction and exponent.
    #[inline]
    pub(in crate::event) fn integer<T: FromStr + TryFrom<i64>>(&mut self) -> Result<T, Fault> {
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

    /// Returns the number of bytes that were consumed.
    fn at(&self) -> usize {
        self.length - self.rest.len()
    }

    /// Consumes so many bytes, or all that there are.
    #[inline(always)]
    pub(super) fn advance(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    #[cold]
    pub(super) fn syntax(&self) -> Fault {
        Fault::Syntax(self.at())
    }

    #[cold]
    pub(in crate::event) fn mismatch(&self) -> Fault {
        Fault::Type(self.at())
    }

    #[inline(always)]
    pub(super) fn enter(&mut self) -> Result<(), Fault> {
        self.advance(1);
        self.depth += 1;
        match self.depth > DEPTH_LIMIT {
            true => Err(self.syntax()),
            false => Ok(()),
        }
    }

    #[inline(always)]
    pub(super) fn leave(&mut self) {
        self.advance(1);
        self.depth -= 1;
    }

    pub(super) fn literal(&mut self, word: &[u8]) -> Result<(), Fault> {
        match self.take(word) {
            true => Ok(()),
            false => Err(self.syntax()),
        }
    }

    /// Reads a number that consists of digits only, as nearly all do. Consumes nothing
    /// if the next number is of another form.
    #[inline(always)]
    fn whole(&mut self) -> Option<i64> {
        let (value, rest) = leading_number(self.rest)?;
        if let [b'.' | b'e' | b'E', ..] = rest {
            return None;
        }
        self.rest = rest;
        Some(value)
    }

    /// Reads a key and the colon after it.
    pub(in crate::event) fn name(&mut self) -> Result<Key<'a>, Fault> {
        if self.peek() != Some(b'"') {
            return Err(self.syntax());
        }
        let name = self.quoted()?;
        if self.peek() != Some(b':') {
            return Err(self.syntax());
        }
        self.advance(1);
        Ok(Key(name))
    }

    /// Reads a string. Returns what is between the quotes, whose escapes are checked but
    /// not decoded.
    pub(super) fn quoted(&mut self) -> Result<&'a [u8], Fault> {
        self.advance(1);
        let start = self.rest;
        loop {
            self.advance(plain_length(self.rest));
            match self.rest.first() {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                _ => return Err(self.syntax()),
            }
        }
        let quoted = &start[..start.len() - self.rest.len()];
        self.advance(1);
        Ok(quoted)
    }

    fn escape(&mut self) -> Result<(), Fault> {
        let length = match self.rest {
            [
                _,
                b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"',
                ..,
            ] => 2,
            [_, b'u', a, b, c, d, ..] if hex(&[*a, *b, *c, *d]).is_some() => 6,
            _ => return Err(self.syntax()),
        };
        self.advance(length);
        Ok(())
    }

    pub(super) fn number(&mut self) -> Result<&'a str, Fault> {
        let start = self.rest;
        self.advance(usize::from(self.here(b"-")));
        match self.here(b"0") {
            true => self.advance(1),
            false => self.digits()?,
        }
        if self.here(b".") {
            self.advance(1);
            self.digits()?;
        }
        if self.here(b"eE") {
            self.advance(1);
            self.advance(usize::from(self.here(b"+-")));
            self.digits()?;
        }
        let digits = &start[..start.len() - self.rest.len()];
        str::from_utf8(digits).map_err(|_| self.syntax())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let digits = self.rest.iter();
        match digits.take_while(|it| it.is_ascii_digit()).count() {
            0 => Err(self.syntax()),
            count => {
                self.advance(count);
                Ok(())
            }
        }
    }

    /// Whether the next byte is one of these.
    fn here(&self, bytes: &[u8]) -> bool {
        let next = self.rest.first();
        next.is_some_and(|byte| bytes.contains(byte))
    }
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
