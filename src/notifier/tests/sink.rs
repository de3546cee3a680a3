//! Writes to the journal, and what becomes of them when it cannot take an event.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body_util::Full;
use tokio::time::{Instant, sleep};
use tower::{BoxError, service_fn};

use crate::dead_letter::{DeadLetter, DeadLetterChannel, DeadLetterSink, Reason};
use crate::endpoint::EndpointStatus;
use crate::event::{Action, Event, Format, SharedEvent};
use crate::journal::tests::SimulatedDisk;
use crate::journal::{Journal, JournalOptions, KeptLetter, LetterFilter};
use crate::sink::{Acceptance, Attempt, Destination, Filter, Offer, Sink, SinkError};
use crate::{Endpoint, Notifier, NotifierBuilder};

const SECOND: Duration = Duration::from_secs(1);

fn event(action: Action, repository: &str) -> SharedEvent {
    let mut event = Event::new(action);
    event.target.repository = repository.into();
    event.into()
}

/// An endpoint whose receiver answers always with this status.
fn endpoint(name: &str, status: u16) -> Endpoint {
    let client = service_fn(move |_: Request<Bytes>| async move {
        let mut response = Response::new(Full::<Bytes>::default());
        *response.status_mut() = status.try_into()?;
        Ok::<_, BoxError>(response)
    });
    Endpoint::new(name, "http://receiver").client(client)
}

fn build(journal: &Journal, endpoint: Endpoint) -> Notifier {
    let builder: NotifierBuilder = Notifier::builder().journal(journal.clone());
    builder.endpoint(endpoint).build().unwrap()
}

fn status(notifier: &Notifier) -> EndpointStatus {
    notifier.status().endpoints.remove(0)
}

/// The sink of the journal, to which fail-closed requests offer their events.
fn destination(notifier: &Notifier) -> Arc<dyn Destination> {
    notifier.0.journal.as_ref().unwrap().destination()
}

#[tokio::test(start_paused = true)]
async fn a_write_is_accepted_when_its_event_is_on_disk_and_in_the_queue() {
    let journal = SimulatedDisk::default().open().unwrap();
    let notifier = build(&journal, endpoint("e", 500));
    let mut write = notifier.write(&event(Action::Push, "a"));
    assert!((&mut write).now_or_never().is_none());
    assert_eq!(status(&notifier).events, 0);
    journal.turn();
    write.now_or_never().unwrap().unwrap();
    let status = status(&notifier);
    assert_eq!((status.events, status.pending), (1, 1));
    assert_eq!(notifier.status().journal.unwrap().events, 1);
    assert_eq!(notifier.status().not_durable, 0);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_no_endpoint_wants_is_accepted_and_not_stored() {
    let journal = SimulatedDisk::default().open().unwrap();
    let wants_b = Filter::new().include_repositories(["b"]);
    let notifier = build(&journal, endpoint("e", 500).filter(wants_b));
    let write = notifier.write(&event(Action::Push, "a"));
    write.now_or_never().unwrap().unwrap();
    journal.turn();
    assert_eq!(notifier.status().journal.unwrap().events, 0);
}

#[tokio::test(start_paused = true)]
async fn a_pull_waits_for_the_disk_unless_the_author_says_otherwise() {
    for waits in [true, false] {
        let options = JournalOptions::default().wait_for_pulls(waits);
        let journal = SimulatedDisk::default().open_with(options).unwrap();
        let notifier = build(&journal, endpoint("e", 500));
        let mut pull = notifier.write(&event(Action::Pull, "a"));
        assert_eq!((&mut pull).now_or_never().is_some(), !waits);
        let push = notifier.write(&event(Action::Push, "a"));
        assert!(push.now_or_never().is_none());
        journal.turn();
        assert_eq!(status(&notifier).events, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_disk_refuses_waits_in_memory_and_is_counted() {
    let disk = SimulatedDisk::default();
    let journal = disk.open().unwrap();
    let notifier = build(&journal, endpoint("e", 500));
    disk.fail_after(0, u64::MAX / 2);
    let write = notifier.write(&event(Action::Push, "a"));
    journal.turn();
    write.now_or_never().unwrap().unwrap();
    assert!(!Sink::is_ready(&notifier));
    assert_eq!(notifier.status().not_durable, 1);
    assert_eq!(status(&notifier).pending, 1);
    // The next is refused at once, and what is dropped undecided is not lost.
    drop(notifier.write(&event(Action::Push, "b")));
    journal.turn();
    assert_eq!(notifier.status().not_durable, 2);
    let status = status(&notifier);
    assert_eq!((status.events, status.pending, status.lost), (2, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn an_offer_fails_until_the_disk_takes_it_and_the_last_one_goes_into_memory() {
    let disk = SimulatedDisk::default();
    let journal = disk.open().unwrap();
    let notifier = build(&journal, endpoint("e", 500));
    let sink = destination(&notifier);
    disk.fail_after(0, u64::MAX / 2);
    let push = event(Action::Push, "a");
    for turn in [Attempt::First, Attempt::Again] {
        let offer = sink.offer(Offer::now(&push, turn));
        journal.turn();
        offer.now_or_never().unwrap().unwrap_err();
        assert_eq!(
            (status(&notifier).events, notifier.status().not_durable),
            (0, 0)
        );
    }
    let offer = sink.offer(Offer::now(&push, Attempt::Last));
    journal.turn();
    offer.now_or_never().unwrap().unwrap();
    assert_eq!(
        (status(&notifier).events, notifier.status().not_durable),
        (1, 1)
    );
    // An offer that nobody waits for any more is not repeated.
    drop(sink.offer(Offer::now(&push, Attempt::Again)));
    journal.turn();
    assert_eq!(
        (status(&notifier).events, notifier.status().not_durable),
        (2, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn an_unsupported_event_counts_once_however_often_it_is_offered() {
    let disk = SimulatedDisk::default();
    let journal = disk.open().unwrap();
    let azure = endpoint("azure", 500).format(Format::Azure);
    let notifier = Notifier::builder()
        .journal(journal.clone())
        .endpoint(azure)
        .endpoint(endpoint("all", 500))
        .build()
        .unwrap();
    disk.fail_after(0, 40);
    let mount = event(Action::Mount, "a");
    let write = notifier
        .retrying_sink(60 * SECOND, Arc::new(|_| ()))
        .write(&mount);
    let write = tokio::spawn(write);
    let mut turns = 0;
    while !write.is_finished() {
        sleep(SECOND / 10).await;
        journal.turn();
        turns += 1;
    }
    assert!(turns > 3, "it was not offered again");
    write.await.unwrap().unwrap();
    let status = notifier.status();
    let [azure, all] = &status.endpoints[..] else {
        panic!("{status:#?}");
    };
    assert_eq!((azure.unsupported, azure.events), (1, 0));
    assert_eq!((all.unsupported, all.events), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_closed_journal_refuses_events_as_a_queue_does() {
    let journal = SimulatedDisk::default().open().unwrap();
    let (channel, mut letters) = DeadLetterChannel::new(1);
    let notifier = build(&journal, endpoint("e", 500).dead_letters(channel));
    let undecided = notifier.write(&event(Action::Push, "a"));
    notifier.0.journal.as_ref().unwrap().close();
    assert!(!notifier.is_ready());
    let push = event(Action::Push, "b");
    let offer = destination(&notifier).offer(Offer::now(&push, Attempt::Again));
    let refused = offer.now_or_never().unwrap();
    assert!(refused.unwrap_err().is_closed());
    assert!(letters.try_recv().is_none());
    let refused = notifier.write(&push).now_or_never().unwrap();
    assert!(refused.unwrap_err().is_closed());
    assert_eq!(letters.try_recv().unwrap().reason, Reason::Shutdown);
    // What was on its way to the disk comes to the queue all the same.
    journal.turn();
    undecided.now_or_never().unwrap().unwrap();
    assert_eq!(status(&notifier).pending, 1);
}

/// Lets the journal work from now on.
fn work(journal: &Journal) -> tokio::task::JoinHandle<()> {
    let journal = journal.clone();
    tokio::spawn(async move {
        loop {
            sleep(SECOND / 20).await;
            journal.turn();
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_events_that_damage_took() {
    let disk = SimulatedDisk::default();
    let journal = disk.open().unwrap();
    let notifier = build(&journal, endpoint("e", 500));
    for repository in ["qwertzuiop", "asdfghjkl"] {
        // Each has a chunk of its own.
        let write = notifier.write(&event(Action::Push, repository));
        journal.turn();
        write.await.unwrap();
    }
    let work_first = work(&journal);
    let report = notifier.shutdown(Duration::ZERO).await;
    assert_eq!(report.left[0].kept, 2, "{report}");
    work_first.abort();
    drop((notifier, journal));

    assert!(disk.damage(b"asdfghjkl") > 0);
    let journal = disk.open().unwrap();
    let notifier = build(&journal, endpoint("e", 200));
    let working = work(&journal);
    let began = Instant::now();
    let report = notifier.shutdown(3_600 * SECOND).await;
    assert!(began.elapsed() < 60 * SECOND, "{:?}", began.elapsed());
    working.abort();
    let status = status(&notifier);
    assert_eq!((status.events, status.successes), (2, 1));
    assert_eq!(
        (status.dead_letters, status.lost, status.pending),
        (1, 1, 0)
    );
    assert_eq!(notifier.status().journal.unwrap().damaged, 1);
    assert!(report.is_drained() && report.lost == 1, "{report}");
}

/// A sink of dead letters that keeps them when it is told to.
struct SlowSink(tokio::sync::watch::Receiver<bool>);

impl DeadLetterSink for SlowSink {
    fn bury(&self, _: &Arc<DeadLetter>) -> Acceptance {
        let mut kept = self.0.clone();
        Acceptance::pending(async move {
            let kept = kept.wait_for(|kept| *kept).await;
            kept.map(drop).map_err(SinkError::other)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_stays_in_the_journal_until_its_dead_letter_is_kept() {
    let journal = SimulatedDisk::default().open().unwrap();
    let (keep, kept) = tokio::sync::watch::channel(false);
    let notifier = build(&journal, endpoint("e", 400).dead_letters(SlowSink(kept)));
    let working = work(&journal);
    notifier.write(&event(Action::Push, "a")).await.unwrap();
    let in_journal = || notifier.status().journal.unwrap().events;
    sleep(2 * SECOND).await;
    // It was rejected, and a crash would find it.
    assert_eq!((status(&notifier).failures, in_journal()), (1, 1));
    keep.send_replace(true);
    sleep(2 * SECOND).await;
    working.abort();
    let status = status(&notifier);
    assert_eq!((status.dead_letters, status.lost, in_journal()), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_dropped_while_it_waits_for_the_disk_goes_into_memory() {
    let journal = SimulatedDisk::default().open().unwrap();
    let notifier = build(&journal, endpoint("e", 500));
    let push = event(Action::Push, "a");
    while notifier.is_ready() {
        drop(notifier.write(&push));
    }
    assert_eq!(
        (status(&notifier).events, notifier.status().not_durable),
        (0, 0)
    );
    let mut write = notifier.write(&push);
    assert!((&mut write).now_or_never().is_none());
    drop(write);
    assert_eq!(
        (status(&notifier).events, notifier.status().not_durable),
        (1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_counts_events_of_failed_writes_that_are_on_disk() {
    let mut landed = 0;
    for call in 0..60 {
        let disk = SimulatedDisk::default();
        let journal = disk.open().unwrap();
        let notifier = build(&journal, endpoint("e", 500).queue_events(2));
        let working = work(&journal);
        // The queue is full, and reads nothing more.
        for repository in ["a", "b", "c", "d"] {
            notifier
                .write(&event(Action::Push, repository))
                .await
                .unwrap();
        }
        disk.fail_after(call, 1000);
        let push = event(Action::Push, "e");
        let offer = destination(&notifier).offer(Offer::now(&push, Attempt::Again));
        let failed = offer.await.is_err();
        disk.work();
        sleep(SECOND).await;
        let report = notifier.shutdown(Duration::ZERO).await;
        working.abort();
        let waiting = journal.status().endpoints[0].waiting;
        assert_eq!(report.left[0].kept as u64, waiting, "{call}: {report}");
        landed += u64::from(failed && waiting == 5);
    }
    assert!(landed > 0, "no write failed after its commit");
}

#[tokio::test(start_paused = true)]
async fn what_a_changed_format_cannot_carry_becomes_a_dead_letter() {
    let disk = SimulatedDisk::default();
    let journal = disk.open().unwrap();
    let notifier = build(&journal, endpoint("e", 500));
    let mut carried = Event::new(Action::Push);
    carried.target.repository = "a".into();
    carried.target.tag = "v1".into();
    carried.target.descriptor.media_type = "application/vnd.oci.image.manifest.v1+json".into();
    carried.request.host = "registry.example.com".into();
    let carried = SharedEvent::from(carried);
    assert!(Format::Azure.carries(&carried));
    let working = work(&journal);
    for event in [event(Action::Pull, "a"), carried, event(Action::Mount, "a")] {
        notifier.write(&event).await.unwrap();
    }
    notifier.shutdown(Duration::ZERO).await;
    working.abort();
    drop((notifier, journal));

    let journal = disk.open().unwrap();
    let working = work(&journal);
    let azure = || endpoint("e", 200).format(Format::Azure);
    let notifier = build(&journal, azure());
    let report = notifier.shutdown(60 * SECOND).await;
    assert_eq!(
        (report.is_drained(), report.dead_letters),
        (true, 2),
        "{report}"
    );
    let status = status(&notifier);
    assert_eq!((status.events, status.successes, status.lost), (3, 1, 0));
    drop(notifier);

    // So it is with letters that are sent again while no notifier runs.
    let letters = || {
        journal
            .dead_letters(&LetterFilter::new())
            .map(Result::unwrap)
    };
    let cannot = "the endpoint's format cannot carry the event";
    let refused = |it: KeptLetter| {
        let letter = it.letter;
        letter.reason == Reason::Rejected && letter.error.as_deref() == Some(cannot)
    };
    assert!(letters().count() == 2 && letters().all(refused));
    assert_eq!(journal.send_letters_again(&LetterFilter::new()).unwrap(), 2);
    let notifier = build(&journal, azure());
    notifier.shutdown(60 * SECOND).await;
    working.abort();
    assert!(letters().count() == 2 && letters().all(refused));
}
