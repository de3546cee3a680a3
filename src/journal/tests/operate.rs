//! Replay, and endpoints that come and go.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn kept() -> JournalOptions {
    Journal::options().retention(HOUR)
}

/// The repositories of an endpoint's events.
fn repositories(stage: &Stage, endpoint: EndpointId) -> Vec<String> {
    let page = stage.page(endpoint, 0).unwrap();
    let events = page.events.iter();
    events.map(|it| it.event.repository().to_owned()).collect()
}

#[test]
fn settled_events_are_sent_again_from_a_time_or_an_id() {
    let stage = Stage::new(kept(), &["a", "b"]);
    let [a, b] = stage.ids[..] else { panic!() };
    let start = SystemTime::now();
    let at = |number: u32| start + number * Duration::from_secs(1);
    let events: Vec<_> = (0..6).map(|it| event_at(it.into(), at(it))).collect();
    for (index, event) in events.iter().enumerate() {
        let wanted: &[_] = if index == 4 { &[b] } else { &[a, b] };
        stage.append(event, wanted).unwrap();
    }
    // What still waits is not sent twice.
    stage.settle(a, [1, 2, 3, 4]);
    stage.settle(b, 1..=6);
    let replay = |from: &ReplayFrom| stage.journal.replay("a", from);
    assert_eq!(replay(&ReplayFrom::Time(at(2))).unwrap(), 2);
    assert_eq!(
        repositories(&stage, a),
        ["library/5", "library/2", "library/3"]
    );
    let id = events[3].id().to_string();
    assert_eq!(replay(&ReplayFrom::Id(id)).unwrap(), 1);
    assert_eq!(replay(&ReplayFrom::Oldest).unwrap(), 4);
    assert_eq!(repositories(&stage, a).len(), 8);
    assert_eq!(repositories(&stage, b), [""; 0]);
    let unknown = replay(&ReplayFrom::Id("no such event".into()));
    assert!(unknown.unwrap_err().is_not_found());
    let unknown = stage.journal.replay("nobody", &ReplayFrom::Oldest);
    assert!(unknown.unwrap_err().is_not_found());
    // They are delivered like new ones, with the numbers that they had.
    let numbers = stage.queues.take(a).into_iter().map(|it| it.1.unwrap());
    let expected = [1, 2, 3, 4, 5, 3, 4, 4, 1, 2, 3, 4];
    assert_eq!(numbers.collect::<Vec<_>>(), expected);
    let stored = stage.page(a, 0).unwrap().events;
    let stored = stored.iter().map(|it| it.number.unwrap());
    assert_eq!(stored.collect::<Vec<_>>(), expected[4..]);
    // New ones go on where they were.
    let position = stage.append(&event(9), &[a]).unwrap();
    let expected = [(position, Some(6))];
    assert_eq!(stage.queues.take(a), expected);
}

#[test]
fn events_of_an_endpoint_that_is_gone_are_purged() {
    let stage = Stage::new(JournalOptions::default(), &["a", "gone"]);
    let [a, gone] = stage.ids[..] else { panic!() };
    // With chunks of one event and of many.
    for number in 0..300 {
        let wanted: &[_] = if number % 3 == 0 { &[a, gone] } else { &[gone] };
        stage.append(&event(number), wanted).unwrap();
    }
    let refused = stage.journal.purge_endpoint("gone").unwrap_err();
    assert!(!refused.is_not_found() && !refused.is_down());
    let stage = stage.reopened(JournalOptions::default(), &["a"]);
    assert_eq!(stage.journal.purge_endpoint("gone").unwrap(), 300);
    let status = stage.journal.status();
    assert_eq!(
        (status.endpoints[0].waiting, status.endpoints.len()),
        (100, 1)
    );
    assert!(
        stage
            .journal
            .purge_endpoint("gone")
            .unwrap_err()
            .is_not_found()
    );
    assert_eq!(stage.positions(a).len(), 100);
    // An endpoint of that name starts anew.
    let stage = stage.reopened(JournalOptions::default(), &["a", "gone"]);
    assert_ne!(stage.ids[1], gone);
    assert_eq!(stage.positions(stage.ids[1]), [0; 0]);
    assert!(stage.journal.check().unwrap().is_intact());
}

#[test]
fn events_of_an_endpoint_that_is_gone_are_moved_to_another() {
    let stage = Stage::new(JournalOptions::default(), &["old"]);
    let old = stage.ids[0];
    for number in 0..200 {
        stage.append(&event(number), &[old]).unwrap();
    }
    stage.settle(old, [1, 200]);
    let stage = stage.reopened(JournalOptions::default(), &["new"]);
    let new = stage.ids[0];
    stage.append(&event(1000), &[new]).unwrap();
    let nobody = stage.journal.move_endpoint("old", "nobody");
    assert!(nobody.unwrap_err().is_not_found());
    assert!(stage.journal.move_endpoint("old", "old").is_err());
    assert_eq!(stage.journal.move_endpoint("old", "new").unwrap(), 198);
    let moved: Vec<_> = (1..199).map(|it| format!("library/{it}")).collect();
    assert_eq!(repositories(&stage, new)[1..], moved);
    // The number of the first one is given once, and they are no events of its source.
    let numbers = stage.page(new, 0).unwrap().events;
    let numbers: Vec<_> = numbers.iter().filter_map(|it| it.number).collect();
    assert_eq!(numbers, [1]);
    let position = stage.append(&event(1001), &[new]).unwrap();
    assert_eq!(stage.queues.take(new).last(), Some(&(position, Some(2))));
    stage.settle(new, [position]);
    let status = stage.journal.status();
    assert_eq!(
        (status.endpoints[0].waiting, status.endpoints.len()),
        (199, 1)
    );
    assert!(stage.journal.check().unwrap().is_intact());
}
