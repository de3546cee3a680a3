//! Texts that events keep in a shorter form: [`CompactText`].

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

/// A text that an event keeps in a shorter form than its `N` bytes, or as it is.
///
/// It has the text without an allocation, and dereferences to [`str`].
#[derive(Clone, Copy)]
pub struct CompactText<'a, const N: usize>(Repr<'a, N>);

#[derive(Clone, Copy)]
enum Repr<'a, const N: usize> {
    Ascii([u8; N]),
    Text(&'a str),
}

impl<'a, const N: usize> CompactText<'a, N> {
    /// Creates one from the ASCII text that the shorter form stands for.
    pub(super) fn from_ascii(text: [u8; N]) -> Self {
        Self(Repr::Ascii(text))
    }

    pub(super) fn from_text(text: &'a str) -> Self {
        Self(Repr::Text(text))
    }

    /// Returns the text as ASCII if the event keeps it in the shorter form. No character of it
    /// needs escaping then.
    pub(in crate::event) fn as_ascii(&self) -> Option<&[u8; N]> {
        match &self.0 {
            Repr::Ascii(text) => Some(text),
            Repr::Text(_) => None,
        }
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Ascii(text) => str::from_utf8(text).unwrap_or_default(),
            Repr::Text(text) => text,
        }
    }
}

impl<const N: usize> Deref for CompactText<'_, N> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl<const N: usize> AsRef<str> for CompactText<'_, N> {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl<const N: usize> fmt::Display for CompactText<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<const N: usize> fmt::Debug for CompactText<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl<const N: usize> PartialEq for CompactText<'_, N> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl<const N: usize> Eq for CompactText<'_, N> {}

impl<const N: usize> PartialEq<str> for CompactText<'_, N> {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl<const N: usize> PartialEq<&str> for CompactText<'_, N> {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl<const N: usize> PartialEq<String> for CompactText<'_, N> {
    fn eq(&self, other: &String) -> bool {
        self.as_str() == other
    }
}

impl<const N: usize> Hash for CompactText<'_, N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl<const N: usize> From<CompactText<'_, N>> for String {
    fn from(text: CompactText<'_, N>) -> Self {
        text.as_str().to_owned()
    }
}
