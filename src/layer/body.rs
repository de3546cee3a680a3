//! The bodies that pass through the layer: [`RequestBody`], [`ResponseBody`].
//!
//! Both forward everything that the body inside them tells: frames, trailers,
//! errors, size hint and end. The request body copies into a tap what passes; the
//! response body of a pull holds back the last data frame.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower::BoxError;

use super::pull::{Next, Pull};
use super::tap::SharedTap;

pin_project! {
    /// The request body that the inner service receives: the client's own, or
    /// an [empty](Self::empty) one.
    ///
    /// Frames, trailers, size hint and end are those of the client's body.
    pub struct RequestBody<B> {
        #[pin]
        inner: Option<B>,
        tap: Option<SharedTap>,
    }
}

impl<B> RequestBody<B> {
    /// Creates a body without content. With it, a service that takes
    /// `Request<RequestBody<B>>` can also serve the layer's stats, whose
    /// [`StatBody`](crate::StatBody) is empty: see
    /// [`stat_with`](crate::NotificationLayer::stat_with).
    pub fn empty() -> Self {
        Self {
            inner: None,
            tap: None,
        }
    }

    /// Wraps the client's body, observed by `tap` if there is one.
    pub(super) fn new(inner: B, tap: Option<SharedTap>) -> Self {
        Self {
            inner: Some(inner),
            tap,
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
        if let Some(tap) = this.tap {
            let mut tap = tap.lock();
            match &frame {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        tap.add(data);
                    }
                    // A reader that knows that this is the last frame, as trailers
                    // always are, does not poll again for the end.
                    tap.set_complete(frame.is_trailers() || inner.is_end_stream());
                }
                // After an error the registry has only a part of the content.
                Some(Err(_)) => {}
                None => tap.set_complete(true),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let ended = self.inner.as_ref().is_none_or(B::is_end_stream);
        if let Some(tap) = self.tap.as_ref().filter(|_| ended) {
            // A reader that learns here that no frame is left does not poll again.
            tap.lock().set_complete(true);
        }
        ended
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), B::size_hint)
    }
}

impl<B: Default> Default for RequestBody<B> {
    fn default() -> Self {
        Self::new(B::default(), None)
    }
}

impl<B> fmt::Debug for RequestBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody")
            .field("observed", &self.tap.is_some())
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The response body that the client receives: the inner service's own.
    ///
    /// Frames, trailers, size hint and end are those of the inner body. The last
    /// bytes of a pull are held back until the sinks have accepted the event.
    pub struct ResponseBody<B> {
        #[pin]
        inner: Option<B>,
        // The pull that this body is the content of.
        pull: Option<Box<Pull>>,
        // The content of the layer's own response, if there is no inner body.
        refusal: &'static [u8],
    }
}

impl<B> ResponseBody<B> {
    /// Wraps a body on which no event depends.
    pub(super) fn plain(inner: B) -> Self {
        Self {
            inner: Some(inner),
            pull: None,
            refusal: &[],
        }
    }

    /// Creates the body of the layer's own response. It is empty for HEAD.
    pub(super) fn refusal(content: &'static [u8]) -> Self {
        Self {
            inner: None,
            pull: None,
            refusal: content,
        }
    }
}

impl<B: Body> ResponseBody<B> {
    /// Wraps the body of a pull.
    pub(super) fn pull(inner: B, pull: Pull) -> Self {
        Self {
            inner: Some(inner),
            pull: Some(Box::new(pull)),
            refusal: &[],
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
        if !this.refusal.is_empty() {
            let content = Bytes::from_static(std::mem::take(this.refusal));
            return Poll::Ready(Some(Ok(Frame::data(content))));
        }
        let Some(mut inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let Some(pull) = this.pull else {
            return inner.poll_frame(cx).map_err(Into::into);
        };
        loop {
            // This is pending while the event is being written. The inner body is
            // not polled then, so nothing overtakes what is held back.
            match ready!(pull.poll_held(cx)) {
                Next::Held(item) => return Poll::Ready(item),
                Next::Inner => {}
            }
            let frame = ready!(inner.as_mut().poll_frame(cx));
            let frame = frame.map(|frame| frame.map_err(Into::into));
            pull.push(frame, inner.is_end_stream());
        }
    }

    fn is_end_stream(&self) -> bool {
        self.refusal.is_empty()
            && self.pull.as_ref().is_none_or(|pull| !pull.holds_back())
            && self.inner.as_ref().is_none_or(B::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let Some(inner) = &self.inner else {
            return SizeHint::with_exact(self.refusal.len() as u64);
        };
        let hint = inner.size_hint();
        // Data that is held back has left the inner body and is still to come.
        let held = self.pull.as_ref().map_or(0, |pull| pull.held_length());
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
