//! A journal on a simulated disk, for simulations of what is above it.

use super::disk::Disk;
use super::*;

/// A disk that outlives the journals on it. A clone is another handle to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimulatedDisk(Disk);

impl SimulatedDisk {
    /// Opens a journal that works when it is [told to](Journal::turn).
    pub(crate) fn open(&self) -> Result<Journal, JournalError> {
        self.open_with(JournalOptions {
            pack_from: 3,
            ..JournalOptions::default()
        })
    }

    pub(crate) fn open_with(&self, options: JournalOptions) -> Result<Journal, JournalError> {
        Journal::manual(options, self.0.opener())
    }

    /// Flips a bit of each place where these bytes are. Returns how many there were.
    pub(crate) fn damage(&self, bytes: &[u8]) -> usize {
        let mut content = self.0.bytes();
        let places = content.windows(bytes.len()).enumerate();
        let places = places.filter(|(_, found)| *found == bytes);
        let places: Vec<_> = places.map(|(at, _)| at).collect();
        places.iter().for_each(|at| content[*at] ^= 1);
        self.0.set_bytes(content);
        places.len()
    }

    /// Loses power: what was not synced is there in part.
    pub(crate) fn crash(&self, random: &mut fastrand::Rng) {
        self.0.crash(random);
    }

    /// Lets calls fail, `many` of them, after so many that do not.
    pub(crate) fn fail_after(&self, calls: u64, many: u64) {
        self.0.fail_after(calls, many);
    }

    /// Lets no more calls fail.
    pub(crate) fn work(&self) {
        self.0.work();
    }
}
