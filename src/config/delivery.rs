//! How an endpoint delivers: retries, concurrency, batches, its queue, and
//! where the events go that it gives up.

use super::endpoint::set;
use super::error::ConfigError;
use super::item::{Fields, Item};
use super::section::Phase;
use crate::endpoint::{Backoff, Batch, Breaker, DeadLetterFile, EndpointBuilder, RetryPolicy};
use crate::queue::Overflow;

type Result<T> = std::result::Result<T, ConfigError>;

const OVERFLOWS: [(&str, Overflow); 3] = [
    ("rejectnewest", Overflow::RejectNewest),
    ("dropoldest", Overflow::DropOldest),
    ("wait", Overflow::Wait),
];

/// The keys `threshold` and `backoff`, which the reference's breaker has, and
/// `retry`, which may choose another policy.
pub(super) fn retry(fields: &mut Fields) -> Result<RetryPolicy> {
    let (threshold, wait) = (fields.take("threshold"), fields.take("backoff"));
    let retry = fields.take("retry");
    if let Some(backoff) = retry.as_ref().map(backoff).transpose()?.flatten() {
        return match threshold.or(wait) {
            Some(item) => {
                Err(item.error("is for the breaker: leave it out, or write retry: breaker"))
            }
            None => Ok(backoff.into()),
        };
    }
    // 0 is the default in the reference.
    let mut breaker = Breaker::new();
    if let Some(failures @ 1..) = threshold.as_ref().map(Item::number).transpose()? {
        breaker = breaker.threshold(failures);
    }
    if let Some(wait) = wait
        .as_ref()
        .map(Item::duration)
        .transpose()?
        .filter(|it| !it.is_zero())
    {
        breaker = breaker.backoff(wait);
    }
    Ok(breaker.into())
}

/// The value of `retry`: a word, or the settings of a backoff. `None` is the breaker.
fn backoff(item: &Item) -> Result<Option<Backoff>> {
    let mut backoff = Backoff::new();
    if !item.is_map() {
        return item
            .word(&[("breaker", false), ("backoff", true)])
            .map(|it| it.then_some(backoff));
    }
    let mut fields = item.fields()?;
    if let Some(base) = fields.get("base", Item::span)? {
        backoff = backoff.base(base);
    }
    if let Some(factor) = fields.get("factor", Item::factor)? {
        backoff = backoff.factor(factor);
    }
    if let Some(cap) = fields.get("cap", Item::span)? {
        backoff = backoff.cap(cap);
    }
    if let Some(attempts) = fields.get("attempts", Item::count)? {
        backoff = backoff.attempts(attempts);
    }
    if let Some(age) = fields.get("age", Item::span)? {
        backoff = backoff.age(age);
    }
    fields.finish()?;
    Ok(Some(backoff))
}

/// All else.
pub(super) fn settings(
    mut it: EndpointBuilder,
    fields: &mut Fields,
    phase: Phase,
) -> Result<EndpointBuilder> {
    it = set(
        it,
        fields.get("concurrency", Item::count)?,
        EndpointBuilder::concurrency,
    );
    it = set(it, fields.get("batch", batch)?, EndpointBuilder::batch);
    if let Some(item) = fields.take("queue") {
        it = queue(it, &item)?;
    }
    if let Some(file) = fields
        .get("deadletters", |it| dead_letters(it, phase))?
        .flatten()
    {
        it = it.dead_letters(file);
    }
    Ok(it)
}

fn batch(item: &Item) -> Result<Batch> {
    let mut fields = item.fields()?;
    let mut batch = Batch::of(fields.get("events", Item::count)?.unwrap_or(100));
    if let Some(bytes) = fields.get("bytes", Item::size)? {
        batch = batch.bytes(bytes);
    }
    if let Some(linger) = fields.get("linger", Item::duration)? {
        batch = batch.linger(linger);
    }
    fields.finish()?;
    Ok(batch)
}

fn queue(it: EndpointBuilder, item: &Item) -> Result<EndpointBuilder> {
    let mut fields = item.fields()?;
    let events = fields.get("events", Item::count)?;
    let bytes = fields.get("bytes", Item::size)?;
    let overflow = fields.get("overflow", |it| it.word(&OVERFLOWS))?;
    fields.finish()?;
    let it = it.queue_limits(events.unwrap_or(100_000), bytes.unwrap_or(128 << 20));
    Ok(set(it, overflow, EndpointBuilder::overflow))
}

fn dead_letters(item: &Item, phase: Phase) -> Result<Option<DeadLetterFile>> {
    let mut fields = item.fields()?;
    let file = fields.get("file", Item::owned)?.map(DeadLetterFile::new);
    let bytes = fields.get("maxbytes", Item::size)?;
    let files = fields.get("files", Item::number)?;
    fields.finish()?;
    if file.is_none() && phase == Phase::Build {
        return Err(item.error("has no file: name one"));
    }
    Ok(file.map(|file| file.rotate(bytes.unwrap_or(64 << 20), files.unwrap_or(9))))
}
