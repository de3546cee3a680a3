//! Whatever a receiver does, whatever the settings: every event is accepted or
//! a dead letter, in the order of its repository.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use tower_registry_notifications::dead_letter::{DeadLetterChannel, Reason};
use tower_registry_notifications::endpoint::{Backoff, Batch, Breaker};
use tower_registry_notifications::sink::Sink as _;
use tower_registry_notifications::{Endpoint, Notifier};

use crate::common::scripted::{Log, Reply, event, scripted};

const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
struct Case {
    /// The repository of each event, and how long before the next one.
    events: Vec<(u8, u16)>,
    /// What the receiver does with each request, again and again.
    replies: Vec<Reply>,
    /// Events whose tag divides by it are rejected.
    rejects: usize,
    concurrency: usize,
    most: usize,
    batch: Batch,
    breaker: bool,
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        4 => Just(Reply::Status(200)),
        2 => (0..3000_u64).prop_map(|ms| Reply::Late(Duration::from_millis(ms))),
        1 => Just(Reply::Status(500)),
        1 => Just(Reply::Reset),
        1 => Just(Reply::Hang),
        1 => Just(Reply::Answer(429, ("retry-after", "7"), String::new())),
    ]
}

prop_compose! {
    fn case()(
        events in prop::collection::vec((0..5_u8, prop_oneof![Just(0), 0..4000_u16]), 1..60),
        mut replies in prop::collection::vec(reply(), 0..12),
        rejects in 2..20_usize,
        concurrency in 1..5_usize,
        most in 1..7_usize,
        bytes in prop_oneof![Just(1 << 20), Just(1), Just(1500_usize)],
        linger in 0..3_u32,
        breaker in any::<bool>(),
    ) -> Case {
        replies.push(Reply::Status(200));
        let batch = Batch::of(most).bytes(bytes).linger(linger * SECOND);
        Case { events, replies, rejects, concurrency, most, batch, breaker }
    }
}

fn endpoint(case: &Case) -> (Endpoint, Log) {
    let (replies, rejects) = (case.replies.clone(), case.rejects);
    let breaker = case.breaker;
    let rejected = move |event: &String| {
        let (_, tag) = event.rsplit_once('/').unwrap();
        tag.parse::<usize>().unwrap() % rejects == 1
    };
    let (client, log) = scripted(move |n, events| {
        match &replies[n % replies.len()] {
            // The breaker would try these for ever.
            reply @ (Reply::Status(200) | Reply::Late(_)) if breaker => reply.clone(),
            Reply::Status(200) | Reply::Late(_) if events.iter().any(rejected) => {
                Reply::Status(400)
            }
            reply => reply.clone(),
        }
    });
    let endpoint = Endpoint::new("e", "http://receiver").client(client);
    let endpoint = endpoint
        .timeout(2 * SECOND)
        .concurrency(case.concurrency)
        .batch(case.batch.clone());
    let endpoint = match case.breaker {
        true => endpoint.retry(Breaker::new().threshold(3)),
        false => endpoint.retry(Backoff::new().cap(20 * SECOND)),
    };
    (endpoint, log)
}

fn by_repository<'a>(
    events: impl IntoIterator<Item = &'a String>,
) -> BTreeMap<&'a str, Vec<usize>> {
    let mut map = BTreeMap::<_, Vec<_>>::new();
    for event in events {
        let (repository, tag) = event.rsplit_once('/').unwrap();
        map.entry(repository)
            .or_default()
            .push(tag.parse().unwrap());
    }
    map
}

async fn run(case: Case) {
    let (endpoint, log) = endpoint(&case);
    let (channel, mut letters) = DeadLetterChannel::new(1000);
    let endpoint = endpoint.dead_letters(channel);
    let notifier = Notifier::builder().endpoint(endpoint).build().unwrap();
    let mut written = BTreeSet::new();
    for (tag, (repository, pause)) in case.events.iter().enumerate() {
        let repository = format!("r{repository}");
        written.insert(format!("{repository}/{tag}"));
        let event = event(&repository, tag);
        notifier.sink().write(&event).await.unwrap();
        if *pause > 0 {
            tokio::time::sleep(Duration::from_millis((*pause).into())).await;
        }
    }
    let report = notifier.shutdown(100_000 * SECOND).await;
    assert!(report.is_drained(), "{report:?}");
    // Once each: a receiver that hangs or resets has not accepted.
    let accepted = log.accepted();
    for (repository, tags) in by_repository(&accepted) {
        assert!(tags.is_sorted(), "{repository}: {tags:?}");
    }
    let mut ended: Vec<_> = accepted;
    while let Some(letter) = letters.try_recv() {
        assert_eq!(letter.reason, Reason::Rejected);
        let target = &letter.event.to_event().target;
        assert_eq!(target.tag.parse::<usize>().unwrap() % case.rejects, 1);
        ended.push(format!("{}/{}", target.repository, target.tag));
    }
    assert_eq!(ended.len(), written.len(), "some twice, or none");
    assert_eq!(ended.into_iter().collect::<BTreeSet<_>>(), written);
    assert!(log.most_at_once() <= case.concurrency);
    for got in log.got() {
        assert!(got.events.len() <= case.most, "{:?}", got.events);
    }
    let status = notifier.status().endpoints.remove(0);
    assert_eq!((status.pending, status.pending_bytes), (0, 0));
    assert_eq!(status.successes + status.dead_letters, status.events);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_event_ends_once_and_in_order(case in case()) {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().start_paused(true).build().unwrap();
        runtime.block_on(run(case));
    }
}
