//! Bodies on their way through the layer: [`RequestBody`], [`ResponseBody`].

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::happening::Happening;
use crate::sink::{Acceptance, DetachOnDrop};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What was seen of a body that went by.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Bytes so far.
    pub(super) length: u64,
    /// The whole body went by.
    pub(super) complete: bool,
    /// The bytes, as long as they are not more than `limit`.
    frames: Vec<Bytes>,
    limit: usize,
}

impl Seen {
    /// Counts, and keeps up to `limit` bytes; more than that, and none are kept.
    pub(super) fn up_to(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// Nothing, and no more to come.
    pub(super) fn ended() -> Self {
        Self {
            complete: true,
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, data: &Bytes) {
        self.length += data.len() as u64;
        if self.length <= self.limit as u64 {
            self.frames.push(data.clone());
        } else {
            self.frames = Vec::new();
        }
    }

    /// The whole body, if it was small enough to be kept.
    pub(super) fn content(&self) -> Option<Bytes> {
        if !self.complete || self.length > self.limit as u64 {
            return None;
        }
        match &*self.frames {
            [one] => Some(one.clone()),
            many => {
                let mut content = BytesMut::new();
                many.iter()
                    .for_each(|frame| content.extend_from_slice(frame));
                Some(content.freeze())
            }
        }
    }
}

pub(super) type SharedSeen = Arc<Mutex<Seen>>;

/// A look at what a request body has shown by now.
pub(super) fn look<T>(seen: &SharedSeen, take: impl FnOnce(&Seen) -> T) -> T {
    take(&seen.lock().unwrap_or_else(PoisonError::into_inner))
}

pin_project! {
    /// The request body that the inner service gets: the client's own, or none
    /// if the layer itself asks.
    ///
    /// Everything that the client's body says of itself is passed on.
    pub struct RequestBody<B> {
        #[pin]
        inner: Option<B>,
        seen: Option<SharedSeen>,
    }
}

impl<B> RequestBody<B> {
    /// The client's body, not looked at.
    pub(super) fn plain(inner: B) -> Self {
        Self {
            inner: Some(inner),
            seen: None,
        }
    }

    /// The client's body, looked at as it goes by.
    pub(super) fn watched(inner: B, seen: SharedSeen) -> Self {
        Self {
            inner: Some(inner),
            seen: Some(seen),
        }
    }

    /// No body.
    pub(super) fn none() -> Self {
        Self {
            inner: None,
            seen: None,
        }
    }
}

impl<B: Body<Data = Bytes>> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let Some(mut inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let frame = ready!(inner.as_mut().poll_frame(cx));
        if let Some(seen) = this.seen {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            match &frame {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        seen.add(data);
                    }
                    seen.complete = inner.is_end_stream();
                }
                Some(Err(_)) => {}
                None => seen.complete = true,
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(B::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), B::size_hint)
    }
}

impl<B: Default> Default for RequestBody<B> {
    fn default() -> Self {
        Self::plain(B::default())
    }
}

impl<B> fmt::Debug for RequestBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody")
            .field("watched", &self.seen.is_some())
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The response body that the client gets: the inner service's own.
    ///
    /// Everything that it says of itself is passed on. Of a pull, the last
    /// bytes are held back until the sinks have the event.
    pub struct ResponseBody<B> {
        #[pin]
        inner: Option<B>,
        // The pull that this body answers, until its event was written.
        pull: Option<Box<Pull>>,
        // What the layer itself answers.
        refusal: Option<Bytes>,
    }
}

/// A pull whose bytes are under way.
struct Pull {
    /// `None` as soon as it was told.
    happening: Option<Happening>,
    seen: Seen,
    /// Length of the body, if it is known.
    expected: Option<u64>,
    /// The last frame, and the write that it waits for.
    held: Option<(Option<Frame<Bytes>>, DetachOnDrop)>,
    tell_aborted: bool,
}

impl Pull {
    /// Tells of the pull, once.
    fn finish(&mut self) -> Option<Acceptance> {
        let happening = self.happening.take()?;
        Some(happening.tell(Some(&self.seen)))
    }
}

impl Drop for Pull {
    fn drop(&mut self) {
        if self.tell_aborted
            && let Some(write) = self.finish()
        {
            drop(DetachOnDrop::from(write));
        }
    }
}

impl<B> ResponseBody<B> {
    /// A body that no event waits for.
    pub(super) fn plain(inner: B) -> Self {
        Self {
            inner: Some(inner),
            pull: None,
            refusal: None,
        }
    }

    /// The layer's own answer.
    pub(super) fn refusal(content: Bytes) -> Self {
        Self {
            inner: None,
            pull: None,
            refusal: Some(content),
        }
    }
}

impl<B: Body> ResponseBody<B> {
    /// A body whose last byte makes `happening` happen.
    pub(super) fn pull(inner: B, happening: Happening, length: Option<u64>) -> Self {
        let pull = Pull {
            seen: Seen::up_to(happening.keeps()),
            expected: inner.size_hint().exact().or(length),
            tell_aborted: happening.tells_aborted(),
            happening: Some(happening),
            held: None,
        };
        Self {
            inner: Some(inner),
            pull: Some(Box::new(pull)),
            refusal: None,
        }
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        if let Some(content) = this.refusal.take() {
            return Poll::Ready(Some(Ok(Frame::data(content))));
        }
        let Some(mut inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let Some(pull) = this.pull else {
            return inner.poll_frame(cx).map_err(Into::into);
        };
        if pull.held.is_none() {
            let frame = match ready!(inner.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => Some(frame),
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => None,
            };
            if let Some(data) = frame.as_ref().and_then(Frame::data_ref) {
                pull.seen.add(data);
            }
            // hyper does not poll past the bytes that it has announced, so that
            // the end must be counted; whoever polls on meets it here too.
            let last = frame.is_none()
                || inner.is_end_stream()
                || pull.expected.is_some_and(|all| pull.seen.length >= all);
            pull.seen.complete |= last;
            match last.then(|| pull.finish()).flatten() {
                Some(write) => pull.held = Some((frame, write.into())),
                None => return Poll::Ready(frame.map(Ok)),
            }
        }
        let Some((frame, write)) = &mut pull.held else {
            return Poll::Ready(None);
        };
        let answer = ready!(Pin::new(write).poll(cx));
        let frame = frame.take();
        pull.held = None;
        Poll::Ready(match answer {
            Ok(()) => frame.map(Ok),
            Err(error) => Some(Err(error.into())),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.refusal.is_none()
            && self.pull.as_ref().is_none_or(|pull| pull.held.is_none())
            && self.inner.as_ref().is_none_or(B::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        if let Some(content) = &self.refusal {
            return SizeHint::with_exact(content.len() as u64);
        }
        let Some(inner) = &self.inner else {
            return SizeHint::with_exact(0);
        };
        let held = self.pull.as_ref().and_then(|pull| pull.held.as_ref());
        let held = held.and_then(|(frame, _)| frame.as_ref()?.data_ref());
        let hint = inner.size_hint();
        let Some(held) = held.map(|data| data.len() as u64) else {
            return hint;
        };
        let mut all = SizeHint::new();
        if let Some(upper) = hint.upper() {
            all.set_upper(upper.saturating_add(held));
        }
        all.set_lower(hint.lower().saturating_add(held));
        all
    }
}

impl<B: Default> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::plain(B::default())
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody")
            .field("pull", &self.pull.is_some())
            .finish_non_exhaustive()
    }
}
