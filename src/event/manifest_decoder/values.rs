//! The types of Go that the fields of a manifest have, and the memory that their values
//! may take.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::str::FromStr;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use crate::event::go_json::{Fault, Scanner};
use crate::event::reference::Slice;

/// The memory that the references of one manifest may take, in bytes.
pub(in crate::event) const MEMORY_LIMIT: usize = 1 << 20;

/// Base64 as Go decodes it: padded, and with any unused bits in the last character.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// The result of decoding one value onto what its field holds.
pub(super) type Decoded = Result<(), Fault>;

/// Decodes values onto those that the fields of Go's structs hold.
pub(super) struct Values<'a> {
    pub(super) json: Scanner<'a>,
    /// The rest of [`MEMORY_LIMIT`]. Values that are overwritten later count too, because
    /// a client can repeat a key as often as it likes.
    memory: usize,
}

impl<'a> Values<'a> {
    pub(super) fn new(content: &'a [u8]) -> Self {
        Self {
            json: Scanner::new(content),
            memory: MEMORY_LIMIT,
        }
    }

    /// Takes bytes from the memory that is left.
    ///
    /// # Errors
    ///
    /// When less is left.
    pub(super) fn spend(&mut self, bytes: usize) -> Decoded {
        self.memory = self.memory.checked_sub(bytes).ok_or(Fault::Bounds)?;
        Ok(())
    }

    /// Decodes a string, and counts its memory.
    pub(super) fn string(&mut self, string: &mut Cow<'a, str>) -> Decoded {
        self.uncounted_string(string)?;
        self.spend(string.len())
    }

    /// Decodes a string whose memory is not counted, because at most one is kept.
    pub(super) fn uncounted_string(&mut self, string: &mut Cow<'a, str>) -> Decoded {
        if !self.json.null()? {
            *string = self.json.string()?;
        }
        Ok(())
    }

    pub(super) fn integer<T: FromStr + TryFrom<i64>>(&mut self, integer: &mut T) -> Decoded {
        if !self.json.null()? {
            *integer = self.json.integer()?;
        }
        Ok(())
    }

    /// Decodes a slice of bytes: base64 with line ends anywhere, or an array of numbers.
    pub(super) fn bytes(&mut self, bytes: &mut Slice<u8>) -> Decoded {
        if self.json.peek() != Some(b'"') {
            return self.slice(bytes, usize::MAX, Self::integer);
        }
        let mismatch = self.json.mismatch();
        let mut text = self.json.string()?;
        if text.contains(['\r', '\n']) {
            text.to_mut().retain(|it| it != '\r' && it != '\n');
        }
        self.spend(text.len())?;
        *bytes = BASE64.decode(&*text).map_err(|_| mismatch)?.into();
        Ok(())
    }

    /// Decodes a slice of at most `most` elements, each with `set`.
    pub(super) fn slice<T: Default>(
        &mut self,
        slice: &mut Slice<T>,
        most: usize,
        mut set: impl FnMut(&mut Self, &mut T) -> Decoded,
    ) -> Decoded {
        if self.json.null()? {
            *slice = Slice::default();
            return Ok(());
        }
        self.json.open(b'[')?;
        let mut length = 0;
        let mut first = true;
        while self.json.element(&mut first)? {
            if length == most {
                return Err(Fault::Bounds);
            }
            if length == slice.items.len() {
                self.spend(size_of::<T>())?;
                slice.items.push(T::default());
            }
            set(self, &mut slice.items[length])?;
            length += 1;
        }
        if length == 0 {
            *slice = Slice::default();
        }
        slice.length = length;
        Ok(())
    }

    pub(super) fn map(&mut self, map: &mut BTreeMap<Cow<'a, str>, Cow<'a, str>>) -> Decoded {
        if self.json.null()? {
            map.clear();
            return Ok(());
        }
        self.json.open(b'{')?;
        let mut first = true;
        while self.json.member(&mut first)? {
            let key = self.json.name()?;
            // Unlike elsewhere, `null` does not leave the earlier value.
            let mut value = Cow::Borrowed("");
            self.string(&mut value)?;
            let key = key.decode();
            self.spend(2 * size_of::<Cow<'_, str>>() + key.len())?;
            map.insert(key, value);
        }
        Ok(())
    }

    /// Checks the type of a map that no event has.
    pub(super) fn unused_map(&mut self) -> Decoded {
        if self.json.null()? {
            return Ok(());
        }
        self.json.open(b'{')?;
        let mut first = true;
        while self.json.member(&mut first)? {
            self.json.name()?;
            self.uncounted_string(&mut Cow::Borrowed(""))?;
        }
        Ok(())
    }

    /// Checks the type of a slice of strings that no event has.
    pub(super) fn unused_strings(&mut self) -> Decoded {
        if self.json.null()? {
            return Ok(());
        }
        self.json.open(b'[')?;
        let mut first = true;
        while self.json.element(&mut first)? {
            self.uncounted_string(&mut Cow::Borrowed(""))?;
        }
        Ok(())
    }
}
