//! The events of one commit: [`Chunk`].
//!
//! | part | content |
//! | --- | --- |
//! | version | 1 |
//! | count | number of events; their positions follow one another |
//! | members | for each endpoint that wants any: its id, which it wants, and their numbers |
//! | events | each with its length before it, compressed together |
//! | checksum | see [`codec`] |

use crate::event::{SharedEvent, stored};

use super::bits::{Bits, EndpointId, Wanted};
use super::codec::{self, Damage, Decoder, Table};
use super::entry::Number;

const VERSION: u8 = 1;

/// The largest number of events in a chunk.
pub(super) const MOST_EVENTS: usize = 512;

/// The largest size of its events before compression, in bytes. A single event may be
/// larger.
pub(super) const MOST_BYTES: usize = 256 << 10;

/// The size that the stored form should have, in bytes. A large value has pages of its
/// own, whose size is a power of two: a value slightly larger than 64 KiB would take 128
/// KiB.
const AIM: usize = 60 << 10;

/// A chunk is filled up to at least this size before compression, in bytes.
const LEAST_BYTES: usize = 64 << 10;

/// Bytes of its stored form below which it is small.
pub(super) const SMALL: usize = 2 << 10;

/// Which events of a chunk an endpoint wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) endpoint: EndpointId,
    pub(super) wants: Bits,
    pub(super) numbers: Numbers,
}

impl Member {
    /// The numbers of all events that it wants, in a chunk of `count`. 0 is none.
    pub(super) fn all_numbers(&self, count: u32) -> impl Iterator<Item = u64> {
        let ranks = 0..self.wants.len(count);
        ranks.map(|rank| self.numbers.get(rank).unwrap_or(0))
    }
}

/// The numbers of the events that an endpoint wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    /// Consecutive numbers from this one on, which is not 0.
    From(u64),
    /// A number for each event, or 0 for an event without one.
    Each(Vec<u64>),
}

impl Numbers {
    /// These numbers, of which 0 is none.
    pub(super) fn of(numbers: Vec<u64>) -> Self {
        let follow = numbers
            .windows(2)
            .all(|pair| pair[0].checked_add(1) == Some(pair[1]));
        match numbers.first() {
            Some(first) if *first > 0 && follow => Self::From(*first),
            _ => Self::Each(numbers),
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::From(first) => codec::put(out, *first),
            Self::Each(numbers) => {
                codec::put(out, 0);
                numbers.iter().for_each(|it| codec::put(out, *it));
            }
        }
    }

    fn read(input: &mut Decoder<'_>, count: u32) -> Result<Self, Damage> {
        match input.number()? {
            0 => {
                let numbers = (0..count).map(|_| input.number());
                Ok(Self::Each(numbers.collect::<Result<_, _>>()?))
            }
            first => Ok(Self::From(first)),
        }
    }

    fn get(&self, rank: u32) -> Option<u64> {
        let number = match self {
            Self::From(first) => first + u64::from(rank),
            Self::Each(numbers) => *numbers.get(rank as usize)?,
        };
        Some(number).filter(|it| *it > 0)
    }
}

/// A chunk that is being filled.
#[derive(Debug, Default)]
pub(super) struct Draft {
    wanted: Vec<(Wanted, Number)>,
    events: Vec<u8>,
}

impl Draft {
    /// Adds an event in its stored form. Returns `false` if the chunk is full, having
    /// `most_bytes` or [`MOST_EVENTS`]: then the event belongs into the next one.
    pub(super) fn add(
        &mut self,
        event: &[u8],
        wanted: &Wanted,
        number: Number,
        most_bytes: usize,
    ) -> bool {
        let full = self.wanted.len() >= MOST_EVENTS;
        if !self.is_empty() && (full || self.events.len() + event.len() > most_bytes) {
            return false;
        }
        codec::put_bytes(&mut self.events, event);
        self.wanted.push((wanted.clone(), number));
        true
    }

    /// Returns up to how many bytes to fill the next chunk so that it fits into its pages,
    /// assuming that it compresses like this one, whose stored form has `length` bytes.
    pub(super) fn fitting(&self, length: usize) -> usize {
        let fitting = self.events.len().saturating_mul(AIM) / length.max(1);
        fitting.clamp(LEAST_BYTES, MOST_BYTES)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    pub(super) fn count(&self) -> u32 {
        // At most MOST_EVENTS.
        self.wanted.len() as u32
    }

    /// Returns what an endpoint wants of the chunk, if anything. `next` is the number of
    /// the next event that the endpoint wants, and is advanced.
    pub(super) fn member(&self, endpoint: EndpointId, next: &mut u64) -> Option<Member> {
        let count = self.count();
        let wants = Bits::of(count, |it| self.wanted[it as usize].0.contains(endpoint));
        let wanted = { self.wanted.iter() }.filter(|(wanted, _)| wanted.contains(endpoint));
        let mut all_next = true;
        let first = *next;
        let numbers = wanted.map(|(_, number)| {
            all_next &= *number == Number::Next;
            number.take(next)
        });
        let numbers: Vec<_> = numbers.collect();
        let numbers = match all_next {
            true => Numbers::From(first),
            false => Numbers::Each(numbers),
        };
        (!wants.is_empty()).then_some(Member {
            endpoint,
            wants,
            numbers,
        })
    }

    /// Returns the stored form of the chunk, whose first event is at `first`.
    pub(super) fn encode(&self, first: u64, members: &[Member]) -> Vec<u8> {
        encode(first, self.count(), members, &self.events)
    }
}

/// The stored form of a chunk whose first event is at `first`. Each of its events has
/// its length before it.
pub(super) fn encode(first: u64, count: u32, members: &[Member], events: &[u8]) -> Vec<u8> {
    let mut out = vec![VERSION];
    codec::put(&mut out, count.into());
    codec::put(&mut out, members.len() as u64);
    for member in members {
        codec::put(&mut out, member.endpoint.0.into());
        member.wants.put(&mut out, count);
        member.numbers.put(&mut out);
    }
    codec::put_compressed(&mut out, events);
    codec::seal(Table::Chunks, first, out)
}

/// A chunk that was read.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) count: u32,
    pub(super) members: Vec<Member>,
    /// The stored forms, each with its length before it.
    events: Vec<u8>,
}

impl Chunk {
    pub(super) fn decode(first: u64, value: &[u8]) -> Result<Self, Damage> {
        let mut input = Decoder(codec::unseal(Table::Chunks, first, value)?);
        if input.byte()? != VERSION {
            return Err(Damage::Content);
        }
        let count = input.small()?;
        let mut members = Vec::new();
        for _ in 0..input.size()? {
            let endpoint = EndpointId(input.small()?);
            let wants = Bits::read(&mut input, count)?;
            let numbers = Numbers::read(&mut input, wants.len(count))?;
            members.push(Member {
                endpoint,
                wants,
                numbers,
            });
        }
        let events = codec::decompressed(input)?;
        Ok(Self {
            count,
            members,
            events,
        })
    }

    /// All events, each with its length before it.
    pub(super) fn stored(&self) -> &[u8] {
        &self.events
    }

    pub(super) fn member(&self, endpoint: EndpointId) -> Option<&Member> {
        self.members.iter().find(|it| it.endpoint == endpoint)
    }

    /// Returns the stored forms of its events, in order.
    pub(super) fn events(&self) -> impl Iterator<Item = Result<&[u8], Damage>> {
        let mut input = Decoder(&self.events);
        (0..self.count).map(move |_| input.bytes())
    }

    /// Whether an endpoint that has the event did not want it when it came, because
    /// there was no such endpoint.
    pub(super) fn is_adopted(&self, endpoint: EndpointId, index: u32) -> bool {
        self.member(endpoint).is_none_or(|it| !it.wants.has(index))
    }

    /// Returns the number of an event at an endpoint. `None` if it has none.
    pub(super) fn number(&self, endpoint: EndpointId, index: u32) -> Option<u64> {
        let member = self.member(endpoint).filter(|it| it.wants.has(index))?;
        member.numbers.get(member.wants.rank(index))
    }
}

/// Reads the stored form of one event.
pub(super) fn event(bytes: &[u8]) -> Result<SharedEvent, Damage> {
    stored::from_bytes(bytes).map_err(|_| Damage::Content)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::event::{Action, Event};

    fn wanted(ids: &[u32]) -> Wanted {
        ids.iter().map(|id| EndpointId(*id)).collect()
    }

    #[test]
    fn events_come_back_with_their_numbers() {
        let events: Vec<SharedEvent> = (0..5)
            .map(|number| {
                let mut event = Event::new(Action::Pull);
                event.target.repository = format!("a/{number}");
                event.into()
            })
            .collect();
        let mut draft = Draft::default();
        for (index, event) in events.iter().enumerate() {
            let ids: &[u32] = if index % 2 == 0 { &[0, 3] } else { &[0] };
            // The last one is sent again.
            let number = match index {
                4 => Number::Kept(NonZeroU64::new(7)),
                _ => Number::Next,
            };
            assert!(draft.add(&stored::to_bytes(event), &wanted(ids), number, MOST_BYTES));
        }
        let mut next = [10, 5, 1];
        let members = [0, 1, 3].into_iter().zip(&mut next);
        let members = members.filter_map(|(id, next)| draft.member(EndpointId(id), next));
        let members: Vec<_> = members.collect();
        assert_eq!((members.len(), next), (2, [14, 5, 3]));
        let value = draft.encode(42, &members);
        let chunk = Chunk::decode(42, &value).unwrap();
        let back: Vec<_> = chunk
            .events()
            .map(|it| event(it.unwrap()).unwrap())
            .collect();
        assert_eq!(back, events);
        let numbers = |id| (0..5).map(move |it| (id, it));
        let number = |(id, index)| chunk.number(EndpointId(id), index);
        let expected = [10, 11, 12, 13, 7].map(Some);
        assert!(numbers(0).map(number).eq(expected));
        assert!(
            numbers(3)
                .map(number)
                .eq([Some(1), None, Some(2), None, Some(7)])
        );
        assert!(numbers(1).map(number).eq([None; 5]));
        assert!(matches!(Chunk::decode(43, &value), Err(Damage::Checksum)));
    }

    #[test]
    fn a_chunk_is_bounded_in_events_and_bytes_but_takes_one_of_any_size() {
        let mut draft = Draft::default();
        assert!(draft.add(
            &vec![0; 2 * MOST_BYTES],
            &wanted(&[0]),
            Number::Next,
            MOST_BYTES
        ));
        assert!(!draft.add(&[0], &wanted(&[0]), Number::Next, MOST_BYTES));
        let mut draft = Draft::default();
        let added = (0..)
            .take_while(|_| draft.add(b"{}", &wanted(&[0]), Number::Next, MOST_BYTES))
            .count();
        assert_eq!(added, MOST_EVENTS);
    }
}
