//! Reading values out of the tree: a value with the path that leads to it, and
//! the keys of a map, of which none may be left over.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::error::{ConfigError, Place};
use super::scalar::{self, Scalar, resolve};
use super::tree::{Kind, Node};
use crate::redact::without_user_info;

type Result<T> = std::result::Result<T, ConfigError>;

/// A value that is there, and its path.
#[derive(Clone, Debug)]
pub(super) struct Item {
    node: Arc<Node>,
    path: String,
    /// Is what stands here, or in here, not to be shown?
    secret: bool,
}

impl Item {
    pub(super) fn new(node: Arc<Node>, path: impl Into<String>) -> Self {
        Self {
            node,
            path: path.into(),
            secret: false,
        }
    }

    /// The same, never to be shown.
    pub(super) fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// What is wrong here.
    pub(super) fn error(&self, message: impl Into<String>) -> ConfigError {
        ConfigError::new(&self.node.place, &self.path, message)
    }

    /// It is not what it should be.
    pub(super) fn wrong(&self, what: &str, remedy: &str) -> ConfigError {
        self.error(match self.shown() {
            Ok(value) => format!("{value} is not {what}: {remedy}"),
            Err(kind) => format!("is {kind}, not {what}: {remedy}"),
        })
    }

    /// Something is wrong with the value, which is shown.
    pub(super) fn wrong_with(&self, message: &str) -> ConfigError {
        let (Ok(value) | Err(value)) = self.shown();
        self.error(format!("{value} {message}"))
    }

    /// A scalar as messages show it, or else what kind of value it is.
    fn shown(&self) -> std::result::Result<String, String> {
        match &self.node.kind {
            Kind::List(_) => Err("a list".into()),
            Kind::Map(_) => Err("a map".into()),
            Kind::Tagged => Err("a value with a tag".into()),
            Kind::Plain(_) if self.node.is_null() => Err("nothing".into()),
            Kind::Plain(_) | Kind::Text(_) if self.secret => Ok("the value".into()),
            Kind::Plain(text) | Kind::Text(text) => Ok(quoted(&without_user_info(text))),
        }
    }

    fn scalar(&self) -> Option<Scalar<'_>> {
        match &self.node.kind {
            Kind::Plain(text) => Some(resolve(text)),
            Kind::Text(text) => Some(Scalar::Text(text)),
            _ => None,
        }
    }

    /// A text; what looks like a number or a boolean is one too.
    pub(super) fn text(&self) -> Result<&str> {
        match &self.node.kind {
            Kind::Plain(text) | Kind::Text(text) if !self.node.is_null() => Ok(text),
            _ => Err(self.wrong(
                "a text",
                "write one value, in quotes if it is a special one",
            )),
        }
    }

    /// A text of one's own.
    pub(super) fn owned(&self) -> Result<String> {
        self.text().map(Into::into)
    }

    pub(super) fn flag(&self) -> Result<bool> {
        match self.scalar() {
            Some(Scalar::Bool(flag)) => Ok(flag),
            _ => Err(self.wrong("a boolean", "write true or false")),
        }
    }

    /// A whole number that the type can hold.
    pub(super) fn number<T: TryFrom<i128>>(&self) -> Result<T> {
        let Some(Scalar::Int(number)) = self.scalar() else {
            return Err(self.wrong("a whole number", "write one like 10"));
        };
        T::try_from(number).map_err(|_| self.wrong_with("is out of range: write a number like 10"))
    }

    /// A whole number that is not 0.
    pub(super) fn count<T: TryFrom<i128> + Default + PartialEq>(&self) -> Result<T> {
        self.not_zero(self.number()?)
    }

    /// A number that may have a fraction.
    pub(super) fn factor(&self) -> Result<f64> {
        match self.scalar() {
            Some(Scalar::Int(number)) => Ok(number as f64),
            Some(Scalar::Float(number)) => Ok(number),
            _ => Err(self.wrong("a number", "write one like 2 or 1.5")),
        }
    }

    /// A Go duration; nanoseconds if it has no unit.
    pub(super) fn duration(&self) -> Result<Duration> {
        let duration = match self.scalar() {
            Some(Scalar::Int(number)) => scalar::nanoseconds(number),
            Some(Scalar::Float(number)) if number.fract() == 0.0 && number.abs() < 1e18 => {
                scalar::nanoseconds(number as i128)
            }
            Some(Scalar::Text(text)) => scalar::duration(text),
            _ => None,
        };
        duration.ok_or_else(|| self.wrong("a duration", "write it like 500ms or 1m30s"))
    }

    /// A duration that is not 0.
    pub(super) fn span(&self) -> Result<Duration> {
        self.not_zero(self.duration()?)
    }

    /// A size in bytes, at least 1.
    pub(super) fn size<T: TryFrom<u64> + Default + PartialEq>(&self) -> Result<T> {
        let size = match self.scalar() {
            Some(Scalar::Int(number)) => u64::try_from(number).ok(),
            Some(Scalar::Text(text)) => scalar::size(text),
            _ => None,
        };
        let size = size.and_then(|size| T::try_from(size).ok());
        let remedy = "write it like 64MiB (or KiB, GiB), or as a number of bytes";
        self.not_zero(size.ok_or_else(|| self.wrong("a size", remedy))?)
    }

    fn not_zero<T: Default + PartialEq>(&self, number: T) -> Result<T> {
        if number == T::default() {
            return Err(self.error("must be more than 0: leave it out for the default"));
        }
        Ok(number)
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(&self, words: &[(&'static str, T)]) -> Result<T> {
        let text = self.text()?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(*value);
        }
        let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let remedy = nearest(text, words.iter().copied());
        let remedy = remedy.unwrap_or_else(|| format!("write {}", words.join(" or ")));
        Err(self.wrong_with(&format!("is not known here: {remedy}")))
    }

    /// The items of a list.
    pub(super) fn list(&self) -> Result<Vec<Item>> {
        match &self.node.kind {
            Kind::List(items) => Ok(items
                .iter()
                .enumerate()
                .map(|(index, node)| Item {
                    node: node.clone(),
                    path: format!("{}[{index}]", self.path),
                    secret: self.secret,
                })
                .collect()),
            _ => Err(self.clone().secret().wrong(
                "a list",
                "write one item a line, each with a dash before it",
            )),
        }
    }

    /// The items of a list, or the one that stands in its place; none if
    /// nothing does.
    pub(super) fn list_or_one(&self) -> Result<Vec<Item>> {
        match &self.node.kind {
            Kind::Plain(_) if self.node.is_null() => Ok(Vec::new()),
            Kind::List(_) => self.list(),
            _ => Ok(vec![self.clone()]),
        }
    }

    pub(super) fn is_map(&self) -> bool {
        matches!(self.node.kind, Kind::Map(_))
    }

    /// The texts of a list.
    pub(super) fn texts(&self) -> Result<Vec<String>> {
        let items = self.list()?;
        items.iter().map(|it| it.text().map(Into::into)).collect()
    }

    /// The keys and values of a map. No key stands twice.
    pub(super) fn pairs(&self) -> Result<Vec<Pair>> {
        let Kind::Map(entries) = &self.node.kind else {
            // Where lines are not indented alike, it may be a secret of another key.
            let remedy = "write one `key: value` a line, indented alike";
            return Err(self.clone().secret().wrong("a map", remedy));
        };
        let mut seen = HashSet::new();
        let mut pairs = Vec::with_capacity(entries.len());
        for entry in entries {
            let place = &entry.key.place;
            let key = entry.key.as_key().ok_or_else(|| {
                let message = "has a key that is no text: write a name";
                ConfigError::new(place, &self.path, message)
            })?;
            let path = format!("{}.{}", self.path, shown_key(key));
            if !seen.insert(key) {
                return Err(ConfigError::new(
                    place,
                    &path,
                    "stands here twice: remove one",
                ));
            }
            pairs.push(Pair {
                key: key.into(),
                place: place.clone(),
                item: Item {
                    node: entry.value.clone(),
                    path,
                    secret: self.secret,
                },
            });
        }
        Ok(pairs)
    }

    /// The map's fields, to be taken one after the other.
    pub(super) fn fields(&self) -> Result<Fields> {
        Ok(Fields {
            pairs: self.pairs()?,
            known: Vec::new(),
        })
    }
}

/// A key of a map, where it stands, and its value.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) item: Item,
}

/// A map of which each key must be known.
#[derive(Debug)]
pub(super) struct Fields {
    pairs: Vec<Pair>,
    known: Vec<&'static str>,
}

impl Fields {
    /// The value of `key`, unless it is nothing.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Item> {
        self.known.push(key);
        let at = self.pairs.iter().position(|it| it.key == key)?;
        Some(self.pairs.remove(at).item).filter(|item| !item.node.is_null())
    }

    /// `read` of the value of `key`, if there is one.
    pub(super) fn get<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Item) -> Result<T>,
    ) -> Result<Option<T>> {
        self.take(key).as_ref().map(read).transpose()
    }

    /// No key may be left.
    pub(super) fn finish(self) -> Result<()> {
        let Some(Pair { key, place, item }) = self.pairs.first() else {
            return Ok(());
        };
        let hint = nearest(key, self.known.iter().copied());
        let hint = hint.unwrap_or_else(|| format!("the keys here are {}", self.known.join(", ")));
        let message = format!("is not known here: {hint}");
        Err(ConfigError::new(place, &item.path, message))
    }
}

/// A value as messages show it.
fn quoted(text: &str) -> String {
    const MOST: usize = 80;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{:?}", format!("{}…", &text[..end])),
        None => format!("{text:?}"),
    }
}

/// A key as messages show it. What does not look like a key may be a value that
/// was written in a key's place.
pub(super) fn shown_key(key: &str) -> impl fmt::Display + '_ {
    let like_a_key = |c: char| c.is_ascii_alphanumeric() || "-_.<".contains(c);
    if key.len() <= 40 && key.chars().all(like_a_key) {
        key
    } else {
        "…"
    }
}

/// Which of `words` was meant, as a question, if one is near enough.
pub(super) fn nearest<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> Option<String> {
    if text.len() > 40 {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace(['_', '-'], "");
    let text = plain(text);
    let distance = |word: &'a str| (distance(&text, &plain(word)), word);
    let (distance, word) = words.map(distance).min()?;
    (distance <= 2 && distance * 3 <= word.len()).then(|| format!("did you mean {word:?}?"))
}

/// How many characters must be put in, left out or changed (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = changed.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_meant() {
        let known = ["threshold", "timeout", "url", "ignoredmediatypes"];
        for (text, meant) in [
            ("treshold", Some("threshold")),
            ("ignoredMediaTypes", Some("ignoredmediatypes")),
            ("ignored_media_types", Some("ignoredmediatypes")),
            ("URL", Some("url")),
            ("urls", Some("url")),
            ("color", None),
            ("", None),
        ] {
            let meant = meant.map(|word| format!("did you mean {word:?}?"));
            assert_eq!(nearest(text, known.into_iter()), meant, "{text}");
        }
    }
}
