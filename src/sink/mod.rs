//! What takes events: the [`Sink`] trait and the sinks that combine others.

mod broadcaster;
mod channel;
mod filter;

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;

pub use self::broadcaster::Broadcaster;
pub use self::channel::{ChannelSink, Events};
pub use self::filter::Filter;
use crate::event::SharedEvent;

/// Takes events.
///
/// A write resolves when the sink has taken responsibility for the event: it
/// is in the queue, on disk, or wherever the sink keeps it. A sink that works
/// in memory answers at once and nothing is allocated for the answer:
///
/// ```
/// use std::sync::Mutex;
/// use tower_registry_notifications::{SharedEvent, Sink, Write};
///
/// #[derive(Debug, Default)]
/// struct Ids(Mutex<Vec<String>>);
///
/// impl Sink for Ids {
///     fn write(&self, event: &SharedEvent) -> Write {
///         self.0.lock().unwrap().push(event.id.clone());
///         Write::accepted()
///     }
/// }
/// ```
///
/// A sink that must wait gives a future: `Write::pending(async move { … })`.
pub trait Sink: Send + Sync + 'static {
    /// Offers `event` to the sink. Must not block.
    fn write(&self, event: &SharedEvent) -> Write;
}

impl<T: Sink + ?Sized> Sink for std::sync::Arc<T> {
    fn write(&self, event: &SharedEvent) -> Write {
        (**self).write(event)
    }
}

/// The answer of a [`Sink`]: resolves when it has taken the event.
///
/// To drop it before means that the event may or may not have been taken.
#[must_use = "the sink may not have the event before this resolves"]
pub struct Write(State);

enum State {
    /// Known already; `None` once it was told.
    Ready(Option<Result<(), SinkError>>),
    /// The sink is at work.
    Pending(Pin<Box<dyn Future<Output = Result<(), SinkError>> + Send>>),
}

impl Write {
    /// The sink has the event.
    pub fn accepted() -> Self {
        Self::ready(Ok(()))
    }

    /// The sink will not take the event.
    pub fn failed(error: SinkError) -> Self {
        Self::ready(Err(error))
    }

    /// The answer is known.
    pub fn ready(result: Result<(), SinkError>) -> Self {
        Self(State::Ready(Some(result)))
    }

    /// The answer comes later.
    pub fn pending(future: impl Future<Output = Result<(), SinkError>> + Send + 'static) -> Self {
        Self(State::Pending(Box::pin(future)))
    }

    /// The answer of a sink whose panic is an error, and no more than that.
    pub(crate) fn catching(write: impl FnOnce() -> Self) -> Self {
        let panicked = || Err(SinkError::other("sink panicked"));
        let Ok(write) = catch_unwind(AssertUnwindSafe(write)) else {
            return Self::ready(panicked());
        };
        match write.0 {
            State::Pending(future) => Self::pending(async move {
                let answer = AssertUnwindSafe(future).catch_unwind().await;
                answer.unwrap_or_else(|_| panicked())
            }),
            State::Ready(_) => write,
        }
    }

    /// The answer if it is known already, else the write again.
    pub(crate) fn answer(self) -> Result<Result<(), SinkError>, Self> {
        match self.0 {
            State::Ready(result) => Ok(result.unwrap_or(Ok(()))),
            State::Pending(_) => Err(self),
        }
    }

    /// The answer of several writes: the first error if there is one, and not
    /// before all have answered.
    pub fn all(writes: impl IntoIterator<Item = Self>) -> Self {
        let mut result = Ok(());
        let mut waiting = Vec::new();
        for write in writes {
            match write.0 {
                State::Ready(ready) => result = result.and(ready.unwrap_or(Ok(()))),
                State::Pending(future) => waiting.push(future),
            }
        }
        if waiting.is_empty() {
            return Self::ready(result);
        }
        Self::pending(async move {
            for answer in futures_util::future::join_all(waiting).await {
                result = result.and(answer);
            }
            result
        })
    }
}

impl Future for Write {
    type Output = Result<(), SinkError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(result) => Poll::Ready(result.take().unwrap_or(Ok(()))),
            State::Pending(future) => future.as_mut().poll(cx),
        }
    }
}

/// A write that goes on when nobody waits for it any more: what a client that
/// hangs up must not be able to stop. Without a runtime to go on in, it ends.
pub(crate) struct Unstoppable(Option<Write>);

impl From<Write> for Unstoppable {
    fn from(write: Write) -> Self {
        Self(Some(write))
    }
}

impl Future for Unstoppable {
    type Output = Result<(), SinkError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(write) = &mut self.0 else {
            return Poll::Ready(Ok(()));
        };
        let answer = std::task::ready!(Pin::new(write).poll(cx));
        self.0 = None;
        Poll::Ready(answer)
    }
}

impl Drop for Unstoppable {
    fn drop(&mut self) {
        let pending = self.0.take().and_then(|write| write.answer().err());
        if let (Some(write), Ok(runtime)) = (pending, tokio::runtime::Handle::try_current()) {
            runtime.spawn(write);
        }
    }
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            State::Ready(result) => f.debug_tuple("Write").field(result).finish(),
            State::Pending(_) => f.write_str("Write(pending)"),
        }
    }
}

/// Why a sink did not take an event.
#[derive(Debug)]
pub struct SinkError(Kind);

#[derive(Debug)]
enum Kind {
    Full,
    Closed,
    NoEndpoint(String),
    Other(Box<dyn Error + Send + Sync>),
}

impl SinkError {
    /// The sink holds as much as it may.
    pub fn full() -> Self {
        Self(Kind::Full)
    }

    /// The sink was shut down.
    pub fn closed() -> Self {
        Self(Kind::Closed)
    }

    /// There is no endpoint of this name.
    pub(crate) fn no_endpoint(name: &str) -> Self {
        Self(Kind::NoEndpoint(name.into()))
    }

    /// Any other reason.
    pub fn other(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Kind::Other(reason.into()))
    }

    /// Does the sink hold as much as it may?
    pub fn is_full(&self) -> bool {
        matches!(self.0, Kind::Full)
    }

    /// Was the sink shut down?
    pub fn is_closed(&self) -> bool {
        matches!(self.0, Kind::Closed)
    }

    /// Whether there is no endpoint of the name in a dead letter.
    pub fn is_no_endpoint(&self) -> bool {
        matches!(self.0, Kind::NoEndpoint(_))
    }
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Full => f.write_str("sink is full"),
            Kind::Closed => f.write_str("sink is closed"),
            Kind::NoEndpoint(name) => write!(f, "no such endpoint: {name:?}"),
            Kind::Other(_) => f.write_str("sink failed"),
        }
    }
}

impl Error for SinkError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Kind::Other(reason) => Some(&**reason),
            Kind::Full | Kind::Closed | Kind::NoEndpoint(_) => None,
        }
    }
}
