//! Small chunks that are packed.

use super::*;

fn options(pack_from: usize) -> JournalOptions {
    JournalOptions {
        pack_from,
        retention: Duration::from_secs(3600),
        ..JournalOptions::default()
    }
}

/// What an endpoint waits for: positions, numbers and names.
fn waiting(stage: &Stage, endpoint: EndpointId) -> Vec<(u64, Option<u64>, String)> {
    let page = stage.page(endpoint, 0).unwrap();
    let events = page.events.into_iter();
    events
        .map(|it| (it.position, it.number, it.event.repository().to_owned()))
        .collect()
}

/// The same is done to two journals, of which one packs. `late` comes in the middle,
/// and starts with the oldest event.
fn same_whether_packed_or_not(seed: u64) -> u64 {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut stages = [usize::MAX, random.usize(2..6)]
        .map(|pack_from| Stage::new(options(pack_from), &["a", "b"]));
    let (mut number, mut last) = (0, 0);
    for _ in 0..random.usize(1..80) {
        match random.u32(0..10) {
            0..7 => {
                let ids = stages[0].ids.clone();
                let wanted: Vec<_> = ids.into_iter().filter(|_| random.u8(0..4) > 0).collect();
                number += 1;
                let event = event(number);
                let positions = [0, 1].map(|it| stages[it].append(&event, &wanted).unwrap());
                assert_eq!(positions[0], positions[1], "{seed}");
                last = positions[0];
            }
            7..9 if last > 0 => {
                let (position, part) = (random.u64(1..=last), random.u64(1..5));
                let endpoint = stages[0].ids[random.usize(0..stages[0].ids.len())];
                for stage in &stages {
                    stage.settle(endpoint, position..position + part);
                }
            }
            9 => {
                stages = stages.map(|stage| {
                    let (disk, options) =
                        (stage.disk.clone(), stage.journal.shared().options.clone());
                    drop(stage);
                    let journal = Journal::manual(options, disk.opener()).unwrap();
                    let mut endpoints = attach(&["a", "b", "late"]);
                    endpoints[2].start = Start::Oldest;
                    Stage::of(disk, journal, endpoints, Arc::default()).unwrap()
                });
            }
            _ => {}
        }
    }
    for id in stages[0].ids.clone() {
        assert_eq!(waiting(&stages[1], id), waiting(&stages[0], id), "{seed}");
    }
    let [plain, packed] = stages.each_ref().map(|it| it.journal.status());
    let counts = |status: &JournalStatus| {
        let waiting = status.endpoints.iter().map(|it| it.waiting);
        (status.damaged, waiting.collect::<Vec<_>>())
    };
    assert_eq!(counts(&packed), counts(&plain), "{seed}");
    let checks = stages.each_ref().map(|it| it.journal.check().unwrap());
    assert!(checks[1].is_intact(), "{seed}: {:?}", checks[1]);
    // When all is settled, nothing is pinned by what was packed.
    for stage in &stages {
        for id in stage.ids.clone() {
            let positions = stage.positions(id);
            stage.settle(id, positions);
        }
        let stage = stage.journal.status();
        assert!(stage.endpoints.iter().all(|it| it.waiting == 0));
        assert_eq!(stage.damaged, 0, "{seed}");
    }
    let replayed = stages
        .each_ref()
        .map(|it| it.journal.replay("a", &ReplayFrom::Oldest).unwrap());
    assert_eq!(replayed[1], replayed[0], "{seed}");
    let a = stages[0].ids[0];
    let again = stages.each_ref().map(|it| waiting(it, a));
    assert_eq!(again[1], again[0], "{seed}");
    checks[0].chunks - checks[1].chunks
}

#[test]
fn a_journal_that_packs_is_the_same_as_one_that_does_not() {
    let packed: u64 = (0..60).map(same_whether_packed_or_not).sum();
    assert!(packed > 200, "{packed}");
}

#[test]
fn events_that_come_one_by_one_take_little_of_the_disk() {
    let stage = Stage::new(JournalOptions::default(), &["a", "b", "c"]);
    for number in 0..1_000 {
        stage.append(&event(number), &stage.ids).unwrap();
    }
    let check = stage.journal.check().unwrap();
    assert!(check.is_intact() && check.chunks <= 100, "{check:?}");
    let bytes = stage.journal.status().bytes;
    assert!(bytes < 200 * 1_000, "{bytes}");
    assert_eq!(stage.positions(stage.ids[1]).len(), 1_000);
}

/// What the limits have told of stays as it is, or it would be told of again.
#[test]
fn what_the_limits_have_ended_is_not_packed() {
    let options = JournalOptions {
        max_bytes: 4_000,
        ..options(3)
    };
    let stage = Stage::new(options, &["a"]);
    stage.queues.under_way.lock().unwrap().extend(1..1_000);
    let mut told = Vec::new();
    for number in 0..100 {
        let full = stage.append(&event(number), &stage.ids).is_err();
        let expired = std::mem::take(&mut *stage.queues.expired.lock().unwrap());
        told.extend(expired.into_iter().map(|it| it.1));
        if full {
            break;
        }
    }
    assert!(told.len() > 10, "{told:?}");
    let mut once = told.clone();
    once.sort();
    once.dedup();
    assert_eq!(once, told);
}
