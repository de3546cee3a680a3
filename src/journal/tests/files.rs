//! The journal in a file, with its threads.

use super::*;

fn append(journal: &Journal, event: &SharedEvent, wanted: &[EndpointId]) -> u64 {
    let (sender, answer) = mpsc::channel();
    let wanted = wanted.iter().copied().collect();
    let done = move |result| sender.send(result).unwrap();
    journal
        .append(event.clone(), wanted, Number::Next, done)
        .unwrap();
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
    let attachment = journal
        .attach(attach(&["a", "b"]), "1", queues.clone())
        .unwrap();
    let [a, b] = attachment.endpoints()[..] else {
        panic!()
    };
    let events: Vec<_> = (0..10).map(event).collect();
    for (index, event) in events.iter().enumerate() {
        let wanted: &[_] = if index % 2 == 0 { &[a, b] } else { &[b] };
        assert_eq!(append(&journal, event, wanted), index as u64 + 1);
    }
    let numbers = [(1, 1), (3, 2), (5, 3), (7, 4), (9, 5)];
    assert_eq!(
        queues.take(a),
        numbers.map(|(it, number)| (it, Some(number)))
    );
    assert_eq!(queues.take(b).len(), 10);
    let page = read(&journal, a, 0);
    assert_eq!(positions(&page), [1, 3, 5, 7, 9]);
    assert!(page.at_end && page.next == 11);
    journal.settle(a, 3);
    journal.settle(a, 9);
    // Not on disk, but settled.
    assert_eq!(positions(&read(&journal, a, 0)), [1, 5, 7]);
    drop((attachment, journal));

    let journal = Journal::open(&path).unwrap();
    let queues = Arc::new(Queues::default());
    let attachment = journal.attach(attach(&["b", "a"]), "2", queues).unwrap();
    assert_eq!(attachment.endpoints(), [b, a]);
    let page = read(&journal, a, 2);
    assert_eq!(positions(&page), [5, 7]);
    assert!(page.events[1].event == events[6]);
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
    // Positions go on, although nothing is left.
    let queues = Arc::new(Queues::default());
    let attachment = journal.attach(attach(&["a"]), "2", queues).unwrap();
    assert_eq!(append(&journal, &event(12), attachment.endpoints()), 12);
}

#[test]
fn many_writers_share_a_sync_and_every_write_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path().join("journal")).unwrap();
    let queues = Arc::new(Queues::default());
    let attachment = journal.attach(attach(&["a"]), "1", queues.clone()).unwrap();
    let ids = attachment.endpoints();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let journal = &journal;
            scope.spawn(move || {
                let positions: Vec<_> = (0..25)
                    .map(|it| append(journal, &event(100 * writer + it), ids))
                    .collect();
                assert!(positions.is_sorted());
            });
        }
    });
    let delivered = queues.take(ids[0]);
    // No gap, no repeat, in order.
    let expected = (1..=200).map(|it| (it, Some(it)));
    assert!(delivered.into_iter().eq(expected));
    let status = journal.status();
    assert_eq!(status.stored, 200);
    assert!(status.oldest.is_some());
    assert!(status.syncs <= 201 && status.longest_sync >= status.sync_duration);
}

#[test]
fn settled_events_are_written_without_a_new_one_after_the_interval() {
    let folder = tempfile::tempdir().unwrap();
    let options = Journal::options().settle_interval(Duration::from_millis(1));
    let journal = options.open(folder.path().join("journal")).unwrap();
    let queues = Arc::new(Queues::default());
    let attachment = journal.attach(attach(&["a"]), "1", queues).unwrap();
    let ids = attachment.endpoints();
    let position = append(&journal, &event(1), ids);
    journal.settle(ids[0], position);
    while journal.status().events > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn a_flush_waits_until_everything_is_on_disk() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = Journal::options().settle_interval(Duration::from_secs(3600));
    let journal = options.open(folder.path().join("journal")).unwrap();
    let queues = Arc::new(Queues::default());
    let attachment = journal.attach(attach(&["a"]), "1", queues).unwrap();
    let ids = attachment.endpoints();
    let position = append(&journal, &event(1), ids);
    journal.settle(ids[0], position);
    runtime.block_on(journal.flush()).unwrap();
    assert_eq!(journal.status().events, 0);
}

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
    assert!(futures_util::FutureExt::now_or_never(&mut room).is_none());
    stage.journal.turn();
    assert!(futures_util::FutureExt::now_or_never(&mut room).is_some());
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

/// A file of this release that later ones have to read.
#[test]
fn a_file_of_format_1_can_be_read() {
    let golden = include_bytes!("golden/journal-1.redb.lz4");
    let bytes = lz4_flex::block::decompress_size_prepended(golden).unwrap();
    let disk = Disk::default();
    disk.set_bytes(bytes);
    let stage = Stage::on(disk, JournalOptions::default(), &["ci", "audit"]);
    let [ci, audit] = stage.ids[..] else { panic!() };
    assert_eq!(stage.positions(ci), [2, 3]);
    assert_eq!(stage.positions(audit), [1, 3]);
    let events = stage.page(audit, 0).unwrap().events;
    assert_eq!(events[0].event.id(), "0192d5a0-0000-7000-8000-000000000001");
    assert_eq!(events[1].number, Some(2));
    let letters = stage.journal.dead_letters(&LetterFilter::new());
    let letters: Vec<_> = letters.map(|it| it.unwrap()).collect();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].letter.endpoint, "ci");
    assert!(stage.journal.check().unwrap().is_intact());
}

#[test]
fn a_file_that_is_mostly_free_is_made_smaller_when_it_is_opened() {
    let stage = Stage::new(JournalOptions::default(), &["a"]);
    let a = stage.ids[0];
    for number in 0..40 {
        let events: Vec<_> = (0..64).map(|it| event(100 * number + it)).collect();
        let wanted = |_| stage.ids.iter().copied().collect::<Wanted>();
        for event in events {
            stage
                .journal
                .append(event, wanted(0), Number::Next, |_| {})
                .unwrap();
        }
        stage.journal.turn();
    }
    let positions = stage.positions(a);
    stage.settle(a, positions.into_iter().skip(5));
    let full = stage.disk.bytes().len();
    let options = JournalOptions {
        compact_from: 100_000,
        ..JournalOptions::default()
    };
    let stage = stage.reopened(options, &["a"]);
    let compacted = stage.disk.bytes().len();
    assert!(compacted < full / 2, "{full} {compacted}");
    assert_eq!(stage.positions(a), [1, 2, 3, 4, 5]);
    assert!(stage.journal.check().unwrap().is_intact());
}

/// What is written to a file that nobody finds again is not kept, and what was put in its
/// place is not taken for it.
#[test]
fn a_file_that_is_removed_or_replaced_takes_no_events() {
    type Harm = fn(&std::path::Path);
    let removed: Harm = |path| std::fs::remove_file(path).unwrap();
    let replaced: Harm = |path| {
        let other = path.with_extension("other");
        drop(Journal::open(&other).unwrap());
        std::fs::rename(other, path).unwrap();
    };
    for (harm, at_first, later) in [
        (removed, "the file was removed", "No such file"),
        (
            replaced,
            "another file was put in its place",
            "is another journal",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let journal = Journal::open(&path).unwrap();
        let queues = Arc::new(Queues::default());
        let attachment = journal.attach(attach(&["a"]), "1", queues).unwrap();
        append(&journal, &event(1), attachment.endpoints());
        harm(&path);
        let try_again = || {
            let (sender, answer) = mpsc::channel();
            let wanted = attachment.endpoints().iter().copied().collect();
            let done = move |result| sender.send(result).unwrap();
            let taken = journal.append(event(2), wanted, Number::Next, done);
            taken.unwrap();
            answer.recv().unwrap()
        };
        let error = crate::error::with_causes(&try_again().unwrap_err());
        assert!(error.contains(at_first), "{error}");
        assert!(!journal.is_ready());
        // It is tried again, and stays as it is.
        loop {
            let error = try_again().unwrap_err();
            if crate::error::with_causes(&error).contains(later) {
                break;
            }
            std::thread::yield_now();
        }
        let error = journal.status().error.unwrap();
        assert!(error.contains(later), "{error}");
        drop((attachment, journal));
        assert_eq!(path.exists(), at_first != "the file was removed");
    }
}

#[test]
fn a_new_file_has_its_name_only_when_it_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..30 {
        let path = folder.path().join(format!("journal {number}"));
        let journal = std::thread::spawn({
            let path = path.clone();
            move || Journal::open(path).unwrap()
        });
        // What a process that is killed would leave, as soon as there is anything.
        let seen = loop {
            match std::fs::read(&path) {
                Ok(seen) => break seen,
                Err(_) => std::thread::yield_now(),
            }
        };
        assert!(seen.starts_with(b"redb"), "{} bytes", seen.len());
        drop(journal.join().unwrap());
        let names = std::fs::read_dir(folder.path()).unwrap();
        assert_eq!(names.count(), number + 1, "another file is left");
    }
}

/// Sends an event to a journal that has threads of its own.
fn try_append(journal: &Journal, number: u64, ids: &[EndpointId]) -> Result<u64, JournalError> {
    let (sender, answer) = mpsc::channel();
    let done = move |result| sender.send(result).unwrap();
    let wanted = ids.iter().copied().collect();
    journal
        .append(event(number), wanted, Number::Next, done)
        .unwrap();
    answer.recv().unwrap()
}

/// What is written to a file that was cut off has lost what it stands on.
#[test]
fn a_file_that_is_cut_off_while_it_is_open_takes_no_events() {
    for whole in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let journal = Journal::open(&path).unwrap();
        let queues = Arc::new(Queues::default());
        let attachment = journal.attach(attach(&["a"]), "1", queues).unwrap();
        let ids = attachment.endpoints();
        let kept: Vec<_> = (0..20)
            .map(|it| append(&journal, &event(it), ids))
            .collect();
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        let length = file.metadata().unwrap().len();
        // The end of a file is free, and its beginning is not.
        file.set_len(if whole { length - 4096 } else { 12 << 10 })
            .unwrap();
        let error = try_append(&journal, 20, ids).unwrap_err();
        let error = crate::error::with_causes(&error);
        assert!(error.contains("was cut off while it was open"), "{error}");
        if whole {
            // Nothing is missing that was in use.
            while try_append(&journal, 21, ids).is_err() {
                std::thread::yield_now();
            }
            assert!(positions(&read(&journal, ids[0], 0)).starts_with(&kept));
            continue;
        }
        for _ in 0..20 {
            assert!(try_append(&journal, 21, ids).unwrap_err().is_down());
        }
        assert!(!journal.is_ready() && journal.status().error.is_some());
    }
}

#[test]
fn a_panic_of_a_queue_ends_neither_writing_nor_reading() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path().join("journal")).unwrap();
    let queues = Arc::new(Queues::default());
    let attachment = journal.attach(attach(&["a"]), "1", queues).unwrap();
    let ids = attachment.endpoints();
    let wanted = || ids.iter().copied().collect();
    journal
        .append(event(1), wanted(), Number::Next, |_| panic!("on purpose"))
        .unwrap();
    journal.read(ids[0], 0, ALL, |_| panic!("on purpose"));
    // Also if it is part of the same commit.
    assert_eq!(try_append(&journal, 2, ids).unwrap(), 2);
    assert_eq!(positions(&read(&journal, ids[0], 0)), [1, 2]);
}

#[test]
fn a_check_that_fails_leaves_a_journal_that_answers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let journal = Journal::open(&path).unwrap();
    let queues = Arc::new(Queues::default());
    let attachment = journal.attach(attach(&["a"]), "1", queues).unwrap();
    let ids = attachment.endpoints();
    (0..20).for_each(|it| assert!(append(&journal, &event(it), ids) > 0));
    let length = std::fs::metadata(&path).unwrap().len() as usize;
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let noise = vec![0xa5; length - 4096];
    std::os::unix::fs::FileExt::write_all_at(&file, &noise, 4096).unwrap();
    assert!(journal.check().unwrap_err().is_damaged());
    assert!(try_append(&journal, 20, ids).unwrap_err().is_down());
    assert!(!journal.is_ready() && journal.status().error.is_some());
}

#[test]
fn queues_that_could_not_read_during_a_check_are_woken() {
    let stage = Stage::new(JournalOptions::default(), &["a"]);
    stage.append(&event(1), &stage.ids).unwrap();
    assert!(stage.journal.check().unwrap().is_intact());
    assert_eq!(*stage.queues.recovered.lock().unwrap(), [true]);
    assert!(stage.journal.status().error.is_none() && stage.journal.is_ready());
}
