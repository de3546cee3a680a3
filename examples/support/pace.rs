//! Whose turn it is in an exchange with the upstream, and for how long.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, sleep};

/// How an exchange gets on. An upload may take hours, so that no limit holds
/// for the whole of it; but while the client has nothing more to send, it is
/// the upstream that takes its time.
pub(crate) struct Pace {
    start: Instant,
    /// Milliseconds from `start` to when the upstream's turn began.
    since: AtomicU64,
    /// Whether a connection has taken the request, at least in part.
    sent: AtomicBool,
}

const CLIENTS_TURN: u64 = u64::MAX;

impl Pace {
    /// An exchange that begins now, with a connection to the upstream.
    pub(crate) fn new() -> Arc<Self> {
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

    /// Resolves when the upstream has used up `limit` in one turn, and tells
    /// whether the request has reached it. A turn that begins meanwhile ends
    /// later than the sleep, which then goes on.
    pub(crate) async fn exceeded(&self, limit: Duration) -> bool {
        loop {
            let used = match self.since.load(Ordering::Relaxed) {
                CLIENTS_TURN => 0,
                since => self.now().saturating_sub(since),
            };
            match limit.saturating_sub(Duration::from_millis(used)) {
                // Read here: whoever gives the request up drops its body.
                Duration::ZERO => return self.sent.load(Ordering::Relaxed),
                left => sleep(left).await,
            }
        }
    }
}

/// A request body on its way to the upstream.
///
/// Whoever sends it polls it when there is room for more, and drops it when all
/// was sent: that is how it knows whose turn it is. Neither happens before a
/// connection has the head of the request.
pub(crate) struct Paced<B> {
    inner: B,
    pace: Arc<Pace>,
}

impl<B> Paced<B> {
    pub(crate) fn new(inner: B, pace: Arc<Pace>) -> Self {
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
