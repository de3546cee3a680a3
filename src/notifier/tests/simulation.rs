//! Random lives of a registry with a journal: writes, receivers, errors of the
//! disk, shutdowns, kills and power losses. Every event ends once at each
//! endpoint that wants it, in the order of its repository, and what is sent again
//! had a restart in between.
//!
//! `RESTARTS_SEED=<seed> cargo test --all-features --lib notifier` repeats one
//! run, and `RESTARTS_SEEDS=<number>` does more than the usual number.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::life::{ENDPOINTS, Plan, World};
use super::receiver::Accepted;
use crate::journal::LetterFilter;

const SEEDS: u64 = 5_000;

fn run(seed: u64) {
    let mut world = World::new(seed);
    // The jitter between attempts follows it too.
    fastrand::seed(seed);
    for _ in 0..world.random.usize(1..3) {
        let plan = Plan::random(&mut world.random);
        world.live(plan);
    }
    world.live(Plan::last());
    check(&world);
}

fn check(world: &World) {
    let journal = world.disk.open().unwrap();
    let status = journal.status();
    assert_eq!((status.events, status.damaged), (0, 0), "{status:#?}");
    let letters = journal.dead_letters(&LetterFilter::new());
    let letters: BTreeSet<_> = letters
        .map(|letter| {
            let letter = letter.unwrap().letter;
            let target = letter.event.to_event().target;
            (
                letter.endpoint,
                format!("{}/{}", target.repository, target.tag),
            )
        })
        .collect();
    let accepted = world.accepted.lock().unwrap();
    for (endpoint, repositories) in ENDPOINTS {
        let own: Vec<_> = accepted
            .iter()
            .filter(|it| it.endpoint == endpoint)
            .collect();
        let wants = |event: &str| {
            let (repository, _) = event.split_once('/').unwrap();
            repository[1..].parse::<u8>().unwrap() < repositories
        };
        for event in own.iter().map(|it| &it.event) {
            assert!(world.written.contains(event), "{event} was invented");
            assert!(wants(event), "{endpoint} got {event}");
        }
        let delivered: BTreeSet<_> = own.iter().map(|it| it.event.clone()).collect();
        for event in world.durable.iter().filter(|it| wants(it)) {
            let is_letter = letters.contains(&(endpoint.to_owned(), event.clone()));
            assert!(
                delivered.contains(event) || is_letter,
                "{endpoint} lacks {event}"
            );
        }
        check_repeats(world, &own);
        check_order(world, &own);
    }
}

/// An event that has come once comes again only after a life that has not ended
/// cleanly, or in which the disk has failed.
fn check_repeats(world: &World, accepted: &[&Accepted]) {
    let mut last = HashMap::new();
    for it in accepted {
        if let Some(before) = last.insert(&it.event, it.life) {
            let between = &world.lives[before..it.life.max(before + 1)];
            let excused = |ended: &super::life::Ended| ended.faulty || !ended.cleanly;
            assert!(
                (before < it.life || world.lives[before].faulty) && between.iter().any(excused),
                "{} came again: {:?}",
                it.event,
                world.lives
            );
        }
    }
}

/// In each life, the events of a repository come in the order of acceptance. A write
/// that has failed with the disk may have succeeded nevertheless: its event comes when
/// the journal works again, and has no place in the order.
fn check_order(world: &World, accepted: &[&Accepted]) {
    let mut tags = BTreeMap::<_, Vec<usize>>::new();
    let mut seen = BTreeSet::new();
    for it in accepted {
        let (repository, tag) = it.event.split_once('/').unwrap();
        let has_place = !world.lives[it.life].faulty || world.taken.contains(&it.event);
        if has_place && seen.insert((it.life, &it.event)) {
            let tags = tags.entry((it.life, repository)).or_default();
            tags.push(tag.parse().unwrap());
        }
    }
    for (key, tags) in tags {
        assert!(tags.is_sorted(), "{key:?}: {tags:?}");
    }
}

#[test]
fn every_event_ends_once_and_in_order_through_restarts_and_faults() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|it| it.parse::<u64>().unwrap())
    };
    if let Some(seed) = number("RESTARTS_SEED") {
        return run(seed);
    }
    let seeds = number("RESTARTS_SEEDS").unwrap_or(SEEDS);
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        while !failed.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return;
            }
            if catch_unwind(AssertUnwindSafe(|| run(seed))).is_err() {
                failed.store(true, Ordering::Relaxed);
                eprintln!(
                    "repeat with RESTARTS_SEED={seed} \
                     cargo test --all-features --lib notifier"
                );
            }
        }
    };
    std::thread::scope(|scope| {
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    assert!(!failed.into_inner(), "a run has failed, see above");
}
