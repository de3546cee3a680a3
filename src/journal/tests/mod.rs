mod child;
mod crash;
mod damage;
mod disk;
mod disk_errors;
mod files;
mod letters;
mod limits;
mod lost_files;
mod opening;
mod operate;
mod pack;
mod queues;
mod simulated;

pub(crate) use self::simulated::SimulatedDisk;

use std::collections::HashSet;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, SystemTime};

use self::disk::Disk;
use super::consumer::Start;
use super::shared::Shared;
use super::*;
use crate::dead_letter::{DeadLetter, Reason};
use crate::event::{Action, Event, SharedEvent};

/// Keeps what is delivered, and what becomes dead letters.
#[derive(Default)]
struct Queues {
    backlogs: Mutex<Vec<Backlog>>,
    synced: Mutex<Duration>,
    delivered: Mutex<Vec<(EndpointId, Stored)>>,
    expired: Mutex<Vec<(EndpointId, u64, Reason)>>,
    /// Events that do not end when they are to: their positions.
    under_way: Mutex<HashSet<u64>>,
    /// For each time that the journal works again, whether it could be read already.
    recovered: Mutex<Vec<bool>>,
    journal: OnceLock<Weak<Shared>>,
}

impl Queues {
    /// Positions and numbers of what an endpoint got since this was called last.
    fn take(&self, endpoint: EndpointId) -> Vec<(u64, Option<u64>)> {
        let mut delivered = self.delivered.lock().unwrap();
        let taken = delivered.extract_if(.., |(id, _)| *id == endpoint);
        taken.map(|(_, it)| (it.position, it.number)).collect()
    }
}

impl Consumer for Queues {
    fn attached(&self, endpoints: &[Backlog], _: u64) {
        self.backlogs.lock().unwrap().extend(endpoints);
    }

    fn synced(&self, duration: Duration) {
        *self.synced.lock().unwrap() += duration;
    }

    fn deliver(&self, endpoint: EndpointId, events: &[Stored]) {
        let mut delivered = self.delivered.lock().unwrap();
        delivered.extend(events.iter().map(|it| (endpoint, it.clone())));
    }

    fn expire(&self, endpoint: EndpointId, events: Vec<Stored>, reason: Reason) -> bool {
        let mut expired = self.expired.lock().unwrap();
        expired.extend(events.iter().map(|it| (endpoint, it.position, reason)));
        let under_way = self.under_way.lock().unwrap();
        !events.iter().any(|it| under_way.contains(&it.position))
    }

    fn recovered(&self, _: u64) {
        let shared = self.journal.get().and_then(Weak::upgrade);
        let readable = shared.is_some_and(|it| it.database().is_ok());
        self.recovered.lock().unwrap().push(readable);
    }
}

/// A journal on a disk in memory, with a turn for each call.
struct Stage {
    disk: Disk,
    journal: Journal,
    queues: Arc<Queues>,
    attachment: Attachment,
    ids: Vec<EndpointId>,
}

impl Stage {
    fn new(options: JournalOptions, endpoints: &[&str]) -> Self {
        Self::on(Disk::default(), options, endpoints)
    }

    fn on(disk: Disk, options: JournalOptions, endpoints: &[&str]) -> Self {
        let journal = Journal::manual(options, disk.opener()).unwrap();
        let queues = Arc::new(Queues::default());
        Self::of(disk, journal, attach(endpoints), queues).unwrap()
    }

    fn of(
        disk: Disk,
        journal: Journal,
        endpoints: Vec<Attach>,
        queues: Arc<Queues>,
    ) -> Result<Self, JournalError> {
        let attachment = journal.attach(endpoints, "1", queues.clone())?;
        let _first = queues.journal.set(journal.downgrade());
        let ids = attachment.endpoints().to_vec();
        Ok(Self {
            disk,
            journal,
            queues,
            attachment,
            ids,
        })
    }

    fn reopened(self, options: JournalOptions, endpoints: &[&str]) -> Self {
        let disk = self.disk.clone();
        drop(self);
        Self::on(disk, options, endpoints)
    }

    fn append(&self, event: &SharedEvent, wanted: &[EndpointId]) -> Result<u64, JournalError> {
        let (sender, answer) = mpsc::channel();
        let wanted = wanted.iter().copied().collect();
        let done = move |result| sender.send(result).unwrap();
        self.journal
            .append(event.clone(), wanted, Number::Next, done)
            .unwrap();
        self.journal.turn();
        answer.recv().unwrap()
    }

    /// All pages from a position on, as one.
    fn page(&self, endpoint: EndpointId, from: u64) -> Result<Page, JournalError> {
        let mut all = Page {
            events: Vec::new(),
            next: from,
            at_end: false,
        };
        while !all.at_end {
            let (sender, answer) = mpsc::channel();
            let reply = move |page| sender.send(page).unwrap();
            self.journal.read(endpoint, all.next, ALL, reply);
            // The reader may have something repaired, and reads again then.
            let page = loop {
                self.journal.turn();
                if let Ok(page) = answer.try_recv() {
                    break page?;
                }
            };
            assert!(page.at_end || page.next > all.next);
            all.events.extend(page.events);
            (all.next, all.at_end) = (page.next, page.at_end);
        }
        Ok(all)
    }

    fn positions(&self, endpoint: EndpointId) -> Vec<u64> {
        let page = self.page(endpoint, 0).unwrap();
        page.events.iter().map(|it| it.position).collect()
    }

    fn settle(&self, endpoint: EndpointId, positions: impl IntoIterator<Item = u64>) {
        positions
            .into_iter()
            .for_each(|it| self.journal.settle(endpoint, it));
        self.journal.turn();
    }
}

fn event(number: u64) -> SharedEvent {
    event_at(number, SystemTime::now())
}

/// An event that was accepted at this time.
fn event_at(number: u64, time: SystemTime) -> SharedEvent {
    let mut event = Event::new(Action::Pull);
    event.target.repository = format!("library/{number}");
    SharedEvent::accepted(&event, event.source.clone(), time)
}

/// A letter of an endpoint that gave the event up.
fn letter(endpoint: &str, reason: Reason, event: &SharedEvent) -> DeadLetter {
    DeadLetter {
        endpoint: endpoint.into(),
        reason,
        number: NonZeroU64::new(3),
        error: Some("503 Service Unavailable".into()),
        answer: String::new(),
        attempts: 7,
        first_attempt: None,
        last_attempt: None,
        event: event.clone(),
    }
}

fn attach(names: &[&str]) -> Vec<Attach> {
    let attach = |name: &&str| Attach {
        name: (*name).into(),
        start: Start::New,
    };
    names.iter().map(attach).collect()
}

const ALL: Most = Most {
    events: 100_000,
    bytes: usize::MAX,
};

/// Opens a journal that has threads of its own, for the endpoint `a`.
fn attached(options: JournalOptions, path: &Path) -> (Journal, Attachment) {
    let journal = options.open(path).unwrap();
    let attachment = journal.attach(attach(&["a"]), "1", Arc::new(Queues::default()));
    (journal, attachment.unwrap())
}

/// Sends an event to a journal that has threads of its own, and waits for the answer.
fn try_append(
    journal: &Journal,
    event: &SharedEvent,
    wanted: &[EndpointId],
) -> Result<u64, JournalError> {
    let (sender, answer) = mpsc::channel();
    let wanted = wanted.iter().copied().collect();
    let done = move |result| sender.send(result).unwrap();
    journal
        .append(event.clone(), wanted, Number::Next, done)
        .unwrap();
    answer.recv().unwrap()
}

/// Like [`try_append`], of an event that must be accepted. Returns its position.
fn append(journal: &Journal, event: &SharedEvent, wanted: &[EndpointId]) -> u64 {
    try_append(journal, event, wanted).unwrap()
}

/// Reads from a journal that has threads of its own.
fn read(journal: &Journal, endpoint: EndpointId, from: u64) -> Page {
    let (sender, answer) = mpsc::channel();
    journal.read(endpoint, from, ALL, move |page| sender.send(page).unwrap());
    answer.recv().unwrap().unwrap()
}

fn positions(page: &Page) -> Vec<u64> {
    page.events.iter().map(|it| it.position).collect()
}
