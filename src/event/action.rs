//! What was done, and to what kind of thing: [`Action`] and [`Kind`].

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What was done to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Action {
    /// Content was written, or a tag was set.
    Push,
    /// Content was read, or requested with HEAD.
    Pull,
    /// A blob of one repository was made available in another.
    Mount,
    /// Content, a tag or a repository was removed.
    Delete,
}

impl Action {
    pub(crate) const ALL: [Self; 4] = [Self::Push, Self::Pull, Self::Mount, Self::Delete];

    /// Whether this action can happen to something of this kind.
    pub(crate) fn applies_to(self, kind: Kind) -> bool {
        match self {
            Self::Push | Self::Pull => matches!(kind, Kind::Manifest | Kind::Blob),
            Self::Mount => kind == Kind::Blob,
            Self::Delete => true,
        }
    }

    /// Returns the word that stands for the action in an event.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Pull => "pull",
            Self::Mount => "mount",
            Self::Delete => "delete",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Action {
    type Err = ParseWordError;

    /// Parses the word that [`as_str`](Self::as_str) returns, in lower case.
    fn from_str(word: &str) -> Result<Self, ParseWordError> {
        let known = Self::ALL.into_iter().find(|it| it.as_str() == word);
        known.ok_or(ParseWordError {
            expected: "push, pull, mount or delete",
        })
    }
}

/// The kind of target that an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Kind {
    /// A manifest, with or without a tag: an image, an index, an artifact.
    Manifest,
    /// A blob, such as a layer or a configuration.
    Blob,
    /// A tag that was deleted. Setting a tag is the push of a manifest.
    Tag,
    /// A repository that was deleted.
    Repository,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Manifest, Self::Blob, Self::Tag, Self::Repository];

    /// Returns the word that stands for the kind in the types of CloudEvents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Blob => "blob",
            Self::Tag => "tag",
            Self::Repository => "repository",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = ParseWordError;

    /// Parses the word that [`as_str`](Self::as_str) returns, in lower case.
    fn from_str(word: &str) -> Result<Self, ParseWordError> {
        let known = Self::ALL.into_iter().find(|it| it.as_str() == word);
        known.ok_or(ParseWordError {
            expected: "manifest, blob, tag or repository",
        })
    }
}

/// The error of parsing an [`Action`] or a [`Kind`] from a word that names none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseWordError {
    expected: &'static str,
}

impl fmt::Display for ParseWordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown word, expected {}", self.expected)
    }
}

impl Error for ParseWordError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_and_kinds_parse_from_their_own_words_only() {
        for action in Action::ALL {
            assert_eq!(action.as_str().parse(), Ok(action));
        }
        for kind in Kind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        for word in ["", "Push", "pushed", " push"] {
            let error = word.parse::<Action>().unwrap_err();
            assert_eq!(
                error.to_string(),
                "unknown word, expected push, pull, mount or delete"
            );
            assert!(word.parse::<Kind>().is_err());
        }
    }
}
