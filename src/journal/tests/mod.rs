//! The journal on a file, with its threads.

mod crash;
mod disk;
mod simulated;

pub(crate) use self::simulated::SimulatedDisk;

use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use super::*;
use crate::dead_letter::{DeadLetter, DeadLetterSink as _, Reason};
use crate::event::{Action, Event};

/// Keeps what is delivered.
#[derive(Default)]
pub(super) struct Queues {
    pub(super) delivered: Mutex<Vec<(EndpointId, Stored)>>,
}

impl Consumer for Queues {
    fn deliver(&self, endpoint: EndpointId, events: &[Stored]) {
        let mut delivered = self.delivered.lock().unwrap();
        delivered.extend(events.iter().map(|it| (endpoint, it.clone())));
    }

    fn expire(&self, _: EndpointId, _: Vec<Stored>, _: Reason) {}

    fn recovered(&self, _: u64) {}
}

pub(super) fn event(number: u64) -> SharedEvent {
    let mut event = Event::new(Action::Pull);
    event.target.repository = format!("library/{number}");
    event.into()
}

/// A letter of an endpoint that gave the event up.
pub(super) fn letter(endpoint: &str, event: &SharedEvent) -> DeadLetter {
    DeadLetter {
        endpoint: endpoint.into(),
        reason: Reason::GaveUp,
        error: Some("503 Service Unavailable".into()),
        answer: String::new(),
        attempts: 7,
        first_attempt: None,
        last_attempt: None,
        event: event.clone(),
    }
}

pub(super) fn attach(names: &[&str]) -> Vec<Attach> {
    let attach = |name: &&str| Attach {
        name: (*name).into(),
        start: Start::New,
    };
    names.iter().map(attach).collect()
}

const ALL: Most = Most {
    events: 10_000,
    bytes: usize::MAX,
};

fn append(journal: &Journal, event: &SharedEvent, wanted: &[EndpointId]) -> u64 {
    let (sender, answer) = mpsc::channel();
    let wanted = wanted.iter().copied().collect();
    let done = move |result| sender.send(result).unwrap();
    journal.append(event.clone(), wanted, done).unwrap();
    answer.recv().unwrap().unwrap()
}

fn read(journal: &Journal, endpoint: EndpointId, from: u64) -> Page {
    let (sender, answer) = mpsc::channel();
    journal.read(endpoint, from, ALL, move |page| sender.send(page).unwrap());
    answer.recv().unwrap().unwrap()
}

fn positions(page: &Page) -> Vec<u64> {
    page.events.iter().map(|it| it.position).collect()
}

#[test]
fn events_are_delivered_read_settled_and_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let journal = Journal::open(&path).unwrap();
    let queues = Arc::new(Queues::default());
    let ids = journal
        .attach(attach(&["a", "b"]), "1", queues.clone())
        .unwrap();
    let [a, b] = ids[..] else { panic!() };
    let events: Vec<_> = (0..10).map(event).collect();
    for (index, event) in events.iter().enumerate() {
        let wanted: &[_] = if index % 2 == 0 { &[a, b] } else { &[b] };
        assert_eq!(append(&journal, event, wanted), index as u64 + 1);
    }
    let delivered = queues.delivered.lock().unwrap().clone();
    let of = |id| {
        delivered
            .iter()
            .filter(move |it| it.0 == id)
            .map(|it| it.1.clone())
    };
    assert_eq!(
        of(a).map(|it| it.number.unwrap()).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5]
    );
    assert_eq!(
        of(b).map(|it| it.position).collect::<Vec<_>>(),
        (1..=10).collect::<Vec<_>>()
    );
    let page = read(&journal, a, 0);
    assert_eq!(positions(&page), [1, 3, 5, 7, 9]);
    assert!(page.at_end && page.next == 11);
    journal.settle(a, 3);
    journal.settle(a, 9);
    // Not on disk, but settled.
    assert_eq!(positions(&read(&journal, a, 0)), [1, 5, 7]);
    drop(journal);

    let journal = Journal::open(&path).unwrap();
    let ids = journal
        .attach(attach(&["b", "a"]), "2", Arc::new(Queues::default()))
        .unwrap();
    assert_eq!(ids, [b, a]);
    let page = read(&journal, a, 2);
    assert_eq!(positions(&page), [5, 7]);
    assert_eq!(page.events[1].event, events[6]);
    assert_eq!(page.events[1].number, Some(4));
    assert_eq!(read(&journal, b, 0).events.len(), 10);
    assert_eq!(append(&journal, &event(11), &[a]), 11);
    // A new source instance numbers from 1.
    assert_eq!(read(&journal, a, 8).events[0].number, Some(1));
    for position in 1..=11 {
        journal.settle(a, position);
        journal.settle(b, position);
    }
    drop(journal);
    let journal = Journal::open(&path).unwrap();
    let status = journal.status();
    assert_eq!((status.events, status.bytes, status.damaged), (0, 0, 0));
    assert!(status.endpoints.iter().all(|it| it.waiting == 0));
}
