//! Sizes that earlier responses have shown: [`Sizes`].

use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::generations::{Generations, Keys};
use crate::event::ReferenceList;
use crate::metrics::missing_fact;

/// The number of sizes that a generation remembers, at 32 bytes each.
const CAPACITY: usize = 32 << 10;

/// The sizes of digests. A digest names its content, so its size never changes.
///
/// What the registry itself has said ranks first. Where it says nothing, as
/// for a blob that it redirects to its storage, a manifest that it accepted or
/// served in the same repository tells the size. A registry checks that the
/// blobs of a manifest exist, and not their sizes, so a client may claim
/// anything there: a claim counts only where the registry, if it can be asked,
/// has stated no size, and two manifests that disagree give no size.
#[derive(Debug)]
pub(super) struct Sizes {
    keys: Keys,
    remembered: Mutex<State>,
}

#[derive(Debug)]
struct State {
    known: Generations<u64>,
    claimed: Generations<Claim>,
}

/// What manifests say of the size of a digest in a repository.
#[derive(Clone, Copy, Debug)]
enum Claim {
    Size(u64),
    /// One size is claimed, and the registry, if it could be asked, has stated none.
    Settled(u64),
    /// Two manifests disagree. It stays so whatever others claim: nothing shows which
    /// of them is right.
    Disputed,
    /// The digest is that of a manifest whose claims are remembered. Its key is not that
    /// of a claim about the manifest itself.
    Read,
}

/// Returns the name that a manifest has among the digests of its repository, once it was
/// read.
fn read_name(digest: &str) -> impl Hash {
    ("read", digest)
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            keys: Keys::default(),
            remembered: Mutex::new(State {
                known: Generations::new(CAPACITY),
                claimed: Generations::new(CAPACITY),
            }),
        }
    }
}

impl Sizes {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a size that the registry itself has shown.
    pub(super) fn learn(&self, digest: &str, size: u64) {
        self.lock().known.insert(self.keys.of(digest), size);
    }

    /// Remembers the sizes in a manifest that the registry accepted or served in
    /// `repository`.
    pub(super) fn claim(
        &self,
        repository: &str,
        manifest: Option<&str>,
        references: &ReferenceList,
    ) {
        let keys = self.keys.within(repository);
        let mut remembered = self.lock();
        // First, so that it is forgotten no later than what the manifest claims.
        if let Some(digest) = manifest {
            let key = keys.of(read_name(digest));
            remembered.claimed.insert(key, Claim::Read);
        }
        for reference in references {
            let key = keys.of(reference.digest());
            let claim = match remembered.claimed.get(key) {
                Some(Claim::Size(size) | Claim::Settled(size)) if size == reference.size() => {
                    continue;
                }
                Some(Claim::Disputed | Claim::Read) => continue,
                Some(Claim::Size(_) | Claim::Settled(_)) => {
                    missing_fact("disputed_size");
                    Claim::Disputed
                }
                None => Claim::Size(reference.size()),
            };
            remembered.claimed.insert(key, claim);
        }
    }

    /// Whether the sizes in a manifest are remembered. This does not count as a use:
    /// otherwise it would be remembered longer than the sizes.
    pub(super) fn has_read(&self, repository: &str, digest: &str) -> bool {
        let key = self.keys.within(repository).of(read_name(digest));
        self.lock().claimed.contains(key)
    }

    /// Returns the size of a digest in a repository, if it is known without a
    /// stat.
    pub(super) fn get(&self, repository: &str, digest: &str) -> Option<u64> {
        let mut remembered = self.lock();
        let known = remembered.known.get(self.keys.of(digest));
        known.or_else(|| {
            match remembered
                .claimed
                .get(self.keys.within(repository).of(digest))?
            {
                Claim::Settled(size) => Some(size),
                Claim::Size(_) | Claim::Disputed | Claim::Read => None,
            }
        })
    }

    /// Returns the size that manifests claim, after the registry has stated none. From
    /// then on it counts as known, without another stat.
    pub(super) fn settle(&self, repository: &str, digest: &str) -> Option<u64> {
        let mut remembered = self.lock();
        let key = self.keys.within(repository).of(digest);
        match remembered.claimed.get(key)? {
            Claim::Size(size) | Claim::Settled(size) => {
                remembered.claimed.insert(key, Claim::Settled(size));
                Some(size)
            }
            Claim::Disputed | Claim::Read => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_ranks_before_manifests_and_disagreeing_manifests_give_nothing() {
        let sizes = Sizes::default();
        let claim = |size| {
            let mut references = ReferenceList::default();
            references.push("x", "sha256:1", size);
            sizes.claim("a/b", None, &references);
        };
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
        assert!(!sizes.has_read("a/b", "sha256:1"));
        sizes.learn("sha256:1", 7);
        assert_eq!(sizes.get("a/b", "sha256:1"), Some(7));
        assert_eq!(sizes.get("a/other", "sha256:1"), Some(7));
    }

    #[test]
    fn a_manifest_counts_as_read_as_long_as_its_sizes_are_remembered() {
        let sizes = Sizes::default();
        let claim = |manifest: &str, digest: &str| {
            let mut references = ReferenceList::default();
            references.push("x", digest, 5);
            sizes.claim("a", Some(manifest), &references);
        };
        claim("m", "sha256:1");
        assert!(sizes.has_read("a", "m") && !sizes.has_read("b", "m"));
        assert!(!sizes.has_read("a", "sha256:1"));
        assert_eq!(sizes.settle("a", "m"), None, "it says nothing about itself");
        for other in 0..2 * CAPACITY {
            // Asking does not keep it.
            if sizes.has_read("a", "m") {
                let remembered = sizes.lock();
                let key = sizes.keys.within("a").of("sha256:1");
                assert!(remembered.claimed.contains(key));
            }
            claim(&format!("m{other}"), &other.to_string());
        }
        assert!(!sizes.has_read("a", "m"));
    }
}
