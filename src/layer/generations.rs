//! A map in bounded memory: [`Generations`].

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};

/// Identifies something by a keyed hash of 128 bits.
///
/// The hash has random keys, so that no client can find two names that collide.
/// Names of any length take the same memory.
pub(super) type Key = u128;

/// Makes [`Key`]s.
#[derive(Debug, Default)]
pub(super) struct Keys {
    low: RandomState,
    high: RandomState,
}

impl Keys {
    pub(super) fn of(&self, name: impl Hash) -> Key {
        let (low, high) = (self.low.hash_one(&name), self.high.hash_one(&name));
        u128::from(high) << 64 | u128::from(low)
    }
}

/// A map that forgets, roughly, what has not been used for the longest time.
///
/// It holds two generations of at most `capacity` entries. When the younger
/// one is full, it becomes the older one, whose entries are forgotten.
#[derive(Debug)]
pub(super) struct Generations<V> {
    younger: HashMap<Key, V>,
    older: HashMap<Key, V>,
    capacity: usize,
}

impl<V: Copy> Generations<V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            younger: HashMap::new(),
            older: HashMap::new(),
            capacity,
        }
    }

    pub(super) fn insert(&mut self, key: Key, value: V) {
        self.older.remove(&key);
        self.younger.insert(key, value);
        if self.younger.len() >= self.capacity {
            self.older = std::mem::take(&mut self.younger);
        }
    }

    /// Returns the value, which counts as a use.
    pub(super) fn get(&mut self, key: Key) -> Option<V> {
        if let Some(value) = self.younger.get(&key) {
            return Some(*value);
        }
        let value = self.older.remove(&key)?;
        self.insert(key, value);
        Some(value)
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
