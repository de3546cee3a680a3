//! Random endpoints, receivers, writers and shutdowns: every event ends exactly
//! once, in the order of its repository, and the counters add up.
//!
//! `CHAOS_SEED=<seed> cargo test --test endpoint chaos` repeats one run, and
//! `CHAOS_SEEDS=<number>` does more than the usual number.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::time::{sleep, timeout};
use tower_registry_notifications::dead_letter::{DeadLetter, DeadLetterSink, Reason};
use tower_registry_notifications::endpoint::{Backoff, Batch, Breaker, EndpointStatus, Overflow};
use tower_registry_notifications::sink::{Acceptance, Sink as _, SinkError};
use tower_registry_notifications::{Endpoint, Notifier, ShutdownReport};

use crate::common::scripted::{Log, Reply, event, scripted};

const SEEDS: u64 = 600;
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// A sink of dead letters that fails, panics, and is slow now and then.
#[derive(Clone)]
struct Letters {
    random: Arc<Mutex<Rng>>,
    kept: Arc<Mutex<Vec<DeadLetter>>>,
    /// Whether it answers at once and keeps everything.
    calm: bool,
    concurrency: usize,
}

impl DeadLetterSink for Letters {
    fn bury(&self, letter: &Arc<DeadLetter>) -> Acceptance {
        let mut random = self.random.lock().unwrap();
        let (kept, letter) = (self.kept.clone(), letter.clone());
        let keep = move || kept.lock().unwrap().push((*letter).clone());
        if self.calm {
            keep();
            return Acceptance::accepted();
        }
        let late = Duration::from_millis(random.u64(0..8_000));
        match random.u8(0..10) {
            0 => Acceptance::failed(SinkError::full()),
            1 => {
                drop(random);
                // Without a backtrace of each.
                std::panic::resume_unwind(Box::new("in the sink of dead letters"))
            }
            2..6 => Acceptance::pending(async move {
                sleep(late).await;
                keep();
                Ok(())
            }),
            _ => {
                keep();
                Acceptance::accepted()
            }
        }
    }

    fn concurrency(&self) -> usize {
        self.concurrency
    }
}

fn reply(random: &mut Rng, events: &[String]) -> Reply {
    // Some events are never accepted, whatever comes.
    let is_bad = |ends: &str| events.iter().any(|event| event.ends_with(ends));
    if is_bad("7") && random.u8(0..4) > 0 {
        return Reply::Status(400);
    }
    if is_bad("9") && random.u8(0..4) > 0 {
        return Reply::Status(500);
    }
    match random.u8(0..20) {
        0 => Reply::Status(500),
        1 => Reply::Reset,
        2 => Reply::Hang,
        3 => Reply::Answer(429, ("retry-after", "3"), String::new()),
        4 => Reply::Status(404),
        5 if random.u8(0..20) == 0 => Reply::Status(410),
        6..11 => Reply::Late(Duration::from_millis(random.u64(0..3_000))),
        _ => Reply::Status(200),
    }
}

fn endpoint(random: &mut Rng, letters: Letters) -> (Endpoint, Log, Overflow) {
    let replies = Mutex::new(random.fork());
    let (client, log) = scripted(move |_, events| reply(&mut replies.lock().unwrap(), events));
    let overflows = [Overflow::RejectNewest, Overflow::DropOldest, Overflow::Wait];
    let overflow = random.choice(overflows).unwrap();
    let one = event("r0", 10).memory();
    let bytes = match random.u8(0..3) {
        0 => one * random.usize(1..12),
        _ => usize::MAX,
    };
    let batch = Batch::of(random.usize(1..8))
        .bytes(random.choice([1, 1_500, 1 << 20]).unwrap())
        .linger(SECOND * random.u32(0..3));
    let endpoint = Endpoint::new("e", "http://receiver")
        .client(client)
        .timeout(2 * SECOND)
        .concurrency(random.usize(1..5))
        .batch(batch)
        .queue_events(random.usize(1..20))
        .queue_bytes(bytes)
        .overflow(overflow)
        .dead_letters(letters);
    let endpoint = match random.u8(0..4) {
        0 => endpoint.retry(Breaker::new().threshold(random.u32(1..5))),
        _ => {
            let attempts = random.choice([1, 3, u32::MAX]).unwrap();
            let backoff = Backoff::new().cap(20 * SECOND).attempts(attempts);
            let age = SECOND * random.u32(1..600);
            endpoint.retry(backoff.age(age))
        }
    };
    (endpoint, log, overflow)
}

/// What the test wrote, and what it was told of that.
#[derive(Default)]
struct Written {
    events: BTreeSet<String>,
    /// Writes that failed, or were dropped before they were decided.
    unaccepted: usize,
    closed: usize,
}

async fn write_some(notifier: &Notifier, random: &mut Rng, written: &mut Written) {
    for tag in 0..random.usize(1..60) {
        let repository = match random.u8(0..60) {
            // Larger than some bounds.
            0 => "large".repeat(1_000),
            other => format!("r{}", other % 5),
        };
        written.events.insert(format!("{repository}/{tag}"));
        let write = notifier.sink().write(&event(&repository, tag));
        let patience = Duration::from_millis(random.u64(0..2_000));
        match timeout(patience, write).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                written.unaccepted += 1;
                written.closed += usize::from(error.is_closed());
            }
            Err(_) => written.unaccepted += 1,
        }
        if random.bool() {
            sleep(Duration::from_millis(random.u64(0..4_000))).await;
        }
        if random.u8(0..30) == 0 {
            notifier.enable("e");
        }
    }
}

fn name(letter: &DeadLetter) -> String {
    let target = &letter.event.to_event().target;
    format!("{}/{}", target.repository, target.tag)
}

/// `Events` = `Successes` + dead letters + pending.
fn adds_up(status: &EndpointStatus) {
    let ended = status.successes + status.dead_letters;
    assert_eq!(status.events, ended + status.pending, "{status:#?}");
}

async fn run(seed: u64) {
    let mut random = Rng::with_seed(seed);
    // The jitter between attempts follows it too.
    fastrand::seed(seed);
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let letters = Letters {
        random: Arc::new(Mutex::new(random.fork())),
        kept: Arc::default(),
        calm: random.bool(),
        concurrency: random.choice([1, 4, 1_000]).unwrap(),
    };
    let (endpoint, log, overflow) = endpoint(&mut random, letters.clone());
    let notifier = Notifier::builder().endpoint(endpoint).build().unwrap();
    let mut written = Written::default();
    write_some(&notifier, &mut random, &mut written).await;
    if letters.calm {
        adds_up(&notifier.status().endpoints[0]);
    }
    let deadline = random.choice([Duration::ZERO, 10 * SECOND, HOUR]).unwrap();
    let (report, late) = tokio::join!(notifier.shutdown(deadline), async {
        let mut late = Written::default();
        if random.bool() {
            let written = notifier.sink().write(&event("late", 0)).await;
            assert!(written.unwrap_err().is_closed());
            late.events.insert("late/0".into());
            late.unaccepted += 1;
        }
        late
    });
    written.events.extend(late.events);
    written.unaccepted += late.unaccepted;
    let status = notifier.status().endpoints.remove(0);
    check(&status, &report, &letters, &log, &written);
    let metric = "registry_notifications_unaccepted_total ";
    let rendered = recorder.handle().render();
    let unaccepted = rendered.lines().find_map(|line| line.strip_prefix(metric));
    assert_eq!(
        unaccepted.unwrap().parse::<usize>().unwrap(),
        written.unaccepted
    );
    assert!(written.closed == 0 || overflow == Overflow::Wait);
}

fn check(
    status: &EndpointStatus,
    report: &ShutdownReport,
    letters: &Letters,
    log: &Log,
    written: &Written,
) {
    adds_up(status);
    assert_eq!((status.pending, status.pending_bytes), (0, 0));
    assert_eq!(status.events, written.events.len() as u64);

    // Nothing ends twice.
    let accepted = log.accepted();
    let kept = letters.kept.lock().unwrap();
    let ended: Vec<_> = accepted
        .iter()
        .cloned()
        .chain(kept.iter().map(name))
        .collect();
    let once: BTreeSet<_> = ended.iter().cloned().collect();
    assert_eq!(once.len(), ended.len(), "an event ended twice");
    assert!(once.is_subset(&written.events), "an event was invented");

    // Each counter is what its name says.
    assert_eq!(status.successes, accepted.len() as u64);
    assert_eq!(status.dead_letters - status.lost, kept.len() as u64);
    let left: usize = report.left.iter().map(|left| left.events()).sum();
    let lost: usize = report.left.iter().map(|left| left.lost).sum();
    assert_eq!(report.dead_letters + left as u64, status.dead_letters);
    assert_eq!(report.lost + lost as u64, status.lost);
    let all = status.dead_letters == 0;
    assert_eq!(report.to_string() == "All events were delivered.", all);
    let answers: u64 = status.statuses.values().sum();
    let attempts = log.got().len() as u64;
    // An attempt under way at the end of the deadline is not counted.
    assert!(answers + status.errors <= attempts);
    assert!(status.failures <= answers);
    if letters.calm {
        assert_eq!(status.lost, 0);
    }

    let mut tags = BTreeMap::<&str, Vec<usize>>::new();
    for event in &accepted {
        let (repository, tag) = event.rsplit_once('/').unwrap();
        tags.entry(repository)
            .or_default()
            .push(tag.parse().unwrap());
    }
    for (repository, tags) in tags {
        assert!(tags.is_sorted(), "{repository}: {tags:?}");
    }
    for letter in kept.iter().filter(|it| it.reason == Reason::Rejected) {
        assert!(letter.attempts >= 1);
    }
}

fn run_in_runtime(seed: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().start_paused(true).build();
    runtime.unwrap().block_on(run(seed));
}

#[test]
fn every_event_ends_exactly_once_and_the_counters_add_up() {
    let number = |name: &str| std::env::var(name).ok().map(|it| it.parse().unwrap());
    if let Some(seed) = number("CHAOS_SEED") {
        return run_in_runtime(seed);
    }
    for seed in 0..number("CHAOS_SEEDS").unwrap_or(SEEDS) {
        let panic = std::panic::catch_unwind(|| run_in_runtime(seed));
        if let Err(panic) = panic {
            eprintln!("repeat with CHAOS_SEED={seed} cargo test --test endpoint chaos");
            std::panic::resume_unwind(panic);
        }
    }
}
