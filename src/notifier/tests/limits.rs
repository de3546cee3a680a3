//! The limits of a journal free its space, whatever becomes of the events.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::sleep;

use super::stage::{Receiver, Stage};
use crate::Endpoint;
use crate::dead_letter::{DeadLetter, DeadLetterSink, Reason};
use crate::endpoint::{Batch, EndpointStatus};
use crate::journal::tests::SimulatedDisk;
use crate::journal::{Journal, LetterFilter};
use crate::sink::{Acceptance, SinkError};

const HOUR: Duration = Duration::from_secs(3600);
/// 100 events, about.
const MOST: u64 = 40_000;
const WRITTEN: u64 = 400;

/// Keeps no letter.
struct FailingSink;

impl DeadLetterSink for FailingSink {
    fn bury(&self, _: &Arc<DeadLetter>) -> Acceptance {
        Acceptance::failed(SinkError::full())
    }
}

/// Writes far more than the journal may hold while `endpoint` fails, and then delivers what
/// is left. No write may be refused, and every event must be delivered or a dead letter.
async fn overfill(receiver: &Receiver, endpoint: Endpoint) -> (Stage, EndpointStatus) {
    let options = Journal::options().max_bytes(MOST);
    let stage = Stage::new(&SimulatedDisk::default(), options, |it| {
        it.endpoint(endpoint)
    });
    for tag in 0..WRITTEN {
        stage.write(tag).await;
    }
    let status = stage.journal.status();
    assert!(status.bytes <= MOST + MOST / 8, "{status:?}");
    receiver.answer(200);
    stage.drained().await;
    let status = stage.endpoint();
    assert_eq!(status.events, WRITTEN);
    assert_eq!(status.events, status.successes + status.dead_letters);
    (stage, status)
}

#[tokio::test(start_paused = true)]
async fn events_whose_letters_are_lost_leave_the_journal_when_their_space_is_needed() {
    // Once the limits have given them up; and before, by the receiver, which has
    // rejected them.
    for answer in [503, 400] {
        let receiver = Receiver::answering(answer);
        let endpoint = receiver.endpoint().dead_letters(FailingSink);
        let (_, status) = overfill(&receiver, endpoint).await;
        assert!(status.lost > WRITTEN / 2, "{status:#?}");
        assert_eq!(status.lost, status.dead_letters);
    }
}

#[tokio::test(start_paused = true)]
async fn events_that_are_tried_for_ever_do_not_keep_others_in_the_journal() {
    let receiver = Receiver::answering(503);
    let endpoint = receiver.endpoint().concurrency(4).batch(Batch::of(20));
    let (stage, status) = overfill(&receiver, endpoint).await;
    assert_eq!(status.lost, 0);
    assert!(status.dead_letters > WRITTEN / 2, "{status:#?}");
    assert_eq!(stage.journal.status().dead_letters, status.dead_letters);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_tried_for_ever_becomes_a_letter_at_the_age_limit() {
    let receiver = Receiver::answering(503);
    let endpoint = receiver.endpoint();
    let options = Journal::options().max_age(HOUR);
    let stage = Stage::new(&SimulatedDisk::default(), options, |it| {
        it.endpoint(endpoint)
    });
    let old = SystemTime::now() - 2 * HOUR;
    for tag in 0..3 {
        stage.write_at(tag, old).await;
    }
    stage.write(3).await;
    sleep(Duration::from_secs(300)).await;
    let letters = stage.journal.dead_letters(&LetterFilter::new());
    let letters = letters.map(|it| it.unwrap().letter);
    let mut letters: Vec<_> = letters
        .map(|it| (it.event.to_event().target.tag, it.reason))
        .collect();
    letters.sort_by_key(|it| it.0.clone());
    let expected = ["0", "1", "2"].map(|tag| (tag.to_owned(), Reason::Expired));
    assert_eq!(letters, expected);
    assert_eq!(stage.endpoint().pending, 1);
}
