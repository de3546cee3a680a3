//! A value of the tree, read as one type or another: [`Item`].
//!
//! Errors name the path and the place of the value, and show the value unless it is
//! or may be a secret.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::place::Place;
use super::scalar::{self, Scalar, resolve};
use super::shown::{quoted, shown_key};
use super::spelling::nearest;
use super::tree::{Node, NodeKind};
use crate::error::{BuildError, Mistakes};
use crate::redact::without_user_info;

pub(super) type Result<T> = std::result::Result<T, BuildError>;

/// A value with the path that leads to it.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) node: Arc<Node>,
    pub(super) path: String,
    /// Whether the value, and those in it, must not be shown.
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

    /// Returns the same value, which errors do not show.
    pub(super) fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// Returns a mistake at this value.
    pub(super) fn error(&self, message: impl Into<String>) -> BuildError {
        self.node.place.error(&self.path, message)
    }

    /// Returns the mistake of a value that is not `what` it should be.
    pub(super) fn wrong(&self, what: &str, remedy: &str) -> BuildError {
        self.error(match self.shown() {
            Ok(value) => format!("{value} is not {what}: {remedy}"),
            Err(kind) => format!("is {kind}, not {what}: {remedy}"),
        })
    }

    /// Returns a mistake that shows the value before the message.
    pub(super) fn wrong_with(&self, message: &str) -> BuildError {
        let (Ok(value) | Err(value)) = self.shown();
        self.error(format!("{value} {message}"))
    }

    /// Returns the mistake of a value that names a file which cannot be used.
    pub(super) fn wrong_file(&self, cause: &str) -> BuildError {
        self.error(match self.secret {
            true => format!("the file {cause}"),
            false => {
                let (Ok(path) | Err(path)) = self.shown();
                format!("the file {path} {cause}")
            }
        })
    }

    /// Returns a scalar as messages show it. The error is the kind of the value, which
    /// messages name if it cannot be shown.
    fn shown(&self) -> std::result::Result<String, String> {
        match &self.node.kind {
            NodeKind::List(_) => Err("a list".into()),
            NodeKind::Map(_) => Err("a map".into()),
            NodeKind::Tagged => Err("a value with a tag".into()),
            NodeKind::Plain(_) if self.node.is_null() => Err("nothing".into()),
            NodeKind::Plain(_) | NodeKind::Text(_) if self.secret => Ok("the value".into()),
            // The next line may be a secret that was indented too far.
            NodeKind::Plain(_) | NodeKind::Text(_) if self.node.is_folded => {
                Ok("the value, which continues in the next line,".into())
            }
            NodeKind::Plain(text) | NodeKind::Text(text) => Ok(quoted(&without_user_info(text))),
        }
    }

    fn scalar(&self) -> Option<Scalar<'_>> {
        match &self.node.kind {
            NodeKind::Plain(text) => Some(resolve(text)),
            NodeKind::Text(text) => Some(Scalar::Text(text)),
            _ => None,
        }
    }

    /// Reads a text. A number or a boolean is also a text.
    ///
    /// A text without quotes that continues in the next line is a mistake, unless it is
    /// a secret: that line may be a secret itself, and errors show texts.
    pub(super) fn text(&self) -> Result<&str> {
        match &self.node.kind {
            NodeKind::Plain(_) if self.node.is_folded && !self.secret => {
                Err(self.wrong_with("may be two: indent them alike, or write one in quotes"))
            }
            NodeKind::Plain(text) | NodeKind::Text(text) if !self.node.is_null() => Ok(text),
            _ => Err(self.wrong(
                "a text",
                "write one value, in quotes if it is a special one",
            )),
        }
    }

    /// Reads a text, owned.
    pub(super) fn owned(&self) -> Result<String> {
        self.text().map(Into::into)
    }

    pub(super) fn flag(&self) -> Result<bool> {
        match self.scalar() {
            Some(Scalar::Bool(flag)) => Ok(flag),
            _ => Err(self.wrong("a boolean", "write true or false")),
        }
    }

    /// Reads a whole number in the range of the type. YAML takes `3.0`, `1e1` and `08`
    /// for numbers with a fraction, and Go's yaml package takes them for whole numbers.
    pub(super) fn number<T: TryFrom<i128>>(&self) -> Result<T> {
        let Some(number) = self.whole() else {
            return Err(self.wrong("a whole number", "write one like 10"));
        };
        T::try_from(number).map_err(|_| self.wrong_with("is out of range: write a number like 10"))
    }

    fn whole(&self) -> Option<i128> {
        match self.scalar()? {
            Scalar::Int(number) => Some(number),
            Scalar::Float(number) if number.fract() == 0.0 && number.abs() < 1e18 => {
                Some(number as i128)
            }
            _ => None,
        }
    }

    /// Reads a whole number that is not 0.
    pub(super) fn count<T: TryFrom<i128> + Default + PartialEq>(&self) -> Result<T> {
        self.not_zero(self.number()?)
    }

    /// Reads a number that may have a fraction.
    pub(super) fn factor(&self) -> Result<f64> {
        match self.scalar() {
            Some(Scalar::Int(number)) => Ok(number as f64),
            Some(Scalar::Float(number)) => Ok(number),
            _ => Err(self.wrong("a number", "write one like 2 or 1.5")),
        }
    }

    /// Reads a duration as Go writes it: 0, or at least 1 ms.
    pub(super) fn duration(&self) -> Result<Duration> {
        self.duration_from(Duration::from_millis(1))
    }

    /// Reads the time between attempts: 0, or at least 10 ms, so that a receiver that
    /// is down is not flooded.
    pub(super) fn pause(&self) -> Result<Duration> {
        self.duration_from(Duration::from_millis(10))
    }

    /// Reads a duration that is not 0.
    pub(super) fn span(&self) -> Result<Duration> {
        self.not_zero(self.duration()?)
    }

    pub(super) fn not_zero<T: Default + PartialEq>(&self, number: T) -> Result<T> {
        if number == T::default() {
            return Err(self.error("must be more than 0: leave it out for the default"));
        }
        Ok(number)
    }

    fn duration_from(&self, least: Duration) -> Result<Duration> {
        const REMEDY: &str = "write it like 500ms or 1m30s";
        let duration = match (self.scalar(), self.whole()) {
            (_, Some(0)) => Some(Duration::ZERO),
            (_, Some(number @ 1..)) => return Err(self.without_unit(number)),
            (Some(Scalar::Text(text)), _) => scalar::duration(text),
            _ => None,
        };
        match duration {
            Some(duration) if !duration.is_zero() && duration < least => {
                Err(self.wrong_with(&format!("is less than {least:?}: {REMEDY}")))
            }
            Some(duration) => Ok(duration),
            None => Err(self.wrong("a duration", REMEDY)),
        }
    }

    /// Returns the mistake of a duration without a unit. The reference reads it as
    /// nanoseconds, which nobody means.
    fn without_unit(&self, number: i128) -> BuildError {
        let nanos = u64::try_from(number).map(Duration::from_nanos);
        let meant = match nanos {
            // The time is too short to be meant: the unit was forgotten.
            Ok(nanos) if nanos < Duration::from_millis(1) => format!("{number}ms"),
            Ok(nanos) => format!("{nanos:?}"),
            Err(_) => "500ms".into(),
        };
        let meant = self.assigned(&meant);
        self.error(format!("{number} means {number} ns: write {meant}"))
    }

    /// Reads a size in bytes, at least 1.
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

    /// Reads one of `words`, and returns its meaning.
    pub(super) fn word<T: Copy>(&self, words: &[(&'static str, T)]) -> Result<T> {
        let text = self.text()?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(*value);
        }
        let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let remedy = nearest(text, words.iter().copied());
        let remedy = match remedy {
            Some(word) if self.is_of_variable() => format!("did you mean {}?", self.assigned(word)),
            Some(word) => format!("did you mean {word:?}?"),
            None => format!("write {}", words.join(" or ")),
        };
        Err(self.wrong_with(&format!("is not known here: {remedy}")))
    }

    /// Returns the items of a list.
    pub(super) fn list(&self) -> Result<Vec<Item>> {
        match &self.node.kind {
            NodeKind::List(items) => Ok(items
                .iter()
                .enumerate()
                .map(|(index, node)| Item {
                    node: node.clone(),
                    path: format!("{}[{index}]", self.path),
                    secret: self.secret,
                })
                .collect()),
            _ => Err(self.no_list()),
        }
    }

    /// Returns the items of a list, or the single value in its place. Empty if the
    /// value is null.
    pub(super) fn list_or_one(&self) -> Result<Vec<Item>> {
        match &self.node.kind {
            NodeKind::Plain(_) if self.node.is_null() => Ok(Vec::new()),
            NodeKind::List(_) => self.list(),
            _ => Ok(vec![self.clone()]),
        }
    }

    pub(super) fn is_map(&self) -> bool {
        matches!(self.node.kind, NodeKind::Map(_))
    }

    /// Reads each item of a list.
    pub(super) fn each<T>(&self, read: impl Fn(&Self) -> Result<T>) -> Result<Vec<T>> {
        let mut mistakes = Mistakes::default();
        let read = |item: Self| mistakes.take(read(&item));
        let items = self.list()?.into_iter().filter_map(read).collect();
        mistakes.or(items)
    }

    /// Reads each item of a list as a text.
    pub(super) fn texts(&self) -> Result<Vec<String>> {
        self.each(Self::owned)
    }

    /// Returns the keys and values of a map; none if the value is not a map. A key that
    /// is not a text, or that occurs twice, is added to `mistakes` and left out.
    pub(super) fn pairs(&self, mistakes: &mut Mistakes) -> Vec<Pair> {
        let NodeKind::Map(entries) = &self.node.kind else {
            return Vec::new();
        };
        let mut seen = HashSet::new();
        let mut pairs = Vec::with_capacity(entries.len());
        for entry in entries {
            let place = &entry.key.place;
            let Some(key) = entry.key.as_key() else {
                let message = "has a key that is not a text: write a name";
                mistakes.add(place.error(&self.path, message));
                continue;
            };
            let path = format!("{}.{}", self.path, shown_key(key));
            if !seen.insert(key) {
                mistakes.add(place.error(&path, "is given twice: remove one"));
                continue;
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
        pairs
    }

    /// Whether the value is null, which means the default.
    pub(super) fn is_null(&self) -> bool {
        self.node.is_null()
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }
}

/// A key of a map, its place, and its value.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) item: Item,
}
