//! Random writes, settles, errors of the disk and crashes, compared with a model.
//!
//! `JOURNAL_SEEDS` is the number of runs, `JOURNAL_SEED` the only one.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::disk::Disk;
use super::*;
use crate::dead_letter::DeadLetterSink as _;

const ENDPOINTS: [&str; 3] = ["a", "b", "c"];

/// What is known of an event at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expectation {
    /// It has to be there.
    Waits,
    /// It is settled when the journal says so.
    Unsure,
    /// It was settled before a crash, and may be there again or not.
    Either,
    /// It has to be gone.
    Settled,
}

#[derive(Clone)]
struct Written {
    event: SharedEvent,
    wanted: Vec<EndpointId>,
    /// `None` if the journal said that it could not store it, or said nothing.
    position: Option<u64>,
    expectations: HashMap<EndpointId, Expectation>,
}

type Answers = Arc<Mutex<Vec<(usize, Option<u64>)>>>;

struct Run {
    random: fastrand::Rng,
    disk: Disk,
    journal: Option<(Journal, Attachment)>,
    ids: Vec<EndpointId>,
    written: Vec<Written>,
    /// Letters that were kept, by the ids of their events.
    letters: Vec<String>,
    /// Letters that may have been kept.
    unsure_letters: Vec<String>,
    answers: Answers,
    instance: u64,
    /// Whether calls of the disk have failed since the journal was opened.
    failed: bool,
}

impl Run {
    fn new(seed: u64, disk: Disk) -> Self {
        let mut run = Self {
            random: fastrand::Rng::with_seed(seed),
            disk,
            journal: None,
            ids: Vec::new(),
            written: Vec::new(),
            letters: Vec::new(),
            unsure_letters: Vec::new(),
            answers: Arc::default(),
            instance: 0,
            failed: false,
        };
        run.open();
        run
    }

    fn journal(&self) -> &Journal {
        &self.journal.as_ref().unwrap().0
    }

    fn open(&mut self) {
        let options = JournalOptions {
            pack_from: self.random.choice([2, 3, 5, 64]).unwrap(),
            // Made smaller whenever it is mostly free.
            compact_from: self.random.choice([1, u64::MAX]).unwrap(),
            ..JournalOptions::default()
        };
        if self.instance > 0 && self.random.u8(0..4) == 0 {
            // A crash while it is being opened. A file gets its name only when it has been
            // created.
            self.disk.fail_after(self.random.u64(0..120), u64::MAX / 2);
            drop(Journal::manual(options.clone(), self.disk.opener()));
            self.disk.crash(&mut self.random);
        }
        let journal = Journal::manual(options, self.disk.opener()).unwrap();
        self.instance += 1;
        let instance = self.instance.to_string();
        let queues = Arc::new(Queues::default());
        let attachment = journal.attach(attach(&ENDPOINTS), &instance, queues);
        let attachment = attachment.unwrap();
        self.ids = attachment.endpoints().to_vec();
        self.journal = Some((journal, attachment));
        self.failed = false;
    }

    fn run(&mut self) {
        for _ in 0..self.random.u32(5..25) {
            match self.random.u32(0..100) {
                0..35 => self.append(),
                35..55 => self.settle(),
                55..61 => self.bury(),
                61..62 => self.send_again(),
                62..80 => self.turn(),
                80..86 => self.flush(),
                86..91 => self.read_some(),
                91..94 => self
                    .disk
                    .fail_after(self.random.u64(0..30), self.random.u64(1..4)),
                94..98 => self.crash(),
                _ => self.restart(),
            }
        }
        self.crash();
        self.compare();
    }

    fn append(&mut self) {
        for _ in 0..self.random.usize(1..12) {
            let mut wanted = self.ids.clone();
            wanted.retain(|_| self.random.u32(0..4) > 0);
            let event = event(self.random.u64(0..6));
            let index = self.written.len();
            let answers = self.answers.clone();
            let done = move |result: Result<u64, JournalError>| {
                answers.lock().unwrap().push((index, result.ok()));
            };
            let set = wanted.iter().copied().collect();
            self.journal()
                .append(event.clone(), set, Number::Next, done)
                .unwrap();
            let expectations = wanted.iter().map(|id| (*id, Expectation::Waits)).collect();
            self.written.push(Written {
                event,
                wanted,
                position: None,
                expectations,
            });
        }
    }

    fn settle(&mut self) {
        for _ in 0..self.random.usize(1..20) {
            if self.written.is_empty() {
                return;
            }
            // The older ones first, mostly.
            let most = self.random.usize(0..self.written.len()) + 1;
            let index = self.random.usize(0..most);
            let endpoint = self.ids[self.random.usize(0..self.ids.len())];
            if let Some(position) = self.written[index].position {
                self.journal().settle(endpoint, position);
                let expectation = self.written[index].expectations.get_mut(&endpoint);
                if let Some(expectation) = expectation.filter(|it| **it != Expectation::Settled) {
                    *expectation = Expectation::Unsure;
                }
            }
        }
    }

    fn bury(&mut self) {
        let event = event(0);
        let letter = Arc::new(letter("a", Reason::GaveUp, &event));
        let id = event.id().to_string();
        let kept = self.journal().bury(&letter);
        self.turn();
        match futures_util::FutureExt::now_or_never(kept) {
            Some(Ok(())) => self.letters.push(id),
            _ => self.unsure_letters.push(id),
        }
    }

    fn send_again(&mut self) {
        // Whether it succeeds or not, each letter is in one place.
        let _failed = self.journal().send_letters_again(&LetterFilter::new());
    }

    fn turn(&mut self) {
        self.journal().turn();
        for (index, position) in std::mem::take(&mut *self.answers.lock().unwrap()) {
            self.written[index].position = position;
        }
    }

    fn flush(&mut self) {
        let journal = self.journal().clone();
        let mut flush = Box::pin(async move { journal.flush().await });
        let first = futures_util::FutureExt::now_or_never(&mut flush);
        assert!(first.is_none());
        self.turn();
        // An error that a read has met may have to be noticed first.
        let flushed = futures_util::FutureExt::now_or_never(&mut flush);
        if matches!(flushed, Some(Ok(()))) {
            for expectation in self.expectations().filter(|it| **it == Expectation::Unsure) {
                *expectation = Expectation::Settled;
            }
        }
    }

    fn expectations(&mut self) -> impl Iterator<Item = &mut Expectation> {
        self.written
            .iter_mut()
            .flat_map(|it| it.expectations.values_mut())
    }

    fn read(
        &mut self,
        endpoint: EndpointId,
        from: u64,
        most: PageLimits,
    ) -> Result<Page, JournalError> {
        let (sender, answer) = mpsc::channel();
        let reply = move |page| sender.send(page).unwrap();
        self.journal().read(endpoint, from, most, reply);
        self.turn();
        answer.recv().unwrap()
    }

    fn read_some(&mut self) {
        let endpoint = self.ids[self.random.usize(0..self.ids.len())];
        let most = PageLimits {
            events: self.random.usize(1..8),
            bytes: usize::MAX,
        };
        let from = self.random.u64(0..20);
        if let Ok(page) = self.read(endpoint, from, most) {
            self.check_page(endpoint, &page);
        }
    }

    /// Whatever is read was written, is wanted and is not settled.
    fn check_page(&self, endpoint: EndpointId, page: &Page) {
        let positions = page.events.windows(2);
        assert!(
            positions
                .into_iter()
                .all(|it| it[0].position < it[1].position)
        );
        for stored in &page.events {
            let id = stored.event.id().to_string();
            if self.letters.contains(&id) || self.unsure_letters.contains(&id) {
                // It was sent again.
                assert!(endpoint == self.ids[0] && stored.number == Some(3));
                continue;
            }
            let mut written = self.written.iter();
            let written = written.find(|it| it.event.id() == stored.event.id());
            let written = written.expect("an event that nobody has written");
            assert!(written.event == stored.event);
            assert!(written.wanted.contains(&endpoint));
            assert_ne!(written.expectations[&endpoint], Expectation::Settled);
            if let Some(position) = written.position {
                assert_eq!(position, stored.position);
            }
        }
    }

    fn crash(&mut self) {
        self.disk.crash(&mut self.random);
        // What the journal writes when it is dropped does not reach the disk.
        self.disk.fail_after(0, u64::MAX / 2);
        self.journal = None;
        self.disk.work();
        self.forget_unanswered();
        self.open();
    }

    fn restart(&mut self) {
        self.turn();
        self.disk.work();
        self.journal = None;
        self.forget_unanswered();
        self.open();
    }

    fn forget_unanswered(&mut self) {
        self.answers.lock().unwrap().clear();
        for expectation in self.expectations().filter(|it| **it == Expectation::Unsure) {
            *expectation = Expectation::Either;
        }
    }

    /// After a restart, what is in the journal is what the model says.
    fn compare(&mut self) {
        let mut sent = Vec::new();
        for endpoint in self.ids.clone() {
            let mut events = Vec::new();
            let mut from = 0;
            loop {
                let most = PageLimits {
                    events: 5,
                    bytes: usize::MAX,
                };
                let page = self.read(endpoint, from, most).unwrap();
                self.check_page(endpoint, &page);
                events.extend(page.events);
                if page.at_end {
                    break;
                }
                assert!(page.next > from);
                from = page.next;
            }
            sent.extend(events.iter().map(|it| it.event.id().to_string()));
            let found: BTreeMap<_, _> = events.iter().map(|it| (it.position, it)).collect();
            assert_eq!(found.len(), events.len(), "an event came twice");
            for written in &self.written {
                let waits = written.expectations.get(&endpoint) == Some(&Expectation::Waits);
                if let Some(position) = written.position.filter(|_| waits) {
                    assert!(found.contains_key(&position), "event {position} is lost");
                }
            }
            let status = self.journal().status();
            let own = &status.endpoints[endpoint.0 as usize];
            assert_eq!(own.waiting, events.len() as u64);
            assert_eq!(status.damaged, 0);
        }
        let letters = self.journal().dead_letters(&LetterFilter::new());
        let letters = letters.map(|it| it.unwrap().letter.event.id().to_string());
        let letters: Vec<_> = letters.collect();
        let places = |id: &String| {
            let sent = sent.iter().filter(|it| *it == id).count();
            sent + letters.iter().filter(|it| *it == id).count()
        };
        assert!(self.letters.iter().all(|it| places(it) == 1));
        assert!(self.unsure_letters.iter().all(|it| places(it) <= 1));
        let known = |it: &String| self.letters.contains(it) || self.unsure_letters.contains(it);
        assert!(letters.iter().all(known));
        let check = self.journal().check().unwrap();
        assert!(check.is_intact(), "{check:?}");
    }
}

fn simulate(seed: u64, disk: Disk) -> bool {
    let run = || Run::new(seed, disk).run();
    catch_unwind(AssertUnwindSafe(run)).is_ok()
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn nothing_that_was_accepted_is_lost_in_a_crash() {
    if let Some(seed) = setting("JOURNAL_SEED") {
        return Run::new(seed, Disk::default()).run();
    }
    let seeds = setting("JOURNAL_SEEDS").unwrap_or(400);
    for seed in 0..seeds {
        let repeat = "cargo test --all-features --lib nothing_that_was_accepted";
        assert!(
            simulate(seed, Disk::default()),
            "seed {seed} fails; to repeat it: JOURNAL_SEED={seed} {repeat}"
        );
    }
}

/// Without this the test above might not notice anything.
#[test]
fn a_disk_whose_syncs_do_nothing_loses_events() {
    let failed = (0..40).filter(|seed| !simulate(*seed, Disk::lying()));
    assert!(failed.count() > 0);
}
