//! Upload parameters in a form body, which Go's `Request.FormValue` reads just as
//! it reads those in the query.
//!
//! The reader of `multipart/form-data` is our own. The crates for it read
//! streams asynchronously, and here a body of bounded size is in memory. Ours
//! takes linear time, and refuses what servers read in different ways, so that
//! a form which hides a mount is at least noticed.

use std::borrow::Cow;

use super::query::{UploadParameters, Values};

/// Whether a body of this type can carry parameters. `content_type` is the
/// header's value as received.
pub(in crate::layer) fn is_form(content_type: &str) -> bool {
    Form::of(content_type).is_some()
}

/// Returns the parameters in a form body, or `None` if it is not a form that all
/// servers read alike.
pub(in crate::layer) fn parse(content_type: &str, body: &[u8]) -> Option<UploadParameters> {
    match Form::of(content_type)? {
        Form::UrlEncoded => Some(UploadParameters::parse(body)),
        Form::Multipart(attributes) => {
            let boundary = Attributes::parse(attributes)?.take("boundary")?;
            if boundary.is_empty() {
                return None;
            }
            multipart(&boundary, body)
        }
    }
}

enum Form<'a> {
    UrlEncoded,
    /// With the attributes after the media type.
    Multipart(&'a str),
}

impl<'a> Form<'a> {
    fn of(content_type: &'a str) -> Option<Self> {
        let (media_type, attributes) = split_attributes(content_type);
        if media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Some(Self::UrlEncoded);
        }
        let is_multipart = media_type.eq_ignore_ascii_case("multipart/form-data");
        is_multipart.then_some(Self::Multipart(attributes))
    }
}

fn multipart(boundary: &str, body: &[u8]) -> Option<UploadParameters> {
    let delimiter = ["--", boundary].concat();
    let mut reader = Reader {
        body,
        at: 0,
        delimiter: delimiter.as_bytes(),
        newline: b"",
    };
    let mut values = Values::default();
    let mut more = reader.skip_preamble()?;
    while more {
        let name = reader.part_name()?;
        let (content, another) = reader.content()?;
        if let Some(name) = name {
            values.add(&name, String::from_utf8_lossy(content));
        }
        more = another;
    }
    Some(values.into_parameters())
}

/// Reads a multipart body line by line.
struct Reader<'a> {
    body: &'a [u8],
    at: usize,
    /// The boundary with the two dashes before it.
    delimiter: &'a [u8],
    /// The newline after the first delimiter. All others must be the same, because
    /// servers disagree about which newlines belong to a delimiter.
    newline: &'a [u8],
}

enum Line<'a> {
    /// A line without its newline, and the newline.
    Text(&'a [u8], &'a [u8]),
    /// Another part follows.
    Delimiter(&'a [u8]),
    /// The delimiter after the last part.
    End,
}

impl<'a> Reader<'a> {
    fn line(&mut self) -> Option<Line<'a>> {
        let rest = &self.body[self.at..];
        if rest.is_empty() {
            return None;
        }
        let newline = rest.iter().position(|byte| *byte == b'\n');
        let (line, _) = rest.split_at(newline.map_or(rest.len(), |at| at + 1));
        self.at += line.len();
        let text = match line {
            [text @ .., b'\r', b'\n'] | [text @ .., b'\n'] | text => text,
        };
        let newline = &line[text.len()..];
        // Servers disagree about unusual delimiters. A client could use one to show a
        // mount to the registry and hide it here, so all of them are refused below.
        let Some(after) = text.strip_prefix(self.delimiter) else {
            return Some(Line::Text(text, newline));
        };
        let is_blank = |text: &[u8]| text.iter().all(|byte| matches!(byte, b' ' | b'\t'));
        match after {
            blank if is_blank(blank) && !newline.is_empty() => Some(Line::Delimiter(newline)),
            [b'-', b'-', blank @ ..] if is_blank(blank) => Some(Line::End),
            // A delimiter for some servers, and content for others.
            [] | [b' ' | b'\t' | b'\r', ..] | [b'-', b'-', ..] => None,
            _ => Some(Line::Text(text, newline)),
        }
    }

    /// Skips what is before the first part. Returns whether there is a part.
    fn skip_preamble(&mut self) -> Option<bool> {
        loop {
            match self.line()? {
                Line::Text(..) => {}
                Line::End => return Some(false),
                Line::Delimiter(newline) => {
                    self.newline = newline;
                    return Some(true);
                }
            }
        }
    }

    /// Reads the headers of a part and returns its name. The inner `None` is a part
    /// that is not a parameter: a file, or one without a name.
    fn part_name(&mut self) -> Option<Option<String>> {
        let mut disposition = None;
        loop {
            let Line::Text(line, newline) = self.line()? else {
                return None;
            };
            if newline != self.newline {
                return None;
            }
            if line.is_empty() {
                break;
            }
            let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
            if !is_token(name) {
                return None;
            }
            if name.eq_ignore_ascii_case("content-disposition") {
                if disposition.replace(value).is_some() {
                    return None;
                }
            } else if name.eq_ignore_ascii_case("content-transfer-encoding") {
                let plain = ["7bit", "8bit", "binary"];
                if !plain.iter().any(|it| it.eq_ignore_ascii_case(value.trim())) {
                    return None;
                }
            }
        }
        let Some(disposition) = disposition else {
            return Some(None);
        };
        let (kind, attributes) = split_attributes(disposition);
        let attributes = Attributes::parse(attributes)?;
        let is_parameter =
            kind.eq_ignore_ascii_case("form-data") && attributes.get("filename").is_none();
        Some(attributes.take("name").filter(|_| is_parameter))
    }

    /// Returns the content of a part, and whether another part follows.
    fn content(&mut self) -> Option<(&'a [u8], bool)> {
        let start = self.at;
        loop {
            let end = self.at;
            let more = match self.line()? {
                Line::Text(..) => continue,
                Line::Delimiter(newline) if newline != self.newline => return None,
                Line::Delimiter(_) => true,
                Line::End => false,
            };
            let content = &self.body[start..end];
            if content.is_empty() {
                return Some((content, more));
            }
            let content = content.strip_suffix(self.newline)?;
            if self.newline == b"\n" && content.ends_with(b"\r") {
                return None;
            }
            return Some((content, more));
        }
    }
}

/// The attributes of a header's value: `; name=value; name="quoted value"`.
struct Attributes(Vec<(String, String)>);

impl Attributes {
    /// `None` if they are malformed, contradict each other, or have an extended
    /// spelling (RFC 2231), which few servers read.
    fn parse(mut text: &str) -> Option<Self> {
        let mut attributes = Self(Vec::new());
        loop {
            text = text.trim_start();
            if text.is_empty() {
                return Some(attributes);
            }
            text = text.strip_prefix(';')?.trim_start();
            if text.is_empty() {
                return Some(attributes);
            }
            let (name, rest) = text.split_once('=')?;
            let name = name.trim_end().to_ascii_lowercase();
            if !is_token(&name) || name.contains('*') || attributes.get(&name).is_some() {
                return None;
            }
            let (value, rest) = attribute_value(rest.trim_start())?;
            attributes.0.push((name, value.into_owned()));
            text = rest;
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        let mut attributes = self.0.iter();
        let found = attributes.find(|(other, _)| other == name);
        found.map(|(_, value)| &**value)
    }

    fn take(self, name: &str) -> Option<String> {
        let mut attributes = self.0.into_iter();
        let found = attributes.find(|(other, _)| other == name);
        found.map(|(_, value)| value)
    }
}

/// Returns the value at the start of `text`, and what follows it.
fn attribute_value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_at(text.find(';').unwrap_or(text.len()));
        return Some((Cow::Borrowed(value.trim_end()), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((Cow::Owned(value), &quoted[at + 1..])),
            // Servers disagree about a backslash before anything else.
            '\\' => match characters.next()?.1 {
                escaped @ ('"' | '\\') => value.push(escaped),
                _ => return None,
            },
            other => value.push(other),
        }
    }
    None
}

/// Splits a header's value into what is before its attributes, and the attributes.
fn split_attributes(value: &str) -> (&str, &str) {
    let (value, attributes) = value.split_at(value.find(';').unwrap_or(value.len()));
    (value.trim(), attributes)
}

fn is_token(text: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token)
}
