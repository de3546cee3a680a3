//! Publishes the events of a sink, those of one partition one after the other.
//!
//! # Order
//!
//! An event is published only after the one before it in its partition is acknowledged.
//! If two were under way when the connection is lost, the second could be stored and the
//! first not, and the first would be stored after it when it is published again.
//!
//! # At least once, stored once
//!
//! If no acknowledgement comes, the event may or may not have been stored. It is
//! published again with the same id, as often as necessary, and the server stores an id
//! once within its duplicate window. A client that waits for an acknowledgement is not
//! told that the connection was lost, so each wait has a time limit.
//!
//! # One task
//!
//! One task publishes for all partitions, with one subscription for the acknowledgements
//! and one timer. A request of the client instead costs a timer and an inbox for each
//! event, and a task for each partition is woken for each.

use std::pin::pin;
use std::sync::Arc;

use async_nats::{Message as Reply, PublishErrorKind, StatusCode, Subject, Subscriber};
use futures_util::StreamExt as _;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{MissedTickBehavior, interval};

use super::acknowledgement::{Acknowledgements, Outcome};
use super::connection::is_connected;
use super::error::{ErrorKind, JetStreamError};
use super::message::Headers;
use super::outbox::{Need, Outbox, TICK, Waiting};
use super::shared::Shared;
use crate::error::with_causes;
use crate::event::stored;
use crate::sink::SinkError;

/// How many written events are taken over at once.
const MANY: usize = 64;

pub(super) struct Publisher {
    shared: Arc<Shared>,
    prefix: String,
    /// What the subjects of replies begin with.
    inbox: String,
    replies: Subscriber,
    acknowledgements: Acknowledgements,
    headers: Headers,
    /// One for each partition.
    outboxes: Box<[Outbox]>,
    /// How many of them are not empty.
    busy: usize,
    /// Partitions whose first event is to be published now.
    due: Vec<u16>,
    /// Ticks so far, of the time in which an outbox is not empty.
    now: u64,
}

/// An event that was written, with its partition.
pub(super) type Written = (u16, Waiting);

impl Publisher {
    pub(super) async fn new(
        shared: Arc<Shared>,
        prefix: &str,
        partitions: u16,
    ) -> Result<Self, JetStreamError> {
        let inbox = shared.client.new_inbox();
        let subscribed = shared.client.subscribe(format!("{inbox}.*")).await;
        let replies = subscribed.map_err(|error| {
            let message = "acknowledgements cannot be subscribed to";
            JetStreamError::new(ErrorKind::Other, message).because(error)
        })?;
        Ok(Self {
            acknowledgements: Acknowledgements::of(shared.stream()),
            headers: Headers::new(),
            shared,
            prefix: prefix.to_owned(),
            inbox: format!("{inbox}."),
            replies,
            outboxes: (0..partitions).map(Outbox::new).collect(),
            busy: 0,
            due: Vec::new(),
            now: 0,
        })
    }

    /// Publishes until the sink is gone, or stopped.
    pub(super) async fn run(mut self, written: UnboundedReceiver<Written>) {
        let shared = self.shared.clone();
        let stopped = pin!(shared.stopped());
        tokio::select! {
            () = self.publish_all(written) => {}
            () = stopped => {}
        }
    }

    async fn publish_all(&mut self, mut written: UnboundedReceiver<Written>) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut taken = Vec::with_capacity(MANY);
        let mut open = true;
        while open || self.busy > 0 {
            tokio::select! {
                count = written.recv_many(&mut taken, MANY), if open => {
                    open = count > 0;
                    for (partition, waiting) in taken.drain(..) {
                        self.take(partition, waiting);
                    }
                }
                reply = self.replies.next() => match reply {
                    Some(reply) => self.answered(&reply),
                    // The client has ended.
                    None => return,
                },
                _ = ticks.tick(), if self.busy > 0 => self.tick(),
            }
            while let Some(partition) = self.due.pop() {
                self.publish(partition).await;
            }
        }
    }

    fn take(&mut self, partition: u16, waiting: Waiting) {
        if let Some(outbox) = self.outboxes.get_mut(usize::from(partition))
            && outbox.push(waiting)
        {
            self.busy += 1;
            self.due.push(partition);
        }
    }

    /// Publishes the first event of a partition.
    async fn publish(&mut self, partition: u16) {
        let Some(outbox) = self.outboxes.get_mut(usize::from(partition)) else {
            return;
        };
        let client = &self.shared.client;
        while let Some((event, number)) = outbox.first() {
            // Without a connection the client keeps what is published and sends all of it
            // when the connection is back, so repeated publishes would pile up.
            if !is_connected(client) {
                return outbox.wait(self.now);
            }
            let (headers, payload) = (self.headers.of(event), stored::to_bytes(event).into());
            let reply = reply_to(&self.inbox, partition, number);
            let (kind, action) = (event.kind(), event.action());
            let subject = outbox.subject(&self.prefix, kind, action);
            if outbox.begin(self.now) {
                self.shared.retries();
            }
            let published = client.publish_with_reply_and_headers(subject, reply, headers, payload);
            let Err(error) = published.await else {
                return;
            };
            let (kind, error) = (error.kind(), with_causes(&error));
            if kind == PublishErrorKind::Send {
                return fail(outbox, &self.shared, self.now, false, &error);
            }
            refuse(outbox, &self.shared, &error);
        }
        self.busy -= 1;
    }

    /// Reads an answer of the server.
    fn answered(&mut self, reply: &Reply) {
        let Some((partition, number)) = replied_to(&self.inbox, &reply.subject) else {
            return;
        };
        let Some(outbox) = self.outboxes.get_mut(usize::from(partition)) else {
            return;
        };
        if !outbox.is_of_first(number) {
            return;
        }
        let shared = &self.shared;
        let outcome = match reply.status {
            Some(StatusCode::NO_RESPONDERS) => Outcome::Failed(NOBODY.into()),
            _ => self.acknowledgements.read(&reply.payload),
        };
        match outcome {
            Outcome::Stored { duplicate } => {
                shared.stored(duplicate);
                recover(outbox, shared);
                outbox.finish(Ok(()));
            }
            Outcome::Refused(error) => refuse(outbox, shared, &error),
            // Late, of an attempt that has failed already.
            Outcome::Full(_) | Outcome::Failed(_) if !outbox.is_under_way() => return,
            Outcome::Full(error) => return fail(outbox, shared, self.now, true, &error),
            Outcome::Failed(error) => {
                return fail(outbox, shared, self.now, false, &error);
            }
        }
        match outbox.is_empty() {
            true => self.busy -= 1,
            false => self.due.push(partition),
        }
    }

    fn tick(&mut self) {
        self.now += 1;
        for (partition, outbox) in (0..).zip(&mut self.outboxes) {
            match outbox.need(self.now) {
                Need::Nothing => {}
                Need::Publish => self.due.push(partition),
                Need::Overdue => fail(outbox, &self.shared, self.now, false, OVERDUE),
            }
        }
    }
}

const NOBODY: &str = "no stream takes the events. If JetStream does not just start or elect a leader, \
                      the stream was deleted: start a registry or a worker anew, which creates it";
const OVERDUE: &str = "no acknowledgement within 2 s";

/// Returns the subject of replies to an event: `<inbox><partition>-<number>`.
fn reply_to(inbox: &str, partition: u16, number: u64) -> Subject {
    let mut subject = String::with_capacity(inbox.len() + 26);
    subject.push_str(inbox);
    push_digits(&mut subject, partition.into());
    subject.push('-');
    push_digits(&mut subject, number);
    subject.into()
}

/// Appends a number, in a tenth of the instructions of `write!`.
fn push_digits(text: &mut String, number: u64) {
    if number > 9 {
        push_digits(text, number / 10);
    }
    text.push(char::from(b'0' + (number % 10) as u8));
}

/// Returns the partition and the number of the event that a reply is for.
fn replied_to(inbox: &str, subject: &str) -> Option<(u16, u64)> {
    let (partition, number) = subject.strip_prefix(inbox)?.split_once('-')?;
    Some((partition.parse().ok()?, number.parse().ok()?))
}

/// Gives up an event that can never be stored. The partition does not fail: without
/// another event nothing else would end that, and the sink would never be ready again.
fn refuse(outbox: &mut Outbox, shared: &Shared, error: &str) {
    if let Some((event, _)) = outbox.first() {
        tracing::error!(event = %event.id(), error, "JetStream can never store an event");
    }
    recover(outbox, shared);
    let error = SinkError::permanent(JetStreamError::new(ErrorKind::Other, error));
    outbox.finish(Err(error));
}

fn fail(outbox: &mut Outbox, shared: &Shared, now: u64, is_full: bool, error: &str) {
    let begins = outbox.fail(now, is_full);
    if shared.fails(error, begins) {
        tracing::warn!(error, "JetStream does not store events: they wait");
    }
}

fn recover(outbox: &mut Outbox, shared: &Shared) {
    if outbox.recover() && shared.works() {
        tracing::info!("JetStream stores events again");
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        for outbox in &mut self.outboxes {
            recover(outbox, &self.shared);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_says_which_event_it_is_for() {
        for (partition, number) in [(0, 0), (7, 10), (1023, 1_234_567_890), (9, u64::MAX)] {
            let subject = reply_to("_INBOX.x.", partition, number);
            assert_eq!(*subject, format!("_INBOX.x.{partition}-{number}"));
            assert_eq!(replied_to("_INBOX.x.", &subject), Some((partition, number)));
        }
        for other in [
            "",
            "_INBOX.x.",
            "_INBOX.x.1",
            "_INBOX.y.1-2",
            "_INBOX.x.a-1",
        ] {
            assert_eq!(replied_to("_INBOX.x.", other), None, "{other}");
        }
    }
}
