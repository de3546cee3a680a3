//! Numbers of events that wait in a journal: they outlive the process.

#![cfg(feature = "journal")]

use std::path::Path;
use std::time::Duration;

use tower_registry_notifications::event::{Action, Event};
use tower_registry_notifications::journal::{Journal, LetterFilter, ReplayFrom};
use tower_registry_notifications::sink::Sink as _;
use tower_registry_notifications::{Endpoint, Notifier, SourceRecord};

use crate::common::scripted::{PostedRequest, Reply, scripted};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// A process that writes these events, and whose receiver answers with `status`. Returns
/// partition, number and event of each request.
async fn life(
    path: &Path,
    instance: &str,
    status: u16,
    tags: &[&str],
    before: impl FnOnce(&Journal),
) -> Vec<(String, String, String)> {
    let journal = Journal::options().retention(HOUR).open(path).unwrap();
    before(&journal);
    let (client, log) = scripted(move |_, _| Reply::Status(status));
    let endpoint = Endpoint::new("e", "http://receiver").client(client);
    let mut source = SourceRecord::new("registry:5000");
    source.instance_id = instance.into();
    let notifier = Notifier::builder().source(source).journal(journal);
    let notifier = notifier.endpoint(endpoint.sequence(true)).build().unwrap();
    for tag in tags {
        let mut event = Event::new(Action::Push);
        event.target.repository = "app".into();
        event.target.tag = (*tag).into();
        event.source = notifier.source().as_ref().clone();
        notifier.write(&event.into()).await.unwrap();
    }
    let is_down = status == 503;
    let patience = if is_down { Duration::ZERO } else { MINUTE };
    let report = notifier.shutdown(patience).await;
    assert_eq!(report.is_drained(), !is_down, "{report}");
    let header = |got: &PostedRequest, name: &str| got.headers[name].to_str().unwrap().to_owned();
    let told = |got: &PostedRequest| {
        let [event] = &got.events[..] else {
            panic!("{got:?}");
        };
        let partition = header(got, "notification-partition");
        (
            partition,
            header(got, "notification-sequence"),
            event.clone(),
        )
    };
    log.got().iter().map(told).collect()
}

fn told(all: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    let owned = |(partition, number, event): &(&str, &str, &str)| {
        (partition.to_string(), number.to_string(), event.to_string())
    };
    all.iter().map(owned).collect()
}

#[tokio::test]
async fn numbers_outlive_restarts_replays_and_dead_letters() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    life(&path, "one", 503, &["a", "b"], |_| {}).await;
    // Each start begins a partition, and what waited keeps its own.
    let rest = [("one/e", "1", "app/a"), ("one/e", "2", "app/b")];
    let got = life(&path, "two", 200, &["c", "d"], |_| {}).await;
    let new = [("two/e", "1", "app/c"), ("two/e", "2", "app/d")];
    assert_eq!(got, told(&[&rest[..], &new].concat()));

    let replay = |journal: &Journal| {
        assert_eq!(journal.replay("e", &ReplayFrom::Oldest).unwrap(), 4);
    };
    let got = life(&path, "three", 200, &["e"], replay).await;
    let newest = [("three/e", "1", "app/e")];
    assert_eq!(got, told(&[&rest[..], &new, &newest].concat()));

    life(&path, "four", 400, &["f"], |_| {}).await;
    let again = |journal: &Journal| {
        let sent = journal.send_letters_again(&LetterFilter::new());
        assert_eq!(sent.unwrap(), 1);
    };
    let got = life(&path, "five", 200, &["g"], again).await;
    assert_eq!(
        got,
        told(&[("four/e", "1", "app/f"), ("five/e", "1", "app/g")])
    );
}
