//! Sets of events in a chunk and of endpoints: [`Bits`], [`Wanted`].
//!
//! Nearly every set is full or empty, which takes one byte on disk and no allocation.

use super::codec::{Damage, Decoder};

/// Some of the events of a chunk, by their index in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bits {
    None,
    All,
    /// A word for each 64 events, the lowest bit first. At least one event is in the set
    /// and at least one is not.
    Some(Box<[u64]>),
}

impl Bits {
    /// Returns the set of those of `count` events for which `has` is true.
    pub(super) fn of(count: u32, has: impl Fn(u32) -> bool) -> Self {
        let mut words = vec![0; words(count)];
        for index in (0..count).filter(|index| has(*index)) {
            words[index as usize / 64] |= 1 << (index % 64);
        }
        Self::from_words(words.into(), count)
    }

    /// The sets of several chunks, each with its count of events, as that of one which
    /// has the events of all.
    pub(super) fn joined<'a>(parts: impl Iterator<Item = (&'a Self, u32)>) -> Self {
        let each = parts.flat_map(|(bits, count)| (0..count).map(|index| bits.has(index)));
        let all: Vec<bool> = each.collect();
        Self::of(all.len() as u32, |index| all[index as usize])
    }

    fn from_words(words: Box<[u64]>, count: u32) -> Self {
        match words.iter().map(|word| word.count_ones()).sum::<u32>() {
            0 => Self::None,
            ones if ones == count => Self::All,
            _ => Self::Some(words),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::None
    }

    pub(super) fn has(&self, index: u32) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Some(words) => {
                let word = words.get(index as usize / 64);
                word.is_some_and(|word| word >> (index % 64) & 1 == 1)
            }
        }
    }

    /// Returns how many events are in the set, in a chunk of `count`.
    pub(super) fn len(&self, count: u32) -> u32 {
        match self {
            Self::None => 0,
            Self::All => count,
            Self::Some(words) => words.iter().map(|word| word.count_ones()).sum(),
        }
    }

    /// Returns how many events of the set come before `index`.
    pub(super) fn rank(&self, index: u32) -> u32 {
        match self {
            Self::None => 0,
            Self::All => index,
            Self::Some(words) => {
                let (word, bit) = (index as usize / 64, index % 64);
                let before = words.iter().take(word).map(|it| it.count_ones());
                let own = words.get(word).map_or(0, |it| it & ((1 << bit) - 1));
                before.sum::<u32>() + own.count_ones()
            }
        }
    }

    /// Removes an event, in a chunk of `count`. Returns whether it was in the set.
    pub(super) fn remove(&mut self, index: u32, count: u32) -> bool {
        if index >= count || !self.has(index) {
            return false;
        }
        *self = Self::of_words(std::mem::replace(self, Self::None), index, count);
        true
    }

    fn of_words(bits: Self, without: u32, count: u32) -> Self {
        let mut words = match bits {
            Self::Some(words) => words,
            all => Box::from_iter((0..words(count) as u32).map(|word| {
                let bits = (0..64).filter(|bit| word * 64 + bit < count);
                bits.filter(|bit| all.has(word * 64 + bit))
                    .fold(0, |word, bit| word | 1 << bit)
            })),
        };
        words[without as usize / 64] &= !(1 << (without % 64));
        Self::from_words(words, count)
    }

    pub(super) fn put(&self, out: &mut Vec<u8>, count: u32) {
        match self {
            Self::None => out.push(NONE),
            Self::All => out.push(ALL),
            Self::Some(words) => {
                out.push(SOME);
                let bytes = words.iter().flat_map(|word| word.to_le_bytes());
                out.extend(bytes.take(count.div_ceil(8) as usize));
            }
        }
    }

    pub(super) fn read(input: &mut Decoder<'_>, count: u32) -> Result<Self, Damage> {
        match input.byte()? {
            NONE => Ok(Self::None),
            ALL => Ok(Self::All),
            SOME => {
                let bytes = input.take(count.div_ceil(8) as usize)?;
                let words = bytes.chunks(8).map(|chunk| {
                    let mut word = [0; 8];
                    word[..chunk.len()].copy_from_slice(chunk);
                    u64::from_le_bytes(word)
                });
                Ok(Self::from_words(words.collect(), count))
            }
            _ => Err(Damage::Content),
        }
    }
}

const NONE: u8 = 0;
const ALL: u8 = 1;
const SOME: u8 = 2;

fn words(count: u32) -> usize {
    count.div_ceil(64) as usize
}

/// The number of an endpoint in its journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EndpointId(pub(crate) u32);

/// The endpoints that want an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The first 64 endpoints, which need no allocation.
    first: u64,
    more: Vec<u64>,
}

impl Wanted {
    pub(crate) fn insert(&mut self, endpoint: EndpointId) {
        let (word, bit) = (endpoint.0 as usize / 64, endpoint.0 % 64);
        match word.checked_sub(1) {
            None => self.first |= 1 << bit,
            Some(word) => {
                if self.more.len() <= word {
                    self.more.resize(word + 1, 0);
                }
                self.more[word] |= 1 << bit;
            }
        }
    }

    pub(crate) fn contains(&self, endpoint: EndpointId) -> bool {
        let (word, bit) = (endpoint.0 as usize / 64, endpoint.0 % 64);
        let word = match word.checked_sub(1) {
            None => Some(&self.first),
            Some(word) => self.more.get(word),
        };
        word.is_some_and(|word| word >> bit & 1 == 1)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first == 0 && self.more.iter().all(|word| *word == 0)
    }
}

impl FromIterator<EndpointId> for Wanted {
    fn from_iter<T: IntoIterator<Item = EndpointId>>(endpoints: T) -> Self {
        let mut wanted = Self::default();
        endpoints.into_iter().for_each(|it| wanted.insert(it));
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_what_was_put_into_it_and_comes_back_from_bytes() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let count = random.u32(1..300);
            let part = random.u32(0..=10);
            let mut model: Vec<bool> = (0..count).map(|_| random.u32(0..10) < part).collect();
            let mut bits = Bits::of(count, |index| model[index as usize]);
            for _ in 0..2 * count {
                let index = random.u32(0..count);
                let was = std::mem::replace(&mut model[index as usize], false);
                assert_eq!(bits.remove(index, count), was, "{seed}");
                let left = model.iter().filter(|it| **it).count() as u32;
                assert_eq!(bits.len(count), left);
                assert_eq!(bits.is_empty(), left == 0);
                let before = model[..index as usize].iter().filter(|it| **it).count();
                assert_eq!(bits.rank(index), before as u32);
                let mut out = Vec::new();
                bits.put(&mut out, count);
                let mut input = Decoder(&out);
                assert_eq!(Bits::read(&mut input, count), Ok(bits.clone()));
                assert_eq!(input.end(), Ok(()));
                assert!((0..count).all(|it| bits.has(it) == model[it as usize]));
            }
            assert!(!bits.remove(count, count));
        }
    }

    #[test]
    fn any_number_of_endpoints_may_want_an_event() {
        let ids = [0, 1, 63, 64, 65, 127, 128, 1000].map(EndpointId);
        let wanted: Wanted = ids.into_iter().collect();
        let found: Vec<_> = (0..2000).map(EndpointId).collect();
        let found: Vec<_> = found
            .into_iter()
            .filter(|it| wanted.contains(*it))
            .collect();
        assert_eq!(found, ids);
        assert!(!wanted.is_empty() && Wanted::default().is_empty());
    }
}
