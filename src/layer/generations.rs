//! A map in bounded memory: [`Generations`].

use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher, Hash, Hasher, RandomState};

/// Identifies something by a keyed hash of 128 bits.
///
/// The hash has random keys, so that no client can find two names that collide.
/// Names of any length take the same memory.
pub(super) type Key = u128;

/// Makes [`Key`]s.
#[derive(Debug, Default)]
pub(super) struct Keys(RandomState);

impl Keys {
    pub(super) fn of(&self, name: impl Hash) -> Key {
        KeysWithin(self.0.build_hasher()).of(name)
    }

    /// Returns a maker of keys for names that are unique only within `outer`, such
    /// as the digests in a repository.
    pub(super) fn within(&self, outer: impl Hash) -> KeysWithin {
        let mut hasher = self.0.build_hasher();
        outer.hash(&mut hasher);
        KeysWithin(hasher)
    }
}

/// Makes [`Key`]s of names that are unique only within something else.
#[derive(Debug)]
pub(super) struct KeysWithin(DefaultHasher);

impl KeysWithin {
    pub(super) fn of(&self, name: impl Hash) -> Key {
        let mut hasher = self.0.clone();
        name.hash(&mut hasher);
        // `finish` gives 64 bits of a state of 256 bits. Hashing them and finishing once
        // more gives 64 other bits, so two names have the same key only if both halves
        // collide.
        let low = hasher.finish();
        hasher.write_u64(low);
        let high = hasher.finish();
        u128::from(high) << 64 | u128::from(low)
    }
}

/// Uses the low half of a [`Key`], which is a hash already.
#[derive(Debug, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, key: Key) {
        self.0 = key as u64;
    }
}

type Map<V> = HashMap<Key, V, BuildHasherDefault<KeyHasher>>;

/// A map that forgets the entries unused for the longest time, approximately.
///
/// It holds two generations of at most `capacity` entries each. An entry that is
/// used moves to the younger generation. When that is full, it becomes the older
/// one, and the entries of the former older one are forgotten. Unlike a list in
/// the order of use, this needs no links between entries.
#[derive(Debug)]
pub(super) struct Generations<V> {
    younger: Map<V>,
    older: Map<V>,
    capacity: usize,
}

impl<V: Copy> Generations<V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            younger: Map::default(),
            older: Map::default(),
            capacity,
        }
    }

    pub(super) fn insert(&mut self, key: Key, value: V) {
        if let Some(younger) = self.younger.get_mut(&key) {
            *younger = value;
            return;
        }
        self.older.remove(&key);
        self.younger.insert(key, value);
        if self.younger.len() >= self.capacity {
            self.older = std::mem::take(&mut self.younger);
        }
    }

    /// Returns the value. This counts as a use.
    pub(super) fn get(&mut self, key: Key) -> Option<V> {
        if let Some(value) = self.younger.get(&key) {
            return Some(*value);
        }
        let value = self.older.remove(&key)?;
        self.insert(key, value);
        Some(value)
    }

    /// Whether there is a value. This does not count as a use.
    pub(super) fn contains(&self, key: Key) -> bool {
        self.younger.contains_key(&key) || self.older.contains_key(&key)
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<V> {
        self.younger
            .remove(&key)
            .or_else(|| self.older.remove(&key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn used_entries_stay_and_others_are_forgotten_within_the_bound() {
        let mut map = Generations::new(10);
        (0..100).for_each(|key| {
            map.insert(key, key);
            assert_eq!(map.get(0), Some(0));
            assert!(map.younger.len() + map.older.len() <= 20);
        });
        assert_eq!(map.get(1), None);
        assert_eq!(map.remove(99), Some(99));
        assert_eq!(map.get(99), None);
    }
}
