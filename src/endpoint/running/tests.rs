use super::*;
use crate::dead_letter::{DeadLetterChannel, DeadLetters};
use crate::endpoint::Endpoint;
use crate::event::{Action, Event};
use crate::sink::Filter;

/// Writes an event.
fn write(running: &Running, event: &SharedEvent) -> Acceptance {
    running.offer(Offer::now(event, Attempt::Only))
}

/// Offers an event that will be offered again.
fn try_accept(running: &Running, event: &SharedEvent) -> Result<(), SinkError> {
    running
        .offer(Offer::now(event, Attempt::First))
        .answer()
        .unwrap()
}

fn event(repository: &str) -> SharedEvent {
    let mut event = Event::new(Action::Push);
    event.target.repository = repository.into();
    event.into()
}

/// An endpoint for two events whose worker does not run.
fn running(overflow: Overflow) -> (Arc<Running>, DeadLetters, impl Future<Output = ()>) {
    let (channel, letters) = DeadLetterChannel::new(10);
    let endpoint = Endpoint::new("e", "http://receiver")
        .queue_events(2)
        .queue_bytes(1 << 20)
        .filter(Filter::new().include_repositories(["a"]))
        .overflow(overflow)
        .dead_letters(channel);
    let Ok(checked) = endpoint.checked() else {
        panic!("the endpoint is valid")
    };
    let (running, worker) = checked.start(crate::endpoint::EndpointContext {
        store: None,
        dead_letters: None,
        clock: std::time::SystemTime::now,
    });
    (running, letters, worker)
}

#[tokio::test]
async fn an_event_offered_repeatedly_becomes_one_letter() {
    let (running, mut letters, _worker) = running(Overflow::RejectNewest);
    assert!(running.is_ready());
    try_accept(&running, &event("a")).unwrap();
    assert!(running.is_ready());
    try_accept(&running, &event("a")).unwrap();
    assert!(!running.is_ready());
    let third = event("a");
    for _ in 0..5 {
        assert!(try_accept(&running, &third).unwrap_err().is_full());
    }
    let status = running.status();
    assert_eq!((status.events, status.dead_letters), (2, 0));
    assert!(letters.try_recv().is_none());
    let refused = running.offer(Offer::now(&third, Attempt::Last)).await;
    assert!(refused.unwrap_err().is_full());
    let status = running.status();
    assert_eq!((status.events, status.dead_letters, status.lost), (3, 1, 0));
    let letter = letters.try_recv().unwrap();
    assert_eq!(
        (letter.reason, letter.event.id()),
        (Reason::Overflow, third.id())
    );
    assert!(letters.try_recv().is_none());
}

#[tokio::test]
async fn the_filter_counts_for_offers_and_refusals_too() {
    let (running, mut letters, _worker) = running(Overflow::RejectNewest);
    let unwanted = event("b");
    try_accept(&running, &unwanted).unwrap();
    running
        .offer(Offer::now(&unwanted, Attempt::Last))
        .await
        .unwrap();
    assert_eq!(running.status().events, 0);
    assert!(letters.try_recv().is_none());
}

#[tokio::test]
async fn a_closed_endpoint_is_not_ready_and_its_letters_say_why() {
    for overflow in [Overflow::RejectNewest, Overflow::DropOldest, Overflow::Wait] {
        let (running, mut letters, _worker) = running(overflow);
        for _ in 0..2 {
            try_accept(&running, &event("a")).unwrap();
        }
        assert_eq!(running.is_ready(), overflow == Overflow::DropOldest);
        running.close();
        assert!(!running.is_ready());
        assert!(try_accept(&running, &event("a")).unwrap_err().is_closed());
        let late = write(&running, &event("a")).await;
        assert!(late.unwrap_err().is_closed());
        assert_eq!(letters.try_recv().unwrap().reason, Reason::Shutdown);
    }
}

#[tokio::test]
async fn a_write_that_waits_for_room_does_not_wait_when_it_is_only_offered() {
    let (running, mut letters, _worker) = running(Overflow::Wait);
    for _ in 0..2 {
        try_accept(&running, &event("a")).unwrap();
    }
    assert!(try_accept(&running, &event("a")).unwrap_err().is_full());
    // Nobody looks at this write, and yet its event ends.
    drop(write(&running, &event("a")));
    assert_eq!(letters.try_recv().unwrap().reason, Reason::Overflow);
    let status = running.status();
    assert_eq!(
        (status.events, status.dead_letters, status.pending),
        (3, 1, 2)
    );
}

/// As when the runtime ends, or a shutdown aborts it.
#[tokio::test]
async fn a_dropped_worker_accounts_for_its_events() {
    let (running, _letters, worker) = running(Overflow::RejectNewest);
    let mut worker = Box::pin(worker);
    for _ in 0..2 {
        try_accept(&running, &event("a")).unwrap();
    }
    assert!(futures_util::poll!(&mut worker).is_pending());
    drop(worker);
    let status = running.status();
    assert_eq!((status.events, status.pending), (2, 0));
    assert_eq!((status.dead_letters, status.lost), (2, 2));
    assert_eq!(
        running.account().leftover.letters,
        LetterCounts { kept: 0, lost: 2 }
    );
}
