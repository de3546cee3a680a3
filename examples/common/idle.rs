//! Ends connections on which nothing happens: [`Idle`].

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// A connection that fails when no byte has passed for a while, in either direction.
///
/// hyper limits the time that the head of a request may take, but only once it knows
/// from the first bytes which version of HTTP it is, and it never ends a connection of
/// HTTP/2 on which no request is made. Clients that say nothing would use up all
/// connections. A transfer may take any time as long as bytes pass.
pub struct Idle<T> {
    stream: T,
    limit: Duration,
    /// Takes the place of `limit` once something was read.
    next_limit: Duration,
    last: Instant,
    alarm: Pin<Box<Sleep>>,
}

impl<T> Idle<T> {
    /// Ends `stream` if nothing is read in `first`, and then if nothing passes in
    /// `limit`.
    pub fn new(stream: T, first: Duration, limit: Duration) -> Self {
        Self {
            stream,
            limit: first,
            next_limit: limit,
            last: Instant::now(),
            alarm: Box::pin(sleep(first)),
        }
    }

    /// Notes that bytes have passed, or that the stream has ended.
    fn touch(&mut self) {
        self.last = Instant::now();
    }

    /// Fails when nothing has passed for too long. The alarm is reset only when it goes off, not
    /// with every byte.
    fn poll_idle<R>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<R>> {
        loop {
            ready!(self.alarm.as_mut().poll(cx));
            let end = self.last + self.limit;
            if end <= Instant::now() {
                let error = format!("nothing has passed for {:?}", self.limit);
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, error)));
            }
            self.alarm.as_mut().reset(end);
        }
    }

    fn passed<R>(
        &mut self,
        cx: &mut Context<'_>,
        poll: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if poll.is_pending() {
            return self.poll_idle(cx);
        }
        self.touch();
        poll
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Idle<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if poll.is_ready() {
            self.limit = self.next_limit;
        }
        self.passed(cx, poll)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Idle<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.passed(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.passed(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
