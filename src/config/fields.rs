//! The keys of a map: [`Fields`].
//!
//! A key that nothing has taken by the end is an error, so that no misspelt setting
//! is ignored.

use super::item::{Item, Pair};
use super::place::Place;
use super::spelling::nearest;
use super::variable::Variable;
use crate::error::{BuildError, MistakeKind, Mistakes};

type Result<T> = std::result::Result<T, BuildError>;

/// The keys of a map. Mistakes are collected until [`finish`](Self::finish), so
/// that all of them are reported.
#[derive(Debug)]
pub(super) struct Fields {
    /// The value, if it is not a map.
    no_map: Option<Item>,
    pairs: Vec<Pair>,
    known: Vec<&'static str>,
    mistakes: Mistakes,
}

impl Fields {
    pub(super) fn of(item: &Item) -> Self {
        let mut mistakes = Mistakes::default();
        let (no_map, pairs) = match item.is_map() {
            true => (None, item.pairs(&mut mistakes)),
            // Reported when the keys are known.
            false => (Some(item.clone()), Vec::new()),
        };
        Self {
            no_map,
            pairs,
            known: Vec::new(),
            mistakes,
        }
    }

    /// Takes the value of `key`. `None` if the key is missing or its value is null.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Item> {
        self.known.push(key);
        let at = self.pairs.iter().position(|it| it.key == key)?;
        Some(self.pairs.remove(at).item).filter(|item| !item.is_null())
    }

    /// Reads the value of `key`, if there is one.
    pub(super) fn get<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Item) -> Result<T>,
    ) -> Option<T> {
        let value = self.take(key).map(|item| read(&item));
        value.and_then(|value| self.mistakes.take(value))
    }

    /// Sets the value of `key` with a builder's method, if there is one.
    pub(super) fn set<B, T>(
        &mut self,
        builder: B,
        key: &'static str,
        read: impl FnOnce(&Item) -> Result<T>,
        set: impl FnOnce(B, T) -> B,
    ) -> B {
        match self.get(key, read) {
            Some(value) => set(builder, value),
            None => builder,
        }
    }

    /// Notes a mistake that concerns several keys.
    pub(super) fn note<T>(&mut self, result: Result<T>) -> Option<T> {
        self.mistakes.take(result)
    }

    /// Returns `value`, if nothing is wrong and no key is left over.
    pub(super) fn finish<T>(mut self, value: T) -> Result<T> {
        if let Some(item) = &self.no_map {
            self.mistakes.add(item.no_map(&self.known));
        }
        for Pair { key, place, item } in &self.pairs {
            self.mistakes.add(self.unknown(key, place, item.path()));
        }
        self.mistakes.or(value)
    }

    /// Returns the mistake of an unknown key. A variable of the environment that leads
    /// to one may belong to another program: its mistake has a kind of its own.
    fn unknown(&self, key: &str, place: &Place, path: &str) -> BuildError {
        let meant = nearest(key, self.known.iter().copied());
        let parent = path.strip_suffix(key);
        let instead = place.named().zip(meant).zip(parent);
        let instead = instead.and_then(|((variable, meant), parent)| {
            variable.instead(path, &format!("{parent}{meant}"))
        });
        let instead = instead.or_else(|| place.named().and_then(Variable::likely_variable));
        let hint = match (instead, meant) {
            (Some(variable), _) => format!("did you mean {variable}?"),
            (None, Some(meant)) => format!("did you mean {meant:?}?"),
            (None, None) => format!("the keys here are {}", self.known.join(", ")),
        };
        let error = place.error(path, format!("is not known here: {hint}"));
        match place.named() {
            Some(_) => error.with_kind(MistakeKind::UnknownVariable),
            None => error,
        }
    }
}
