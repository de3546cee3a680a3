//! The frames of a pull, of which the last is held back: [`Pull`].
//!
//! The invariant: the client gets the last non-empty data frame only after the
//! sinks have answered, and the event is written exactly once, also if the client
//! or the inner body stops early.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;
use tower::BoxError;

use super::outcome::Outcome;
use super::settings::Settings;
use super::tap::BodyTap;
use crate::sink::Acceptance;

type Item = Option<Result<Frame<Bytes>, BoxError>>;

/// A pull whose body is being sent. Its event is written when the body ends,
/// for whatever reason.
///
/// A client that has received every byte must not lack its event, and it can
/// hang up as soon as it has them. So the last data frame is held back until
/// the sinks have accepted the event. If the length of the body is known,
/// counting shows which frame is the last. Otherwise each data frame is held
/// back until the next one, or the end, shows whether it was the last.
pub(super) struct Pull {
    settings: Arc<Settings>,
    /// `None` once the event was written.
    outcome: Option<Outcome>,
    tap: BodyTap,
    /// Length of the body, if it is known.
    expected: Option<u64>,
    /// What the client gets next, in this order: at most one data frame, then
    /// trailers, an error or the end.
    held: VecDeque<Item>,
    /// The write of the event, for which the held frames wait.
    write: Option<Acceptance>,
}

/// What the client gets next.
pub(super) enum Next {
    /// An item that was held back.
    Held(Item),
    /// The next item of the inner body.
    Inner,
}

impl Pull {
    pub(super) fn new(outcome: Outcome, expected: Option<u64>) -> Self {
        Self {
            settings: outcome.settings.clone(),
            tap: BodyTap::new(outcome.tap_limit()),
            expected,
            outcome: Some(outcome),
            held: VecDeque::new(),
            write: None,
        }
    }

    /// Returns an item that was held back, if its turn has come.
    pub(super) fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        if let Some(write) = &mut self.write {
            let answer = ready!(Pin::new(write).poll(cx));
            self.write = None;
            if let Err(error) = answer {
                // Fail-closed: the client must not get the last bytes. An error in
                // the body makes it try again. After it the body ends.
                self.held.clear();
                self.held.push_back(None);
                return Poll::Ready(Next::Held(Some(Err(error.into()))));
            }
        }
        // While the length is not known and the body goes on, the frame that is held
        // may be the last one.
        let may_be_last = self.outcome.is_some() && self.expected.is_none();
        let kept = usize::from(may_be_last);
        if self.held.len() <= kept {
            return Poll::Ready(Next::Inner);
        }
        Poll::Ready(self.held.pop_front().map_or(Next::Inner, Next::Held))
    }

    /// Takes the next item of the inner body. `ended` is whether that body is at
    /// its end.
    pub(super) fn push(&mut self, item: Item, ended: bool) {
        // The event was written, so nothing has to wait: trailers, an error, or the end.
        if self.outcome.is_none() {
            self.held.push_back(item);
            return;
        }
        let data = match &item {
            Some(Ok(frame)) => frame.data_ref().map(Bytes::len),
            _ => None,
        };
        // An empty frame is dropped. Any number of them could come between the
        // last data and the end, and all of them would have to be held.
        if data == Some(0) && !self.held.is_empty() && !ended {
            return;
        }
        if let Some(Ok(frame)) = &item
            && let Some(data) = frame.data_ref()
        {
            self.tap.add(data);
        }
        let failed = matches!(item, Some(Err(_)));
        let is_data = data.is_some();
        let counted = self.expected.is_some_and(|all| self.tap.length() >= all);
        let last = ended || counted || !is_data;
        self.held.push_back(item);
        if last {
            self.tap.set_complete(!failed);
            self.finish();
        }
    }

    /// Writes the event, once, if the pull counts.
    fn finish(&mut self) {
        if let Some(outcome) = self.outcome.take()
            && (self.tap.is_complete() || outcome.counts_aborted())
        {
            self.write = Some(outcome.report(Some(&self.tap)));
        }
    }

    /// Whether more is to come although the inner body may be at its end.
    pub(super) fn holds_back(&self) -> bool {
        self.write.is_some() || !self.held.is_empty()
    }

    /// Returns the number of bytes that are held back.
    pub(super) fn held_length(&self) -> u64 {
        let data = self.held.iter().filter_map(|item| match item {
            Some(Ok(frame)) => frame.data_ref(),
            _ => None,
        });
        data.map(|data| data.len() as u64).sum()
    }
}

impl Drop for Pull {
    fn drop(&mut self) {
        // The client has hung up, or has stopped reading after the last byte. A write
        // that has begun continues in a task.
        self.finish();
        if let Some(write) = self.write.take() {
            let limit = self.settings.detached_timeout;
            self.settings.notifier.in_flight().complete(write, limit);
        }
    }
}
