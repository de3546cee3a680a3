//! The events of one partition that wait to be stored: [`Outbox`].

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::Subject;
use tokio::sync::oneshot;

use super::room::Reservation;
use super::subject;
use crate::event::{Action, Kind, SharedEvent};
use crate::sink::SinkError;

/// The resolution of all times here: one timer serves all partitions.
pub(super) const TICK: Duration = Duration::from_millis(50);

/// How long to wait for an acknowledgement.
const ACK_TIMEOUT: u64 = ticks(Duration::from_secs(2));

/// The pause before an event is published again.
const PAUSE: u64 = ticks(Duration::from_millis(100));

/// The pause before an event is published again while the stream is full.
const PAUSE_WHILE_FULL: u64 = ticks(Duration::from_secs(1));

/// The room for events that an empty outbox keeps.
const KEPT_ROOM: usize = 64;

/// Returns the ticks that take at least this long, although the first may be nearly over.
const fn ticks(time: Duration) -> u64 {
    (time.as_millis() / TICK.as_millis()) as u64 + 1
}

/// An event that was written to the sink.
pub(super) struct Waiting {
    pub(super) event: SharedEvent,
    pub(super) answer: oneshot::Sender<Result<(), SinkError>>,
    pub(super) room: Reservation,
}

/// The events of one partition that wait, in their order. Only the first may be under way.
pub(super) struct Outbox {
    partition: u16,
    waiting: VecDeque<Waiting>,
    /// The number of the first of them, by which an acknowledgement is known to be its own.
    number: u64,
    /// Whether the first was published before.
    published: bool,
    /// Whether an acknowledgement of the first may come.
    under_way: bool,
    /// The tick at which the first is published again, or its acknowledgement overdue.
    until: u64,
    /// Whether the last publish failed.
    failing: bool,
    subjects: Vec<(Kind, Action, Subject)>,
}

/// What an outbox needs at a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Nothing,
    /// The first event is to be published.
    Publish,
    /// The acknowledgement of the first event is overdue.
    Overdue,
}

impl Outbox {
    pub(super) fn new(partition: u16) -> Self {
        Self {
            partition,
            waiting: VecDeque::new(),
            number: 0,
            published: false,
            under_way: false,
            until: 0,
            failing: false,
            subjects: Vec::new(),
        }
    }

    /// Appends an event, and returns whether it is the only one and can be published.
    pub(super) fn push(&mut self, waiting: Waiting) -> bool {
        self.waiting.push_back(waiting);
        self.waiting.len() == 1
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns the event to publish, with its number.
    pub(super) fn first(&self) -> Option<(&SharedEvent, u64)> {
        let first = self.waiting.front()?;
        Some((&first.event, self.number))
    }

    /// Whether an acknowledgement is that of the first event. One of an event before it may
    /// be late, and must not be taken for it. One of an earlier attempt is as good as that
    /// of the last.
    pub(super) fn is_of_first(&self, number: u64) -> bool {
        self.published && number == self.number
    }

    /// Returns the subject of an event of this partition. There are few, so each is made
    /// once.
    pub(super) fn subject(&mut self, prefix: &str, kind: Kind, action: Action) -> Subject {
        let known = |it: &&(Kind, Action, Subject)| (it.0, it.1) == (kind, action);
        if let Some((.., subject)) = self.subjects.iter().find(known) {
            return subject.clone();
        }
        let subject = Subject::from(subject::of_event(prefix, self.partition, kind, action));
        self.subjects.push((kind, action, subject.clone()));
        subject
    }

    /// Notes that the first event is published now, and returns whether it was before.
    pub(super) fn begin(&mut self, now: u64) -> bool {
        self.under_way = true;
        self.until = now + ACK_TIMEOUT;
        std::mem::replace(&mut self.published, true)
    }

    /// Lets the first event wait until the next tick: there is no connection.
    pub(super) fn wait(&mut self, now: u64) {
        self.under_way = false;
        self.until = now + 1;
    }

    /// Notes that a publish of the first event failed, and returns whether the partition
    /// worked before.
    pub(super) fn fail(&mut self, now: u64, is_full: bool) -> bool {
        self.under_way = false;
        self.until = now + if is_full { PAUSE_WHILE_FULL } else { PAUSE };
        !std::mem::replace(&mut self.failing, true)
    }

    /// Notes that the partition does not fail, and returns whether it did.
    pub(super) fn recover(&mut self) -> bool {
        std::mem::replace(&mut self.failing, false)
    }

    /// Removes the first event and answers its writer.
    pub(super) fn finish(&mut self, result: Result<(), SinkError>) {
        self.number += 1;
        self.published = false;
        self.under_way = false;
        if let Some(Waiting { answer, room, .. }) = self.waiting.pop_front() {
            // One partition after another may have had all events that fit into the sink.
            if self.waiting.is_empty() {
                self.waiting.shrink_to(KEPT_ROOM);
            }
            // The room is freed before the answer is sent, because the writer may write
            // again as soon as it has the answer.
            drop(room);
            let _gone = answer.send(result);
        }
    }

    pub(super) fn need(&self, now: u64) -> Need {
        match self.until <= now && !self.is_empty() {
            false => Need::Nothing,
            true if self.under_way => Need::Overdue,
            true => Need::Publish,
        }
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.under_way
    }
}

#[cfg(test)]
mod tests {
    use metrics::Gauge;

    use super::*;
    use crate::event::Event;
    use crate::jetstream::room::{Bounds, Load};

    type Answer = oneshot::Receiver<Result<(), SinkError>>;

    fn waiting() -> (Waiting, Answer) {
        let most = Load {
            events: 1,
            bytes: 1,
        };
        let room = Bounds::new(most, Gauge::noop()).reserve(0).unwrap();
        let (answer, answered) = oneshot::channel();
        let event = Event::new(Action::Pull).into();
        let waiting = Waiting {
            event,
            answer,
            room,
        };
        (waiting, answered)
    }

    /// An outbox with two events, of which the first is published, and their answers.
    fn outbox() -> (Outbox, Answer, Answer) {
        let mut outbox = Outbox::new(7);
        let ((first, one), (second, two)) = (waiting(), waiting());
        assert!(outbox.push(first));
        assert!(!outbox.push(second));
        assert!(!outbox.begin(0));
        (outbox, one, two)
    }

    #[test]
    fn only_an_acknowledgement_of_the_event_under_way_counts() {
        let (mut outbox, mut one, mut two) = outbox();
        let (_, number) = outbox.first().unwrap();
        // Of an earlier attempt too.
        outbox.fail(0, false);
        assert!(outbox.begin(2));
        assert!(outbox.is_of_first(number));
        outbox.finish(Ok(()));
        assert!(one.try_recv().unwrap().is_ok());
        // The acknowledgement of the second attempt, late; the next event is not stored.
        assert!(!outbox.is_of_first(number));
        assert!(!outbox.is_of_first(number + 1));
        assert!(!outbox.begin(3));
        assert!(!outbox.is_of_first(number));
        assert!(outbox.is_of_first(number + 1));
        assert!(two.try_recv().is_err());
    }

    #[test]
    fn an_event_without_an_acknowledgement_is_published_again_after_two_seconds_and_a_pause() {
        let ticks_of = |seconds: f64| (seconds / TICK.as_secs_f64()) as u64;
        let (mut outbox, ..) = outbox();
        let mut now = ticks_of(2.0);
        assert_eq!(outbox.need(now), Need::Nothing);
        now += 1;
        assert_eq!(outbox.need(now), Need::Overdue);
        assert!(outbox.fail(now, false));
        assert_eq!(outbox.need(now + ticks_of(0.1)), Need::Nothing);
        assert_eq!(outbox.need(now + ticks_of(0.1) + 1), Need::Publish);
        assert!(!outbox.fail(now, true));
        assert_eq!(outbox.need(now + ticks_of(1.0)), Need::Nothing);
        assert_eq!(outbox.need(now + ticks_of(1.0) + 1), Need::Publish);
        assert!(outbox.recover());
        assert!(!outbox.recover());
    }

    #[test]
    fn an_empty_outbox_needs_nothing() {
        let (mut outbox, ..) = outbox();
        outbox.finish(Ok(()));
        outbox.finish(Err(SinkError::closed()));
        assert!(outbox.is_empty());
        assert_eq!(outbox.need(u64::MAX), Need::Nothing);
    }

    #[test]
    fn an_empty_outbox_does_not_keep_the_memory_of_many_events() {
        let mut outbox = Outbox::new(7);
        for _ in 0..1000 {
            outbox.push(waiting().0);
        }
        for _ in 0..1000 {
            outbox.finish(Ok(()));
        }
        assert!(outbox.waiting.capacity() <= 2 * KEPT_ROOM);
    }

    #[test]
    fn a_subject_is_made_once() {
        let mut outbox = Outbox::new(7);
        for _ in 0..2 {
            let subject = outbox.subject("p", Kind::Blob, Action::Pull);
            assert_eq!(&*subject, "p.7.blob.pull");
            let subject = outbox.subject("p", Kind::Manifest, Action::Pull);
            assert_eq!(&*subject, "p.7.manifest.pull");
        }
        assert_eq!(outbox.subjects.len(), 2);
    }
}
