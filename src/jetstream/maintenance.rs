//! Removes events that every endpoint has, and notices events that the stream dropped by
//! age: [`Maintenance`].

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use async_nats::jetstream::consumer::Info;
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use futures_util::TryStreamExt as _;

use super::balance::Members;
use super::consumer::endpoint_of;
use super::metrics;
use super::subject;

/// The most endpoints without a worker that are told of: names come from the network.
const MOST_ORPHANS: usize = 100;

/// Looks after the stream on behalf of a worker.
pub(super) struct Maintenance {
    pub(super) stream: Stream,
    pub(super) prefix: String,
    /// Whether events that every endpoint has are kept until they are too old.
    pub(super) keeps: bool,
    /// The age at which the stream drops events.
    pub(super) max_age: Duration,
    /// For each consumer the oldest event that it did not have at the last look, and when
    /// that was stored.
    pub(super) oldest: HashMap<String, (u64, SystemTime)>,
    /// Whether the server can purge subjects of consumers that have events under way.
    pub(super) purges: bool,
    /// Up to where the events of partitions are removed.
    pub(super) removed: HashMap<u16, u64>,
    /// The endpoints without a worker that were told of.
    pub(super) orphans: HashSet<String>,
    /// How often it was noticed that events were lost.
    pub(super) aged_out: Arc<AtomicU64>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Maintenance {
    /// Looks at the partitions of `own`, which this worker serves. `members` knows the
    /// endpoints that have workers.
    pub(super) async fn look(&mut self, own: &[u16], members: &Members) {
        if let Err(error) = self.try_look(own, members).await {
            tracing::debug!(error, "the stream cannot be looked after");
        }
    }

    async fn try_look(&mut self, own: &[u16], members: &Members) -> Result<(), Failure> {
        // Of all workers, and of whoever else consumes.
        let consumers: Vec<_> = self.stream.consumers().try_collect().await?;
        for partition in own {
            let subject = subject::of_partition(&self.prefix, *partition);
            let concerned = consumers
                .iter()
                .filter(|it| overlaps(it, &subject, &self.prefix));
            let concerned: Vec<_> = concerned.collect();
            for consumer in &concerned {
                match endpoint_of(&consumer.name) {
                    Some((endpoint, _)) if members.own().endpoints.contains(&endpoint) => {
                        self.notice(consumer, &endpoint, &subject).await?;
                    }
                    Some((endpoint, _)) if !members.deliver_to(&endpoint) => {
                        self.warn_of_orphan(endpoint);
                    }
                    _ => {}
                }
            }
            let floor = concerned
                .iter()
                .map(|it| it.ack_floor.stream_sequence)
                .min();
            // A consumer that has acknowledged nothing yet has the floor 0.
            let is_news = |floor: &u64| self.removed.get(partition) != Some(floor);
            if let Some(floor) = floor.filter(|floor| *floor > 0 && !self.keeps && is_news(floor)) {
                self.remove(&subject, floor).await?;
                self.removed.insert(*partition, floor);
            }
        }
        Ok(())
    }

    /// Removes the events of a partition up to a sequence.
    ///
    /// Servers such as 2.9 forget what a consumer has under way when its subjects are
    /// purged, also what stays: it would not be delivered again after the death of its
    /// worker, and the next event be delivered beside it. There the events are removed one
    /// by one, which leaves consumers alone.
    async fn remove(&self, subject: &str, floor: u64) -> Result<(), Failure> {
        if self.purges {
            // Events from this sequence on are kept.
            let purge = self.stream.purge().filter(subject).sequence(floor + 1);
            purge.await?;
            return Ok(());
        }
        let mut next = 1;
        loop {
            let first = self.stream.get_first_raw_message_by_subject(subject, next);
            let sequence = match first.await {
                Ok(message) if message.sequence <= floor => message.sequence,
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            self.stream.delete_message(sequence).await?;
            next = sequence + 1;
        }
    }

    /// Tells, once, of an endpoint whose consumers have no worker.
    fn warn_of_orphan(&mut self, endpoint: String) {
        if self.orphans.len() < MOST_ORPHANS && self.orphans.insert(endpoint.clone()) {
            tracing::warn!(
                endpoint,
                "no worker delivers to this endpoint, and its consumers keep events in the stream \
                 until they are too old: start a worker for it, or remove it with \
                 `JetStream::remove_endpoint`, or `--remove-endpoint` of the example `worker`"
            );
        }
    }

    /// Notices whether the stream has dropped, by age, an event that a consumer of
    /// ours did not have.
    ///
    /// The server moves the floor of a consumer past what it drops, so that the floor
    /// says nothing. But an event that was the oldest to wait at the last look, and is
    /// gone at an age at which the stream drops it, was dropped, or acknowledged at
    /// the last moment.
    async fn notice(
        &mut self,
        consumer: &Info,
        endpoint: &str,
        subject: &str,
    ) -> Result<(), Failure> {
        let floor = consumer.ack_floor.stream_sequence;
        let waits = consumer.num_pending > 0 || consumer.num_ack_pending > 0;
        let oldest = match waits {
            true => self
                .stream
                .get_first_raw_message_by_subject(subject, floor + 1)
                .await
                .ok(),
            false => None,
        };
        let nanos = oldest
            .as_ref()
            .map(|message| message.time.unix_timestamp_nanos());
        let nanos = nanos
            .and_then(|nanos| u64::try_from(nanos).ok())
            .unwrap_or_default();
        let stored = SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos);
        let oldest = oldest.map(|message| message.sequence);
        let before = match oldest {
            Some(oldest) => self.oldest.insert(consumer.name.clone(), (oldest, stored)),
            None => self.oldest.remove(&consumer.name),
        };
        let Some((before, stored)) = before else {
            return Ok(());
        };
        let is_old = stored.elapsed().is_ok_and(|age| age >= self.max_age);
        if is_old && oldest.is_none_or(|oldest| oldest > before) {
            metrics::aged_out(endpoint);
            self.aged_out.fetch_add(1, Ordering::Relaxed);
            tracing::error!(
                endpoint,
                consumer = consumer.name,
                sequence = before,
                "events are lost: they were too old for the stream before the endpoint had them"
            );
        }
        Ok(())
    }
}

/// Whether a consumer has events of a partition: those of its own filter, or, to be
/// safe, of any filter that is not another partition's.
fn overlaps(consumer: &Info, subject: &str, prefix: &str) -> bool {
    let config = &consumer.config;
    let filters = config
        .filter_subjects
        .iter()
        .chain([&config.filter_subject]);
    let mut filters = filters.filter(|it| !it.is_empty()).peekable();
    let own: Vec<_> = subject.split('.').collect();
    let depth = prefix.split('.').count();
    filters.peek().is_none()
        || filters.any(|filter| {
            // The partition is the token after the prefix.
            match filter.split('.').nth(depth) {
                Some(token) => token.parse::<u16>().is_err() || own.get(depth) == Some(&token),
                None => true,
            }
        })
}
