//! The journal as its queues see it: pages, the inbox, endpoints that come and go.

use futures_util::FutureExt as _;

use super::*;

#[test]
fn one_notifier_at_a_time_has_the_journal() {
    let stage = Stage::new(JournalOptions::default(), &["a"]);
    let again = || {
        stage
            .journal
            .attach(attach(&["a"]), "2", stage.queues.clone())
    };
    let number = |event: &SharedEvent| {
        stage.append(event, &stage.ids).unwrap();
        stage.queues.take(stage.ids[0])[0].1
    };
    assert_eq!(number(&event(1)), Some(1));
    assert!(again().unwrap_err().is_attached());
    // The numbers of the notifier that has the journal do not begin anew.
    assert_eq!(number(&event(2)), Some(2));
    stage.attachment.end();
    let second = again().unwrap();
    assert_eq!(second.endpoints(), stage.ids);
    // The first one has no say in it any more.
    stage.attachment.end();
    assert!(again().unwrap_err().is_attached());
    drop(second);
    again().unwrap();
}

#[test]
fn one_stuck_event_pins_only_its_chunk() {
    let stage = Stage::new(JournalOptions::default(), &["a", "b"]);
    let [a, b] = stage.ids[..] else { panic!() };
    for number in 0..50 {
        stage.append(&event(number), &[a, b]).unwrap();
    }
    stage.settle(b, 1..=50);
    stage.settle(a, (1..=50).filter(|it| *it != 7));
    let status = stage.journal.status();
    assert_eq!((status.events, status.endpoints[0].waiting), (1, 1));
    assert_eq!(stage.positions(a), [7]);
    assert_eq!(stage.positions(b), [0; 0]);
    stage.settle(a, [7, 7, 3, 1000]);
    assert_eq!(stage.journal.status().events, 0);
}

#[test]
fn a_page_is_bounded_in_events_and_bytes() {
    let stage = Stage::new(JournalOptions::default(), &["a"]);
    let a = stage.ids[0];
    for number in 0..20 {
        stage.append(&event(number), &[a]).unwrap();
    }
    let memory = event(0).memory();
    for (most, expected) in [
        ((3, usize::MAX), 3),
        ((100, 2 * memory + 50), 2),
        ((100, 1), 1),
        ((0, 0), 1),
    ] {
        let (sender, answer) = mpsc::channel();
        let reply = move |page: Result<Page, _>| sender.send(page.unwrap()).unwrap();
        let most = Most {
            events: most.0,
            bytes: most.1,
        };
        stage.journal.read(a, 5, most, reply);
        stage.journal.turn();
        let page = answer.recv().unwrap();
        assert_eq!(page.events.len(), expected);
        assert_eq!((page.next, page.at_end), (5 + expected as u64, false));
    }
}

#[test]
fn the_inbox_is_bounded_and_says_when_there_is_room() {
    let stage = Stage::new(JournalOptions::default(), &["a"]);
    let append = || {
        let wanted = stage.ids.iter().copied().collect();
        stage.journal.append(event(1), wanted, Number::Next, |_| {})
    };
    let taken = (0..).take_while(|_| append().is_ok()).count();
    assert_eq!(taken, 8 << 10);
    assert_eq!(append(), Err(Refused::Full));
    assert!(!stage.journal.is_ready());
    let mut room = Box::pin(stage.journal.room());
    assert!((&mut room).now_or_never().is_none());
    stage.journal.turn();
    assert!((&mut room).now_or_never().is_some());
    assert!(stage.journal.is_ready() && append().is_ok());
}

#[test]
fn an_endpoint_that_comes_later_may_start_with_the_oldest_event() {
    let stage = Stage::new(JournalOptions::default(), &["a"]);
    let a = stage.ids[0];
    for number in 0..4 {
        stage.append(&event(number), &[a]).unwrap();
    }
    stage.settle(a, [2]);
    let disk = stage.disk.clone();
    drop(stage);
    let journal = Journal::manual(JournalOptions::default(), disk.opener()).unwrap();
    let queues = Arc::new(Queues::default());
    let mut endpoints = attach(&["a", "late", "new"]);
    endpoints[1].start = Start::Oldest;
    let stage = Stage::of(disk, journal, endpoints, queues).unwrap();
    let [a, late, new] = stage.ids[..] else {
        panic!()
    };
    let backlog = |endpoint, events, adopted| Backlog {
        endpoint,
        events,
        adopted,
    };
    let expected = [backlog(a, 3, 0), backlog(late, 0, 5), backlog(new, 0, 0)];
    assert_eq!(*stage.queues.backlogs.lock().unwrap(), expected);
    stage.append(&event(5), &stage.ids).unwrap();
    assert_eq!(stage.positions(late), [1, 3, 4, 5]);
    assert_eq!(stage.positions(new), [5]);
    let events = stage.page(late, 0).unwrap().events;
    let numbers: Vec<_> = events.iter().map(|it| (it.number, it.adopted)).collect();
    assert_eq!(numbers[0], (None, true));
    assert_eq!(numbers[3], (Some(1), false));
    stage.settle(a, [1, 3, 4, 5]);
    stage.settle(new, [5]);
    assert_eq!(stage.journal.status().events, 4);
    stage.settle(late, [3]);
    // It is the same after a restart, and nothing is adopted twice.
    let stage = stage.reopened(JournalOptions::default(), &["a", "late", "new"]);
    assert_eq!(stage.positions(late), [1, 4, 5]);
    let expected = [backlog(a, 0, 0), backlog(late, 1, 5), backlog(new, 0, 0)];
    assert_eq!(*stage.queues.backlogs.lock().unwrap(), expected);
    stage.settle(late, [1, 4, 5]);
    assert_eq!(stage.journal.status().events, 0);
    assert!(stage.journal.check().unwrap().is_intact());
}

#[test]
fn queues_that_could_not_read_during_a_check_are_woken() {
    let stage = Stage::new(JournalOptions::default(), &["a"]);
    stage.append(&event(1), &stage.ids).unwrap();
    assert!(stage.journal.check().unwrap().is_intact());
    assert_eq!(*stage.queues.recovered.lock().unwrap(), [true]);
    assert!(stage.journal.status().error.is_none() && stage.journal.is_ready());
}
