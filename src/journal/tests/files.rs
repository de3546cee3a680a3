//! The journal in a file, with its threads.

use super::*;

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
    let (journal, attachment) = attached(options, &folder.path().join("journal"));
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
    let (journal, attachment) = attached(options, &folder.path().join("journal"));
    let ids = attachment.endpoints();
    let position = append(&journal, &event(1), ids);
    journal.settle(ids[0], position);
    runtime.block_on(journal.flush()).unwrap();
    assert_eq!(journal.status().events, 0);
}

#[test]
fn a_panic_of_a_queue_ends_neither_writing_nor_reading() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let (journal, attachment) = attached(Journal::options(), &path);
    let ids = attachment.endpoints();
    let wanted = || ids.iter().copied().collect();
    journal
        .append(event(1), wanted(), Number::Next, |_| panic!("on purpose"))
        .unwrap();
    journal.read(ids[0], 0, ALL, |_| panic!("on purpose"));
    // Also if it is part of the same commit.
    assert_eq!(append(&journal, &event(2), ids), 2);
    assert_eq!(positions(&read(&journal, ids[0], 0)), [1, 2]);
}
