//! Decides which worker serves which partitions: [`assign`], among the [`Members`].
//!
//! The server gives every partition to the first worker that asks for it. Therefore the
//! workers announce themselves to each other every second, and each computes by the same
//! rule which partitions are its own and asks for only those. If they disagree for a
//! moment, two of them ask for a partition and the server pins it to one of them, or
//! nobody asks until they agree. The order of events never depends on this.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

/// How often a worker announces itself.
pub(super) const PRESENCE: Duration = Duration::from_secs(1);

/// How long after its last message a worker counts as gone: after four missed messages.
const GONE: Duration = Duration::from_millis(4500);

/// The largest number of workers that are remembered. Their names come from the network,
/// so their number must be bounded.
const MOST: usize = 10_000;

/// The message with which a worker announces itself.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Presence {
    pub(super) id: String,
    /// The endpoints that it delivers to.
    pub(super) endpoints: Vec<String>,
    /// Whether the worker is shutting down.
    #[serde(default)]
    pub(super) leaves: bool,
}

/// The workers that are known to be running.
#[derive(Debug)]
pub(super) struct Members {
    own: Presence,
    others: BTreeMap<String, (Vec<String>, Instant)>,
}

impl Members {
    pub(super) fn new(own: Presence) -> Self {
        let others = BTreeMap::new();
        Self { own, others }
    }

    pub(super) fn own(&self) -> &Presence {
        &self.own
    }

    /// Records the message of a worker. Returns whether the worker was unknown: then it
    /// does not know this one either and must be answered.
    pub(super) fn record(&mut self, now: Instant, presence: Presence) -> bool {
        let Presence {
            id,
            endpoints,
            leaves,
        } = presence;
        if id == self.own.id {
            return false;
        }
        if leaves {
            self.others.remove(&id);
            return false;
        }
        if !self.others.contains_key(&id) && self.others.len() >= MOST {
            return false;
        }
        self.others.insert(id, (endpoints, now)).is_none()
    }

    /// Forgets those that are gone.
    pub(super) fn expire(&mut self, now: Instant) {
        self.others.retain(|_, (_, heard)| now < *heard + GONE);
    }

    /// Whether any worker delivers to an endpoint.
    pub(super) fn deliver_to(&self, endpoint: &str) -> bool {
        let others = self.others.values().map(|(endpoints, _)| endpoints);
        let mut all = others.chain([&self.own.endpoints]).flatten();
        all.any(|it| it == endpoint)
    }

    /// Returns which partitions of an endpoint this worker serves.
    pub(super) fn own_partitions(&self, endpoint: &str, partitions: u16) -> Vec<bool> {
        let delivers = |endpoints: &[String]| endpoints.iter().any(|it| it == endpoint);
        let others = self
            .others
            .iter()
            .filter(|(_, (endpoints, _))| delivers(endpoints));
        let mut workers: Vec<_> = others.map(|(id, _)| id.as_str()).collect();
        workers.push(&self.own.id);
        let owners = assign(&workers, endpoint, partitions);
        owners
            .into_iter()
            .map(|owner| owner == self.own.id)
            .collect()
    }
}

/// Returns the worker of each partition.
///
/// Each partition ranks the workers by a hash and takes the first that does not have its
/// full share yet. All workers then have the same number of partitions, give or take
/// one, and few partitions move when a worker joins or leaves.
fn assign<'a>(workers: &[&'a str], endpoint: &str, partitions: u16) -> Vec<&'a str> {
    let mut workers = workers.to_vec();
    workers.sort_unstable();
    workers.dedup();
    let count = workers.len().max(1);
    let (share, mut extras) = (
        usize::from(partitions) / count,
        usize::from(partitions) % count,
    );
    let mut loads = vec![0; workers.len()];
    let take = |partition: u16| {
        let mut ranked: Vec<_> = workers.iter().enumerate().collect();
        ranked.sort_by_cached_key(|(_, worker)| rank(worker, endpoint, partition));
        let owner = ranked.into_iter().find(|(at, _)| {
            let load = loads.get_mut(*at);
            let Some(load) = load else { return false };
            let is_extra = *load == share && extras > 0;
            if *load >= share && !is_extra {
                return false;
            }
            extras -= usize::from(is_extra);
            *load += 1;
            true
        });
        owner.map_or("", |(_, worker)| *worker)
    };
    (0..partitions).map(take).collect()
}

fn rank(worker: &str, endpoint: &str, partition: u16) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [
        worker.as_bytes(),
        endpoint.as_bytes(),
        &partition.to_be_bytes(),
    ] {
        // With the lengths, different parts never hash as the same bytes.
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

    fn loads(workers: &[&str], partitions: u16) -> Vec<usize> {
        let owners = assign(workers, "ci", partitions);
        assert_eq!(owners.len(), usize::from(partitions));
        let load = |worker: &&str| owners.iter().filter(|owner| *owner == worker).count();
        workers.iter().map(load).collect()
    }

    #[test]
    fn one_to_five_workers_have_the_same_share() {
        for count in 1..=5 {
            for partitions in [1, 5, 16, 64] {
                let loads = loads(&NAMES[..count], partitions);
                let (least, most) = (loads.iter().min().unwrap(), loads.iter().max().unwrap());
                assert!(most - least <= 1, "{loads:?}");
                assert_eq!(loads.iter().sum::<usize>(), usize::from(partitions));
            }
        }
    }

    #[test]
    fn few_partitions_move_when_a_worker_joins_or_leaves() {
        let moved = |from: &[&str], to: &[&str]| {
            let (from, to) = (assign(from, "ci", 64), assign(to, "ci", 64));
            from.iter().zip(to).filter(|(from, to)| *from != to).count()
        };
        for count in 1..5 {
            let (few, more) = (&NAMES[..count], &NAMES[..=count]);
            // Those of the new one have to move. To move all would be 64.
            let least = 64 / (count + 1);
            assert!(moved(few, more) <= least * 2, "{}", moved(few, more));
            assert_eq!(moved(few, more), moved(more, few));
        }
    }

    #[test]
    fn all_workers_compute_the_same() {
        let now = Instant::now();
        let presence = |id: &str| Presence {
            id: id.into(),
            endpoints: vec!["ci".into()],
            leaves: false,
        };
        let mut all: Vec<_> = NAMES.iter().map(|id| Members::new(presence(id))).collect();
        for members in &mut all {
            for id in NAMES {
                let is_new = members.record(now, presence(id));
                assert_eq!(is_new, id != members.own().id);
                assert!(!members.record(now, presence(id)));
            }
        }
        let owners = |all: &[Members]| {
            let own = all.iter().map(|it| it.own_partitions("ci", 16));
            let mut counts = vec![0; 16];
            for own in own {
                counts
                    .iter_mut()
                    .zip(own)
                    .for_each(|(count, own)| *count += u32::from(own));
            }
            counts
        };
        assert_eq!(owners(&all), [1; 16]);
        // One dies: the others notice, and share its partitions.
        all.pop();
        assert_ne!(owners(&all), [1; 16]);
        let later = now + GONE;
        for members in &mut all {
            NAMES[..4].iter().for_each(|id| {
                members.record(later, presence(id));
            });
            members.expire(later);
        }
        assert_eq!(owners(&all), [1; 16]);
        // One leaves: at once.
        let gone = all.pop().unwrap();
        let leaves = true;
        for members in &mut all {
            members.record(
                later,
                Presence {
                    leaves,
                    ..gone.own().clone()
                },
            );
        }
        assert_eq!(owners(&all), [1; 16]);
        // A worker with other endpoints has no part in these.
        let endpoints = vec!["other".into()];
        for members in &mut all {
            members.record(
                later,
                Presence {
                    endpoints: endpoints.clone(),
                    ..presence("x")
                },
            );
        }
        assert_eq!(owners(&all), [1; 16]);
    }

    #[test]
    fn what_is_remembered_of_others_is_bounded() {
        let now = Instant::now();
        let presence = |id: usize| Presence {
            id: id.to_string(),
            endpoints: Vec::new(),
            leaves: false,
        };
        let mut members = Members::new(presence(0));
        for id in 1..20_000 {
            members.record(now, presence(id));
        }
        assert_eq!(members.others.len(), MOST);
    }
}
