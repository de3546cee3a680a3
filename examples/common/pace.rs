//! Measures how long the upstream takes in an exchange: [`Pace`].

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, sleep};

/// The progress of an exchange. An upload may take hours, so that there is no limit for
/// all of it. But while the client has nothing more to send, or the upstream does not
/// take it, the exchange waits for the upstream: that time is limited.
pub struct Pace {
    start: Instant,
    /// Milliseconds from `start` to when the upstream's turn began.
    since: AtomicU64,
    /// Whether a connection has taken the request, at least in part.
    sent: AtomicBool,
}

const CLIENTS_TURN: u64 = u64::MAX;

impl Pace {
    /// Makes an exchange that begins now, with a connection to the upstream.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            since: AtomicU64::new(0),
            sent: AtomicBool::new(false),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(CLIENTS_TURN)
    }

    fn upstreams_turn(&self) {
        self.since.store(self.now(), Ordering::Relaxed);
    }

    fn clients_turn(&self) {
        self.since.store(CLIENTS_TURN, Ordering::Relaxed);
    }

    /// Resolves when the upstream has used up `limit` in one turn. Returns whether the
    /// request has reached the upstream. If another turn has begun during the sleep, the
    /// sleep continues until its end.
    pub async fn exceeded(&self, limit: Duration) -> bool {
        loop {
            let used = match self.since.load(Ordering::Relaxed) {
                CLIENTS_TURN => 0,
                since => self.now().saturating_sub(since),
            };
            match limit.saturating_sub(Duration::from_millis(used)) {
                // It is read before the caller drops the body, which sets it.
                Duration::ZERO => return self.sent.load(Ordering::Relaxed),
                left => sleep(left).await,
            }
        }
    }
}

/// A request body on its way to the upstream.
///
/// The connection polls the body when it has room for more, and drops it when all was
/// sent. This shows whose turn it is. Neither happens before the connection has taken the
/// head of the request.
pub struct Paced<B> {
    inner: B,
    pace: Arc<Pace>,
}

impl<B> Paced<B> {
    pub fn new(inner: B, pace: Arc<Pace>) -> Self {
        Self { inner, pace }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Paced<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.pace.sent.store(true, Ordering::Relaxed);
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        match frame {
            Poll::Pending => self.pace.clients_turn(),
            Poll::Ready(_) => self.pace.upstreams_turn(),
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B> Drop for Paced<B> {
    fn drop(&mut self) {
        self.pace.sent.store(true, Ordering::Relaxed);
        self.pace.upstreams_turn();
    }
}
