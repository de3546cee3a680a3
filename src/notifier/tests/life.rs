//! One life of the process: from a start to a shutdown or a crash.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use tokio::time::{Instant, sleep, timeout};

use super::receiver::{Log, receiver};
use crate::endpoint::{Backoff, Batch};
use crate::event::{Action, Event, SharedEvent, SourceRecord};
use crate::journal::Journal;
use crate::journal::tests::SimulatedDisk;
use crate::sink::{Filter, Sink as _};
use crate::{Endpoint, Notifier, ShutdownReport};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

pub(super) const REPOSITORIES: u8 = 5;

/// The endpoints, each with the number of repositories that it wants.
pub(super) const ENDPOINTS: [(&str, u8); 2] = [("all", REPOSITORIES), ("some", 2)];

thread_local! {
    /// The wall clock at the start of this life, and the start.
    static WALL: Cell<Option<(SystemTime, Instant)>> = const { Cell::new(None) };
}

/// The wall clock, which goes on from one life to the next.
fn wall() -> SystemTime {
    let (began, start) = WALL.get().unwrap();
    began + start.elapsed()
}

/// What is left of all lives so far.
pub(super) struct World {
    pub(super) random: Rng,
    pub(super) disk: SimulatedDisk,
    pub(super) accepted: Log,
    /// Events that were written, by name, and of how many it is certain that they
    /// are on disk.
    pub(super) written: BTreeSet<String>,
    pub(super) durable: BTreeSet<String>,
    /// Events whose writes were accepted.
    pub(super) taken: BTreeSet<String>,
    pub(super) lives: Vec<Ended>,
    pub(super) tag: usize,
    pub(super) now: SystemTime,
}

/// How a life has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// Whether it was shut down, and everything was recorded on disk.
    pub(super) cleanly: bool,
    /// Whether the disk has failed meanwhile.
    pub(super) faulty: bool,
}

/// What happens in a life.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) writes: usize,
    /// The receivers accept everything that they do not always reject.
    pub(super) calm: bool,
    pub(super) faulty: bool,
    pub(super) shutdown: Option<Duration>,
}

impl Plan {
    pub(super) fn random(random: &mut Rng) -> Self {
        let deadline = random.choice([Duration::ZERO, 10 * SECOND, 600 * SECOND]);
        Self {
            writes: random.usize(0..14),
            calm: random.u8(0..4) == 0,
            faulty: random.u8(0..4) == 0,
            shutdown: deadline.filter(|_| random.bool()),
        }
    }

    /// The end of a run: everything is delivered.
    pub(super) fn last() -> Self {
        Self {
            writes: 3,
            calm: true,
            faulty: false,
            shutdown: Some(24 * HOUR),
        }
    }
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: Rng::with_seed(seed),
            disk: SimulatedDisk::default(),
            accepted: Log::default(),
            written: BTreeSet::new(),
            durable: BTreeSet::new(),
            taken: BTreeSet::new(),
            lives: Vec::new(),
            tag: 0,
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
        }
    }

    /// Lives once. At the end nothing is left of it but the disk, and what the
    /// receivers have got.
    pub(super) fn live(&mut self, plan: Plan) {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let cleanly = runtime.block_on(async {
            let start = Instant::now();
            WALL.set(Some((self.now, start)));
            let cleanly = self.life(plan).await;
            self.now = wall();
            cleanly
        });
        drop(runtime);
        self.disk.work();
        if plan.shutdown.is_none() && self.random.bool() {
            let mut random = self.random.fork();
            self.disk.crash(&mut random);
        }
        self.lives.push(Ended {
            cleanly,
            faulty: plan.faulty,
        });
    }

    async fn life(&mut self, plan: Plan) -> bool {
        let journal = self.disk.open().unwrap();
        // How long the disk takes. At the end it is slower, for a run that is faster.
        let slowest = Arc::new(AtomicU64::new(800));
        let turns = {
            let (journal, mut random) = (journal.clone(), self.random.fork());
            let slowest = slowest.clone();
            tokio::spawn(async move {
                loop {
                    let pause = random.u64(1..slowest.load(Ordering::Relaxed));
                    sleep(Duration::from_millis(pause)).await;
                    journal.turn();
                }
            })
        };
        let notifier = self.notifier(&journal, plan);
        self.write_some(&notifier, plan).await;
        let Some(deadline) = plan.shutdown else {
            // Another moment, so that a crash finds all kinds of states.
            sleep(Duration::from_millis(self.random.u64(0..20_000))).await;
            turns.abort();
            return false;
        };
        self.disk.work();
        slowest.store(5_000, Ordering::Relaxed);
        let report = notifier.shutdown(deadline).await;
        check_report(&notifier, &report);
        let flushed = timeout(HOUR, journal.flush()).await;
        turns.abort();
        matches!(flushed, Ok(Ok(())))
    }

    fn notifier(&mut self, journal: &Journal, plan: Plan) -> Notifier {
        let mut builder = Notifier::builder()
            .source(SourceRecord::new("registry:5000"))
            .journal(journal.clone())
            .clock(wall);
        let life = self.lives.len();
        for (name, repositories) in ENDPOINTS {
            let random = &mut self.random;
            let client = receiver(name, life, plan.calm, random.fork(), &self.accepted);
            let retry = Backoff::new().cap(20 * SECOND).age(300 * SECOND);
            let wanted = (0..repositories).map(|it| format!("r{it}"));
            let batch = Batch::of(random.usize(1..6)).linger(SECOND * random.u32(0..2));
            let endpoint = Endpoint::new(name, "http://receiver")
                .client(client)
                .timeout(2 * SECOND)
                .retry(retry)
                .concurrency(random.usize(1..4))
                .batch(batch)
                .filter(Filter::new().include_repositories(wanted))
                .queue_events(random.usize(1..12))
                .queue_bytes(random.choice([1_000, 1 << 20]).unwrap());
            builder = builder.endpoint(endpoint);
        }
        builder.build().unwrap()
    }

    async fn write_some(&mut self, notifier: &Notifier, plan: Plan) {
        let certain: Arc<Mutex<Vec<String>>> = Arc::default();
        for _ in 0..plan.writes {
            let (repository, tag) = (self.random.u8(0..REPOSITORIES), self.tag);
            self.tag += 1;
            let mut event = Event::new(Action::Push);
            event.target.repository = format!("r{repository}");
            event.target.tag = tag.to_string();
            let name = format!("r{repository}/{tag}");
            let event = SharedEvent::accepted(&event, SourceRecord::new(""), wall());
            self.written.insert(name.clone());
            // Its place in the order is taken now, and not when it is polled.
            let write = notifier.sink().write(&event);
            let certain = certain.clone();
            let write = async move {
                if write.await.is_ok() {
                    certain.lock().unwrap().push(name);
                }
            };
            match self.random.u8(0..3) {
                0 => write.await,
                1 => drop(timeout(SECOND, write).await),
                _ => drop(tokio::spawn(write)),
            }
            if self.random.bool() {
                sleep(Duration::from_millis(self.random.u64(0..3_000))).await;
            }
            if plan.faulty && self.random.u8(0..6) == 0 {
                let (calls, many) = (self.random.u64(0..40), self.random.u64(1..60));
                self.disk.fail_after(calls, many);
            }
            self.check_bounds(notifier);
        }
        let quiet = Duration::from_secs(2);
        sleep(quiet).await;
        self.taken.extend(certain.lock().unwrap().iter().cloned());
        if !plan.faulty {
            // A dead letter counts when the journal has it.
            let mut turns = 0;
            while !adds_up(notifier) {
                turns += 1;
                assert!(turns < 100, "{:#?}", notifier.status());
                sleep(Duration::from_millis(100)).await;
            }
            self.durable
                .append(&mut certain.lock().unwrap().drain(..).collect());
        }
    }

    /// The memory of a queue is bounded, whatever waits in the journal.
    fn check_bounds(&self, notifier: &Notifier) {
        for endpoint in notifier.status().endpoints {
            let bound = 1 << 20;
            assert!(endpoint.pending_bytes < bound, "{endpoint:#?}");
        }
    }
}

/// Whether `Events` = `Successes` + dead letters + pending.
fn adds_up(notifier: &Notifier) -> bool {
    notifier.status().endpoints.iter().all(|it| {
        assert_eq!(it.lost, 0, "{it:#?}");
        it.events == it.successes + it.dead_letters + it.pending
    })
}

fn check_report(notifier: &Notifier, report: &ShutdownReport) {
    for endpoint in notifier.status().endpoints {
        let ended = endpoint.successes + endpoint.dead_letters;
        assert_eq!(endpoint.events, ended + endpoint.pending, "{endpoint:#?}");
        let left = report.left.iter().find(|it| it.endpoint == endpoint.name);
        let kept = left.map_or(0, |it| it.events()) as u64;
        assert!(kept >= endpoint.pending, "{report} {endpoint:#?}");
    }
}
