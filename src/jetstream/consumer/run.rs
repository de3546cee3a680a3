//! The loop of a worker for one endpoint: [`Consumer`].
//!
//! It polls the server itself: the client library's streams stall for seconds now and
//! then, and its single fetches do not take part in pins. Everything arrives on one
//! subscription, so that deliveries and answers are seen in the order in which the
//! server sent them. A request is published with the address of its answer, which says
//! what was asked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Message, Subscriber};
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::admitted::{AdmittedEvents, End, Ended};
use super::answer::{answer, status_of};
use super::clock::Clock;
use super::lag::Lag;
use super::partition::{Action, Delivered};
use super::received::{Content, Received};
use super::slot::{Phase, ReleaseStep, Slot};
use super::wire::{self, Address, Question};
use crate::endpoint::Running;
use crate::jetstream::connection::is_connected;
use crate::jetstream::metrics;
use crate::queue::Stored;

/// How often to check what is due.
const TICK: Duration = Duration::from_millis(100);

/// How often to report.
const REPORT: Duration = Duration::from_secs(1);

/// How often to ask how many events wait.
const LAG: Duration = Duration::from_secs(5);

/// The largest number of messages that are read before anything else is done.
const ROW: usize = 256;

/// Which partitions a worker serves, by endpoint. `None` ends its consumers.
pub(crate) type Assignment = Option<Arc<HashMap<String, Vec<bool>>>>;

/// Consumes the events of a stream on behalf of an endpoint.
pub(crate) struct Consumer {
    pub(super) endpoint: Arc<Running>,
    pub(super) client: Client,
    pub(super) stream: String,
    pub(super) inbox: String,
    pub(super) subscriber: Subscriber,
    pub(super) slots: Vec<Slot>,
    /// The slots by the names of their consumers.
    pub(super) names: HashMap<String, usize>,
    pub(super) pins: bool,
    pub(super) admitted: Arc<AdmittedEvents>,
    pub(super) ended: UnboundedReceiver<Ended>,
    pub(super) assignment: watch::Receiver<Assignment>,
    pub(super) base: Instant,
    pub(super) lag: Arc<Lag>,
    pub(super) next_report: Instant,
}

impl Consumer {
    /// Runs until the assignment ends, and all partitions are given up.
    pub(crate) async fn run(mut self) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut clock = Clock::new(Instant::now());
        let mut actions = Vec::new();
        loop {
            // `biased` looks at the subscription first, so if another branch is taken, it
            // had no message.
            let mut all_read = true;
            tokio::select! {
                biased;
                message = self.subscriber.next() => {
                    let Some(message) = message else { return };
                    let came = clock.wakes(Instant::now());
                    self.receive(came, message);
                    all_read = self.receive_arrived(came);
                }
                Some(ended) = self.ended.recv() => {
                    self.end(ended);
                    while let Ok(ended) = self.ended.try_recv() {
                        self.end(ended);
                    }
                }
                _ = tick.tick() => self.slots.iter_mut().for_each(|slot| slot.touched = true),
            }
            if all_read {
                clock.idle(Instant::now());
            }
            let goes_on = self.assign();
            self.act(&mut actions).await;
            self.report(Instant::now());
            if !goes_on && self.slots.iter().all(|slot| slot.phase == Phase::Away) {
                return;
            }
        }
    }

    /// Reads the messages that have arrived already. Returns whether none is left.
    fn receive_arrived(&mut self, came: Instant) -> bool {
        for _ in 0..ROW {
            match self.subscriber.next().now_or_never() {
                Some(Some(message)) => self.receive(came, message),
                _ => return true,
            }
        }
        false
    }

    /// Serves the partitions that are assigned. Returns `false` when the worker is to end.
    fn assign(&mut self) -> bool {
        let now = Instant::now();
        let assignment = self.assignment.borrow_and_update().clone();
        let own = assignment
            .as_ref()
            .and_then(|it| it.get(self.endpoint.name()));
        for (number, slot) in self.slots.iter_mut().enumerate() {
            let serve = own
                .and_then(|own| own.get(number))
                .copied()
                .unwrap_or(false);
            slot.serve(now, serve);
        }
        assignment.is_some()
    }

    fn receive(&mut self, came: Instant, message: Message) {
        let now = Instant::now();
        if let Some((number, question)) = Question::read(&message.subject, &self.inbox) {
            if let Some(slot) = self.slots.get_mut(number) {
                slot.touched = true;
                match message.status {
                    Some(status) => status_of(slot, now, question, status, &message),
                    None => answer(slot, self.base, question, &message.payload),
                }
            }
            return;
        }
        // Every other message is a delivery. The address of its acknowledgement names the
        // consumer and the event.
        let Some(reply) = message.reply.clone() else {
            return;
        };
        let Some(address) = Address::read(&reply) else {
            return;
        };
        let slot = self.names.get(address.consumer);
        let Some(slot) = slot.and_then(|number| self.slots.get_mut(*number)) else {
            return;
        };
        slot.touched = true;
        slot.poll.note_event(now);
        slot.left = address.left;
        // The partition is being given up. The server delivers the message to another
        // worker when its wait is over.
        if slot.phase != Phase::Serving {
            return;
        }
        let delivered = Delivered {
            sequence: address.sequence,
            number: address.number,
            pin: wire::pin(&message),
            came,
            message: Received::new(reply.clone(), &message),
        };
        // An event that is delivered again has a new address for its acknowledgement.
        let renew = |held: &mut Received, again: Received| held.reply = again.reply;
        slot.partition.delivered(now, delivered, renew);
    }

    fn end(&mut self, ended: Ended) {
        let Ended {
            partition,
            sequence,
            end,
        } = ended;
        let Some(slot) = self.slots.get_mut(partition) else {
            return;
        };
        slot.touched = true;
        match end {
            End::Returned => slot.partition.returned(sequence),
            End::Delivered | End::Dead => {
                // The server counts dead events apart from those that were delivered.
                if let Some(held) = slot.partition.message(sequence) {
                    held.is_dead = end == End::Dead;
                }
                slot.partition.settled(Instant::now(), sequence);
            }
        }
    }

    /// Reports how many events wait in the partitions that this worker serves.
    fn report(&mut self, now: Instant) {
        if now < self.next_report {
            return;
        }
        self.next_report = now + REPORT;
        for (number, slot) in self.slots.iter().enumerate() {
            let serves = slot.phase != Phase::Away;
            let lag = if serves {
                slot.left + slot.partition.len() as u64
            } else {
                0
            };
            self.lag.set(number, serves.then_some(lag));
            metrics::lag(self.endpoint.name(), number, lag);
        }
    }

    /// Does what is due for each partition.
    async fn act(&mut self, actions: &mut Vec<Action>) {
        let mut admitted = Admitted::default();
        let mut revoked = false;
        for number in 0..self.slots.len() {
            let now = Instant::now();
            let Some(slot) = self.slots.get_mut(number) else {
                return;
            };
            // With many partitions, most wakes concern only one of them.
            if !std::mem::take(&mut slot.touched) {
                continue;
            }
            actions.clear();
            slot.partition.act(now, actions);
            for action in actions.iter() {
                match *action {
                    Action::Revoke => revoked = true,
                    Action::Admit(sequence) => self.admit(number, sequence, &mut admitted),
                    Action::Ask => {
                        let question = Question::Info(now - self.base);
                        self.ask_info(number, question).await;
                    }
                    Action::Progress(sequence) => {
                        let question = Question::Progress(sequence, now - self.base);
                        self.tell(number, sequence, question).await;
                    }
                    Action::Acknowledge(sequence) => {
                        self.tell(number, sequence, Question::End(sequence)).await;
                    }
                }
            }
            self.ask_lag(number, now).await;
            self.release(number, now).await;
            self.poll(number, now).await;
        }
        // One call for all partitions wakes the endpoint's worker once.
        if !admitted.events.is_empty() {
            self.endpoint.borrow_events(admitted.events, admitted.new);
        }
        if revoked {
            self.endpoint.revoke();
        }
    }

    /// Puts an event into the queue. An event that the endpoint does not want ends here. A
    /// message that cannot be read becomes a dead letter.
    fn admit(&mut self, number: usize, sequence: u64, admitted: &mut Admitted) {
        let Some(slot) = self.slots.get_mut(number) else {
            return;
        };
        let lease = slot.partition.lease().clone();
        let Some(held) = slot.partition.message(sequence) else {
            return;
        };
        match held.content.clone() {
            Content::Event(event) if self.endpoint.wants(&event) => {
                admitted.new += usize::from(!std::mem::replace(&mut held.was_admitted, true));
                let stored = self.admitted.admit(number, sequence, lease, event);
                admitted.events.push(stored);
            }
            Content::Event(_) => slot.partition.settled(Instant::now(), sequence),
            Content::Unreadable(event, error) => {
                tracing::error!(
                    endpoint = self.endpoint.name(),
                    sequence,
                    error,
                    "a message of the stream is not an event: it becomes a dead letter"
                );
                let stored = self.admitted.admit(number, sequence, lease, event);
                let (admitted, endpoint) = (self.admitted.clone(), self.endpoint.clone());
                // The sink of dead letters may take seconds. Other partitions do not wait.
                tokio::spawn(async move {
                    endpoint.reject(&stored.event, error).await;
                    admitted.end(stored.position, End::Dead);
                });
            }
        }
    }

    /// Takes the next step of giving up a partition.
    async fn release(&mut self, number: usize, now: Instant) {
        let Some(slot) = self.slots.get_mut(number) else {
            return;
        };
        match slot.release_step(now, self.pins) {
            ReleaseStep::Wait => {}
            ReleaseStep::Unpin => {
                let subject = format!("$JS.API.CONSUMER.UNPIN.{}.{}", self.stream, slot.consumer);
                let group = format!(r#"{{"group":"{}"}}"#, wire::GROUP);
                self.publish(subject, number, Question::Unpin, group.into())
                    .await;
            }
            ReleaseStep::Abandon => {
                // Given back only after the pin: otherwise the server would deliver the
                // messages to this worker again.
                for held in slot.abandon(now) {
                    if is_connected(&self.client) {
                        let _closed = self.client.publish(held.reply, "-NAK".into()).await;
                    }
                }
            }
        }
    }

    /// Asks for more, if no request is open.
    async fn poll(&mut self, number: usize, now: Instant) {
        let connected = is_connected(&self.client);
        let Some(slot) = self.slots.get_mut(number) else {
            return;
        };
        if slot.phase != Phase::Serving || !connected || !slot.poll.is_due(now) {
            return;
        }
        slot.poll.asked(now);
        let request = wire::pull_request(self.pins, slot.partition.pin());
        let subject = format!(
            "$JS.API.CONSUMER.MSG.NEXT.{}.{}",
            self.stream, slot.consumer
        );
        self.publish(subject, number, Question::Messages, request)
            .await;
    }

    /// Asks how many events wait. Deliveries say so too, but there are none while the
    /// largest number of events is under way.
    async fn ask_lag(&mut self, number: usize, now: Instant) {
        let slot = self.slots.get_mut(number);
        let serves = |slot: &&mut Slot| slot.phase == Phase::Serving;
        if let Some(slot) = slot.filter(serves)
            && now >= slot.asked + LAG
        {
            slot.asked = now;
            self.ask_info(number, Question::Info(now - self.base)).await;
        }
    }

    async fn ask_info(&self, number: usize, question: Question) {
        let Some(slot) = self.slots.get(number) else {
            return;
        };
        let subject = format!("$JS.API.CONSUMER.INFO.{}.{}", self.stream, slot.consumer);
        self.publish(subject, number, question, Vec::new()).await;
    }

    /// Tells the server of the progress or the end of an event.
    async fn tell(&mut self, number: usize, sequence: u64, question: Question) {
        let slot = self.slots.get_mut(number);
        let Some(held) = slot.and_then(|slot| slot.partition.message(sequence)) else {
            return;
        };
        let word = match question {
            Question::Progress(..) => "+WPI",
            _ if held.is_dead => "+TERM",
            _ => "+ACK",
        };
        let reply = held.reply.to_string();
        self.publish(reply, number, question, word.into()).await;
    }

    /// Publishes something that is answered. Without a connection nothing is published and
    /// the action is due again soon: the client would buffer everything and send it at once
    /// later.
    async fn publish(&self, subject: String, number: usize, question: Question, payload: Vec<u8>) {
        if is_connected(&self.client) {
            let address = question.to_address(&self.inbox, number);
            let publish = self
                .client
                .publish_with_reply(subject, address, payload.into());
            if let Err(error) = publish.await {
                tracing::debug!("not published: {error}");
            }
        }
    }
}

/// Events for the queue.
#[derive(Default)]
struct Admitted {
    events: Vec<Stored>,
    /// The number of these events that the queue did not have before.
    new: usize,
}
