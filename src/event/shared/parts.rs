//! The parts of an event's text, as they are read: [`Parts`].

use super::header::{Part, number};
use super::word::Word;

/// A part with its text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'a> {
    /// The first byte of its header.
    part: u8,
    pub(super) word: Word,
    pub(super) number: u64,
    pub(super) text: &'a str,
}

impl Item<'_> {
    pub(super) fn is(&self, part: Part) -> bool {
        self.part == part as u8
    }
}

/// Consecutive parts: an iterator over them.
#[derive(Clone, Copy, Debug)]
pub(in crate::event) struct Parts<'a>(pub(super) &'a str);

impl<'a> Parts<'a> {
    pub(in crate::event) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the parts that begin with the first field that few descriptors have. Such
    /// fields come last.
    pub(super) fn rare_fields(mut self) -> Self {
        const OTHERS: [u8; 8] = [
            Part::Id as u8,
            Part::RequestId as u8,
            Part::Method as u8,
            Part::FromRepository as u8,
            Part::Length as u8,
            Part::AcceptedSeconds as u8,
            Part::AcceptedNanoseconds as u8,
            Part::MediaType as u8,
        ];
        while let Some(part) = self.0.as_bytes().first()
            && OTHERS.contains(part)
            && self.next().is_some()
        {}
        self
    }

    /// Whether the next part is a reference.
    fn is_at_reference(self) -> bool {
        const REFERENCES: [u8; 2] = [Part::Reference as u8, Part::PlainReference as u8];
        { self.0.as_bytes().first() }.is_some_and(|part| REFERENCES.contains(part))
    }

    /// Removes and returns the next part.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Item<'a>> {
        let (&[part, word, number_digits, length_digits], rest) =
            self.0.as_bytes().split_first_chunk()?;
        let (value, rest) = number(rest, number_digits)?;
        let (length, rest) = number(rest, length_digits)?;
        let start = self.0.len() - rest.len();
        let (text, rest) = self.0.get(start..)?.split_at_checked(length as usize)?;
        self.0 = rest;
        Some(Item {
            part,
            word: Word::from_ascii(word),
            number: value,
            text,
        })
    }

    /// Removes and returns the parts up to the next reference.
    #[inline]
    pub(super) fn split_own(&mut self) -> Self {
        let all = self.0;
        while !self.is_empty() && !self.is_at_reference() {
            // A part that cannot be read ends the list. The writer never makes one.
            if self.next().is_none() {
                self.0 = "";
            }
        }
        Self(&all[..all.len() - self.0.len()])
    }

    pub(super) fn items(mut self) -> impl Iterator<Item = Item<'a>> {
        std::iter::from_fn(move || self.next())
    }

    /// Returns the texts of one part, in order.
    pub(in crate::event) fn of(self, part: Part) -> impl Iterator<Item = &'a str> + use<'a> {
        let items = self.items().filter(move |item| item.is(part));
        items.map(|item| item.text)
    }

    pub(in crate::event) fn first(self, part: Part) -> Option<&'a str> {
        self.of(part).next()
    }

    /// Returns the number of the first of one part.
    pub(in crate::event) fn number(self, part: Part) -> Option<u64> {
        let item = self.items().find(|item| item.is(part));
        item.map(|item| item.number)
    }

    pub(super) fn media_type(self, word: Word) -> &'a str {
        match word {
            Word::OTHER => self.first(Part::MediaType).unwrap_or_default(),
            known => known.media_type(),
        }
    }
}
