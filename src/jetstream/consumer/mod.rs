//! Consumes the events of a stream on behalf of endpoints.
//!
//! | file | its job |
//! | --- | --- |
//! | `partition.rs`, `partition/` | what may be delivered now, and in which order: `gate.rs` keeps the order, `hold.rs` avoids repeats, `due.rs` says what to do |
//! | `lease.rs`, `admitted.rs`, `store.rs` | what is lent to the queue, and how it comes back |
//! | `poll.rs`, `slot.rs`, `clock.rs` | when to ask for more; a partition as it is served; when messages came |
//! | `wire.rs`, `received.rs` | requests, addresses and messages |
//! | `ensure.rs` | consumers of the server, created or compared |
//! | `run.rs`, `answer.rs` | the loop; what the server answers |

mod admitted;
mod answer;
mod clock;
mod ensure;
mod lag;
mod lease;
mod partition;
mod poll;
mod received;
mod run;
mod slot;
mod store;
mod wire;

use std::sync::Arc;

use async_nats::Client;
use async_nats::jetstream::stream::Stream;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::watch;
use tokio::time::Instant;

use self::admitted::{AdmittedEvents, Ended};
pub(crate) use self::ensure::Waits;
pub(crate) use self::lag::Lag;
pub(crate) use self::run::{Assignment, Consumer};
use self::slot::Slot;
use self::store::LentEvents;
pub(crate) use self::wire::{consumer_name, endpoint_of};
use super::connection::is_at_least;
use super::error::{ErrorKind, JetStreamError};
use super::patience::retry_until;
use crate::endpoint::Running;
use crate::queue::Store;

/// The store of an endpoint, before there is the endpoint.
pub(crate) struct Prepared {
    admitted: Arc<AdmittedEvents>,
    ended: UnboundedReceiver<Ended>,
}

/// Where the consumers of endpoints are.
pub(crate) struct Place<'a> {
    pub(crate) client: &'a Client,
    pub(crate) stream: &'a Stream,
    pub(crate) version: &'a str,
    pub(crate) prefix: &'a str,
    pub(crate) partitions: u16,
    pub(crate) waits: Waits,
    /// Until when consumers are tried to be created.
    pub(crate) deadline: Instant,
}

impl Prepared {
    pub(crate) fn new(stream: &str) -> Self {
        let (sender, ended) = mpsc::unbounded_channel();
        let admitted = AdmittedEvents::new(format!("the JetStream stream {stream}"), sender);
        Self { admitted, ended }
    }

    /// The store of the endpoint's queue.
    pub(crate) fn store(&self) -> Box<dyn Store> {
        Box::new(LentEvents(self.admitted.clone()))
    }

    /// Makes sure that an endpoint, whose queue has the store, has a consumer for each
    /// partition, and begins to listen.
    pub(crate) async fn into_consumer(
        self,
        place: &Place<'_>,
        endpoint: Arc<Running>,
        assignment: watch::Receiver<Assignment>,
    ) -> Result<(Consumer, Arc<Lag>), JetStreamError> {
        let (slots, pins) = slots(place, endpoint.name()).await?;
        let client = place.client.clone();
        let inbox = client.new_inbox();
        let subscriber = client
            .subscribe(format!("{inbox}.>"))
            .await
            .map_err(|error| {
                JetStreamError::new(ErrorKind::Unreachable, "cannot subscribe to NATS")
                    .because(error)
            })?;
        let names = slots.iter().enumerate();
        let names = names
            .map(|(number, slot)| (slot.consumer.clone(), number))
            .collect();
        let lag = Arc::new(Lag::new(slots.len()));
        let consumer = Consumer {
            endpoint,
            client,
            stream: place.stream.cached_info().config.name.clone(),
            inbox,
            subscriber,
            names,
            slots,
            pins,
            admitted: self.admitted,
            ended: self.ended,
            assignment,
            base: Instant::now(),
            lag: lag.clone(),
            next_report: Instant::now(),
        };
        Ok((consumer, lag))
    }
}

/// Makes sure that an endpoint has a consumer for each partition. Returns whether they
/// are pinned too.
async fn slots(place: &Place<'_>, endpoint: &str) -> Result<(Vec<Slot>, bool), JetStreamError> {
    let mut slots = Vec::new();
    let mut pins = None;
    for partition in 0..place.partitions {
        let attempt = || ensure::ensure(place, (endpoint, partition));
        let pinned = retry_until(place.deadline, attempt).await?;
        if *pins.get_or_insert(pinned) != pinned {
            let message = format!(
                "some consumers of the endpoint {endpoint:?} are pinned and some are not: \
                 delete those that are not, if their events may be delivered again"
            );
            return Err(JetStreamError::new(ErrorKind::Mismatch, message));
        }
        let name = consumer_name(endpoint, partition);
        slots.push(Slot::new(name, place.waits.ack, pinned, Instant::now()));
    }
    let pins = pins.unwrap_or(false);
    if !pins {
        let version = place.version;
        let can_pin = is_at_least(version, 2, 11);
        tracing::warn!(
            endpoint,
            version,
            can_pin,
            "the consumers have no pin, which servers have from 2.11 on: each partition has one \
             event under way at a time"
        );
    }
    Ok((slots, pins))
}
