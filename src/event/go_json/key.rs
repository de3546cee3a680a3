//! The keys of members of objects: [`Key`].

use std::borrow::Cow;

use super::decode::decode;

/// The key of a member of an object, with its escapes.
#[derive(Clone, Copy, Debug)]
pub(in crate::event) struct Key<'a>(pub(super) &'a [u8]);

impl<'a> Key<'a> {
    pub(in crate::event) fn decode(self) -> Cow<'a, str> {
        decode(self.0)
    }
}

/// Whether Go takes `key` for the field `name`.
pub(in crate::event) fn is_folded(key: &str, name: &str) -> bool {
    let fold = |letter: char| match letter {
        'ſ' => 's',
        '\u{212a}' => 'k',
        _ => letter.to_ascii_lowercase(),
    };
    key.len() >= name.len() && key.chars().map(fold).eq(name.chars().map(fold))
}
