//! Reads the status of a response that the HTTP/1 parser gives up on.
//!
//! A response may be malformed in parts that say nothing about the events: two
//! lengths that differ, a head that is too large, a connection that closes before
//! the head ends. The parser then fails as a whole, although the receiver may have
//! accepted the events. Posting them again would make it act twice, so the status is
//! read from the bytes independently of the parser.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use http::StatusCode;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// `HTTP/1.1 200`.
const LENGTH: usize = 12;

/// The status of the response to the request that is under way on a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct StatusLine(Arc<Mutex<State>>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Bytes that are read belong to no request, or to one that was answered.
    #[default]
    Idle,
    /// A request was written. The bytes of the status line that were read, and their
    /// number.
    Line([u8; LENGTH], usize),
    /// In the head of an informational response (1xx), with the number of bytes matched
    /// of the empty line that ends it.
    Informational(usize),
    Known(StatusCode),
    /// Not HTTP/1.
    Unknown,
}

impl StatusLine {
    fn update(&self, change: impl FnOnce(State) -> State) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = change(*state);
    }

    /// Returns the status if the status line has been read, and forgets it: a request
    /// that fails before it is written must not find the status of the last one.
    pub(super) fn take(&self) -> Option<StatusCode> {
        let mut status = None;
        self.update(|state| {
            if let State::Known(known) = state {
                status = Some(known);
            }
            State::Idle
        });
        status
    }

    fn written(&self) {
        self.update(|state| match state {
            State::Idle => State::Line([0; LENGTH], 0),
            // This is the rest of a request whose response may have begun.
            state => state,
        });
    }

    fn read(&self, bytes: &[u8]) {
        self.update(|mut state| {
            let mut bytes = bytes;
            // Most responses come in one piece.
            if let (State::Line(_, 0), Some((line, rest))) = (state, bytes.split_first_chunk()) {
                (state, bytes) = (State::of_line(line), rest);
            }
            for byte in bytes {
                // Most bytes belong to a response of which the status is known.
                if !matches!(state, State::Line(..) | State::Informational(_)) {
                    break;
                }
                state = state.next(*byte);
            }
            state
        });
    }
}

impl State {
    fn next(self, byte: u8) -> Self {
        match self {
            Self::Line(mut line, length) => {
                line[length] = byte;
                match length + 1 {
                    LENGTH => Self::of_line(&line),
                    length => Self::Line(line, length),
                }
            }
            Self::Informational(matched) => match (b"\r\n\r\n"[matched] == byte, matched) {
                (true, 3) => Self::Line([0; LENGTH], 0),
                (true, _) => Self::Informational(matched + 1),
                (false, _) => Self::Informational(usize::from(byte == b'\r')),
            },
            state => state,
        }
    }

    fn of_line(line: &[u8; LENGTH]) -> Self {
        let status = line.strip_prefix(b"HTTP/1.0 ");
        let status = status.or_else(|| line.strip_prefix(b"HTTP/1.1 "));
        match status.and_then(|status| StatusCode::from_bytes(status).ok()) {
            Some(status) if status.is_informational() => Self::Informational(0),
            Some(status) => Self::Known(status),
            None => Self::Unknown,
        }
    }
}

/// A connection whose status lines are read. Bytes that are written show which status
/// lines belong to requests.
#[derive(Debug)]
pub(super) struct Watched<T> {
    stream: T,
    is_http2: bool,
    is_proxied: bool,
    status: StatusLine,
}

impl<T> Watched<T> {
    pub(super) fn new(stream: T, is_http2: bool) -> TokioIo<Self> {
        TokioIo::new(Self {
            stream,
            is_http2,
            is_proxied: false,
            status: StatusLine::default(),
        })
    }

    /// A connection to a proxy that reads the requests and passes them on: they name
    /// the whole URL.
    pub(super) fn proxied(stream: T) -> TokioIo<Self> {
        let mut watched = Self::new(stream, false);
        watched.inner_mut().is_proxied = true;
        watched
    }

    pub(super) fn is_proxied(&self) -> bool {
        self.is_proxied
    }

    pub(super) fn is_http2(&self) -> bool {
        self.is_http2
    }

    /// Returns what the status lines of this connection show.
    pub(super) fn status(&self) -> StatusLine {
        self.status.clone()
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        self.status.read(&buffer.filled()[before..]);
        Poll::Ready(read)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        self.status.written();
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.status.written();
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status after a request was written and these bytes were read, in one
    /// piece and byte by byte.
    fn status(bytes: &[u8]) -> Option<u16> {
        let [whole, single] = [bytes.len().max(1), 1].map(|size| {
            let line = StatusLine::default();
            line.written();
            bytes.chunks(size).for_each(|chunk| line.read(chunk));
            line.take().map(|status| status.as_u16())
        });
        assert_eq!(whole, single);
        whole
    }

    #[test]
    fn only_the_status_is_read() {
        assert_eq!(status(b"HTTP/1.1 200 OK\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 503"), Some(503));
        assert_eq!(
            status(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 x"),
            Some(204)
        );
        let hints = b"HTTP/1.1 103 Early Hints\r\nlink: \r\r\n\r\nHTTP/1.1 400 ";
        assert_eq!(status(hints), Some(400));
        assert_eq!(status(b"HTTP/1.1 100 Continue\r\nHTTP/1.1 200 OK"), None);
        for other in [
            &b""[..],
            b"HTTP/1.1 20",
            b"HTTP/2.0 200 OK",
            b"\0\0\x12\x04HTTP/1.1 200",
        ] {
            assert_eq!(status(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_request_that_was_not_written_has_no_status() {
        let line = StatusLine::default();
        line.read(b"HTTP/1.1 200 OK");
        assert_eq!(line.take(), None);
        line.written();
        line.read(b"HTTP/1.1 200 OK");
        line.written();
        assert_eq!(
            line.take(),
            Some(StatusCode::OK),
            "it was still being written"
        );
        line.read(b"HTTP/1.1 200 OK");
        assert_eq!(line.take(), None, "the body of the response before");
    }
}
