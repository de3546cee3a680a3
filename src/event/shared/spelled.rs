//! Texts that events keep in a shorter form: [`Spelled`].

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

/// A text that an event keeps in a shorter form than its `N` bytes, or as it is.
///
/// It has the text without an allocation, and dereferences to [`str`].
#[derive(Clone, Copy)]
pub struct Spelled<'a, const N: usize>(Spelling<'a, N>);

#[derive(Clone, Copy)]
enum Spelling<'a, const N: usize> {
    /// ASCII.
    Spelled([u8; N]),
    Text(&'a str),
}

impl<'a, const N: usize> Spelled<'a, N> {
    /// Creates one whose text was spelled, in ASCII.
    pub(super) fn ascii(text: [u8; N]) -> Self {
        Self(Spelling::Spelled(text))
    }

    pub(super) fn text(text: &'a str) -> Self {
        Self(Spelling::Text(text))
    }

    /// Returns the ASCII text if it was spelled. No character of it needs escaping.
    pub(in crate::event) fn spelled(&self) -> Option<&[u8; N]> {
        match &self.0 {
            Spelling::Spelled(text) => Some(text),
            Spelling::Text(_) => None,
        }
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Spelling::Spelled(text) => str::from_utf8(text).unwrap_or_default(),
            Spelling::Text(text) => text,
        }
    }
}

impl<const N: usize> Deref for Spelled<'_, N> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl<const N: usize> AsRef<str> for Spelled<'_, N> {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl<const N: usize> fmt::Display for Spelled<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<const N: usize> fmt::Debug for Spelled<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl<const N: usize> PartialEq for Spelled<'_, N> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl<const N: usize> Eq for Spelled<'_, N> {}

impl<const N: usize> PartialEq<str> for Spelled<'_, N> {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl<const N: usize> PartialEq<&str> for Spelled<'_, N> {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl<const N: usize> PartialEq<String> for Spelled<'_, N> {
    fn eq(&self, other: &String) -> bool {
        self.as_str() == other
    }
}

impl<const N: usize> Hash for Spelled<'_, N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl<const N: usize> From<Spelled<'_, N>> for String {
    fn from(text: Spelled<'_, N>) -> Self {
        text.as_str().to_owned()
    }
}
