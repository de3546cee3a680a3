//! The keys of an endpoint's delivery: retries, concurrency, batches, the queue,
//! and the file of dead letters.

use super::author::Author;
use super::fields::Fields;
use super::gitlab;
use super::item::Item;
use super::phase::Phase;
use crate::endpoint::dead_letter::DeadLetterFile;
use crate::endpoint::{Backoff, Batch, Breaker, Endpoint, Overflow};
use crate::error::BuildError;

type Result<T> = std::result::Result<T, BuildError>;

const OVERFLOWS: [(&str, Overflow); 3] = [
    ("rejectnewest", Overflow::RejectNewest),
    ("dropoldest", Overflow::DropOldest),
    ("wait", Overflow::Wait),
];

/// Reads `threshold` and `backoff` of the reference's breaker, `maxretries` of
/// GitLab's registry, and `retry`, which can choose another policy.
pub(super) fn retry(it: Endpoint, fields: &mut Fields, author: Author, phase: Phase) -> Endpoint {
    // All of them are read, so that their mistakes are reported whichever policy applies.
    let keys = ["threshold", "backoff", "maxretries"].map(|key| fields.take(key));
    let [threshold, wait, retries] = &keys;
    let failures = threshold.as_ref().map(Item::number);
    let failures: Option<u32> = failures.and_then(|it| fields.note(it));
    let pause = wait.as_ref().map(Item::pause);
    let pause = pause.and_then(|it| fields.note(it));
    let repeated = retries.as_ref().map(Item::number);
    let repeated = repeated.and_then(|it| fields.note(it));
    let chosen = fields.get("retry", backoff);
    if let Some(Some(backoff)) = chosen {
        for item in threshold.iter().chain(wait) {
            let message = "is for the breaker: leave it out, or write retry: breaker";
            fields.note::<()>(Err(item.error(message)));
        }
        if let Some(item) = retries {
            let message = "is for GitLab's retries: leave it out, or leave out retry";
            fields.note::<()>(Err(item.error(message)));
        }
        return it.retry(backoff);
    }
    if author == Author::GitLab && chosen.is_none() {
        if let Some(threshold) = threshold.as_ref().filter(|_| phase == Phase::Build) {
            warn_of_threshold(threshold, repeated);
        }
        return gitlab::retry(it, gitlab::backoff(repeated, failures, pause));
    }
    if let Some(item) = retries {
        let message = "is for GitLab's retries: leave it out, or leave out retry";
        fields.note::<()>(Err(item.error(message)));
    }
    let mut breaker = Breaker::new();
    // 0 is the default in the reference.
    if let Some(failures @ 1..) = failures {
        breaker = breaker.threshold(failures);
    }
    if let Some(pause) = pause.filter(|it| !it.is_zero()) {
        breaker = breaker.backoff(pause);
    }
    it.retry(breaker)
}

/// Logs a warning for `threshold`: GitLab's registry no longer has a breaker.
fn warn_of_threshold(item: &Item, retries: Option<u32>) {
    let place = item.error(match retries.is_some_and(|it| it > 0) {
        true => "has no effect beside maxretries: leave it out",
        false => "is read as a least number of retries: write maxretries instead",
    });
    tracing::warn!("{place}");
}

/// Reads the value of `retry`: a word, or the settings of a backoff. `None` means
/// the breaker.
fn backoff(item: &Item) -> Result<Option<Backoff>> {
    let mut backoff = Backoff::new();
    if !item.is_map() {
        let is_backoff = item.word(&[("breaker", false), ("backoff", true)])?;
        return Ok(is_backoff.then_some(backoff));
    }
    let mut fields = Fields::of(item);
    let base = |it: &Item| it.not_zero(it.pause()?);
    backoff = fields.set(backoff, "base", base, Backoff::base);
    backoff = fields.set(backoff, "factor", Item::factor, Backoff::factor);
    backoff = fields.set(backoff, "cap", Item::span, Backoff::cap);
    backoff = fields.set(backoff, "attempts", Item::count, Backoff::attempts);
    backoff = fields.set(backoff, "age", Item::span, Backoff::age);
    fields.finish(Some(backoff))
}

/// Reads all other keys of this file.
pub(super) fn settings(mut it: Endpoint, fields: &mut Fields, phase: Phase) -> Endpoint {
    it = fields.set(it, "concurrency", Item::count, Endpoint::concurrency);
    it = fields.set(it, "batch", batch, Endpoint::batch);
    let limit = fields.take("queuesizelimit");
    if let Some(events) = limit.as_ref().map(gitlab::queue_size) {
        it = fields
            .note(events)
            .map_or(it.clone(), |events| it.queue_events(events));
    }
    it = fields.set(it, "queue", queue, |it, queue| queue.apply(it));
    // Read for the shutdown of the whole section.
    fields.get("queuepurgetimeout", Item::duration);
    let letters = fields.get("deadletters", |it| dead_letters(it, phase));
    match letters.flatten() {
        Some(file) => it.dead_letters(file),
        None => it,
    }
}

fn batch(item: &Item) -> Result<Batch> {
    let mut fields = Fields::of(item);
    let mut batch = Batch::of(fields.get("events", Item::count).unwrap_or(100));
    batch = fields.set(batch, "bytes", Item::size, Batch::bytes);
    batch = fields.set(batch, "linger", Item::duration, Batch::linger);
    fields.finish(batch)
}

/// The keys of `queue`.
struct Queue {
    events: Option<usize>,
    bytes: Option<usize>,
    overflow: Option<Overflow>,
}

impl Queue {
    fn apply(self, mut it: Endpoint) -> Endpoint {
        if let Some(events) = self.events {
            it = it.queue_events(events);
        }
        if let Some(bytes) = self.bytes {
            it = it.queue_bytes(bytes);
        }
        if let Some(overflow) = self.overflow {
            it = it.overflow(overflow);
        }
        it
    }
}

fn queue(item: &Item) -> Result<Queue> {
    let mut fields = Fields::of(item);
    let queue = Queue {
        events: fields.get("events", Item::count),
        bytes: fields.get("bytes", Item::size),
        overflow: fields.get("overflow", |it| it.word(&OVERFLOWS)),
    };
    fields.finish(queue)
}

fn dead_letters(item: &Item, phase: Phase) -> Result<Option<DeadLetterFile>> {
    let mut fields = Fields::of(item);
    let file = fields.get("file", Item::owned).map(DeadLetterFile::new);
    let bytes = fields.get("maxbytes", Item::size).unwrap_or(64 << 20);
    let files = fields.get("files", Item::number).unwrap_or(9);
    let file = fields.finish(file)?;
    if file.is_none() && phase == Phase::Build {
        return Err(item.error("has no file: name one"));
    }
    Ok(file.map(|file| file.rotate(bytes, files)))
}
