//! Random orders of everything that may happen between a queue, its store and
//! its reader: every event comes once, in the order of its repository, and the
//! window keeps its bounds.
//!
//! `HAND_OVER_SEED=<seed> cargo test --lib hand_over` repeats one run.

use std::collections::{BTreeMap, VecDeque};

use fastrand::Rng;

use super::shelf::Shelf;
use super::*;

const SEEDS: u64 = 1_000;

/// Everything around a queue, and what has come of it so far.
struct Run {
    random: Rng,
    shelf: Shelf,
    queue: Arc<Queue>,
    limits: Limits,
    /// Stored and not offered yet.
    unoffered: VecDeque<Stored>,
    /// What the reader has, each with its repository busy.
    under_way: Vec<(Entry, Occupied)>,
    /// Ids of each repository in the order of acceptance, and as they came.
    accepted: BTreeMap<String, Vec<String>>,
    came: BTreeMap<String, Vec<String>>,
    written: usize,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let one = memory_of(&event("r0"));
        let limits = Limits {
            events: random.usize(1..40),
            bytes: random.choice([one, 7 * one, 1 << 30]).unwrap(),
        };
        let shelf = Shelf::default().pages_of(random.usize(1..9));
        let shelf = match random.u8(0..5) {
            0 => shelf.without_reload(),
            _ => shelf,
        };
        let (mut accepted, mut earlier) = (BTreeMap::<_, Vec<_>>::new(), 0);
        for _ in 0..random.choice([0, 30]).unwrap() {
            let event = event(&format!("r{}", random.u8(0..4)));
            let ids = accepted.entry(event.repository().to_owned()).or_default();
            ids.push(event.id().to_string());
            drop(shelf.store(event));
            earlier += 1;
        }
        let queue = shelf.queue(limits);
        queue.announce(earlier, shelf.end());
        Self {
            random,
            shelf,
            queue,
            limits,
            unoffered: VecDeque::new(),
            under_way: Vec::new(),
            accepted,
            came: BTreeMap::new(),
            written: earlier,
        }
    }

    fn step(&mut self) {
        match self.random.u8(0..20) {
            0..6 => self.store(),
            6..8 => self.offer(),
            8..12 => self.take(),
            12..15 => self.end(),
            15 => self.write_to_memory(),
            16 => drop(self.shelf.answer(self.random.u8(0..4) > 0)),
            _ => drop(self.shelf.answer(true)),
        }
        let (events, bytes) = self.queue.size();
        let came: usize = self.came.values().map(Vec::len).sum();
        let ended = came - self.under_way.len();
        // What is stored and not offered may have come already.
        assert!(events + ended <= self.written + self.unoffered.len());
        // One event of a refill and one of a reload are taken without room.
        let one = memory_of(&event("r0"));
        assert!(bytes <= self.limits.bytes.saturating_add(2 * one));
        assert!(bytes / one <= self.limits.events + 2);
    }

    fn store(&mut self) {
        // Most writes are of one repository, which often is busy.
        let repository = format!("r{}", self.random.u8(0..6).saturating_sub(2));
        let event = event(&repository);
        self.note(&event);
        self.unoffered.push_back(self.shelf.store(event));
    }

    fn offer(&mut self) {
        let events = self.random.usize(0..=self.unoffered.len());
        let events: Vec<_> = self.unoffered.drain(..events).collect();
        self.queue.offer(&events);
        self.written += events.len();
    }

    /// A store that is not available has offered before all that it had.
    fn write_to_memory(&mut self) {
        let events = Vec::from(std::mem::take(&mut self.unoffered));
        self.queue.offer(&events);
        self.written += events.len();
        let event = event(&format!("r{}", self.random.u8(0..4)));
        if self.queue.push(&event).is_ok() {
            self.note(&event);
            self.written += 1;
        }
    }

    fn note(&mut self, event: &SharedEvent) {
        let ids = self.accepted.entry(event.repository().to_owned());
        ids.or_default().push(event.id().to_string());
    }

    fn take(&mut self) {
        let Some(entry) = self.queue.take() else {
            return;
        };
        if self.random.u8(0..5) == 0 {
            return self.queue.put_back(entry);
        }
        let repository = entry.repository().to_owned();
        let came = self.came.entry(repository).or_default();
        came.push(entry.event.id().to_string());
        let lanes = self.queue.occupy(std::slice::from_ref(&entry));
        self.under_way.push((entry, lanes));
    }

    fn end(&mut self) {
        if self.under_way.is_empty() {
            return;
        }
        let index = self.random.usize(0..self.under_way.len());
        let (entry, lanes) = self.under_way.swap_remove(index);
        self.queue.settle(&entry);
        self.queue.release(lanes);
    }

    fn finish(mut self) {
        let unoffered = Vec::from(std::mem::take(&mut self.unoffered));
        self.queue.offer(&unoffered);
        let mut rounds = 0;
        loop {
            self.take();
            while !self.under_way.is_empty() {
                self.end();
            }
            if !self.shelf.answer(true) && self.queue.size().0 == 0 {
                break;
            }
            rounds += 1;
            assert!(rounds < 100_000, "it stalls: {:#?}", self.queue.state());
        }
        assert_eq!(self.came, self.accepted);
        assert_eq!((self.queue.size(), self.shelf.waiting()), ((0, 0), 0));
        assert!(self.queue.state().lanes.is_clear());
    }
}

fn run(seed: u64) {
    let mut run = Run::new(seed);
    for _ in 0..run.random.usize(1..400) {
        run.step();
    }
    run.finish();
}

#[test]
fn every_event_comes_once_and_in_order_whatever_is_asked_and_offered_meanwhile() {
    if let Ok(seed) = std::env::var("HAND_OVER_SEED") {
        return run(seed.parse().unwrap());
    }
    for seed in 0..SEEDS {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("repeat with HAND_OVER_SEED={seed} cargo test --lib hand_over");
            std::panic::resume_unwind(panic);
        }
    }
}
