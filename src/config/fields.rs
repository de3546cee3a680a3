//! Reads the keys of a map, of which each must be known: [`Fields`].

use super::item::{Item, Pair};
use super::spelling::nearest;
use crate::error::{BuildError, Mistakes};

type Result<T> = std::result::Result<T, BuildError>;

/// The keys of a map. Mistakes are collected until [`finish`](Self::finish), so
/// that all of them are reported.
#[derive(Debug)]
pub(super) struct Fields {
    pairs: Vec<Pair>,
    known: Vec<&'static str>,
    mistakes: Mistakes,
}

impl Fields {
    pub(super) fn of(item: &Item) -> Self {
        let mut mistakes = Mistakes::default();
        Self {
            pairs: item.pairs(&mut mistakes),
            known: Vec::new(),
            mistakes,
        }
    }

    /// The value of `key`, unless it is nothing.
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
        for Pair { key, place, item } in &self.pairs {
            let hint = nearest(key, self.known.iter().copied());
            let hint =
                hint.unwrap_or_else(|| format!("the keys here are {}", self.known.join(", ")));
            let message = format!("is not known here: {hint}");
            self.mistakes.add(place.error(item.path(), message));
        }
        self.mistakes.or(value)
    }
}
