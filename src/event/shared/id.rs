use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use uuid::Uuid;

use crate::event::uuid_v7;

/// Id of an event or of a request, as text.
///
/// Events keep ids that are UUIDs as 128 bits. This type has their text without an
/// allocation. It dereferences to [`str`].
#[derive(Clone, Copy)]
pub struct Id<'a>(Spelling<'a>);

#[derive(Clone, Copy)]
enum Spelling<'a> {
    Uuid([u8; LENGTH]),
    Text(&'a str),
}

pub(in crate::event) const LENGTH: usize = uuid::fmt::Hyphenated::LENGTH;

/// The bits of a UUID; all zeros if the id is another text.
pub(super) type Bits = [u8; 16];

/// The bits of an id that is not a UUID.
pub(super) const NO_BITS: Bits = [0; 16];

/// Returns the bits of `text` if it is a UUID in its usual spelling, so that
/// [`Id::new`] spells the same text.
pub(super) fn bits(text: &str) -> Bits {
    if text.len() != LENGTH {
        return NO_BITS;
    }
    let Ok(uuid) = Uuid::try_parse_ascii(text.as_bytes()) else {
        return NO_BITS;
    };
    // `try_parse` also takes upper case.
    let upper = text.bytes().any(|byte| byte.is_ascii_uppercase());
    if upper { NO_BITS } else { uuid.into_bytes() }
}

/// Returns the bits of a new UUIDv7.
pub(super) fn new_bits() -> Bits {
    uuid_v7::new().into_bytes()
}

impl<'a> Id<'a> {
    /// Creates the id of these bits, or of `text` if there are none.
    pub(super) fn new(bits: Bits, text: &'a str) -> Self {
        if bits == NO_BITS {
            return Self(Spelling::Text(text));
        }
        let mut spelled = [0; LENGTH];
        Uuid::from_bytes(bits)
            .hyphenated()
            .encode_lower(&mut spelled);
        Self(Spelling::Uuid(spelled))
    }

    /// Returns the ASCII text of the id if it is a UUID.
    pub(in crate::event) fn uuid(&self) -> Option<&[u8; LENGTH]> {
        match &self.0 {
            Spelling::Uuid(spelled) => Some(spelled),
            Spelling::Text(_) => None,
        }
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            // The spelling of a UUID is ASCII.
            Spelling::Uuid(spelled) => str::from_utf8(spelled).unwrap_or_default(),
            Spelling::Text(text) => text,
        }
    }
}

impl Deref for Id<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Id<'_> {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Id<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Id<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl PartialEq for Id<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Id<'_> {}

impl PartialEq<str> for Id<'_> {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Id<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialEq<String> for Id<'_> {
    fn eq(&self, other: &String) -> bool {
        self.as_str() == other
    }
}

impl Hash for Id<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl From<Id<'_>> for String {
    fn from(id: Id<'_>) -> Self {
        id.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_spelled_as_it_was() {
        for text in [
            "6df24a34-0959-4923-81ca-14f09767db19",
            "6DF24A34-0959-4923-81CA-14F09767DB19",
            "00000000-0000-0000-0000-000000000000",
            "6df24a340959-4923-81ca-14f09767db19-",
            "6df24a34095949238 1ca14f09767db190000",
            "6df24a3409594923-81ca-14f09767db19",
            "",
            "req-1",
        ] {
            let bits = bits(text);
            assert_eq!(Id::new(bits, text), text);
            assert_eq!(bits != NO_BITS, text.starts_with("6df24a34-0959-4923-81ca"));
        }
    }
}
