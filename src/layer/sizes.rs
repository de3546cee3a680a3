//! Sizes that earlier responses have shown: [`Sizes`].

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::generations::{Generations, Keys};
use crate::event::Descriptor;
use crate::metrics::missing_fact;

/// How many sizes a generation remembers, at 32 bytes each.
const CAPACITY: usize = 32 << 10;

/// The sizes of digests. A digest names its content, so its size never changes.
///
/// What the registry itself has said ranks first. Where it says nothing, as
/// for a blob that it redirects to its storage, a manifest that it accepted or
/// served in the same repository tells the size. A registry checks that the
/// blobs of a manifest exist, and not their sizes, so a client may claim
/// anything there: a claim counts only where the registry, if it can be asked,
/// has not said better, and two manifests that disagree give no size.
#[derive(Debug)]
pub(super) struct Sizes {
    keys: Keys,
    memory: Mutex<Memory>,
}

#[derive(Debug)]
struct Memory {
    known: Generations<u64>,
    claimed: Generations<Claim>,
}

#[derive(Clone, Copy, Debug)]
enum Claim {
    Size(u64),
    /// The registry was asked and has not said better.
    Settled(u64),
    Disputed,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            keys: Keys::default(),
            memory: Mutex::new(Memory {
                known: Generations::new(CAPACITY),
                claimed: Generations::new(CAPACITY),
            }),
        }
    }
}

impl Sizes {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The registry has shown this size.
    pub(super) fn learn(&self, digest: &str, size: u64) {
        self.memory().known.insert(self.keys.of(digest), size);
    }

    /// A manifest in `repository`, which the registry accepted or served,
    /// refers to these.
    pub(super) fn claim(&self, repository: &str, references: &[Descriptor]) {
        let mut memory = self.memory();
        for reference in references {
            let key = self.keys.of((repository, &*reference.digest));
            let claim = match memory.claimed.get(key) {
                Some(Claim::Size(size) | Claim::Settled(size)) if size == reference.size => {
                    continue;
                }
                Some(Claim::Disputed) => continue,
                Some(Claim::Size(_) | Claim::Settled(_)) => {
                    missing_fact("disputed_size");
                    Claim::Disputed
                }
                None => Claim::Size(reference.size),
            };
            memory.claimed.insert(key, claim);
        }
    }

    /// The size of a digest in a repository, if it is known without a question
    /// to the registry.
    pub(super) fn get(&self, repository: &str, digest: &str) -> Option<u64> {
        let mut memory = self.memory();
        let known = memory.known.get(self.keys.of(digest));
        known.or_else(
            || match memory.claimed.get(self.keys.of((repository, digest)))? {
                Claim::Settled(size) => Some(size),
                Claim::Size(_) | Claim::Disputed => None,
            },
        )
    }

    /// The size that manifests claim, for when the registry does not tell it.
    /// It need not be asked again.
    pub(super) fn settle(&self, repository: &str, digest: &str) -> Option<u64> {
        let mut memory = self.memory();
        let key = self.keys.of((repository, digest));
        match memory.claimed.get(key)? {
            Claim::Size(size) | Claim::Settled(size) => {
                memory.claimed.insert(key, Claim::Settled(size));
                Some(size)
            }
            Claim::Disputed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_ranks_before_manifests_and_disagreeing_manifests_give_nothing() {
        let sizes = Sizes::default();
        let claim = |size| sizes.claim("a/b", &[Descriptor::new("x", "sha256:1", size)]);
        assert_eq!(sizes.get("a/b", "sha256:1"), None);
        claim(5);
        claim(5);
        assert_eq!(sizes.get("a/b", "sha256:1"), None);
        assert_eq!(sizes.settle("a/b", "sha256:1"), Some(5));
        assert_eq!(sizes.get("a/b", "sha256:1"), Some(5));
        assert_eq!(sizes.get("a/other", "sha256:1"), None);
        claim(6);
        claim(6);
        assert_eq!(sizes.get("a/b", "sha256:1"), None);
        assert_eq!(sizes.settle("a/b", "sha256:1"), None);
        sizes.learn("sha256:1", 7);
        assert_eq!(sizes.get("a/b", "sha256:1"), Some(7));
        assert_eq!(sizes.get("a/other", "sha256:1"), Some(7));
    }
}
